"""The shelf of graph threads: checkpoints, the versions of their channels, and pending writes, as a graph framework keeps them.

Holds bytes that somebody else serialised; knows no framework and decodes nothing. Lists grow by what is new (`chains.py`),
so a thread of n steps takes O(n) bytes. Every method is one transaction of its own. The tables are in `graphs.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from joch_core.errors import ConversationConflict, StoreError
from joch_core.stores.base import Cursor, Database
from joch_core.stores.chains import (
    DIGEST_BYTES,
    Blob,
    Content,
    GraphItems,
    Lane,
    Shape,
    StaleBase,
    Version,
    read_versions,
    write_version,
)
from joch_core.stores.graphs import SCHEMA, GraphCheckpoint, GraphWrite, StoredCheckpoint
from joch_core.stores.items import read_items, write_items
from joch_core.stores.overview import GraphThread, all_threads
from joch_core.stores.packing import (
    pack,
    pack_versions,
    unpack,
    unpack_versions,
    unpack_writes,
    versions_text,
)
from joch_core.stores.retention import copy_rows, drop_checkpoints, forget_thread
from joch_core.stores.writes import TaskWrites, keep_writes, task_writes

__all__ = [
    "SCHEMA",
    "Blob",
    "Content",
    "GraphCheckpoint",
    "GraphItems",
    "GraphThread",
    "GraphWrite",
    "Shape",
    "StoredCheckpoint",
    "TaskWrites",
    "Threads",
    "Version",
]


_ATTEMPTS = 100


def _run_key(run: str | None) -> bytes | None:
    return None if run is None else blake2b(run.encode(), digest_size=DIGEST_BYTES).digest()


_CHECKPOINT = "c.lane, c.checkpoint, c.parent, c.versions, c.body_kind, c.body, c.metadata_kind, c.metadata"


def _snapshot(row: Sequence[Any]) -> GraphCheckpoint:
    lane, checkpoint, parent, packed, body_kind, body, metadata_kind, metadata = row
    versions, nulls, text = unpack_versions(packed)
    return GraphCheckpoint(
        lane,
        bytes(checkpoint).decode(),
        None if parent is None else bytes(parent).decode(),
        versions,
        unpack(body_kind, body, text),
        unpack(metadata_kind, metadata),
        nulls,
    )


class Threads:
    """The graph threads of one namespace. May be used from several threads."""

    def __init__(self, database: Database, namespace: str) -> None:
        self._database = database
        self.namespace = namespace

    # ------------------------------------------------------------------------------------------------------ writing
    def secret(self, thread: str, proposal: Blob) -> Blob:
        """The secret of a thread, which keys the digests of its items; `proposal` becomes it if there is none."""
        with self._database.writing() as cursor:
            key = self._lock(cursor, thread)
            cursor.execute(
                "UPDATE graph_thread SET secret_kind = ?, secret = ? WHERE namespace = ? AND id = ? AND secret IS NULL",
                (*proposal, self.namespace, key),
            )
            row = cursor.execute(
                "SELECT secret_kind, secret FROM graph_thread WHERE namespace = ? AND id = ?", (self.namespace, key)
            ).fetchone()
        assert row is not None
        return row[0], bytes(row[1])

    def put(
        self,
        thread: str,
        snapshot: GraphCheckpoint,
        contents: Mapping[str, Content],
        items: Mapping[bytes, Blob],
        *,
        fenced: bool = False,
    ) -> bool:
        """Keep a checkpoint, the channels that it changed (`contents`, at the versions it names), and their new items.

        With `fenced`, the parent must be the newest checkpoint of its lane (None: there must be none).

        Returns:
            False if a version that a list builds on is gone; nothing was written then, and the lists are to be put whole.

        Raises:
            ConversationConflict: the fence does not hold; nothing was written.
        """
        try:
            self._put(thread, snapshot, contents, items, fenced)
        except StaleBase:
            return False
        return True

    def _put(
        self,
        thread: str,
        snapshot: GraphCheckpoint,
        contents: Mapping[str, Content],
        items: Mapping[bytes, Blob],
        fenced: bool,
    ) -> None:
        with self._database.writing() as cursor:
            lane = Lane(self.namespace, self._lock(cursor, thread), snapshot.lane)
            if fenced:
                _check_fence(cursor, lane, thread, snapshot)
            write_items(cursor, lane, items)
            for channel, content in contents.items():
                write_version(cursor, lane, channel, str(snapshot.versions[channel]), content)
            about = versions_text(snapshot.versions, snapshot.nulls)
            cursor.execute(
                "INSERT INTO graph_checkpoint (namespace, thread, lane, checkpoint, parent, run, versions, body_kind, body,"
                " metadata_kind, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (namespace, thread, lane, checkpoint) DO UPDATE SET parent = excluded.parent,"
                " run = excluded.run, versions = excluded.versions, body_kind = excluded.body_kind, body = excluded.body,"
                " metadata_kind = excluded.metadata_kind, metadata = excluded.metadata",
                (
                    *lane.key,
                    snapshot.checkpoint.encode(),
                    None if snapshot.parent is None else snapshot.parent.encode(),
                    _run_key(snapshot.run),
                    pack_versions(about),
                    *pack(snapshot.body, about),
                    *pack(snapshot.metadata),
                ),
            )

    def put_writes(
        self, thread: str, lane: str, checkpoint: str, writes: Iterable[GraphWrite], items: Mapping[bytes, Blob]
    ) -> None:
        """Keep pending writes of a checkpoint, which need not be there yet."""
        tasks: dict[str, list[GraphWrite]] = {}
        for write in writes:
            tasks.setdefault(write.task, []).append(write)
        with self._database.writing() as cursor:
            where = Lane(self.namespace, self._lock(cursor, thread), lane)
            write_items(cursor, where, items)
            for task, fresh in tasks.items():
                keep_writes(cursor, (*where.key, checkpoint.encode(), task), fresh)

    def _lock(self, cursor: Cursor, thread: str) -> int:
        """The id of a thread, made if need be. Holds the thread's row until the transaction ends: one writer at a time."""
        # SQLite has one writer anyway; touching the row would only put its page into every commit.
        hold = "" if self._database.engine == "sqlite" else " FOR UPDATE"
        for _ in range(_ATTEMPTS):
            row = cursor.execute(
                f"SELECT id FROM graph_thread WHERE namespace = ? AND thread = ?{hold}",  # noqa: S608
                (self.namespace, thread),
            ).fetchone()
            if row is not None:
                return int(row[0])
            cursor.execute(  # on an engine with several writers, another one may take the number: then again
                "INSERT INTO graph_thread (namespace, thread, id, revision)"
                " SELECT CAST(? AS TEXT), CAST(? AS TEXT), coalesce(max(id), 0) + 1, 0 FROM graph_thread WHERE namespace = ?"
                " ON CONFLICT DO NOTHING",
                (self.namespace, thread, self.namespace),
            )
        raise StoreError(f"thread {thread!r} could not be opened: too many new threads at once; try again")

    def _hold(self, cursor: Cursor, key: int) -> None:
        """The same for a thread that is known to be there."""
        cursor.execute(
            "UPDATE graph_thread SET revision = revision + 1 WHERE namespace = ? AND id = ?", (self.namespace, key)
        )

    # ------------------------------------------------------------------------------------------------------ reading
    def get(
        self,
        thread: str,
        lane: str,
        checkpoint: str | None = None,
        *,
        channels: Collection[str] | None = None,
    ) -> StoredCheckpoint | None:
        """One checkpoint (the newest of the lane, if none is named) with contents, pending writes and items.

        Args:
            thread: The thread's name.
            lane: The graph namespace in it; "" is the root graph.
            checkpoint: Its id.
            channels: If given, contents and writes of these channels only.
        """
        with self._database.reading() as cursor:
            key = self._find(cursor, thread)
            if key is None:
                return None
            where = Lane(self.namespace, key, lane)
            row = cursor.execute(
                f"SELECT {_CHECKPOINT} FROM graph_checkpoint AS c"  # noqa: S608
                " WHERE c.namespace = ? AND c.thread = ? AND c.lane = ?"
                + (" ORDER BY c.checkpoint DESC LIMIT 1" if checkpoint is None else " AND c.checkpoint = ?"),
                where.key if checkpoint is None else (*where.key, checkpoint.encode()),
            ).fetchone()
            if row is None:
                return None
            return _fill(cursor, where, StoredCheckpoint(thread, _snapshot(row)), channels, {})

    def page(
        self,
        *,
        thread: str | None = None,
        lane: str | None = None,
        checkpoint: str | None = None,
        before: str | None = None,
        after: StoredCheckpoint | None = None,
        limit: int,
    ) -> list[StoredCheckpoint]:
        """Checkpoints without their contents, newest first; `after` is the last one of the page before."""
        conditions: list[tuple[str, tuple[Any, ...]]] = [("c.namespace = ?", (self.namespace,))]
        if lane is not None:
            conditions.append(("c.lane = ?", (lane,)))
        if checkpoint is not None:
            conditions.append(("c.checkpoint = ?", (checkpoint.encode(),)))
        if before is not None:
            conditions.append(("c.checkpoint < ?", (before.encode(),)))
        order = "c.checkpoint DESC, t.thread, c.lane"
        with self._database.reading() as cursor:
            if thread is not None:
                key = self._find(cursor, thread)
                if key is None:
                    return []
                conditions.insert(1, ("c.thread = ?", (key,)))
                order = "c.checkpoint DESC" if lane is not None else "c.checkpoint DESC, c.lane"
            if after is not None:
                last = after.snapshot.checkpoint.encode()
                conditions.append(
                    (
                        "(c.checkpoint < ? OR (c.checkpoint = ? AND (t.thread > ? OR (t.thread = ? AND c.lane > ?))))",
                        (last, last, after.thread, after.thread, after.snapshot.lane),
                    )
                )
                conditions.append(("c.checkpoint <= ?", (last,)))  # what an index can use
            rows = cursor.execute(
                f"SELECT t.thread, {_CHECKPOINT} FROM graph_checkpoint AS c"  # noqa: S608
                " JOIN graph_thread AS t ON t.namespace = c.namespace AND t.id = c.thread"
                f" WHERE {' AND '.join(text for text, _ in conditions)} ORDER BY {order} LIMIT ?",
                (*(value for _, values in conditions for value in values), limit),
            ).fetchall()
        return [StoredCheckpoint(name, _snapshot(row)) for name, *row in rows]

    def filled(self, stored: Sequence[StoredCheckpoint]) -> list[StoredCheckpoint]:
        """Checkpoints of a page with contents, writes and items; those that have gone in between are left out."""
        found: list[StoredCheckpoint] = []
        items: dict[bytes, Blob] = {}
        with self._database.reading() as cursor:
            for one in stored:
                key = self._find(cursor, one.thread)
                if key is not None:
                    found.append(_fill(cursor, Lane(self.namespace, key, one.snapshot.lane), one, None, items))
        return found

    def _find(self, cursor: Cursor, thread: str) -> int | None:
        row = cursor.execute(
            "SELECT id FROM graph_thread WHERE namespace = ? AND thread = ?", (self.namespace, thread)
        ).fetchone()
        return None if row is None else int(row[0])

    def summaries(self) -> list[GraphThread]:
        """Every thread, by name: how long it is and when it was last written."""
        with self._database.reading() as cursor:
            return all_threads(cursor, self.namespace)

    def written(self, thread: str) -> dict[tuple[str, str], list[TaskWrites]]:
        """What the tasks of a thread wrote, without the values, under (lane, checkpoint)."""
        with self._database.reading() as cursor:
            key = self._find(cursor, thread)
            return {} if key is None else task_writes(cursor, self.namespace, key)

    # ----------------------------------------------------------------------------------------------- whole threads
    def delete(self, thread: str) -> None:
        """Forget a thread with everything in it."""
        with self._database.writing() as cursor:
            key = self._find(cursor, thread)
            if key is not None:
                self._hold(cursor, key)
                forget_thread(cursor, self.namespace, key)

    def delete_runs(self, runs: Iterable[str]) -> None:
        """Forget the checkpoints that these runs made, with their pending writes."""
        with self._database.writing() as cursor:
            doomed: dict[int, list[tuple[str, bytes]]] = {}
            for run in runs:
                for key, lane, checkpoint in cursor.execute(
                    "SELECT thread, lane, checkpoint FROM graph_checkpoint WHERE namespace = ? AND run = ?",
                    (self.namespace, _run_key(run)),
                ).fetchall():
                    doomed.setdefault(key, []).append((lane, bytes(checkpoint)))
            for key, checkpoints in sorted(doomed.items()):
                self._hold(cursor, key)
                drop_checkpoints(cursor, self.namespace, key, checkpoints)

    def keep_only(self, thread: str, keep: Mapping[str, Collection[str]]) -> None:
        """Forget every checkpoint of a thread but those that are named, lane by lane."""
        kept = {(lane, checkpoint.encode()) for lane, checkpoints in keep.items() for checkpoint in checkpoints}
        with self._database.writing() as cursor:
            key = self._find(cursor, thread)
            if key is None:
                return
            self._hold(cursor, key)
            rows = cursor.execute(
                "SELECT lane, checkpoint FROM graph_checkpoint WHERE namespace = ? AND thread = ?", (self.namespace, key)
            ).fetchall()
            found = [(lane, bytes(checkpoint)) for lane, checkpoint in rows]
            drop_checkpoints(cursor, self.namespace, key, [one for one in found if one not in kept])

    def copy(self, source: str, target: str) -> None:
        """Copy a thread with its whole history; what the target already has stays."""
        with self._database.writing() as cursor:
            old = self._find(cursor, source)
            if old is not None and source != target:
                copy_rows(cursor, self.namespace, old, self._lock(cursor, target))


def _fill(
    cursor: Cursor,
    lane: Lane,
    stored: StoredCheckpoint,
    channels: Collection[str] | None,
    items: dict[bytes, Blob],
) -> StoredCheckpoint:
    """Contents and writes of a checkpoint; the items that it needs join those that are there already."""
    wanted = {
        channel: str(version)
        for channel, version in stored.snapshot.versions.items()
        if (channels is None or channel in channels) and channel not in stored.snapshot.nulls
    }
    contents = read_versions(cursor, lane, wanted)
    rows = cursor.execute(
        "SELECT task, data FROM graph_write WHERE namespace = ? AND thread = ? AND lane = ? AND checkpoint = ?",
        (*lane.key, stored.snapshot.checkpoint.encode()),
    ).fetchall()
    writes = [
        write
        for task, packed in rows
        for write in unpack_writes(task, packed)
        if channels is None or write.channel in channels
    ]
    writes.sort(key=lambda write: (write.path, write.task, write.position))
    parts = [one for one in (*contents.values(), *(write.content for write in writes)) if isinstance(one, GraphItems)]
    missing = {digest for one in parts for digest in one.digests if digest not in items}
    items.update(read_items(cursor, lane, missing))
    return StoredCheckpoint(stored.thread, stored.snapshot, contents, writes, items)


def _check_fence(cursor: Cursor, lane: Lane, thread: str, snapshot: GraphCheckpoint) -> None:
    row = cursor.execute(
        "SELECT checkpoint FROM graph_checkpoint WHERE namespace = ? AND thread = ? AND lane = ?"
        " ORDER BY checkpoint DESC LIMIT 1",
        lane.key,
    ).fetchone()
    newest = None if row is None else bytes(row[0]).decode()
    if newest not in {snapshot.parent, snapshot.checkpoint}:
        raise ConversationConflict(
            f"thread {thread!r}: another writer put checkpoint {newest} after {snapshot.parent}, on which this one builds;"
            " nothing was written. Run again from the newest state, or fork on purpose by naming the checkpoint_id"
        )
