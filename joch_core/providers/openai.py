"""OpenAI, Azure OpenAI and every server that speaks OpenAI's formats, through OpenAI's own SDK.

The SDK gives the address, the headers and the transport; its typed transform of the body, which costs more than everything
else together on long conversations, is left out. Azure's client rewrites addresses, so its public door
`client.post(path, cast_to=…, body=…)` is used.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from joch_core.errors import InvalidArgument
from joch_core.messages import Json
from joch_core.providers.base import Clients, missing_sdk
from joch_core.providers.endpoint import Endpoint, Timeouts
from joch_core.providers.sending import Sender, trusted


class OpenAI:
    """api.openai.com, or another base URL that wants an OpenAI key."""

    key_variables: Sequence[str] = ("OPENAI_API_KEY",)

    def clients(self, endpoint: Endpoint) -> Clients:
        """What sends, without retries: retrying belongs to the route alone."""
        return senders(endpoint.api_key or "none", endpoint.base_url)

    def post(self, client: Any, path: str, body: Json, timeouts: Timeouts) -> Any:
        """One POST; the response comes back unread."""
        if isinstance(client, Sender):
            return client.post(path, body, timeouts)
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
            await (client.aclose() if isinstance(client, Sender) else client.close())

    def close(self, client: Any) -> None:
        """Let go of the connections."""
        client.close()


class OpenAICompatible(OpenAI):
    """Ollama, vLLM, llama.cpp and others: a base URL, and a key only where the Model names one."""

    key_variables: Sequence[str] = ()


class AzureOpenAI(OpenAI):
    """Azure OpenAI: `baseUrl` is the resource's endpoint, and the model is the deployment's name.

    With an API version (`endpoint.options.apiVersion`, else OPENAI_API_VERSION) the deployment stands in the path. Without one
    Azure's newer form is spoken, which has none: https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
    """

    key_variables: Sequence[str] = ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN")

    def clients(self, endpoint: Endpoint) -> Clients:
        """Clients with the SDK's retries off. A key that is a token of Microsoft Entra goes out as a bearer."""
        try:
            import openai
        except ImportError as error:
            raise missing_sdk("openai", error) from None
        place = endpoint.base_url or os.environ.get("AZURE_OPENAI_ENDPOINT")
        if place is None:
            raise InvalidArgument("Azure OpenAI needs a place: set endpoint.baseUrl of the Model, or AZURE_OPENAI_ENDPOINT")
        place = place.rstrip("/").removesuffix("/openai")
        version = endpoint.options.get("apiVersion") or os.environ.get("OPENAI_API_VERSION")
        if version is None or place.endswith("/v1"):
            return senders(endpoint.api_key or "none", place if place.endswith("/v1") else f"{place}/openai/v1")
        options: dict[str, Any] = {"azure_endpoint": place, "api_version": str(version), "max_retries": 0}
        # An Entra token is a JWT, three texts joined by dots, of which the first begins so; a key has no dots.
        is_token = (endpoint.api_key or "").startswith("eyJ")
        options["azure_ad_token" if is_token else "api_key"] = endpoint.api_key or "none"
        return Clients(lambda: openai.AzureOpenAI(**options), lambda: openai.AsyncAzureOpenAI(**options))


def senders(api_key: str, base_url: str | None) -> Clients:
    """What sends to one place with one key."""
    try:
        import httpx2
        import openai
    except ImportError as error:
        raise missing_sdk("openai", error) from None

    def sync() -> Sender:
        http = openai.DefaultHttpxClient(verify=trusted())
        sdk = openai.OpenAI(api_key=api_key, base_url=base_url, http_client=http)
        return Sender(sdk, http, httpx2.Request)

    def asynchronous() -> Sender:
        http = openai.DefaultAsyncHttpxClient(verify=trusted())
        sdk = openai.AsyncOpenAI(api_key=api_key, base_url=base_url, http_client=http)
        return Sender(sdk, http, httpx2.Request)

    return Clients(sync, asynchronous)


def _timeout(timeout: Any, timeouts: Timeouts) -> Any:
    read_s = max(timeouts.first_content_s, timeouts.between_chunks_s)
    return timeout(read_s, connect=timeouts.connect_s)
