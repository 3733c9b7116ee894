"""One request and its answer over the wire: whole or streamed, synchronous or asynchronous. Faults leave it typed.

The four ways differ in how they wait; what is sent, how an answer is read and what counts as a fault is written once. A fault
is raised outside of the `except` that has caught its cause: nothing of the SDK, with its headers, hangs on it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from joch_core.capabilities import Target
from joch_core.errors import JochError, ProviderError
from joch_core.messages import Delta, Json, Reply
from joch_core.providers.base import ClientPool, Provider
from joch_core.providers.endpoint import Endpoint, Timeouts
from joch_core.providers.faults import exception_fault, status_fault
from joch_core.providers.patience import Patience
from joch_core.providers.sse import EventDecoder
from joch_core.redaction import redact
from joch_core.wire import Reader, Wire

_MAX_ANSWER_BYTES = 256 * 1024 * 1024
_FIRST_ERROR_STATUS = 400
_SHOWN_BYTES = 80


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is sent, to whom, and how long it may take. `seed` makes the ids of the answer's tool calls.

    With `keep_raw` the reply holds both sides as they were on the wire: `{"request", "response"}`, a streamed response as its
    events `[name, data]`. No key is in a body; what looks like one is masked all the same.
    """

    provider: Provider
    wire: Wire
    target: Target
    endpoint: Endpoint
    timeouts: Timeouts
    body: Json
    seed: str
    keep_raw: bool = False

    def fault(self, error: Exception, patience: Patience) -> JochError:
        """Any exception of the SDK or its transport as a typed fault."""
        fault = exception_fault(self.wire, self.target, error, self.endpoint.api_key)
        if isinstance(fault, ProviderError) and fault.code == "timeout" and fault.status is None:
            late = patience.late()
            late.backend = self.target.backend
            return late
        return fault

    def answer(self, response: Any, content: bytes) -> Reply:
        """A whole answer, read."""
        if response.status_code >= _FIRST_ERROR_STATUS:
            raise self.refused(response, content)
        return self.whole(content)

    def whole(self, content: bytes) -> Reply:
        """The body of a whole answer, read."""
        try:
            body = json.loads(content)
        except ValueError:
            raise _unreadable(content) from None
        if not isinstance(body, dict):
            raise _unreadable(content)
        reply = self.wire.parse(body, self.target, self.seed)
        reply.model = reply.model or self.target.model
        if self.keep_raw:
            self.keep(reply, body)
        return reply

    def keep(self, reply: Reply, response: object) -> None:
        """Lay the raw exchange beside the reply."""
        text = json.dumps({"request": self.body, "response": response}, ensure_ascii=False)
        reply.raw = json.loads(redact(text, self.endpoint.api_key))

    def refused(self, response: Any, content: bytes) -> ProviderError:
        """The fault that an error status means."""
        text = content.decode("utf-8", "replace")
        return status_fault(self.wire, self.target, response.status_code, response.headers, text, self.endpoint.api_key)


class Arriving:
    """A streamed answer on its way: `reply()` when it is complete, `partial()` at any time."""

    __slots__ = ("_begin", "_decoder", "_events", "_exchange", "_kept", "_plain", "_reader", "_whole")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._decoder = EventDecoder()
        self._reader: Reader = exchange.wire.reader(exchange.target, exchange.seed)
        self._plain: bytearray | None = None
        self._whole: Reply | None = None
        self._begin = b""
        self._events = False
        self._kept: list[tuple[str | None, str]] = []

    def begin(self, response: Any) -> None:
        """Look at the headers. A server that answers a stream with plain JSON is read as a whole."""
        kind = response.headers.get("content-type", "")
        if "json" in kind and "stream" not in kind and "ndjson" not in kind:
            self._plain = bytearray()

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas that this chunk completes."""
        if self._plain is not None:
            if self._plain or not chunk.lstrip().startswith((b"data:", b"event:")):
                self._plain += chunk
                return []
            self._plain = None  # the headers were wrong: these are events
        if not self._events and len(self._begin) < _SHOWN_BYTES:
            self._begin += chunk[:_SHOWN_BYTES]
        return self._read(self._decoder.feed(chunk))

    def end(self) -> list[Delta]:
        """The connection ended in order: what is left over, and what a whole answer comes to."""
        if self._plain is None:
            deltas = self._read(self._decoder.end())
            if not self._events and self._begin.strip() and not self._begin.startswith(b":"):
                raise _unreadable(self._begin)
            return deltas
        if self._plain.lstrip().startswith(b"["):
            return self._read_list(bytes(self._plain))
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
        if self._exchange.keep_raw and self._whole is None:
            self._exchange.keep(reply, self._kept)
        return reply

    def partial(self) -> Reply:
        """What has arrived so far."""
        return self._reader.partial()

    def _read_list(self, content: bytes) -> list[Delta]:
        """Gemini streams a JSON list of its events where `alt=sse` did not come through (some gateways drop a query)."""
        try:
            events: list[tuple[str | None, str]] = [(None, json.dumps(event)) for event in json.loads(content)]
        except ValueError:
            raise _unreadable(content) from None
        return self._read(events)

    def _read(self, events: list[tuple[str | None, str]]) -> list[Delta]:
        if not events:
            return []
        self._events = True
        if self._exchange.keep_raw:
            self._kept += events
        if len(events) == 1:
            return self._reader.feed(*events[0])
        return [delta for name, data in events for delta in self._reader.feed(name, data)]


def send(exchange: Exchange, pool: ClientPool) -> Reply:
    """Send, wait, read."""
    patience = Patience(exchange.timeouts)
    try:
        client = pool.sync(exchange.provider, exchange.endpoint)
        patience.begin()
        response = exchange.provider.post(client, _path(exchange, stream=False), exchange.body, patience.before_answer())
        try:
            content = _read_all(response, patience)
        finally:
            response.close()
        return exchange.answer(response, content)
    except Exception as error:  # the one place where an SDK's exceptions end
        fault = exchange.fault(error, patience)
    raise fault


async def asend(exchange: Exchange, pool: ClientPool) -> Reply:
    """Send, wait, read, without holding the loop."""
    patience = Patience(exchange.timeouts)
    try:
        client = await pool.prepared(exchange.provider, exchange.endpoint)
        patience.begin()
        response = await _apost(exchange, client, patience, stream=False)
        try:
            content = await _aread_all(response, patience)
        finally:
            await response.aclose()
        return exchange.answer(response, content)
    except Exception as error:  # the one place where an SDK's exceptions end
        fault = exchange.fault(error, patience)
    raise fault


def stream(exchange: Exchange, pool: ClientPool, arriving: Arriving) -> Iterator[Delta]:
    """Send and hand over what arrives. Closing the iterator closes the connection."""
    patience = Patience(exchange.timeouts)
    response = None
    try:
        client = pool.sync(exchange.provider, exchange.endpoint)
        patience.begin()
        response = exchange.provider.post(client, _path(exchange, stream=True), exchange.body, patience.before_answer())
        if response.status_code >= _FIRST_ERROR_STATUS:
            raise exchange.refused(response, _read_all(response, patience))
        arriving.begin(response)
        with patience.over(response):
            for chunk in response.iter_bytes():
                deltas = arriving.feed(chunk)
                if deltas:
                    patience.content()
                    yield from deltas
                patience.check()
        yield from arriving.end()
    except Exception as error:  # the one place where an SDK's exceptions end
        fault = exchange.fault(error, patience)
    else:
        return
    finally:
        if response is not None:
            response.close()
    raise fault


async def astream(exchange: Exchange, pool: ClientPool, arriving: Arriving) -> AsyncIterator[Delta]:
    """Send and hand over what arrives. Closing the iterator closes the connection."""
    patience = Patience(exchange.timeouts)
    response = None
    try:
        client = await pool.prepared(exchange.provider, exchange.endpoint)
        patience.begin()
        response = await _apost(exchange, client, patience, stream=True)
        if response.status_code >= _FIRST_ERROR_STATUS:
            raise exchange.refused(response, await _aread_all(response, patience))
        arriving.begin(response)
        chunks = aiter(response.aiter_bytes())
        while (chunk := await _anext(chunks, patience)) is not None:
            deltas = arriving.feed(chunk)
            if deltas:
                patience.content()
                for delta in deltas:
                    yield delta
            patience.check()
        for delta in arriving.end():
            yield delta
    except Exception as error:  # the one place where an SDK's exceptions end
        fault = exchange.fault(error, patience)
    else:
        return
    finally:
        if response is not None:
            await response.aclose()
    raise fault


def _path(exchange: Exchange, *, stream: bool) -> str:
    return exchange.wire.path(exchange.target, stream=stream)


async def _apost(exchange: Exchange, client: Any, patience: Patience, *, stream: bool) -> Any:
    async with asyncio.timeout(patience.next_read_s()):
        path = _path(exchange, stream=stream)
        return await exchange.provider.post(client, path, exchange.body, patience.before_answer())


async def _anext(chunks: AsyncIterator[bytes], patience: Patience) -> bytes | None:
    """The next chunk, None at the end. The time-out is never held over a `yield`: there the task may be another one."""
    async with asyncio.timeout(patience.next_read_s()):
        return await anext(chunks, None)


def _read_all(response: Any, patience: Patience) -> bytes:
    content = bytearray()
    with patience.over(response):
        for chunk in response.iter_bytes():
            _take(content, chunk, patience)
    return bytes(content)


async def _aread_all(response: Any, patience: Patience) -> bytes:
    content = bytearray()
    chunks = aiter(response.aiter_bytes())
    while (chunk := await _anext(chunks, patience)) is not None:
        _take(content, chunk, patience)
    return bytes(content)


def _take(content: bytearray, chunk: bytes, patience: Patience) -> None:
    patience.content()
    patience.check()
    content += chunk
    if len(content) > _MAX_ANSWER_BYTES:
        raise ProviderError("other", "the answer is larger than 256 MiB", code="answer_too_large")


def _unreadable(content: bytes) -> ProviderError:
    begin = content[:_SHOWN_BYTES].decode("utf-8", "replace")
    return ProviderError("server_error", f"the answer is no JSON object; it begins with {begin!r}", code="unreadable")
