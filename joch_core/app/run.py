"""An execution: the calls that belong together. `with joch.execution(conversation=…) as run:`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Self

from joch_core.app.explain import execution_status
from joch_core.resources.commits import Commit
from joch_core.resources.events import Draft, conversation_log, execution_log
from joch_core.stores.base import Query

if TYPE_CHECKING:
    from joch_core.app.joch import Joch


@dataclass(slots=True)
class Run:
    """One execution. It begins when it is entered (or first asked for its name) and ends when it is left."""

    joch: Joch
    conversation: str | None = None
    agent: str | None = None
    _name: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """`exec-YYYYMMDD-NNN`."""
        if self._name is None:
            self.begin()
        assert self._name is not None  # begin has set it
        return self._name

    @property
    def cost_usd(self) -> Decimal:
        """What the calls of this execution have cost so far, in US dollars."""
        events = self.joch.store.events(self.joch.namespace, Query(execution=self.name, types=("ModelCallCompleted",)))
        return sum((Decimal(event.payload.get("costUsd") or 0) for event in events), Decimal(0))

    def begin(self) -> None:
        """Take a name and record the beginning."""
        now = datetime.now(UTC)
        payload = {} if self.conversation is None else {"conversation": self.conversation}
        drafts = (Draft("ExecutionCreated", payload, agent=self.agent), Draft("ExecutionStarted", agent=self.agent))
        log = "execution/" if self.conversation is None else conversation_log(self.conversation)
        commit = Commit(log, drafts, open_execution=now.strftime("%Y%m%d"))
        self._name = self.joch.store.commit(self.joch.namespace, commit, now).execution

    def end(self, error: BaseException | None = None) -> None:
        """Record the end."""
        query = Query(execution=self.name)
        status = execution_status(self.name, self.joch.store.events(self.joch.namespace, query))["status"]
        payload = {name: status[name] for name in ("costUsd", "modelCalls", "toolCalls")}
        if error is not None:
            payload["error"] = getattr(error, "kind", None) or type(error).__name__
        log = execution_log(self.name) if self.conversation is None else conversation_log(self.conversation)
        draft = Draft("ExecutionSucceeded" if error is None else "ExecutionFailed", payload, execution=self.name)
        self.joch.store.commit(self.joch.namespace, Commit(log, (draft,)), datetime.now(UTC))

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end(error)
