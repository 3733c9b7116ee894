"""What LangGraph's delta channels are built from: the writes along a chain of checkpoints, back to one that holds a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.checkpoint.base import DeltaChannelHistory, PendingWrite
from langgraph.checkpoint.joch.codec import Codec

from joch_core import StoredCheckpoint, Threads


def delta_history(
    threads: Threads, codec: Codec, target: StoredCheckpoint | None, channels: Sequence[str]
) -> Mapping[str, DeltaChannelHistory]:
    """Per channel the writes of all ancestors of `target`, oldest first, and the value they begin with (`seed`), if there is one."""
    writes: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
    seeds: dict[str, Any] = {}
    parent = None if target is None else target.snapshot.parent
    while target is not None and parent is not None and len(seeds) < len(writes):
        open_channels = writes.keys() - seeds.keys()
        found = threads.get(target.thread, target.snapshot.lane, parent, channels=open_channels)
        if found is None:
            break
        for write in reversed(found.writes):
            value = codec.load_write(found.thread, found.snapshot, write, found.items)
            writes[write.channel].append((write.task, write.channel, value))
        seeds |= dict.fromkeys(open_channels & set(found.snapshot.nulls))
        for channel, content in found.contents.items():
            seeds[channel] = codec.load_channel(found.thread, found.snapshot, channel, content, found.items, note=False)
        parent = found.snapshot.parent
    history: dict[str, DeltaChannelHistory] = {}
    for channel, collected in writes.items():
        history[channel] = {"writes": collected[::-1]}
        if channel in seeds:
            history[channel]["seed"] = seeds[channel]
    return history
