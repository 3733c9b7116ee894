"""Amazon Bedrock and Vertex AI: clouds that serve the models of several makers, each through its maker's SDK.

Which SDK is meant is known by the path of a wire. The SDK's own client for the cloud signs, finds the credentials where
the cloud's tools keep them, puts the model into the path and adds the version to the body.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from joch_core.errors import InvalidArgument
from joch_core.messages import Json
from joch_core.providers.anthropic import Anthropic
from joch_core.providers.base import Clients, missing_sdk
from joch_core.providers.endpoint import Endpoint, Timeouts
from joch_core.providers.event_stream import EventStreamResponse
from joch_core.providers.google import Google, vertex_clients
from joch_core.providers.openai import OpenAI, senders

_MESSAGES = "/v1/messages"
_CHAT = "/chat/completions"


class _Doors:
    """The clients of one endpoint and colour, one per SDK, made on first use."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self._makers = makers
        self.made: dict[str, Any] = {}

    def __getitem__(self, path: str) -> Any:
        client = self.made.get(path)
        if client is None:
            client = self.made[path] = self._makers[path]()
        return client


class Bedrock:
    """Claude through Anthropic's SDK, models that speak OpenAI's format through OpenAI's.

    The region is `endpoint.region`, else AWS_REGION or AWS_DEFAULT_REGION. A key is a Bedrock API key (`auth`, else
    AWS_BEARER_TOKEN_BEDROCK); without one AWS's own chain of credentials is asked, which needs `joch[bedrock]`.
    """

    key_variables: Sequence[str] = ()

    def clients(self, endpoint: Endpoint) -> Clients:
        """One client per SDK and colour."""
        return Clients(
            lambda: _Doors({_MESSAGES: _claude(endpoint, "AnthropicBedrock"), _CHAT: _chat(endpoint).sync}),
            lambda: _Doors({_MESSAGES: _claude(endpoint, "AsyncAnthropicBedrock"), _CHAT: _chat(endpoint).asynchronous}),
        )

    def post(self, client: Any, path: str, body: Json, timeouts: Timeouts) -> Any:
        """One POST. Claude's streams come as Amazon's binary frames and are told as server-sent events."""
        if path == _CHAT:
            return OpenAI().post(client[path], path, body, timeouts)
        if path != _MESSAGES:
            raise InvalidArgument("Bedrock is spoken to as anthropic-messages or openai-chat; set endpoint.api of the Model")
        answer = Anthropic().post(client[path], path, body, timeouts)
        return _told_later(answer) if hasattr(answer, "__await__") else EventStreamResponse(answer)

    async def aclose(self, client: Any) -> None:
        """Let go of the connections."""
        for path, one in client.made.items():
            await (OpenAI() if path == _CHAT else Anthropic()).aclose(one)

    def close(self, client: Any) -> None:
        """Let go of the connections."""
        for one in client.made.values():
            one.close()


class Vertex:
    """Gemini through Google's SDK, Claude through Anthropic's.

    `endpoint.options.project` and `endpoint.region`, else the SDKs' own variables (GOOGLE_CLOUD_PROJECT and
    GOOGLE_CLOUD_LOCATION). Credentials are Google's application default ones. A key is Vertex's express mode for Gemini, and
    an access token for Claude.
    """

    key_variables: Sequence[str] = ()

    def clients(self, endpoint: Endpoint) -> Clients:
        """One client per SDK and colour."""

        def doors(claude: str, gemini: Callable[[], Any]) -> _Doors:
            return _Doors({_MESSAGES: _claude_at_google(endpoint, claude), "": gemini})

        return Clients(
            lambda: doors("AnthropicVertex", lambda: vertex_clients(endpoint).sync()),
            lambda: doors("AsyncAnthropicVertex", lambda: vertex_clients(endpoint).asynchronous()),
        )

    def post(self, client: Any, path: str, body: Json, timeouts: Timeouts) -> Any:
        """One POST; the response comes back unread."""
        if path == _MESSAGES:
            return Anthropic().post(client[path], path, body, timeouts)
        return Google().post(client[""], path, body, timeouts)

    async def aclose(self, client: Any) -> None:
        """Let go of the connections."""
        for path, one in client.made.items():
            await (Anthropic() if path == _MESSAGES else Google()).aclose(one)

    def close(self, client: Any) -> None:
        """Let go of the connections."""
        for one in client.made.values():
            one.close()


async def _told_later(answer: Any) -> EventStreamResponse:
    return EventStreamResponse(await answer)


def _claude(endpoint: Endpoint, name: str) -> Callable[[], Any]:
    def make() -> Any:
        options = {"aws_region": _aws_region(endpoint), "api_key": endpoint.api_key, "base_url": endpoint.base_url}
        return getattr(_anthropic(), name)(**options, max_retries=0)

    return make


def _chat(endpoint: Endpoint) -> Clients:
    def key() -> str:
        found = endpoint.api_key or os.environ.get("AWS_BEARER_TOKEN_BEDROCK")
        if found is None:
            raise InvalidArgument(
                "models that speak OpenAI's format on Bedrock need an API key: set AWS_BEARER_TOKEN_BEDROCK"
            )
        return found

    base_url = endpoint.base_url or f"https://bedrock-runtime.{_aws_region(endpoint)}.amazonaws.com/openai/v1"
    return Clients(lambda: senders(key(), base_url).sync(), lambda: senders(key(), base_url).asynchronous())


def _claude_at_google(endpoint: Endpoint, name: str) -> Callable[[], Any]:
    def make() -> Any:
        place = {
            "region": endpoint.region or os.environ.get("GOOGLE_CLOUD_LOCATION"),
            "project_id": endpoint.options.get("project") or os.environ.get("GOOGLE_CLOUD_PROJECT"),
        }
        given = {option: value for option, value in place.items() if value}
        return getattr(_anthropic(), name)(**given, access_token=endpoint.api_key, base_url=endpoint.base_url, max_retries=0)

    return make


def _aws_region(endpoint: Endpoint) -> str | None:
    return endpoint.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def _anthropic() -> Any:
    try:
        import anthropic
    except ImportError as error:
        raise missing_sdk("anthropic", error) from None
    return anthropic
