"""One call of the model, ready to be made: where it goes, what is said, with which options, in which conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from joch_core import Json, Message
from langchain_joch.identity import Log, conversation_of, thread
from langchain_joch.messages import Call, to_joch
from langchain_joch.options import call_options
from langchain_joch.settings import Destination


@dataclass(frozen=True, slots=True)
class Request:
    """A call but for its conversation, which may have to be looked up in the store."""

    to: Destination
    messages: list[Message]
    options: Json
    thread_id: str | None
    namespace: str

    @property
    def needs_log(self) -> bool:
        """Must the store be asked whose messages these are?"""
        return self.thread_id is not None and bool(self.namespace)

    def placed(self, log: Log) -> Json:
        """The options with the conversation among them, if there is one."""
        if self.thread_id is None:
            return self.options
        return {**self.options, "conversation": conversation_of(self.thread_id, self.namespace, self.messages, log)}

    def call(self, options: Json) -> Call:
        """What is known beside the reply."""
        return Call(
            self.to.name, options.get("conversation"), frozenset(tool.name for tool in self.options.get("tools", ()))
        )

    @property
    def structured(self) -> bool:
        """Is the answer held to a schema?"""
        return "output_schema" in self.options or "output_mode" in self.options


def elsewhere(model: str, to: Destination) -> Destination:
    """Where one call goes that names another model: a bare name is looked up in the route, then in the catalog."""
    if ":" not in model:
        model = next((backend for backend in to.backends if backend.partition(":")[2] == model), model)
    return Destination(model, model, (model,) if ":" in model else ())


def request_of(
    messages: Sequence[BaseMessage],
    given: Mapping[str, Any],
    *,
    to: Destination,
    defaults: Mapping[str, Any],
    stop: Sequence[str] | None,
    metadata: Mapping[str, Any] | None,
) -> Request:
    """A call with these messages and keyword arguments.

    Raises:
        InvalidArgument: an option or a message that nobody could be sent.
    """
    if (other := given.get("model") or given.get("model_name")) is not None:
        to = elsewhere(str(other), to)
    options = call_options(given, stop=stop or None, provider=to.provider, defaults=defaults)
    thread_id, namespace = (None, "") if "conversation" in options else thread(metadata)
    return Request(to, to_joch(messages), options, thread_id, namespace)
