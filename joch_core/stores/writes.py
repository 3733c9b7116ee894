"""Pending writes of graph threads: one row for each task and checkpoint. Works on somebody else's open cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from joch_core.stores.base import Cursor
from joch_core.stores.graphs import GraphWrite
from joch_core.stores.packing import pack_writes, unpack_writes


@dataclass(frozen=True, slots=True)
class TaskWrites:
    """What one task wrote: where in the graph it stands, and the positions and channels of its writes."""

    task: str
    path: str
    positions: tuple[int, ...]
    channels: tuple[str, ...]


def keep_writes(cursor: Cursor, key: tuple[Any, ...], fresh: Sequence[GraphWrite]) -> None:
    """Keep what a task wrote; what it wrote before stays, but for positions that may be written again."""
    merged: dict[int, GraphWrite] = {}
    _merge(merged, fresh)
    insert = "INSERT INTO graph_write (namespace, thread, lane, checkpoint, task, data) VALUES (?, ?, ?, ?, ?, ?)"
    if cursor.execute(f"{insert} ON CONFLICT DO NOTHING", (*key, pack_writes(merged.values()))).rowcount:
        return  # the common case: a task writes once
    here = "namespace = ? AND thread = ? AND lane = ? AND checkpoint = ? AND task = ?"
    row = cursor.execute(f"SELECT data FROM graph_write WHERE {here}", key).fetchone()  # noqa: S608
    assert row is not None
    merged = {write.position: write for write in unpack_writes(key[-1], row[0])}
    _merge(merged, fresh)
    cursor.execute(f"UPDATE graph_write SET data = ? WHERE {here}", (pack_writes(merged.values()), *key))  # noqa: S608


def _merge(known: dict[int, GraphWrite], fresh: Sequence[GraphWrite]) -> None:
    for write in fresh:
        if write.position < 0 or write.position not in known:
            known[write.position] = write


def task_writes(cursor: Cursor, namespace: str, thread: int) -> dict[tuple[str, str], list[TaskWrites]]:
    """What the tasks of a thread wrote, under (lane, checkpoint)."""
    found: dict[tuple[str, str], list[TaskWrites]] = {}
    for lane, checkpoint, task, packed in cursor.execute(
        "SELECT lane, checkpoint, task, data FROM graph_write WHERE namespace = ? AND thread = ?", (namespace, thread)
    ).fetchall():
        writes = unpack_writes(task, packed)
        found.setdefault((lane, bytes(checkpoint).decode()), []).append(
            TaskWrites(
                task,
                writes[0].path if writes else "",
                tuple(write.position for write in writes),
                tuple(write.channel for write in writes),
            )
        )
    return found
