"""The four ways of one call, as one function each: every behaviour of a call is asserted on all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from joch_core import Joch, Reply

Way = Callable[..., Reply]


def _call(joch: Joch, *args: Any, **options: Any) -> Reply:
    return joch.call(*args, **options)


def _acall(joch: Joch, *args: Any, **options: Any) -> Reply:
    return asyncio.run(joch.acall(*args, **options))


def _stream(joch: Joch, *args: Any, **options: Any) -> Reply:
    stream = joch.stream(*args, **options)
    text = "".join(delta.text for delta in stream if delta.type == "text")
    assert text == stream.reply.text
    return stream.reply


def _astream(joch: Joch, *args: Any, **options: Any) -> Reply:
    async def run() -> Reply:
        stream = joch.astream(*args, **options)
        text = "".join([delta.text async for delta in stream if delta.type == "text"])
        assert text == stream.reply.text
        return stream.reply

    return asyncio.run(run())


@pytest.fixture(params=[_call, _acall, _stream, _astream], ids=["call", "acall", "stream", "astream"])
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


@pytest.fixture(params=[_stream, _astream], ids=["stream", "astream"])
def streaming(request: pytest.FixtureRequest) -> Way:
    return request.param
