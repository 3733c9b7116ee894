"""Gemini, at the Gemini API and at Vertex AI, through Google's own SDK (google-genai 2 and 3).

The SDK has no public door that takes a ready body and gives the unread answer: `should_return_http_response` of its config
covers whole answers only, and behind a typed transform. So it is asked for what it knows, namely where to (base URL, API
version, project, location), with which headers and with which credentials, and the request goes out through a plain httpx
client. That also keeps three habits of the SDK out of the way: no time-out by default; a second try of its own after up to
10 s where aiohttp is installed; and a client that closes itself when it is collected.

Three names of `client._api_client` are used: `_build_request`, `_access_token` and `_async_access_token`. They are the same
in all versions of both majors; `tests/core/providers/test_google.py` holds them to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from joch_core.messages import Json
from joch_core.providers.base import Clients, missing_sdk
from joch_core.providers.endpoint import Endpoint, Timeouts


class Google:
    """generativelanguage.googleapis.com, or another base URL. `endpoint.options.apiVersion` wins over the SDK's own choice."""

    key_variables: Sequence[str] = ("GOOGLE_API_KEY", "GEMINI_API_KEY")

    def clients(self, endpoint: Endpoint) -> Clients:
        """Both colours share what they know and differ in what sends."""
        genai, http = import_sdk()
        known = genai.Client(api_key=endpoint.api_key or "none", vertexai=False, http_options=http_options(endpoint))
        return Clients(lambda: GeminiClient(known, http.Client()), lambda: AsyncGeminiClient(known, http.AsyncClient()))

    def post(self, client: Any, path: str, body: Json, timeouts: Timeouts) -> Any:
        """One POST; the response comes back unread, whatever its status."""
        return client.post(path, body, timeouts)

    async def aclose(self, client: Any) -> None:
        """Let go of the connections."""
        with contextlib.suppress(RuntimeError):  # the loop is going down
            await client.aclose()

    def close(self, client: Any) -> None:
        """Let go of the connections."""
        client.close()


class GeminiClient:
    """The SDK's client, held so that it is not collected, and the httpx client that sends."""

    def __init__(self, sdk: Any, http: Any) -> None:
        self._sdk = sdk
        self._http = http

    def post(self, path: str, body: Json, timeouts: Timeouts) -> Any:
        """Send, and give the unread response."""
        api = self._sdk._api_client  # noqa: SLF001  see the head of this module
        asked = api._build_request("post", _own_path(api, path), body)  # noqa: SLF001
        token = api._access_token() if _wants_token(api) else None  # noqa: SLF001
        return self._http.send(_request(self._http, api, asked, token, timeouts), stream=True)

    def close(self) -> None:
        """Close both."""
        self._http.close()
        self._sdk.close()


class AsyncGeminiClient:
    """The same for one event loop."""

    def __init__(self, sdk: Any, http: Any) -> None:
        self._sdk = sdk
        self._http = http

    async def post(self, path: str, body: Json, timeouts: Timeouts) -> Any:
        """Send, and give the unread response."""
        api = self._sdk._api_client  # noqa: SLF001  see the head of this module
        asked = api._build_request("post", _own_path(api, path), body)  # noqa: SLF001
        token = await api._async_access_token() if _wants_token(api) else None  # noqa: SLF001
        return await self._http.send(_request(self._http, api, asked, token, timeouts), stream=True)

    async def aclose(self) -> None:
        """Close both."""
        await self._http.aclose()
        await asyncio.to_thread(self._sdk.close)


def vertex_clients(endpoint: Endpoint) -> Clients:
    """Clients for Vertex AI: `endpoint.options.project` and `region`, else the SDK's own variables; a key is express mode."""
    genai, http = import_sdk()
    place = {} if endpoint.api_key else {"project": endpoint.options.get("project"), "location": endpoint.region}
    known = genai.Client(vertexai=True, api_key=endpoint.api_key, http_options=http_options(endpoint), **place)
    return Clients(lambda: GeminiClient(known, http.Client()), lambda: AsyncGeminiClient(known, http.AsyncClient()))


def import_sdk() -> tuple[ModuleType, ModuleType]:
    """The SDK, and the httpx that it brought along."""
    try:
        from google import genai
    except ImportError as error:
        raise missing_sdk("google", error) from None
    try:
        import httpx2 as http
    except ImportError:  # google-genai 2 brings httpx
        import httpx as http  # type: ignore[no-redef]
    return genai, http


def http_options(endpoint: Endpoint) -> dict[str, Any]:
    """`base_url` and `api_version`, where they are given."""
    given = {"base_url": endpoint.base_url, "api_version": endpoint.options.get("apiVersion")}
    return {name: value for name, value in given.items() if value}


def _own_path(api: Any, path: str) -> str:
    """The path as the SDK writes it: at Vertex AI a model has a publisher (project and location are the SDK's to add)."""
    plain = path.removeprefix("/")
    return f"publishers/google/{plain}" if api.vertexai and plain.startswith("models/") else plain


def _wants_token(api: Any) -> bool:
    return bool(api.vertexai and (api.project or api.location) and not api.api_key)


def _request(http: Any, api: Any, asked: Any, token: str | None, timeouts: Timeouts) -> Any:
    headers = dict(asked.headers)
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
        if quota_project := getattr(api._credentials, "quota_project_id", None):  # noqa: SLF001
            headers["x-goog-user-project"] = quota_project
    read_s = max(timeouts.first_content_s, timeouts.between_chunks_s)
    timeout = (timeouts.connect_s, read_s, read_s, read_s)  # connect, read, write, pool
    return http.build_request("POST", asked.url, headers=headers, json=asked.data, timeout=timeout)
