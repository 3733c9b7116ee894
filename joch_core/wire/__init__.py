"""Wire formats: canonical messages ⇄ a provider's JSON. Pure: no SDK, no I/O, no clock.

Each module of this package is one `Wire`. No wire knows another. `render` gets a request that `projection.project` has
already made acceptable for the target, and only spells it; `read_request` and the parsers keep what they do not know.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from joch_core.capabilities import Api, Target
from joch_core.errors import FaultKind
from joch_core.messages import Delta, Json, ModelRequest, Reply


class Reader(Protocol):
    """Reads one streamed answer, event by event."""

    def feed(self, event: str | None, data: str) -> list[Delta]:
        """Take one server-sent event (its `event:` name, if any, and its data) and give what became ready.

        Raises:
            ProviderError: the event is an error event, or not what the format allows.
        """

    def reply(self) -> Reply:
        """The whole answer.

        Raises:
            ProviderError: kind `stream_incomplete`, if the provider's terminal marker never came.
        """

    def partial(self) -> Reply:
        """What has arrived so far, whether or not it is complete; cut tool calls are left out."""


class Wire(Protocol):
    """One wire format. A module satisfies it."""

    API: Api

    def path(self, target: Target, *, stream: bool) -> str:
        """The path that is POSTed, relative to the provider's base URL, with a leading slash."""

    def render(self, request: ModelRequest, target: Target, *, stream: bool) -> Json:
        """The request body. `request` is already projected for `target`."""

    def parse(self, body: Json, target: Target, seed: str) -> Reply:
        """A whole answer. `seed` makes the ids of its tool calls (`call_id(seed, index)`).

        Raises:
            ProviderError: the body is an error, or no answer of this format.
        """

    def reader(self, target: Target, seed: str) -> Reader:
        """A reader for one streamed answer."""

    def read_request(self, body: Json, origin: str) -> ModelRequest:
        """A provider's own request body; `origin` issued the opaque tokens in it.

        Raises:
            InvalidArgument: the body is no request of this format; names the place.
        """

    def read_error(self, status: int, body: object) -> tuple[FaultKind, str | None, str]:
        """What an error body means: kind, vendor code, message. `body` is parsed JSON, or text where it is none."""


_MODULES: dict[str, str] = {
    "openai-chat": "openai_chat",
    "openai-responses": "openai_responses",
    "anthropic-messages": "anthropic_messages",
    "gemini-generate": "google_generate",
}


def wire(api: str) -> Wire:
    """The wire format of this name; `generic-openai` is OpenAI Chat Completions."""
    name = _MODULES["openai-chat" if api == "generic-openai" else api]
    return cast("Wire", import_module(f"joch_core.wire.{name}"))
