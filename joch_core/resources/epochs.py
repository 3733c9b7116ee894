"""When the same tool call is a re-issue and when it is meant: a fold of a conversation's log. Pure.

Each message of the user opens an epoch. A stretch ends at a boundary: a switch of the provider, a rewritten history, or a
resume in another process. Within one assistant turn the same call made twice has positions 0 and 1.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from joch_core.messages import Json
from joch_core.resources.events import Event

_RECENT_CALLS = 32
_ALIKE = 0.8
_COMPARED_CHARACTERS = 400

#: The events that matter here.
EVENT_TYPES = ("MessageAdded", "ProviderSwitched", "HistoryRewritten", "ToolCallRequested", "ToolCallCompleted")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call stands. `turn` counts assistant messages with calls; None: the log does not know the call."""

    epoch: int
    turn: int | None
    position: int


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One call as it reached the ledger."""

    key: str
    call_id: str
    place: Place
    stretch: tuple[int, str]


@dataclass(frozen=True, slots=True)
class _Turn:
    epoch: int
    number: int
    calls: tuple[tuple[str, str, Json], ...]


@dataclass(frozen=True, slots=True)
class _Recent:
    """What a call was about, for the comparison with a later one."""

    tool: str
    args: Json
    key: str
    subject: str
    epoch: int
    stretch: tuple[int, str]


@dataclass(slots=True)
class Epochs:
    """What the log of one conversation says about its tool calls, up to `sequence`."""

    sequence: int = 0
    epoch: int = 0
    boundaries: int = 0
    _turns: int = 0
    _made_by: dict[str, _Turn] = field(default_factory=dict)
    _done: dict[str, list[Occurrence]] = field(default_factory=dict)
    _subjects: dict[str, str] = field(default_factory=dict)
    _open: dict[str, dict[str, None]] = field(default_factory=dict)
    _recent: deque[_Recent] = field(default_factory=lambda: deque(maxlen=_RECENT_CALLS))

    def apply(self, event: Event) -> None:
        """Take in the next event."""
        self.sequence = event.sequence
        payload = event.payload
        match event.type:
            case "MessageAdded":
                self._message(payload["message"])
            case "ProviderSwitched" | "HistoryRewritten":
                self.boundaries += 1
            case "ToolCallRequested" if "subject" in payload:
                subject, key = payload["subject"], payload["key"]
                self._subjects[key] = subject
                self._open.setdefault(subject, {})[key] = None
                self._occurred(subject, payload)
                made = self._done[subject][-1]
                args = payload.get("args") or {}
                self._recent.append(_Recent(payload["tool"], args, key, subject, made.place.epoch, made.stretch))
            case "ToolCallCompleted" if payload.get("key") in self._subjects:
                subject = self._subjects[payload["key"]]
                if payload.get("deduplicated"):
                    self._occurred(subject, payload)
                elif payload["phase"] != "Unknown":
                    self._open.get(subject, {}).pop(payload["key"], None)

    def _message(self, message: Json) -> None:
        if message["role"] == "user":
            self.epoch += 1
        elif message["role"] == "assistant":
            calls = [(part["id"], part["name"], part["args"]) for part in message["parts"] if part["type"] == "tool_call"]
            if calls:
                self._turns += 1
                turn = _Turn(self.epoch, self._turns, tuple(calls))
                self._made_by.update((call_id, turn) for call_id, _, _ in calls)

    def _occurred(self, subject: str, payload: Json) -> None:
        call_id = payload.get("callId") or ""
        turn = self._made_by.get(call_id)
        place = Place(payload.get("epoch", self.epoch), None if turn is None else turn.number, payload.get("position", 0))
        stretch = (self.boundaries, payload.get("process", ""))
        self._done.setdefault(subject, []).append(Occurrence(payload["key"], call_id, place, stretch))

    def place(self, call_id: str, normal: Callable[[Json], str]) -> Place:
        """Where a call stands; `normal` makes its arguments comparable. An unknown call is the first of the current epoch."""
        turn = self._made_by.get(call_id)
        if turn is None:
            return Place(self.epoch, None, 0)
        name, args = next((name, args) for other, name, args in turn.calls if other == call_id)
        mine, position = normal(args), 0
        for other, other_name, other_args in turn.calls:
            if other == call_id:
                break
            position += other_name == name and normal(other_args) == mine
        return Place(turn.epoch, turn.number, position)

    def earlier(self, subject: str, place: Place, call_id: str, process: str) -> str | None:
        """The key of a call beyond a boundary that this one repeats; None if it is a call of its own.

        The first turn after a boundary gets what the last turn before it has done, position by position. Whoever asks
        again after that polls on purpose.
        """
        same = [one for one in self._done.get(subject, ()) if one.place.epoch == place.epoch]
        if call_id and (own := next((one for one in reversed(same) if one.call_id == call_id), None)):
            return own.key
        stretch = (self.boundaries, process)
        if any(place.turn is None or one.place.turn != place.turn for one in same if one.stretch == stretch):
            return None
        before = [one for one in same if one.stretch != stretch]
        if not before:
            return None
        last = before[-1].place.turn
        batch = before[-1:] if last is None else [one for one in before if one.place.turn == last]
        return next((one.key for one in batch if one.place.position == place.position), None)

    def near(self, tool: str, subject: str, args: Json, place: Place, process: str) -> str | None:
        """The key of a call beyond a boundary, in the same epoch, that this one resembles without being the same."""
        for one in reversed(tuple(self._recent)):  # another thread may take in an event meanwhile
            beyond = one.tool == tool and one.epoch == place.epoch and one.stretch != (self.boundaries, process)
            if beyond and one.subject != subject and alike(one.args, args):
                return one.key
        return None

    def unfinished(self, subject: str) -> Iterator[str]:
        """The keys of calls of this subject whose end the log does not know, oldest first."""
        return iter(tuple(self._open.get(subject, ())))


def alike(one: Json, other: Json) -> bool:
    """Do two calls seem to mean the same? The same fields; texts that are nearly equal; numbers and all else are equal."""
    return one.keys() == other.keys() and all(_alike(value, other[name]) for name, value in one.items())


def _alike(one: object, other: object) -> bool:
    if not (isinstance(one, str) and isinstance(other, str)):
        return one == other
    first, second = (re.sub(r"\W+", " ", text[:_COMPARED_CHARACTERS]).casefold().strip() for text in (one, other))
    if first == second:
        return True
    if re.findall(r"\d+", first) != re.findall(r"\d+", second):  # another order, another date, another sum
        return False
    return SequenceMatcher(None, first, second, autojunk=False).ratio() >= _ALIKE
