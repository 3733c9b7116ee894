"""The items of graph threads: each stored once per thread, under its digest. Works on somebody else's open cursor."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from joch_core.stores.base import Cursor
from joch_core.stores.chains import Blob, Lane, batches
from joch_core.stores.packing import PACKED, pack_item, unpack_item


def read_items(cursor: Cursor, lane: Lane, digests: Collection[bytes]) -> dict[bytes, Blob]:
    """The items themselves."""
    items: dict[bytes, Blob] = {}
    for part in batches(digests):
        marks = ", ".join("?" * len(part))
        rows = cursor.execute(
            f"SELECT digest, kind, data FROM graph_item WHERE namespace = ? AND thread = ? AND digest IN ({marks})",  # noqa: S608
            (lane.namespace, lane.thread, *part),
        ).fetchall()
        for digest, kind, data in rows:  # a thousand rows are read at every step of a long thread: no call for most of them
            items[digest] = unpack_item(kind, data) if kind.startswith(PACKED) else (kind, data)
    return items


def write_items(cursor: Cursor, lane: Lane, items: Mapping[bytes, Blob]) -> None:
    """Keep items; those that are there already stay as they are."""
    if items:
        cursor.executemany(
            "INSERT INTO graph_item (namespace, thread, digest, kind, data) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(lane.namespace, lane.thread, digest, *pack_item(blob)) for digest, blob in items.items()],
        )
