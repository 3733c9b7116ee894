"""One conversation: its log, what it adds up to, and the records that people and agents put into it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from joch_core.errors import InvalidArgument, NotFound
from joch_core.messages import Json, Message
from joch_core.messages.codec import CANONICAL_FORMAT
from joch_core.migration.history import History
from joch_core.resources.commits import Commit
from joch_core.resources.events import Draft, Event, conversation_log
from joch_core.stores.base import Query

if TYPE_CHECKING:
    from joch_core.app.joch import Joch


class Conversation:
    """A conversation of one `Joch`. Cheap to make; its log is read when it is first needed, and then only what is new."""

    def __init__(self, joch: Joch, name: str) -> None:
        self.name = name
        self.log = conversation_log(name)
        self._joch = joch
        self._lock = threading.Lock()
        self._history = History(name)

    def history(self) -> History:
        """What the log adds up to now. A value of its own: later events do not change it."""
        store, namespace = self._joch.store, self._joch.namespace
        with self._lock:
            head = store.head(namespace, self.log)
            if head.sequence > self._history.head_sequence:
                for event in store.events(namespace, Query(log=self.log, after=self._history.head_sequence)):
                    self._history.apply(event)
            # The fence as it stood before the events were read: whoever moved it meanwhile makes this call lose, not win.
            self._history.turn = head.turn
            return self._history.snapshot()

    @property
    def exists(self) -> bool:
        """Has anything been recorded?"""
        return self._joch.store.head(self._joch.namespace, self.log).sequence > 0

    @property
    def backend(self) -> str | None:
        """The backend that the conversation is on; None before its first call."""
        return self.history().backend

    def messages(self) -> tuple[Message, ...]:
        """The whole conversation, across switches; the operator's prompt first."""
        history = self.history()
        messages = tuple(entry.message for entry in history.entries)
        return messages if history.operator_prompt is None else (history.operator_prompt, *messages)

    def events(self) -> list[Event]:
        """Every event of the log, oldest first."""
        return list(self._joch.store.events(self._joch.namespace, Query(log=self.log)))

    def goal(self, text: str) -> None:
        """Set what the user wants in the end; the newest one holds."""
        self._record("GoalSet", text=_text(text))

    def task(self, text: str) -> None:
        """Set what is being done now; the newest one holds."""
        self._record("TaskSet", text=_text(text))

    def decide(self, text: str, *, supersedes: str | None = None) -> None:
        """Record a decision; `supersedes` is the text of one that it replaces."""
        payload: Json = {"text": _text(text)}
        if supersedes is not None:
            payload["supersedes"] = supersedes
        self._record("DecisionRecorded", **payload)

    def pin(self, text: str) -> None:
        """Pin a constraint: it reaches every later provider word for word, as the operator's."""
        self._record("Pinned", text=_text(text))

    def ask(self, text: str) -> str:
        """Record an open question; the id that comes back closes it."""
        number = 1 + sum(event.type == "QuestionAsked" for event in self.events())
        question = f"q{number}"
        self._record("QuestionAsked", id=question, text=_text(text))
        return question

    def answer(self, question: str, text: str = "") -> None:
        """Close an open question, by its id or its text.

        Raises:
            NotFound: no question is open under this id or text.
        """
        asked = {event.payload["id"]: event.payload["text"] for event in self.events() if event.type == "QuestionAsked"}
        found = question if question in asked else next((id_ for id_, words in asked.items() if words == question), None)
        if found is None:
            raise NotFound(f"conversation {self.name!r} has no question {question!r}")
        self._record("QuestionAnswered", id=found, text=text)

    def link_artifact(self, ref: str, *, media_type: str | None = None) -> None:
        """Name an artifact that the work is about: `artifact://…`."""
        payload: Json = {"ref": _ref(ref, "artifact://")}
        if media_type is not None:
            payload["mediaType"] = media_type
        self._record("ArtifactCreated", **payload)

    def link_memory(self, ref: str, *, text: str | None = None) -> None:
        """Name a memory that belongs to the work: `mem://…`; its text travels along where there is room."""
        payload: Json = {"ref": _ref(ref, "mem://")}
        if text is not None:
            payload["text"] = text
        self._record("MemoryWritten", **payload)

    def export(self) -> Json:
        """The whole log as portable JSON (`joch.dev/conversation.v1`); its running hash shows any edit."""
        events = self.events()
        if not events:
            raise NotFound(f"conversation {self.name!r} has no events")
        return {
            "format": CANONICAL_FORMAT,
            "conversation": self.name,
            "head": {"sequence": events[-1].sequence, "hash": events[-1].hash},
            "events": [event.as_json() for event in events],
        }

    def _record(self, type_: str, **payload: Any) -> None:
        draft = Draft(type_, {**payload, "by": "operator"})
        self._joch.store.commit(self._joch.namespace, Commit(self.log, (draft,)), datetime.now(UTC))


def _text(text: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise InvalidArgument("the text is empty; say what it is")
    return text


def _ref(ref: str, scheme: str) -> str:
    if not isinstance(ref, str) or not ref.startswith(scheme) or len(ref) == len(scheme):
        raise InvalidArgument(f"{ref!r} is no reference; it must begin with {scheme}")
    return ref
