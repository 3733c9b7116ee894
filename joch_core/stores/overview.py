"""Graph threads from above: which there are, how long and how old they are. Works on somebody else's open cursor.

A thread's age is in the newest of its checkpoint ids (LangGraph's are UUIDs of version 6, which begin with their time), so it is
known without decoding or decrypting anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from joch_core.stores.base import Cursor

_UUID6 = 6
#: https://www.rfc-editor.org/rfc/rfc9562#section-5.6: steps of 100 ns since this day, the high 48 bits first.
_UUID6_BEGIN = datetime(1582, 10, 15, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class GraphThread:
    """One thread. `updated` is None where the newest checkpoint id holds no time."""

    thread: str
    checkpoints: int
    lanes: int
    newest: str
    updated: datetime | None


def moment_of(checkpoint: str) -> datetime | None:
    """When a checkpoint was made, by its id; None if the id says nothing of it."""
    try:
        found = UUID(checkpoint)
    except ValueError:
        return None
    if found.version != _UUID6:
        return None
    number = found.int
    ticks = (number >> 80) << 12 | (number >> 64) & 0xFFF
    return _UUID6_BEGIN + timedelta(microseconds=ticks // 10)


def all_threads(cursor: Cursor, namespace: str) -> list[GraphThread]:
    """Every thread that has a checkpoint, by name."""
    rows = cursor.execute(
        "SELECT t.thread, count(*), count(DISTINCT c.lane),"
        " (SELECT n.checkpoint FROM graph_checkpoint AS n WHERE n.namespace = t.namespace AND n.thread = t.id"
        " ORDER BY n.checkpoint DESC LIMIT 1)"
        " FROM graph_thread AS t JOIN graph_checkpoint AS c ON c.namespace = t.namespace AND c.thread = t.id"
        " WHERE t.namespace = ? GROUP BY t.namespace, t.thread, t.id ORDER BY t.thread",
        (namespace,),
    ).fetchall()
    return [
        GraphThread(thread, checkpoints, lanes, bytes(newest).decode(), moment_of(bytes(newest).decode()))
        for thread, checkpoints, lanes, newest in rows
    ]
