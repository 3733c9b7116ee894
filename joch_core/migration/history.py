"""A conversation as the fold of its events: what was said, decided and done, where it is, and since when. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field

from joch_core.messages import Json, Message, message_from_json
from joch_core.resources.events import GENESIS, Event, canonical_json

#: What ends a call of a model.
_ENDS = frozenset({"ModelCallCompleted", "ModelCallFailed", "StreamInterrupted", "ExecutionSucceeded", "ExecutionFailed"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the log. `backend` wrote it (assistant), `turn` counts the user's turns up to it, from 1."""

    sequence: int
    message: Message
    backend: str | None = None
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Switch:
    """The newest switch."""

    sequence: int
    source: str | None
    to: str
    reason: str
    checkpoint: str | None
    execution: str | None
    #: The route's own candidates when it was made: an operator's choice holds until they are others.
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """A call of a tool with its state, newest wins. `phase` is Running, Succeeded, Failed or Unknown."""

    sequence: int
    key: str
    call_id: str
    tool: str
    effect: str
    args: Json
    phase: str
    turn: int
    output: object = None


@dataclass(slots=True)
class History:
    """What the events add up to so far. `apply` takes the next event; `snapshot` is a value that stays as it is."""

    name: str
    head_sequence: int = 0
    head_hash: str = GENESIS
    turn: int = 0
    entries: list[Entry] = field(default_factory=list)
    operator_prompt: Message | None = None
    backend: str | None = None
    execution: str | None = None
    route: str | None = None
    candidates: tuple[str, ...] = ()
    #: What the newest execution has come to: micro-USD, requests to models, calls of tools.
    execution_cost: int = 0
    execution_requests: int = 0
    execution_tools: int = 0
    #: The newest `ToolsOffered`: the tools and the output schema.
    offer: Json | None = None
    #: Calls of models whose end is not in the log: span -> (owner, lease end in seconds since the epoch).
    running: dict[str, tuple[str, float]] = field(default_factory=dict)
    switch: Switch | None = None
    checkpoint: str | None = None
    #: The spec of the checkpoint that the current stretch renders from, and the sequence of its last event.
    checkpoint_spec: Json | None = None
    goal: str | None = None
    task: str | None = None
    decisions: list[str] = field(default_factory=list)
    pinned: list[str] = field(default_factory=list)
    questions: dict[str, str] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    memories: dict[str, str | None] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    _turns: int = 0
    _specs: dict[str, Json] = field(default_factory=dict)
    _texts: dict[str, tuple[tuple[int, str], ...]] = field(default_factory=dict)

    def snapshot(self) -> History:
        """A copy that later events do not change."""
        twin = copy(self)
        for name in (
            "entries",
            "decisions",
            "pinned",
            "questions",
            "artifacts",
            "memories",
            "actions",
            "running",
            "_specs",
            "_texts",
        ):
            setattr(twin, name, copy(getattr(self, name)))
        return twin

    def apply(self, event: Event) -> None:
        """Take the next event of the log."""
        self.head_sequence, self.head_hash = event.sequence, event.hash
        self.execution = event.execution or self.execution
        payload = event.payload
        if event.type == "ModelCallStarted":
            self.running[event.span_id or ""] = (payload.get("owner") or "", payload.get("leaseUntil") or 0)
        elif event.type in _ENDS:
            self.running.pop(event.span_id or "", None)
        match event.type:
            case "MessageAdded":
                self._add(event)
            case "HistoryRewritten":
                self.entries = self.entries[: payload["keep"]]
            case "ToolsOffered":
                self.offer = payload
            case "ExecutionCreated":
                self.execution_cost = self.execution_requests = self.execution_tools = 0
            case "ModelCallFailed":
                self.execution_requests += 1
            case "ModelCallCompleted":
                self.backend = payload["backend"]
                self.execution_requests += 1
                self.execution_cost += round(float(payload.get("costUsd") or 0) * 1_000_000)
            case "RouteDecided":
                self.route = payload.get("route") or self.route
                pinned = payload.get("pinned")
                rows = payload.get("candidates", ())
                self.candidates = tuple(row["backend"] for row in rows if row["backend"] != pinned)
            case "CheckpointCreated":
                self._specs[payload["name"]] = payload["spec"]
            case "ProviderSwitched":
                self._switched(event)
            case "ToolCallRequested" | "ToolCallCompleted":
                self._acted(event)
            case _:
                self._recorded(event.type, payload)

    def result_of(self, call_id: str) -> str | None:
        """The ledger's result of a call, as text, where the call has succeeded."""
        found = next((action for action in self.actions.values() if action.call_id == call_id), None)
        if found is None or found.phase != "Succeeded":
            return None
        return found.output if isinstance(found.output, str) else canonical_json(found.output)

    def _add(self, event: Event) -> None:
        message = message_from_json(event.payload["message"])
        if message.role == "system":
            self.operator_prompt = message
            return
        self._turns += message.role == "user"
        self.entries.append(Entry(event.sequence, message, event.payload.get("backend"), self._turns))

    def _switched(self, event: Event) -> None:
        payload = event.payload
        checkpoint = payload.get("checkpointRef")
        self.switch = Switch(
            event.sequence,
            payload.get("fromProvider"),
            payload["toProvider"],
            payload["reason"],
            checkpoint,
            event.execution,
            self.candidates,
        )
        self.backend = payload["toProvider"]
        if checkpoint is not None:
            self.checkpoint, self.checkpoint_spec = checkpoint, self._specs.get(checkpoint)

    def _acted(self, event: Event) -> None:
        payload = event.payload
        known = self.actions.get(payload["key"])
        if event.type == "ToolCallRequested":
            self.execution_tools += 1
            args = payload.get("args") or {}
            self.actions[payload["key"]] = Action(
                event.sequence, payload["key"], payload.get("callId") or "", payload["tool"],
                payload.get("effect") or "external_write", args, "Running", self._turns,
            )  # fmt: skip
        elif not payload.get("deduplicated"):
            self.actions[payload["key"]] = Action(
                known.sequence if known else event.sequence, payload["key"], payload.get("callId") or "", payload["tool"],
                payload.get("effect") or (known.effect if known else "external_write"),
                known.args if known else {}, payload["phase"], known.turn if known else self._turns,
                payload.get("output"),
            )  # fmt: skip

    def memories_until(self, sequence: int) -> dict[str, str | None]:
        """The texts of the memories as they stood at this event: what was rendered once stays as it was."""
        return {
            ref: next((text for at, text in reversed(self._texts.get(ref, ())) if at <= sequence), None)
            for ref in self.memories
        }

    def _remembered(self, ref: str, text: str | None) -> None:
        known = self.memories.get(ref)
        if text and text != known:
            self._texts[ref] = (*self._texts.get(ref, ()), (self.head_sequence, text))
        self.memories[ref] = text or known

    def _recorded(self, type_: str, payload: Json) -> None:
        match type_:
            case "GoalSet":
                self.goal = payload["text"]
            case "TaskSet":
                self.task = None if payload.get("done") else payload["text"]
            case "DecisionRecorded":
                gone = {same(payload["text"]), same(payload.get("supersedes") or "")}
                self.decisions = [text for text in self.decisions if same(text) not in gone]
                self.decisions.append(payload["text"])
            case "Pinned":
                # A pinned text becomes the operator's: what a model wrote never does.
                if payload.get("by") != "model" and payload["text"] not in self.pinned:
                    self.pinned.append(payload["text"])
            case "QuestionAsked":
                self.questions[payload["id"]] = payload["text"]
            case "QuestionAnswered":
                self.questions.pop(payload["id"], None)
            case "ArtifactCreated":
                if payload["ref"] not in self.artifacts:
                    self.artifacts.append(payload["ref"])
            case "MemoryWritten" | "MemoryRead":
                self._remembered(payload["ref"], payload.get("text"))


def same(text: str) -> str:
    """What makes two records the same: case, spaces and Unicode form do not count."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


@dataclass(frozen=True, slots=True)
class Match:
    """How passed messages relate to a log: the first `keep` entries still stand, `new` comes after them."""

    keep: int
    new: tuple[Message, ...]
    rewrites: bool = False


def match_messages(entries: Sequence[Entry], passed: Sequence[Message], *, whole: bool = False) -> Match:
    """Which of the passed messages (without system messages) are new.

    A caller may pass only what is new, or the whole history again (as LangChain does), or one that it has rewritten.
    Messages are the same by id, or by role and content; how a provider spelled them does not count. `whole` says that the
    caller always passes everything: what does not continue the log is then another history, never an addition.
    """
    if not passed:
        return Match(len(entries), ())
    known = [_content(entry.message) for entry in entries]
    given = [_content(message) for message in passed]
    common = 0
    while common < len(known) and common < len(given) and known[common] == given[common]:
        common += 1
    if common == len(known):
        return Match(common, tuple(passed[common:]))
    overlap = _overlap(known, given)
    if overlap:
        return Match(len(known), tuple(passed[overlap:]))
    taken = None if whole else _newest_turn(entries, known, given, common)
    if taken is not None:
        return Match(len(known), tuple(passed[taken:]))
    if not whole and (common == 0 or not any(message.role == "assistant" for message in passed)):
        # Nothing of the log is passed again: these messages are to be appended.
        return Match(len(known), tuple(passed))
    return Match(common, tuple(passed[common:]), rewrites=True)


def _newest_turn(entries: Sequence[Entry], known: Sequence[object], given: Sequence[object], common: int) -> int | None:
    """How many of the passed messages stand in the log, whose newest turn was passed with a gap in it; None if not so.

    A run that is started again passes its user's message only, although the turn has gone on; one that keeps answers but
    no tool calls leaves out what lies between. A turn that has its answer is over: the same text again is a new turn.
    """
    start = max((place for place, entry in enumerate(entries) if entry.message.role == "user"), default=0)
    for first, matched in ((0, common), (start, 1 if given[0] == known[start] else 0)):
        if not matched or first + matched <= start:
            continue
        rest, missing = given[matched:], known[first + matched :]
        if n := _overlap(missing, rest):
            return matched + n
        last = entries[-1].message
        if not rest and (last.role == "tool" or last.tool_calls):
            return matched
    return None


def _overlap(known: Sequence[object], given: Sequence[object]) -> int:
    """The longest beginning of the passed messages that is also the end of the log."""
    for length in range(min(len(known), len(given)), 0, -1):
        if list(known[-length:]) == list(given[:length]):
            return length
    return 0


def _content(message: Message) -> tuple[object, ...]:
    """What a message says, without how it was spelled."""
    parts: list[object] = []
    text: list[str] = []
    for part in message.parts:
        match part.type:
            case "text":
                text.append(part.text)
            case "tool_call":
                parts.append(("call", part.id))
            case "tool_result":
                parts.append(("result", part.call_id, part.text))
            case "image" | "audio":
                parts.append((part.type, part.url, part.data))
            case "file":
                parts.append((part.type, part.url, part.data, part.file_id))
    return (message.role, "".join(text), *parts)
