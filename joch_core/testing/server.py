"""A small HTTP/1.1 server on loopback for the simulator: keep-alive, chunked streams, and faults on the wire.

It runs an event loop in a thread of its own, so that a test process can hold it; nothing here knows a provider. An answer
is written at once: a body that trails its head would cost 40 ms of delayed acknowledgement.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from joch_core.errors import InvalidArgument
from joch_core.testing.desk import Answer, Request
from joch_core.testing.faults import Fault

LOOPBACK = "127.0.0.1"
_HEAD_BYTES = 256 * 1024
_SETTLE_S = 0.05  # a peer reads what it was sent before a reset throws it away
_FOREVER_S = 3600.0

Handler = Callable[[Request], Answer]


class Server:
    """Listens on one or more loopback ports and gives every request to `handle`."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="joch-simulator", daemon=True)
        self._listeners: dict[str, asyncio.Server] = {}
        self._ports: dict[str, int] = {}
        self._connections: dict[asyncio.Task[None], str] = {}

    def start(self) -> None:
        """Start the loop; ports are opened by `listen`."""
        self._thread.start()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    def listen(self, name: str, port: int = 0, host: str = LOOPBACK) -> int:
        """Open a port (0: a free one; the one of before, where `name` had one) and give its number.

        Raises:
            InvalidArgument: the host is not loopback.
            OSError: the port is taken.
        """
        if host != LOOPBACK:
            raise InvalidArgument(f"the simulator listens on {LOOPBACK} only, not on {host}")
        if name not in self._listeners:
            self._ports[name] = self._run(self._listen(name, port or self._ports.get(name, 0)))
        return self._ports[name]

    async def _listen(self, name: str, port: int) -> int:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections[task] = name
            try:
                await self._serve(reader, writer)
            finally:
                self._connections.pop(task, None)

        server = await asyncio.start_server(connected, LOOPBACK, port, limit=_HEAD_BYTES, backlog=512, reuse_address=True)
        self._listeners[name] = server
        return int(server.sockets[0].getsockname()[1])

    def close(self, name: str) -> None:
        """Close a port and its connections: from now on it refuses."""
        if name in self._listeners:
            self._run(self._close(name))

    async def _close(self, name: str) -> None:
        self._listeners.pop(name).close()
        tasks = [task for task, owner in self._connections.items() if owner == name]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """Close everything and end the thread."""
        for name in tuple(self._listeners):
            self.close(name)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await _read(reader)
                if request is None or not await _send(writer, self._handle(request)):
                    break
                if request.headers.get("connection", "").lower() == "close":
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        except asyncio.CancelledError:
            pass  # the port is being closed; the task ends here either way
        finally:
            with contextlib.suppress(Exception):
                writer.close()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Request(method, target, headers, await _chunks(reader))
    return Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    out = bytearray()
    while True:
        size = int((await reader.readline()).partition(b";")[0], 16)
        out += (await reader.readexactly(size + 2))[:size]
        if size == 0:
            return bytes(out)


def _head(answer: Answer, length: int | None) -> bytes:
    phrase = http.client.responses.get(answer.status, "Error")
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    fields = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    return f"HTTP/1.1 {answer.status} {phrase}\r\n{fields}{framing}\r\n\r\n".encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_END = b"0\r\n\r\n"


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> bool:
    """Send an answer as its fault wants it; True when the connection may be used again."""
    fault = answer.fault
    if fault is not None and fault.delay_s:
        await asyncio.sleep(fault.delay_s)
    broken = None if fault is None else _BROKEN.get(fault.mode)
    if fault is not None and broken is not None:
        return await broken(writer, answer, fault)
    if answer.stream:
        data = b"".join([_head(answer, None), *map(_chunk, answer.pieces), _END])
    else:
        body = b"".join(answer.pieces)
        data = _head(answer, len(body)) + body
    writer.write(data)
    await writer.drain()
    return True


def _part(answer: Answer, fault: Fault) -> bytes:
    """What goes out before it breaks: `after` events, or the head and half of a whole body."""
    if answer.stream:
        return b"".join([_head(answer, None), *map(_chunk, answer.pieces[: fault.after])])
    body = b"".join(answer.pieces)
    return _head(answer, len(body)) + body[: len(body) // 2]


async def _disconnect(writer: asyncio.StreamWriter, answer: Answer, fault: Fault) -> bool:
    writer.write(_part(answer, fault))
    await writer.drain()
    return False


async def _reset(writer: asyncio.StreamWriter, answer: Answer, fault: Fault) -> bool:
    if fault.mode == "reset" and fault.after:
        writer.write(_part(answer, fault))
        await writer.drain()
        await asyncio.sleep(_SETTLE_S)
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def _stall(writer: asyncio.StreamWriter, answer: Answer, fault: Fault) -> bool:
    if answer.stream:
        writer.write(_part(answer, fault))
        await writer.drain()
    await asyncio.sleep(_FOREVER_S)
    return False


async def _drip(writer: asyncio.StreamWriter, answer: Answer, fault: Fault) -> bool:
    body = b"".join(answer.pieces)
    writer.write(_head(answer, None if answer.stream else len(body)))
    for index in range(len(body)):
        byte = body[index : index + 1]
        writer.write(_chunk(byte) if answer.stream else byte)
        await writer.drain()
        await asyncio.sleep(fault.interval_s)
    if answer.stream:
        writer.write(_END)
    return True


async def _html(writer: asyncio.StreamWriter, answer: Answer, fault: Fault) -> bool:  # noqa: ARG001  one shape for all faults
    page = b"<!doctype html><html><body><h1>Welcome to the captive portal</h1></body></html>"
    writer.write(_head(Answer(200, {"content-type": "text/html; charset=utf-8"}, []), len(page)) + page)
    await writer.drain()
    return True


async def _half(writer: asyncio.StreamWriter, answer: Answer, fault: Fault) -> bool:
    body = b"".join(answer.pieces)
    body = b"" if fault.mode == "empty" else body[: len(body) // 2]
    writer.write(_head(Answer(200, {"content-type": "application/json"}, []), len(body)) + body)
    await writer.drain()
    return True


async def _empty(writer: asyncio.StreamWriter, answer: Answer, fault: Fault) -> bool:
    if not answer.stream:
        return await _half(writer, answer, fault)
    writer.write(_head(answer, None) + _END)
    await writer.drain()
    return True


_BROKEN: dict[str, Callable[[asyncio.StreamWriter, Answer, Fault], Awaitable[bool]]] = {
    "disconnect": _disconnect,
    "reset": _reset,
    "refuse": _reset,
    "stall": _stall,
    "drip": _drip,
    "html200": _html,
    "broken_json": _half,
    "empty": _empty,
}
