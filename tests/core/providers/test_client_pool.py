"""Clients of the real SDK: one per credential, one per event loop, none across a fork, all let go of at the end."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from joch_core.providers.base import ClientPool, load_provider
from joch_core.providers.endpoint import Endpoint, Timeouts

PATH, BODY = "/chat/completions", {"model": "m"}
ONE, TWO = Endpoint("openai", "http://127.0.0.1:1/v1", "k-1"), Endpoint("openai", "http://127.0.0.1:1/v1", "k-2")


def test_a_client_is_kept_per_credential() -> None:
    openai, pool = load_provider("openai"), ClientPool()
    assert pool.sync(openai, ONE) is pool.sync(openai, Endpoint("openai", "http://127.0.0.1:1/v1", "k-1"))
    assert pool.sync(openai, ONE) is not pool.sync(openai, TWO)
    pool.close()


def test_an_asynchronous_client_belongs_to_its_loop() -> None:
    openai, pool = load_provider("openai"), ClientPool()

    async def twice() -> tuple[Any, Any]:
        return pool.asynchronous(openai, ONE), await pool.prepared(openai, ONE)

    first, again = asyncio.run(twice())
    other, _ = asyncio.run(twice())
    assert first is again
    assert other is not first
    pool.close()


def test_a_pool_that_was_closed_makes_a_new_client(listener: Any) -> None:
    openai, pool = load_provider("openai"), ClientPool()
    place = Endpoint("openai", listener.url, "k-1")
    client = pool.sync(openai, place)
    openai.post(client, PATH, BODY, Timeouts()).close()
    pool.close()

    assert pool.sync(openai, place) is not client
    with pytest.raises(RuntimeError, match="closed"):
        openai.post(client, PATH, BODY, Timeouts())
    openai.post(pool.sync(openai, place), PATH, BODY, Timeouts()).close()
    assert len(listener.asked) == 2
    pool.close()


def test_a_forked_child_makes_its_own_client() -> None:
    openai, pool = load_provider("openai"), ClientPool()
    client = pool.sync(openai, ONE)
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(7 if pool.sync(openai, ONE) is not client else 8)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert pool.sync(openai, ONE) is client
    pool.close()
