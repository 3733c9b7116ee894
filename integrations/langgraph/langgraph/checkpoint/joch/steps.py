"""The steps of a graph's thread, as a timeline needs them: when, which, by which nodes. Reads no channel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from joch_core import StoredCheckpoint

if TYPE_CHECKING:
    from langgraph.checkpoint.joch.saver import JochSaver

_PAGE = 256
_PULL = "~__pregel_pull, "


@dataclass(frozen=True, slots=True)
class GraphStep:
    """One checkpoint, as the end of the step that made it.

    `step` counts from -1 (the input); `source` is `input`, `loop`, `update` or `fork`; `nodes` ran in the step, in the order of
    their names, but for tasks that were sent to a node (`Send`), which are counted in `sent`.
    """

    at: datetime
    namespace: str
    checkpoint: str
    parent: str | None
    step: int | None
    source: str
    nodes: tuple[str, ...]
    sent: int

    def as_json(self) -> dict[str, Any]:
        """The payload of a line of `joch trace -o json`."""
        return {
            "namespace": self.namespace,
            "step": self.step,
            "source": self.source,
            "nodes": list(self.nodes),
            "sent": self.sent,
            "checkpoint": self.checkpoint,
            "parent": self.parent,
        }


def graph_steps(saver: JochSaver, thread: str, *, after: str | None = None) -> list[GraphStep]:
    """The steps of a thread, oldest first; only those whose checkpoint is above `after`, if it is given.

    Raises:
        StoreError: the thread is encrypted and the saver has not its key.
    """
    threads = saver.graph_threads
    rows: list[StoredCheckpoint] = []
    last: StoredCheckpoint | None = None
    while page := threads.page(thread=thread, after=last, limit=_PAGE):
        rows += [row for row in page if after is None or row.snapshot.checkpoint > after]
        last = page[-1]
        if after is not None and last.snapshot.checkpoint <= after:
            break
    if not rows:
        return []
    written = threads.written(thread)
    steps = []
    for row in reversed(rows):
        snapshot = row.snapshot
        about = saver.codec.metadata(thread, snapshot)
        paths = [task.path for task in written.get((snapshot.lane, snapshot.parent or ""), ())]
        looped = about.get("source") == "loop"
        nodes = sorted({path.removeprefix(_PULL) for path in paths if path.startswith(_PULL)} - {"__start__"})
        steps.append(
            GraphStep(
                datetime.fromisoformat(saver.codec.body(thread, snapshot)["ts"]),
                snapshot.lane,
                snapshot.checkpoint,
                snapshot.parent,
                about.get("step"),
                str(about.get("source", "")),
                tuple(nodes) if looped else (),
                sum(not path.startswith(_PULL) for path in paths) if looped else 0,
            )
        )
    return sorted(steps, key=lambda step: step.at)
