"""What goes out for OpenAI and Anthropic: the SDK's own headers and address, the wire's own body."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from joch_core.providers.base import ClientPool, load_provider
from joch_core.providers.endpoint import Endpoint, Timeouts

PLACES = {
    "openai": ("/v1", "/chat/completions", "openai", "OpenAI"),
    "openai-compatible": ("/v1", "/chat/completions", "openai", "OpenAI"),
    "anthropic": ("", "/v1/messages", "anthropic", "Anthropic"),
}
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "grüß dich ✓"}]}
#: What the SDKs say of each try of their own, of which there is none here.
OF_TRIES = {"x-stainless-retry-count", "x-stainless-read-timeout", "x-stainless-timeout", "x-stainless-raw-response"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "ANTHROPIC_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", PLACES)
def test_the_request_is_the_one_that_the_sdk_would_send(
    name: str, asynchronous: bool, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    suffix, path, module, client = PLACES[name]
    sdk = getattr(pytest.importorskip(module), ("Async" if asynchronous else "") + client)
    spoken, pool = load_provider(name), ClientPool()
    endpoint = Endpoint(name, listener.url + suffix, "k-1")

    async def run() -> None:
        response = await spoken.post(await pool.prepared(spoken, endpoint), path, BODY, Timeouts())
        await response.aclose()
        pool.close()
        async with sdk(api_key="k-1", base_url=listener.url + suffix) as own:
            await own.post(path, cast_to=object, body=BODY)

    if asynchronous:
        asyncio.run(run())
    else:
        spoken.post(pool.sync(spoken, endpoint), path, BODY, Timeouts()).close()
        pool.close()
        with sdk(api_key="k-1", base_url=listener.url + suffix) as own:
            own.post(path, cast_to=object, body=BODY)

    sent, theirs = listener.asked
    assert (sent.path, sent.body) == (theirs.path, theirs.body) == (suffix + path, BODY)
    heads = {head: value for head, value in theirs.headers.items() if head not in OF_TRIES | {"content-length"}}
    assert {head: sent.headers.get(head) for head in heads} == heads


def test_an_error_status_is_a_response_and_is_sent_once(listener: Any) -> None:
    listener.answer(b'{"error": {"message": "no"}}', status=500, retry_after="3")
    spoken, pool = load_provider("openai"), ClientPool()

    response = spoken.post(pool.sync(spoken, Endpoint("openai", listener.url, "k")), "/chat/completions", BODY, Timeouts())

    assert (response.status_code, response.headers["retry-after"], response.read()) == (
        500,
        "3",
        b'{"error": {"message": "no"}}',
    )
    assert len(listener.asked) == 1
    pool.close()


def test_time_outs_reach_the_transport(listener: Any) -> None:
    spoken, pool = load_provider("anthropic"), ClientPool()
    client = pool.sync(spoken, Endpoint("anthropic", listener.url, "k"))

    response = spoken.post(client, "/v1/messages", BODY, Timeouts(connect_s=3, first_content_s=20, between_chunks_s=30))

    assert response.request.extensions["timeout"] == {"connect": 3, "read": 30, "write": 30, "pool": 30}
    response.close()
    pool.close()
