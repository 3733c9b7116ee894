"""What a provider's connection can do that the double cannot: pings without content, a wrong certificate, a silent listener.

A plain TCP server plays it; each time-out is measured, synchronous and asynchronous.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from joch_core import Joch, JochError, ProviderError, Reply, StreamInterrupted
from joch_core.resources.model import Timeouts
from joch_core.resources.route import ModelRoute, route_of

Way = Callable[..., Reply]
Play = Callable[[socket.socket], None]
ONE, TWO = "openai:gpt-4o-mini", "anthropic:claude-sonnet"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CONTENT = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'


class Listener:
    """Accepts connections on loopback, reads a request of each, and lets `play` do the rest."""

    def __init__(self, play: Play, context: ssl.SSLContext | None = None) -> None:
        self._play, self._context = play, context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.requests = 0
        self.asked, self.gone = threading.Event(), threading.Event()
        self._stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            if self._context is not None:
                peer = self._context.wrap_socket(peer, server_side=True)
            with peer:
                peer.recv(65536)
                self.requests += 1
                self.asked.set()
                self._play(peer)
        except OSError:
            self.gone.set()

    def stop(self) -> None:
        self._stopped.set()
        self._socket.close()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def pings(peer: socket.socket) -> None:
    peer.sendall(HEAD)
    while True:
        peer.sendall(chunk(b": ping\n\n"))
        time.sleep(0.03)


def silence(peer: socket.socket) -> None:
    while peer.recv(1024):
        pass
    raise OSError


def content_then_silence(peer: socket.socket) -> None:
    peer.sendall(HEAD + chunk(CONTENT))
    silence(peer)


def content_without_end(peer: socket.socket) -> None:
    peer.sendall(HEAD)
    while True:
        peer.sendall(chunk(CONTENT))
        time.sleep(0.03)


def response_failed(peer: socket.socket) -> None:
    """OpenAI's Responses tell a failure of the model as an ordinary event: no SDK raises it."""
    error = {"code": "server_error", "message": "The model failed to generate a response."}
    event = {"type": "response.failed", "sequence_number": 1, "response": {"id": "r", "status": "failed", "error": error}}
    peer.sendall(HEAD + chunk(b"event: response.failed\ndata: " + json.dumps(event).encode() + b"\n\n") + b"0\r\n\r\n")
    silence(peer)


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def begin(play: Play, context: ssl.SSLContext | None = None) -> Listener:
        listener = Listener(play, context)
        listeners.append(listener)
        scheme = "http" if context is None else "https"
        monkeypatch.setenv("JOCH_PROVIDER_OPENAI_BASE_URL", f"{scheme}://127.0.0.1:{listener.port}/v1")
        return listener

    yield begin
    for listener in listeners:
        listener.stop()


@pytest.fixture(autouse=True)
def warm() -> None:
    """The SDKs are imported before a time-out is measured."""
    import anthropic  # noqa: F401
    import openai  # noqa: F401


def route(*backends: str, **timeouts: float) -> ModelRoute:
    made = route_of(backends, name="slow")
    return made.model_copy(update={"spec": made.spec.model_copy(update={"timeouts": Timeouts(**timeouts)})})


def failure(way: Way, joch: Joch, asked: ModelRoute, **options: object) -> tuple[JochError, float]:
    begin_s = time.monotonic()
    with pytest.raises(JochError) as caught:
        way(joch, asked, "hi", **options)
    return caught.value, time.monotonic() - begin_s


def test_a_server_that_only_pings_has_brought_no_content(
    streaming: Way, joch: Joch, listen: Callable[..., Listener]
) -> None:
    listen(pings)

    error, took_s = failure(streaming, joch, route(ONE, first_content_seconds=0.4))

    assert isinstance(error, ProviderError)
    assert (error.kind, error.code) == ("timeout", "first_content")
    assert 0.35 < took_s < 1.5


def test_silence_between_two_chunks_is_measured_by_itself(
    streaming: Way, joch: Joch, listen: Callable[..., Listener]
) -> None:
    server = listen(content_then_silence)

    error, took_s = failure(streaming, joch, route(ONE, first_content_seconds=30, between_chunks_seconds=0.4))

    assert isinstance(error, StreamInterrupted)
    assert error.attempts[-1].code == "between_chunks"
    assert error.partial.text == "Hel"
    assert 0.35 < took_s < 1.5
    assert server.gone.wait(2)


def test_an_answer_that_never_ends_is_cut_at_the_end_of_its_attempt(
    streaming: Way, joch: Joch, listen: Callable[..., Listener]
) -> None:
    listen(content_without_end)

    error, took_s = failure(streaming, joch, route(ONE, attempt_seconds=0.5))

    assert isinstance(error, StreamInterrupted)
    assert error.attempts[-1].code == "attempt_deadline"
    assert 0.45 < took_s < 1.5


def test_silence_ends_with_the_attempt_even_if_more_patience_is_left_for_content(
    way: Way, joch: Joch, listen: Callable[..., Listener]
) -> None:
    server = listen(silence)

    error, took_s = failure(way, joch, route(ONE, first_content_seconds=30, attempt_seconds=0.5))

    assert (error.kind, error.attempts[-1].code) == ("timeout", "attempt_deadline")
    assert 0.45 < took_s < 1.5
    assert server.requests == 1


def test_the_deadline_of_the_call_bounds_all_its_attempts_together(
    way: Way, joch: Joch, listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = listen(silence)
    monkeypatch.setenv("JOCH_PROVIDER_ANTHROPIC_BASE_URL", f"http://127.0.0.1:{server.port}")

    error, took_s = failure(way, joch, route(ONE, TWO, first_content_seconds=0.8), timeout_s=1.2)

    assert [(one.backend, one.code) for one in error.attempts] == [(ONE, "first_content"), (TWO, "attempt_deadline")]
    assert 1.1 < took_s < 3


def test_a_place_that_takes_no_connection_is_left_after_the_connect_time(way: Way, joch: Joch, listen: object) -> None:
    with full_backlog() as port, pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOCH_PROVIDER_OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")

        error, took_s = failure(way, joch, route(ONE, connect_seconds=0.3))

    assert [(one.kind, one.code) for one in error.attempts] == [("connection", "connect")] * 2
    assert 0.55 < took_s < 2.5


class full_backlog:
    """A port whose queue of connections is full: a new one is neither taken nor refused."""

    def __enter__(self) -> int:
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self._server.listen(0)
        self._peers = []
        for _ in range(4):
            peer = socket.socket()
            peer.setblocking(False)
            peer.connect_ex(self._server.getsockname())
            self._peers.append(peer)
        return int(self._server.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        for peer in (*self._peers, self._server):
            peer.close()


@pytest.fixture(scope="module")
def unknown_certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """TLS with a certificate that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    form = serialization.PrivateFormat.PKCS8
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_a_wrong_certificate_is_no_reason_to_ask_another_provider(
    way: Way, joch: Joch, listen: Callable[..., Listener], unknown_certificate: ssl.SSLContext
) -> None:
    server = listen(silence, unknown_certificate)

    error, _ = failure(way, joch, route(ONE, TWO))

    assert isinstance(error, ProviderError)
    assert (error.kind, error.code, len(error.attempts)) == ("connection", "certificate", 1)
    assert server.requests == 0


def test_a_response_that_says_it_failed_is_asked_once_more_and_left(
    streaming: Way, joch: Joch, listen: Callable[..., Listener]
) -> None:
    server = listen(response_failed)

    reply = streaming(joch, route("openai:gpt-5-mini", TWO), "hi")

    assert reply.backend == TWO
    assert [(one.kind, one.code) for one in reply.attempts] == [("server_error", "server_error")] * 2 + [("ok", None)]
    assert server.requests == 2


def test_closing_a_stream_early_closes_the_connection(joch: Joch, listen: Callable[..., Listener]) -> None:
    server = listen(content_then_silence)

    with joch.stream(ONE, "hi", conversation="c") as stream:
        next(stream)

    assert server.gone.wait(2)


@pytest.mark.parametrize("colour", ["acall", "astream"])
def test_cancelling_a_task_closes_the_connection_and_leaves_the_conversation_usable(
    colour: str, joch: Joch, listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    double = os.environ["JOCH_PROVIDER_OPENAI_BASE_URL"]
    server = listen(content_then_silence)

    async def ask() -> None:
        if colour == "acall":
            await joch.acall(ONE, "hi", conversation="c")
        else:
            async for _ in joch.astream(ONE, "hi", conversation="c"):
                pass

    async def cancelled() -> None:
        task = asyncio.create_task(ask())
        assert await asyncio.to_thread(server.asked.wait, 10)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())

    assert server.gone.wait(2)
    monkeypatch.setenv("JOCH_PROVIDER_OPENAI_BASE_URL", double)
    assert joch.call(ONE, "are you there?", conversation="c").text
    kinds = [event.type for event in joch.trace("c")]
    assert kinds.count("ModelCallStarted") == 2
    assert kinds.count("ModelCallCompleted") == 1
    assert "ModelCallFailed" not in kinds
