"""Which checkpoints of a thread must stay so that its newest state stays whole. Deletes nothing itself."""

from __future__ import annotations

from langgraph.checkpoint.joch.codec import Codec

from joch_core import StoredCheckpoint, Threads

_PAGE = 256


def needed(threads: Threads, codec: Codec, thread: str) -> dict[str, set[str]]:
    """The checkpoints that `keep_latest` keeps, lane by lane.

    The newest of each lane, and what its delta channels are built from. A lane whose name holds a colon belongs to one call
    of a subgraph; it stays as long as the checkpoint of the root graph stays from which it was called.
    """
    newest: dict[str, StoredCheckpoint] = {}
    after: StoredCheckpoint | None = None
    while rows := threads.page(thread=thread, after=after, limit=_PAGE):
        for row in rows:
            newest.setdefault(row.snapshot.lane, row)
        after = rows[-1]
    root = _chain(threads, codec, newest[""]) if "" in newest else set()
    kept: dict[str, set[str]] = {}
    for lane, row in newest.items():
        caller = codec.metadata(thread, row.snapshot).get("parents", {}).get("")
        if lane == "":
            kept[lane] = root
        elif ":" not in lane or caller is None or caller in root:
            kept[lane] = _chain(threads, codec, row)
    return kept


def _chain(threads: Threads, codec: Codec, newest: StoredCheckpoint) -> set[str]:
    """A checkpoint and those of its ancestors without which its delta channels would be empty."""
    lane = newest.snapshot.lane
    kept = {newest.snapshot.checkpoint}
    waiting = set(codec.metadata(newest.thread, newest.snapshot).get("counters_since_delta_snapshot") or ())
    row: StoredCheckpoint | None = newest
    while row is not None:
        found = threads.get(newest.thread, lane, row.snapshot.checkpoint, channels=waiting)
        waiting -= set() if found is None else {*found.contents, *found.snapshot.nulls}
        if not waiting or row.snapshot.parent is None:
            break
        row = threads.get(newest.thread, lane, row.snapshot.parent, channels=())
        if row is not None:
            kept.add(row.snapshot.checkpoint)
    return kept
