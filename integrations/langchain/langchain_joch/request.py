"""One call of the model, ready to be made: where it goes, what is said, with which options, in which conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from joch_core import InvalidArgument, Joch, Json, Message
from langchain_joch.identity import Log, Place, conversation_of, place
from langchain_joch.messages import Call, to_joch
from langchain_joch.options import call_options
from langchain_joch.settings import Destination


@dataclass(frozen=True, slots=True)
class Request:
    """A call but for its conversation, which may have to be looked up in the store."""

    to: Destination
    messages: list[Message]
    options: Json
    at: Place

    @property
    def needs_log(self) -> bool:
        """Must the store be asked whose messages these are?"""
        return "conversation" not in self.options and bool(self.at.node)

    @property
    def framework(self) -> str:
        """Who calls. A graph's node passes its whole history; a bare call may pass what is new only."""
        return "langgraph" if self.at.node else "langchain"

    def placed(self, log: Log) -> Json:
        """The options with the conversation among them, if there is one."""
        if "conversation" in self.options or self.at.thread_id is None:
            return self.options
        return {**self.options, "conversation": conversation_of(self.at, self.messages, log)}

    def call(self, options: Json) -> Call:
        """What is known beside the reply."""
        return Call(
            self.to.name, options.get("conversation"), frozenset(tool.name for tool in self.options.get("tools", ()))
        )

    @property
    def structured(self) -> bool:
        """Is the answer held to a schema?"""
        return "output_schema" in self.options or "output_mode" in self.options


def elsewhere(model: str, to: Destination, joch: Joch) -> Destination:
    """Where one call goes that names another model: `provider:name`, or a bare name.

    A bare name (Joch's or the provider's own) is looked up in the route, then in the catalog; what is in neither is taken
    as a model of the provider that is named first.

    Raises:
        InvalidArgument: nobody knows the name, and no provider is named.
    """
    if ":" in model:
        return Destination(model, model, (model,))
    models = [joch.catalog.model(backend) for backend in joch.route(to.route).candidates]
    known = (one.backend for one in (*models, *joch.catalog.models()) if model in (one.name, one.spec.model))
    backend = next(known, None) or (f"{to.provider}:{model}" if to.provider is not None else None)
    if backend is None:
        raise InvalidArgument(f"model={model!r} is neither in the route nor in the catalog: write it as provider:name")
    return Destination(backend, backend, (backend,))


def request_of(
    messages: Sequence[BaseMessage],
    given: Mapping[str, Any],
    *,
    to: Destination,
    joch: Joch,
    defaults: Mapping[str, Any],
    stop: Sequence[str] | None,
    metadata: Mapping[str, Any] | None,
) -> Request:
    """A call with these messages and keyword arguments.

    Raises:
        InvalidArgument: an option or a message that nobody could be sent.
    """
    if (other := given.get("model") or given.get("model_name")) is not None:
        to = elsewhere(str(other), to, joch)
    options = call_options(given, stop=stop or None, provider=to.provider, defaults=defaults)
    return Request(to, to_joch(messages), options, place(metadata))
