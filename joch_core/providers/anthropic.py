"""Anthropic's Messages API, through Anthropic's own SDK: its address, its headers, its transport.

The SDK's clients for clouds sign and rewrite requests; for these its public door `client.post(path, cast_to=…, body=…)` is used.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Sequence
from typing import Any

from joch_core.messages import Json
from joch_core.providers.base import Clients, missing_sdk
from joch_core.providers.endpoint import Endpoint, Timeouts
from joch_core.providers.sending import Sender, trusted


class Anthropic:
    """api.anthropic.com, or another base URL that speaks its format."""

    key_variables: Sequence[str] = ("ANTHROPIC_API_KEY",)

    def clients(self, endpoint: Endpoint) -> Clients:
        """What sends, without retries: retrying belongs to the route alone."""
        try:
            import anthropic
            import httpx2
        except ImportError as error:
            raise missing_sdk("anthropic", error) from None
        options: dict[str, Any] = {"api_key": endpoint.api_key or "none", "base_url": endpoint.base_url}

        def sync() -> Sender:
            http = anthropic.DefaultHttpxClient(verify=trusted())
            return Sender(anthropic.Anthropic(**options, http_client=http), http, httpx2.Request)

        def asynchronous() -> Sender:
            http = anthropic.DefaultAsyncHttpxClient(verify=trusted())
            return Sender(anthropic.AsyncAnthropic(**options, http_client=http), http, httpx2.Request)

        return Clients(sync, asynchronous)

    def post(self, client: Any, path: str, body: Json, timeouts: Timeouts) -> Any:
        """One POST; the response comes back unread."""
        if isinstance(client, Sender):
            return client.post(path, body, timeouts)
        import anthropic
        import httpx2

        # The clients for clouds have no class in common with `AsyncAnthropic` but a private one.
        stream_cls = anthropic.AsyncStream if inspect.iscoroutinefunction(client.post) else anthropic.Stream
        read_s = max(timeouts.first_content_s, timeouts.between_chunks_s)
        return client.post(
            path,
            cast_to=httpx2.Response,
            body=body,
            options={"timeout": anthropic.Timeout(read_s, connect=timeouts.connect_s)},
            stream=True,
            stream_cls=stream_cls[object],
        )

    async def aclose(self, client: Any) -> None:
        """Let go of the connections."""
        with contextlib.suppress(RuntimeError):  # the loop is going down
            await (client.aclose() if isinstance(client, Sender) else client.close())

    def close(self, client: Any) -> None:
        """Let go of the connections."""
        client.close()
