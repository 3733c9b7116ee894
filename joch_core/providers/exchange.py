"""One request and its answer over the wire: whole or streamed, synchronous or asynchronous. Faults leave it typed.

The four ways differ in how they wait; what is sent, how an answer is read and what counts as a fault is written once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from joch_core.capabilities import Target
from joch_core.errors import ProviderError
from joch_core.messages import Delta, Json, Reply
from joch_core.providers.base import ClientPool, Provider
from joch_core.providers.endpoint import Endpoint, Timeouts
from joch_core.providers.faults import exception_fault, status_fault
from joch_core.providers.sse import EventDecoder
from joch_core.wire import Reader, Wire

_MAX_ANSWER_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is sent, to whom, and how long it may take. `seed` makes the ids of the answer's tool calls."""

    provider: Provider
    wire: Wire
    target: Target
    endpoint: Endpoint
    timeouts: Timeouts
    body: Json
    seed: str

    def fault(self, error: Exception) -> ProviderError:
        """Any exception of the SDK or its transport as a typed fault."""
        return exception_fault(self.wire, self.target, error, self.endpoint.api_key)

    def whole(self, content: bytes) -> Reply:
        """A whole answer, read."""
        try:
            body = json.loads(content)
        except ValueError:
            raise _unreadable(content) from None
        if not isinstance(body, dict):
            raise _unreadable(content)
        reply = self.wire.parse(body, self.target, self.seed)
        reply.model = reply.model or self.target.model
        return reply

    def refused(self, response: Any, content: bytes) -> ProviderError:
        """The fault that an error status means."""
        text = content.decode("utf-8", "replace")
        return status_fault(self.wire, self.target, response.status_code, response.headers, text, self.endpoint.api_key)


class Arriving:
    """A streamed answer on its way: `reply()` when it is complete, `partial()` at any time."""

    __slots__ = ("_decoder", "_exchange", "_plain", "_reader", "_whole")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._decoder = EventDecoder()
        self._reader: Reader = exchange.wire.reader(exchange.target, exchange.seed)
        self._plain: bytearray | None = None
        self._whole: Reply | None = None

    def begin(self, response: Any) -> None:
        """Look at the headers. A server that answers a stream with plain JSON is read as a whole."""
        kind = response.headers.get("content-type", "")
        if "json" in kind and "stream" not in kind and "ndjson" not in kind:
            self._plain = bytearray()

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas that this chunk completes."""
        if self._plain is not None:
            self._plain += chunk
            return []
        return self._read(self._decoder.feed(chunk))

    def end(self) -> list[Delta]:
        """The connection ended in order: what is left over, and what a whole answer comes to."""
        if self._plain is None:
            return self._read(self._decoder.end())
        self._whole = self._exchange.whole(bytes(self._plain))
        return [
            Delta("tool_call", tool_call=part) if part.type == "tool_call" else Delta(part.type, part.text)
            for part in self._whole.parts
            if part.type in ("text", "reasoning", "tool_call")
        ]

    def reply(self) -> Reply:
        """The whole answer; a stream without its terminal marker is a fault."""
        reply = self._whole if self._whole is not None else self._reader.reply()
        reply.model = reply.model or self._exchange.target.model
        return reply

    def partial(self) -> Reply:
        """What has arrived so far."""
        return self._reader.partial()

    def _read(self, events: list[tuple[str | None, str]]) -> list[Delta]:
        if len(events) == 1:
            return self._reader.feed(*events[0])
        return [delta for name, data in events for delta in self._reader.feed(name, data)]


def send(exchange: Exchange, pool: ClientPool) -> Reply:
    """Send, wait, read."""
    deadline = time.monotonic() + exchange.timeouts.attempt_s
    try:
        client = pool.sync(exchange.provider, exchange.endpoint)
        response = exchange.provider.post(client, _path(exchange, stream=False), exchange.body, exchange.timeouts)
        try:
            content = _read_all(response, deadline)
        finally:
            response.close()
        if response.status_code >= 400:  # noqa: PLR2004
            raise exchange.refused(response, content)
        return exchange.whole(content)
    except Exception as error:  # the one place where an SDK's exceptions end
        raise exchange.fault(error) from None


async def asend(exchange: Exchange, pool: ClientPool) -> Reply:
    """Send, wait, read, without holding the loop."""
    try:
        async with asyncio.timeout(exchange.timeouts.attempt_s):
            client = pool.asynchronous(exchange.provider, exchange.endpoint)
            response = await exchange.provider.post(client, _path(exchange, stream=False), exchange.body, exchange.timeouts)
            try:
                content = await response.aread()
            finally:
                await response.aclose()
        if response.status_code >= 400:  # noqa: PLR2004
            raise exchange.refused(response, content)
        return exchange.whole(content)
    except Exception as error:  # the one place where an SDK's exceptions end
        raise exchange.fault(error) from None


def stream(exchange: Exchange, pool: ClientPool, arriving: Arriving) -> Iterator[Delta]:
    """Send and hand over what arrives. Closing the iterator closes the connection."""
    deadline = time.monotonic() + exchange.timeouts.attempt_s
    response = None
    try:
        client = pool.sync(exchange.provider, exchange.endpoint)
        response = exchange.provider.post(client, _path(exchange, stream=True), exchange.body, exchange.timeouts)
        if response.status_code >= 400:  # noqa: PLR2004
            raise exchange.refused(response, _read_all(response, deadline))
        arriving.begin(response)
        for chunk in response.iter_bytes():
            if time.monotonic() > deadline:
                raise _too_slow(exchange.timeouts.attempt_s)
            yield from arriving.feed(chunk)
        yield from arriving.end()
    except Exception as error:  # the one place where an SDK's exceptions end
        raise exchange.fault(error) from None
    finally:
        if response is not None:
            response.close()


async def astream(exchange: Exchange, pool: ClientPool, arriving: Arriving) -> AsyncIterator[Delta]:
    """Send and hand over what arrives. Closing the iterator closes the connection."""
    timeouts = exchange.timeouts
    deadline = time.monotonic() + timeouts.attempt_s
    response = None
    try:
        client = pool.asynchronous(exchange.provider, exchange.endpoint)
        async with asyncio.timeout(min(timeouts.first_content_s + timeouts.connect_s, timeouts.attempt_s)):
            response = await exchange.provider.post(client, _path(exchange, stream=True), exchange.body, timeouts)
            if response.status_code >= 400:  # noqa: PLR2004
                raise exchange.refused(response, await response.aread())
        arriving.begin(response)
        async for chunk in response.aiter_bytes():
            if time.monotonic() > deadline:
                raise _too_slow(timeouts.attempt_s)
            for delta in arriving.feed(chunk):
                yield delta
        for delta in arriving.end():
            yield delta
    except Exception as error:  # the one place where an SDK's exceptions end
        raise exchange.fault(error) from None
    finally:
        if response is not None:
            await response.aclose()


def _path(exchange: Exchange, *, stream: bool) -> str:
    return exchange.wire.path(exchange.target, stream=stream)


def _read_all(response: Any, deadline: float) -> bytes:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if time.monotonic() > deadline:
            raise ProviderError("timeout", "the answer did not end in time", code="attempt_deadline")
        if len(content) > _MAX_ANSWER_BYTES:
            raise ProviderError("other", "the answer is larger than 256 MiB", code="answer_too_large")
    return bytes(content)


def _too_slow(attempt_s: float) -> ProviderError:
    return ProviderError("timeout", f"the answer did not end within {attempt_s:g} s", code="attempt_deadline")


def _unreadable(content: bytes) -> ProviderError:
    begin = content[:80].decode("utf-8", "replace")
    return ProviderError("server_error", f"the answer is no JSON object; it begins with {begin!r}", code="unreadable")
