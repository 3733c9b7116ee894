"""A server on loopback that plays recorded answers: the recorded status, headers and bytes, streams in chunks."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Iterator
from typing import Any

import pytest

#: What frames a body on the wire; the recorder has stored the body without it.
_FRAMING = {"transfer-encoding", "content-length", "content-encoding", "connection", "keep-alive"}
#: No multiple of anything: the cuts fall inside events, lines and characters.
_CHUNK_BYTES = 997


class Player:
    """Answers every request with the exchange that was put on. `asked` counts the requests since then."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._answer = b""
        self.asked = 0
        self.port = 0

    def start(self) -> None:
        self._thread.start()
        begun = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self._server = begun.result(10)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def put_on(self, exchange: Any) -> None:
        body = exchange.response.encode("utf-8", "surrogatepass")
        heads = {name: value for name, value in exchange.headers.items() if name not in _FRAMING}
        phrase = http.client.responses.get(exchange.status, "Unknown")
        lines = [f"HTTP/1.1 {exchange.status} {phrase}", *(f"{name}: {value}" for name, value in heads.items())]
        if exchange.stream:
            lines.append("transfer-encoding: chunked")
            cuts = [body[at : at + _CHUNK_BYTES] for at in range(0, len(body), _CHUNK_BYTES)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(cut), cut) for cut in cuts) + b"0\r\n\r\n"
        else:
            lines.append(f"content-length: {len(body)}")
        self._answer = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body
        self.asked = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                self.asked += 1
                writer.write(self._answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()


@pytest.fixture
def player() -> Iterator[Player]:
    """A player that is listening."""
    found = Player()
    found.start()
    yield found
    found.stop()
