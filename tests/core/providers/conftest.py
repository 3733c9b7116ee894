"""A server on loopback that keeps what it was sent and answers what it was told, byte by byte."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Asked:
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    content: bytes


@dataclass
class Listener:
    """What it answers, where it listens, and what it was asked."""

    url: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    pieces: list[bytes] = field(default_factory=lambda: [b"{}"])
    asked: list[Asked] = field(default_factory=list)

    def answer(self, *pieces: bytes, status: int = 200, content_type: str = "application/json", **headers: str) -> None:
        self.status, self.pieces = status, list(pieces)
        self.headers = {"content-type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A listening server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            heads = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(content) if heads.get("content-type") == "application/json" else {}
            told.asked.append(Asked(self.path, heads, body, content))
            self.send_response(told.status)
            for name, value in {**told.headers, "transfer-encoding": "chunked"}.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in told.pieces:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_args: Any) -> None:
            """A client that hangs up is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    told = Listener(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
