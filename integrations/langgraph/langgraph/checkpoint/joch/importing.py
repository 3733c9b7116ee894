"""Taking threads over: from LangGraph's own SQLite and PostgreSQL checkpointers, or from another `JochSaver`.

Oldest first, the writes of a checkpoint before the checkpoint itself: a checkpoint that is there is there whole, so that an import
that was interrupted goes on where it stopped, and one that is repeated takes over only what is new. Opening a source by its URL
is the business of `sources.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.joch.sources import Entry, Source, entries_of

if TYPE_CHECKING:
    from langgraph.checkpoint.joch.saver import JochSaver

#: So many checkpoints are read, then written in one transaction: a live agent on the same store waits for no more than that.
_BATCH = 32
_Progress = Callable[[int, int], None]


@dataclass(slots=True)
class ImportReport:
    """What was found in the source, what of it was new, and what does not agree afterwards (empty: nothing)."""

    threads: int = 0
    checkpoints: int = 0
    writes: int = 0
    imported: int = 0
    differences: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As `joch langgraph import -o json` shows it."""
        return {
            "threads": self.threads,
            "checkpoints": self.checkpoints,
            "writes": self.writes,
            "imported": self.imported,
            "alreadyThere": self.checkpoints - self.imported,
            "verified": not self.differences,
            "differences": list(self.differences),
        }


def import_threads(source: Source, target: JochSaver, *, progress: _Progress | None = None) -> ImportReport:
    """Take over every thread of a source.

    Args:
        source: An open `SqliteSaver`, `PostgresSaver` or `JochSaver`; it is only read.
        target: Where they go, under the same names. What is there already stays.
        progress: Told, after each batch, how many checkpoints of how many are done.

    Returns:
        The counts. `differences` names each thread whose checkpoints, writes or newest states do not agree afterwards.

    Raises:
        TypeNotAllowed: a state holds a type that the source's or the target's serialiser may not load.
        StoreError: either of them cannot be read or written. What was taken over stays; run it again to go on.
    """
    entries = entries_of(source, None)
    report, done = ImportReport(checkpoints=len(entries), writes=sum(len(one.writes) for one in entries)), 0
    for thread, found in groupby(sorted(entries, key=lambda one: one.thread), key=lambda one: one.thread):
        own = sorted(found, key=lambda one: one.checkpoint)
        report.threads += 1
        for count, fresh in _take(source, target, thread, own):
            done += count
            report.imported += fresh
            if progress is not None:
                progress(done, len(entries))
        report.differences += _differences(source, target, thread, own)
    return report


def copy_thread(source: Source, target: JochSaver, old: str, new: str) -> None:
    """Take one thread over under a new name."""
    if old != new:
        for _ in _take(source, target, new, sorted(entries_of(source, old), key=lambda one: one.checkpoint)):
            pass


def _take(source: Source, target: JochSaver, thread: str, entries: Sequence[Entry]) -> Iterator[tuple[int, int]]:
    """Take entries over as `thread`; how many were looked at and how many of them were new, batch by batch."""
    there = {(one.lane, one.checkpoint): len(one.writes) for one in entries_of(target, thread)}
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for at in range(0, len(entries), _BATCH):
        batch = entries[at : at + _BATCH]
        wanted = [one for one in batch if there.get((one.lane, one.checkpoint), -1) < len(one.writes)]
        tuples = [(one, source.get_tuple(one.config)) for one in wanted]
        with _together(target):
            for one, found in tuples:
                if found is not None:
                    _put(target, thread, one, found, known, new=(one.lane, one.checkpoint) not in there)
        yield len(batch), sum((one.lane, one.checkpoint) not in there for one in wanted)


def _together(target: JochSaver) -> AbstractContextManager[object]:
    """One transaction around a batch, where the engine takes the inner ones for parts of it."""
    database = target.joch_store.database
    return database.writing() if database.engine == "sqlite" else nullcontext()


def _put(
    target: JochSaver,
    thread: str,
    entry: Entry,
    found: CheckpointTuple,
    known: dict[tuple[str, str], dict[str, Any]],
    *,
    new: bool,
) -> None:
    place = {"thread_id": thread, "checkpoint_ns": entry.lane}
    values = [value for _, _, value in found.pending_writes or ()]
    rows = zip(entry.writes, values, strict=True)
    for (task, path), group in groupby(rows, key=lambda row: (row[0].task, row[0].path)):
        writes = [(write.position, write.channel, value) for write, value in group]
        target.keep_writes({"configurable": {**place, "checkpoint_id": entry.checkpoint}}, writes, task, path)
    if not new:
        return
    parent = None if found.parent_config is None else found.parent_config["configurable"]["checkpoint_id"]
    versions = dict(found.checkpoint["channel_versions"])
    before = known.get((entry.lane, parent), {}) if parent is not None else {}
    fresh = {channel: version for channel, version in versions.items() if before.get(channel) != version}
    above = place if parent is None else {**place, "checkpoint_id": parent}
    target.put({"configurable": above}, found.checkpoint, found.metadata, fresh)
    known[entry.lane, entry.checkpoint] = versions


def _differences(source: Source, target: JochSaver, thread: str, entries: Sequence[Entry]) -> Iterator[str]:
    """What does not agree between a thread and the one it was taken from."""
    there = {(one.lane, one.checkpoint): len(one.writes) for one in entries_of(target, thread)}
    missing = sum((one.lane, one.checkpoint) not in there for one in entries)
    fewer = sum(there.get((one.lane, one.checkpoint), 0) < len(one.writes) for one in entries) - missing
    if missing:
        yield f"{thread}: {missing} of {len(entries)} checkpoints are missing"
    if fewer > 0:
        yield f"{thread}: {fewer} checkpoints have fewer pending writes"
    for one in {one.lane: one for one in entries}.values():  # the newest of each lane
        old, new = source.get_tuple(one.config), target.get_tuple({"configurable": one.config["configurable"]})
        if old is not None and new is not None and not _equal(old, new, target):
            yield f"{thread}: the newest state of namespace {one.lane!r} differs"


def _equal(old: CheckpointTuple, new: CheckpointTuple, target: JochSaver) -> bool:
    ours, theirs = new.checkpoint["channel_values"], old.checkpoint["channel_values"]
    if ours.keys() != theirs.keys() or new.checkpoint["channel_versions"] != old.checkpoint["channel_versions"]:
        return False
    dump = target.serde.dumps_typed
    return all(dump(value) == dump(theirs[channel]) for channel, value in ours.items())
