"""Amazon's binary event stream, told as server-sent events: https://smithy.io/2.0/aws/amazon-eventstream.html.

A frame is: length (4 bytes), length of the headers (4), checksum (4), headers, payload, checksum (4). Bedrock puts one event
of Anthropic's stream as base64 into the payload `{"bytes": …}`. TCP and TLS have checked the bytes; the sums are passed over.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

from joch_core.errors import ProviderError

_PRELUDE = struct.Struct(">III")
_SUM_BYTES = 4
_MAX_FRAME_BYTES = 24 * 1024 * 1024
_TEXT = 7
#: Bytes of a header's value by its type; types 6 and 7 say their own length.
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
#: Bedrock's exceptions as Anthropic's own error types.
_ERRORS = {
    "throttlingException": "rate_limit_error",
    "serviceQuotaExceededException": "rate_limit_error",
    "modelTimeoutException": "timeout_error",
    "serviceUnavailableException": "overloaded_error",
    "validationException": "invalid_request_error",
}


class FrameDecoder:
    """Takes chunks of bytes as they come and gives server-sent events as bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """The events that this chunk completes.

        Raises:
            ProviderError: these are no frames.
        """
        self._buffer += chunk
        out = []
        while len(self._buffer) >= _PRELUDE.size:
            total, header_bytes, _sum = _PRELUDE.unpack_from(self._buffer)
            if not _PRELUDE.size + header_bytes + _SUM_BYTES <= total <= _MAX_FRAME_BYTES:
                raise ProviderError("server_error", "the answer is no event stream", code="unreadable")
            if len(self._buffer) < total:
                break
            frame = bytes(self._buffer[:total])
            del self._buffer[:total]
            begin = _PRELUDE.size + header_bytes
            try:
                out.append(_told(_headers(frame[_PRELUDE.size : begin]), frame[begin:-_SUM_BYTES]))
            except (struct.error, IndexError, KeyError, TypeError, ValueError, AttributeError):
                raise ProviderError("server_error", "a frame of the answer is broken", code="unreadable") from None
        return b"".join(out)


class EventStreamResponse:
    """An unread response whose body is told as server-sent events; a body of another type stays as it is."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self.status_code: int = response.status_code
        self.headers = dict(response.headers)
        self.extensions: Any = getattr(response, "extensions", {})
        self._framed = "vnd.amazon.eventstream" in self.headers.get("content-type", "")
        if self._framed:
            self.headers["content-type"] = "text/event-stream"

    def iter_bytes(self) -> Iterator[bytes]:
        """The body, as it comes."""
        decoder = FrameDecoder()
        for chunk in self._response.iter_bytes():
            yield decoder.feed(chunk) if self._framed else chunk

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """The body, as it comes."""
        decoder = FrameDecoder()
        async for chunk in self._response.aiter_bytes():
            yield decoder.feed(chunk) if self._framed else chunk

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.iter_bytes())

    async def aread(self) -> bytes:
        """The whole body."""
        return b"".join([chunk async for chunk in self.aiter_bytes()])

    def close(self) -> None:
        """Let go of the connection."""
        self._response.close()

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._response.aclose()


def _headers(data: bytes) -> dict[str, str]:
    """The headers that are texts; the others are stepped over."""
    found: dict[str, str] = {}
    place = 0
    while place < len(data):
        name_end = place + 1 + data[place]
        name = data[place + 1 : name_end].decode("utf-8", "replace")
        kind = data[name_end]
        place = name_end + 1
        if (size := _FIXED.get(kind)) is None:
            (size,) = struct.unpack_from(">H", data, place)
            place += 2
        if kind == _TEXT:
            found[name] = data[place : place + size].decode("utf-8", "replace")
        place += size
    return found


def _told(headers: dict[str, str], payload: bytes) -> bytes:
    exception = headers.get(":exception-type") or headers.get(":error-code")
    if exception is not None:
        told = {"type": _ERRORS.get(exception, "api_error"), "message": _message(payload, headers)}
        return b"event: error\ndata: " + json.dumps({"type": "error", "error": told}).encode() + b"\n\n"
    if headers.get(":event-type") != "chunk":
        return b""
    event = base64.b64decode(json.loads(payload)["bytes"])
    name = json.loads(event).get("type", "message")
    return b"event: " + str(name).encode() + b"\ndata: " + event.replace(b"\n", b" ") + b"\n\n"


def _message(payload: bytes, headers: dict[str, str]) -> str:
    try:
        return str(json.loads(payload)["message"])
    except (ValueError, KeyError, TypeError):
        return headers.get(":error-message") or payload.decode("utf-8", "replace")
