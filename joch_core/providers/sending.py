"""What sends for an SDK: its address, its headers and its transport, without the typed road of its requests.

An SDK builds each request anew from options, headers and a body that it copies and checks. For a body that is ready, this
costs as much as sending it. Where an SDK adds nothing to a request but its headers, they are asked for once per client.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from joch_core.messages import Json
from joch_core.providers.endpoint import Timeouts


class Sender:
    """One endpoint. `http` is an httpx client of either colour; what comes back is its response or an awaitable of it.

    `sdk` is the client of an SDK that is made over `http`; it is held, since some close what they hold when they are collected.
    """

    def __init__(self, sdk: Any, http: Any, request_type: Any) -> None:
        self._sdk = sdk
        self._http = http
        self._request_type = request_type
        self._base_url = str(sdk.base_url).rstrip("/")
        headers = {**sdk.default_headers, **sdk.auth_headers}
        self._headers = http.headers.copy()  # what the transport itself wants: the encodings that it can read
        # A header that the SDK leaves out is there as a marker, not as a text.
        self._headers.update({name: value for name, value in headers.items() if isinstance(value, str)})
        self._urls: dict[str, Any] = {}

    def post(self, path: str, body: Json, timeouts: Timeouts) -> Any:
        """One POST; the response comes back unread, whatever its status."""
        request = self._request_type(
            "POST",
            self._urls.get(path) or self._base_url + path,
            headers=self._headers,
            content=json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace"),
            extensions={"timeout": time_outs(timeouts)},
        )
        self._urls[path] = request.url  # parsed once
        return self._http.send(request, stream=True)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()


@lru_cache(maxsize=1)
def trusted() -> Any:
    """The certificates that are trusted: read once for a process, since that costs more than a call."""
    import httpx2

    return httpx2.create_ssl_context()


def time_outs(timeouts: Timeouts) -> dict[str, float]:
    """As httpx wants them: https://www.python-httpx.org/advanced/extensions/#timeout."""
    read_s = max(timeouts.first_content_s, timeouts.between_chunks_s)
    return {"connect": timeouts.connect_s, "read": read_s, "write": read_s, "pool": read_s}
