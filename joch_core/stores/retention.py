"""Taking graph threads away, whole or in part, and copying them. Works on an open cursor inside `threads.py`'s transactions.

Nothing that is still referred to goes: a list version that builds on one which goes is made complete first, and an item goes
with the last list or write that names it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from joch_core.stores.base import Cursor
from joch_core.stores.chains import Lane, complete, cut
from joch_core.stores.packing import digests_in, unpack_versions

_COLUMNS = {
    "graph_checkpoint": "lane, checkpoint, parent, run, versions, body_kind, body, metadata_kind, metadata",
    "graph_version": "lane, channel, version, base, keep, depth, kind, data",
    "graph_item": "digest, kind, data",
    "graph_write": "lane, checkpoint, task, data",
}


def forget_thread(cursor: Cursor, namespace: str, thread: int) -> None:
    """Take a thread away with everything in it."""
    for table in _COLUMNS:
        cursor.execute(f"DELETE FROM {table} WHERE namespace = ? AND thread = ?", (namespace, thread))  # noqa: S608
    cursor.execute("DELETE FROM graph_thread WHERE namespace = ? AND id = ?", (namespace, thread))


def drop_checkpoints(cursor: Cursor, namespace: str, thread: int, checkpoints: Sequence[tuple[str, bytes]]) -> None:
    """Take checkpoints (lane, id) away with their pending writes, and what only they needed."""
    for table in ("graph_checkpoint", "graph_write"):
        cursor.executemany(
            f"DELETE FROM {table} WHERE namespace = ? AND thread = ? AND lane = ? AND checkpoint = ?",  # noqa: S608
            [(namespace, thread, lane, checkpoint) for lane, checkpoint in checkpoints],
        )
    left = cursor.execute(
        "SELECT lane, versions FROM graph_checkpoint WHERE namespace = ? AND thread = ?", (namespace, thread)
    ).fetchall()
    if left:
        used = {
            (lane, channel, str(version)) for lane, packed in left for channel, version in unpack_versions(packed)[0].items()
        }
        sweep(cursor, namespace, thread, used)
    else:
        forget_thread(cursor, namespace, thread)


def copy_rows(cursor: Cursor, namespace: str, source: int, target: int) -> None:
    """Copy everything of a thread to another one."""
    for table, names in _COLUMNS.items():
        cursor.execute(
            f"INSERT INTO {table} (namespace, thread, {names}) SELECT namespace, CAST(? AS BIGINT), {names} FROM {table}"  # noqa: S608
            " WHERE namespace = ? AND thread = ? ON CONFLICT DO NOTHING",
            (target, namespace, source),
        )
    secret = cursor.execute(
        "SELECT secret_kind, secret FROM graph_thread WHERE namespace = ? AND id = ?", (namespace, source)
    ).fetchone()
    if secret is not None and secret[1] is not None:
        cursor.execute(
            "UPDATE graph_thread SET secret_kind = ?, secret = ? WHERE namespace = ? AND id = ? AND secret IS NULL",
            (*secret, namespace, target),
        )


def sweep(cursor: Cursor, namespace: str, thread: int, used: Collection[tuple[str, str, str]]) -> None:
    """Forget every version that is not among `used` (lane, channel, version), and every item that nobody refers to."""
    live = set(used)
    rows = cursor.execute(
        "SELECT lane, channel, version, base FROM graph_version WHERE namespace = ? AND thread = ?", (namespace, thread)
    ).fetchall()
    for lane, channel, version, base in rows:
        if base is not None and (lane, channel, version) in live and (lane, channel, base) not in live:
            complete(cursor, Lane(namespace, thread, lane), channel, version)
    dead = [
        (namespace, thread, lane, channel, version)
        for lane, channel, version, _ in rows
        if (lane, channel, version) not in live
    ]
    if dead:
        cursor.executemany(
            "DELETE FROM graph_version WHERE namespace = ? AND thread = ? AND lane = ? AND channel = ? AND version = ?", dead
        )
    referred: set[bytes] = set()
    lists = cursor.execute(
        "SELECT data FROM graph_version WHERE namespace = ? AND thread = ? AND kind IN ('[]', '[d]', '*')",
        (namespace, thread),
    ).fetchall()
    referred.update(digest for (data,) in lists for digest in cut(bytes(data)))
    writes = cursor.execute(
        "SELECT data FROM graph_write WHERE namespace = ? AND thread = ?", (namespace, thread)
    ).fetchall()
    referred.update(digest for (packed,) in writes for digest in digests_in(packed))
    items = cursor.execute(
        "SELECT digest FROM graph_item WHERE namespace = ? AND thread = ?", (namespace, thread)
    ).fetchall()
    loose = [(namespace, thread, bytes(digest)) for (digest,) in items if bytes(digest) not in referred]
    if loose:
        cursor.executemany("DELETE FROM graph_item WHERE namespace = ? AND thread = ? AND digest = ?", loose)
