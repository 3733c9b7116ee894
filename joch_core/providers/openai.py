"""OpenAI, Azure OpenAI and every server that speaks OpenAI's formats, through OpenAI's own SDK.

The public door `client.post(path, cast_to=…, body=…)` is used: it keeps the SDK's authentication and transport and skips
its typed transform of the body, which costs more than everything else together on long conversations.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from joch_core.messages import Json
from joch_core.providers.base import Clients, missing_sdk
from joch_core.providers.endpoint import Endpoint, Timeouts


class OpenAI:
    """api.openai.com, or another base URL that wants an OpenAI key."""

    key_variables: Sequence[str] = ("OPENAI_API_KEY",)

    def clients(self, endpoint: Endpoint) -> Clients:
        """Clients with the SDK's retries off: retrying belongs to the route alone."""
        try:
            import openai
        except ImportError as error:
            raise missing_sdk("openai", error) from None
        options: dict[str, Any] = {"api_key": endpoint.api_key or "none", "base_url": endpoint.base_url, "max_retries": 0}
        return Clients(lambda: openai.OpenAI(**options), lambda: openai.AsyncOpenAI(**options))

    def post(self, client: Any, path: str, body: Json, timeouts: Timeouts) -> Any:
        """One POST; the response comes back unread."""
        import httpx2
        import openai

        stream_cls = openai.AsyncStream if isinstance(client, openai.AsyncOpenAI) else openai.Stream
        return client.post(
            path,
            cast_to=httpx2.Response,
            body=body,
            options={"timeout": _timeout(openai.Timeout, timeouts)},
            stream=True,
            stream_cls=stream_cls[object],
        )

    async def aclose(self, client: Any) -> None:
        """Let go of the connections."""
        with contextlib.suppress(RuntimeError):  # the loop is going down
            await client.close()

    def close(self, client: Any) -> None:
        """Let go of the connections."""
        client.close()


class OpenAICompatible(OpenAI):
    """Ollama, vLLM, llama.cpp and others: a base URL, and a key only where the Model names one."""

    key_variables: Sequence[str] = ()


class AzureOpenAI(OpenAI):
    """Azure OpenAI: `baseUrl` is the resource's endpoint; the model is the deployment's name."""

    key_variables: Sequence[str] = ("AZURE_OPENAI_API_KEY",)


def _timeout(timeout: Any, timeouts: Timeouts) -> Any:
    read_s = max(timeouts.first_content_s, timeouts.between_chunks_s)
    return timeout(read_s, connect=timeouts.connect_s)
