"""Amazon's binary frames, told as server-sent events."""

from __future__ import annotations

import base64
import json
import random
import struct
from typing import Any

import pytest

from joch_core.errors import ProviderError
from joch_core.providers.event_stream import FrameDecoder


def frame(payload: bytes, **headers: str) -> bytes:
    head = b"".join(_header(name.replace("_", "-"), value) for name, value in headers.items())
    head += bytes([5]) + b":flag" + bytes([0])  # a boolean: a header without a value
    head += bytes([5]) + b":time" + bytes([8]) + bytes(8)
    total = 12 + len(head) + len(payload) + 4
    return struct.pack(">III", total, len(head), 0) + head + payload + bytes(4)


def _header(name: str, value: str) -> bytes:
    name = ":" + name
    return bytes([len(name)]) + name.encode() + bytes([7]) + struct.pack(">H", len(value)) + value.encode()


def event(**data: Any) -> bytes:
    payload = json.dumps({"bytes": base64.b64encode(json.dumps(data).encode()).decode(), "p": "abc"}).encode()
    return frame(payload, message_type="event", event_type="chunk", content_type="application/json")


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_frames_are_read_however_the_bytes_are_cut(size: int) -> None:
    decoder = FrameDecoder()
    data = (
        event(type="message_start", n=1) + frame(b"{}", message_type="event", event_type="ping") + event(type="message_stop")
    )

    told = b"".join(decoder.feed(data[at : at + size]) for at in range(0, len(data), size))

    assert told == (
        b'event: message_start\ndata: {"type": "message_start", "n": 1}\n\n'
        b'event: message_stop\ndata: {"type": "message_stop"}\n\n'
    )


@pytest.mark.parametrize(
    ("exception", "kind"),
    [
        ("throttlingException", "rate_limit_error"),
        ("validationException", "invalid_request_error"),
        ("internalServerException", "api_error"),
    ],
)
def test_an_exception_is_told_as_an_error_event(exception: str, kind: str) -> None:
    told = FrameDecoder().feed(frame(b'{"message": "no"}', message_type="exception", exception_type=exception))

    name, data, *_ = told.decode().split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: ")) == {"type": "error", "error": {"type": kind, "message": "no"}}


def test_broken_frames_are_a_typed_fault_and_nothing_else() -> None:
    chance, kinds = random.Random(7), []
    whole = event(type="message_start", n=1)
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(3):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            FrameDecoder().feed(bytes(data))
        except ProviderError as error:
            kinds.append(error.kind)

    assert len(kinds) > 50
    assert set(kinds) == {"server_error"}
