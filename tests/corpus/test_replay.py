"""Every recorded exchange, played again through the front door: real SDKs, real sockets, the four ways of a call."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from joch_core import InvalidArgument, Joch, JochError, Message, ModelRequest, Reply, read_request
from joch_core.capabilities import CAPABILITIES
from joch_core.resources.base import Metadata
from joch_core.resources.route import Failover, ModelRoute, RouteSpec, Strategy

pytestmark = [pytest.mark.corpus, pytest.mark.slow]

#: Who is asked, in which format, and what its SDK expects after the address.
PLACES = {
    "openai-chat": ("openai", "openai-chat", "/v1"),
    "openai-responses": ("openai", "openai-responses", "/v1"),
    "generic-openai": ("openai-compatible", "openai-chat", "/v1"),
    "generic-openai-responses": ("openai-compatible", "openai-responses", "/v1"),
    "anthropic-messages": ("anthropic", "anthropic-messages", ""),
    "gemini-generate": ("google", "gemini-generate", ""),
}

EMPTY_FINISH = "an empty finish reason; Reply.finish is never null, and this dialect takes the answer as complete"
CACHED = "a top-level `cached_tokens` is a count of cache reads, too"
SAYS_MORE = "the status is 400, but the text says more"
SEEN = "the caller had seen a part of the answer when the error came: that is an interrupted stream"
SECRET = "the provider quotes the key; Joch does not"
NO_MESSAGE = "a request without messages is refused before it is sent"

_PYDANTIC, _RUBY = "generic-openai/pydantic-ai__", "generic-openai/ruby_llm__chat_"
_THINKING = _PYDANTIC + "test_snowflake-test_snowflake_thinking-ab4e92.yaml"
_CUT = _PYDANTIC + "test_tool_use_failed_error_streaming_with_text-ea42ed.yaml"
_EMPTY = "openai-chat/ai-gateway__cassettes-chat-no-messages-0e9b9d.yaml"

#: Every fact that is not as expected, with its reason: (file, interaction, fact).
KNOWN: dict[tuple[str, int, str], str] = {
    ("generic-openai/openinference__test_chat_with_tool_call-e4ed29.yaml", 0, "cache_read"): CACHED,
    (_PYDANTIC + "test_max_completion_tokens-d82121.yaml", 0, "cache_read"): CACHED,
    (_PYDANTIC + "test_request_structured_response-c0a400.yaml", 0, "cache_read"): CACHED,
    (_THINKING, 0, "finish"): EMPTY_FINISH,
    (_THINKING, 1, "finish"): EMPTY_FINISH,
    (_PYDANTIC + "test_snowflake_model_simple-1d7cb2.yaml", 0, "finish"): EMPTY_FINISH,
    (_PYDANTIC + "test_snowflake_native_output-c00f37.yaml", 0, "finish"): EMPTY_FINISH,
    (_CUT, 0, "error"): SEEN,
    (_CUT, 0, "message"): SEEN,
    (
        _RUBY + "error_handling_with_xai_grok-4-1-fast-non-reasoning_raises_appropriate_auth_error-bf3ab7.yaml", 0, "error",
    ): SAYS_MORE,
    (
        _RUBY + "real_error_scenarios_perplexity_sonar_handles_context_length_exceeded_errors-dfa2c0.yaml", 0, "error",
    ): SAYS_MORE,
    (_EMPTY, 0, "error"): NO_MESSAGE,
    (_EMPTY, 0, "status"): NO_MESSAGE,
    (_EMPTY, 0, "message"): NO_MESSAGE,
    (_EMPTY, 0, "asked"): NO_MESSAGE,
    ("openai-chat/openinference__TestLM.test_exception_event_recorded_on_lm_error-947385.yaml", 0, "message"): SECRET,
}  # fmt: skip


class Replay:
    """One `Joch` that knows a Model per (api, model id) of the recordings, all of them at the player."""

    def __init__(self, joch: Joch, player: Any, backends: dict[tuple[str, str], str]) -> None:
        self.joch = joch
        self.player = player
        self._routes = {key: _patient(backend) for key, backend in backends.items()}
        self.requests: Counter[str] = Counter()

    def route(self, exchange: Any) -> ModelRoute:
        return self._routes[exchange.api, _model(exchange)]

    def request(self, exchange: Any) -> ModelRequest:
        """The recorded request, read; a simple one where it is none."""
        try:
            issuer = f"{PLACES[exchange.api][0]}:{_model(exchange)}"
            request = read_request(PLACES[exchange.api][1], json.loads(exchange.request), issuer)
        except (ValueError, InvalidArgument):
            self.requests["simple"] += 1
            return ModelRequest((Message.user("hello"),))
        self.requests["recorded"] += 1
        return request

    def play(self, exchange: Any) -> Reply | JochError:
        self.player.put_on(exchange)
        route, request = self.route(exchange), self.request(exchange)
        try:
            if not exchange.stream:
                return self.joch.call(route, request=request)
            stream = self.joch.stream(route, request=request)
            return _same(list(stream), stream.reply)
        except JochError as error:
            return error

    async def aplay(self, exchange: Any) -> Reply | JochError:
        self.player.put_on(exchange)
        route, request = self.route(exchange), self.request(exchange)
        try:
            if not exchange.stream:
                return await self.joch.acall(route, request=request)
            stream = self.joch.astream(route, request=request)
            return _same([delta async for delta in stream], stream.reply)
        except JochError as error:
            return error


def _patient(backend: str) -> ModelRoute:
    """A route of one that is asked although it failed a moment ago: recorded errors follow each other."""
    spec = RouteSpec(strategy=Strategy(primary=backend, failover=Failover(on_health_degraded=False)))
    return ModelRoute(metadata=Metadata(name=backend.replace(":", "-")), spec=spec)


def _same(deltas: list[Any], reply: Reply) -> Reply:
    """What was handed over is what the reply holds."""
    assert "".join(delta.text for delta in deltas if delta.type == "text") == reply.text
    assert [delta.tool_call for delta in deltas if delta.type == "tool_call"] == list(reply.tool_calls)
    return reply


def _model(exchange: Any) -> str:
    return str(exchange.expected["requested_model"] or "asked")


@pytest.fixture
def replay(corpus: Any, player: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    documents, backends = [], {}
    able = dict.fromkeys(CAPABILITIES, True)
    for exchange in corpus.exchanges(*PLACES):
        key = (exchange.api, _model(exchange))
        if key not in backends:
            provider, api, _ = PLACES[exchange.api]
            backends[key] = f"{provider}:m-{len(backends)}"
            spec: dict[str, Any] = {
                "provider": provider,
                "model": key[1],
                "endpoint": {"api": api},
                "capabilities": able,
                "limits": {"maxInputTokens": 10**9},
            }
            if exchange.api.startswith("generic"):
                spec["dialect"] = {"name": "reasoning-content", "contentParts": True, "fileUrls": True}
            metadata = {"name": backends[key].partition(":")[2]}
            documents.append({"apiVersion": "joch.dev/v1alpha1", "kind": "Model", "metadata": metadata, "spec": spec})
    file = tmp_path / "models.yaml"
    file.write_text("\n---\n".join(map(json.dumps, documents)))
    for provider, _, suffix in PLACES.values():
        variable = f"JOCH_PROVIDER_{provider.upper().replace('-', '_')}_BASE_URL"
        monkeypatch.setenv(variable, f"http://127.0.0.1:{player.port}{suffix}")
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.setenv(name, "sk-replayed")
    with Joch(store="sqlite:///:memory:", resources=file) as joch:
        yield Replay(joch, player, backends)


# ------------------------------------------------------------------------------------------------------- the facts
def facts_of(answer: Reply | JochError, asked: int) -> dict[str, Any]:
    """The neutral facts as Joch gives them."""
    if isinstance(answer, JochError):
        last = answer.attempts[-1] if answer.attempts else None
        return {"error": answer.kind, "status": last and last.status, "message": answer.message, "asked": asked > 0}
    usage = answer.usage
    return {
        "text": answer.text,
        "tool_calls": [(call.name, call.args) for call in answer.tool_calls],
        "finish": answer.finish,
        "model": answer.model,
        "refusal": answer.refusal,
        "server_tools": list(answer.server_tools),
        "reasoning": answer.reasoning,
        "reasoning_present": any(part.type == "reasoning" for part in answer.parts),
        "input_total": usage.input_tokens,
        "output_total": usage.output_tokens,
        "cache_read": usage.cache_read_tokens,
        "cache_write": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "asked": asked,
    }


def facts_expected(exchange: Any) -> dict[str, Any]:
    row = exchange.expected
    if row["error"] is not None:
        error = row["error"]
        status = None if error["in_stream"] or exchange.status < 400 else exchange.status
        return {"error": error["neutral"], "status": status, "message": error["message"], "asked": True}
    usage = row["usage"] or {}
    return {
        "text": row["text"],
        "tool_calls": [
            (call["name"], {"input": call["args"]} if call.get("custom") else call["args"]) for call in row["tool_calls"]
        ],
        "finish": "other" if row["finish_neutral"] == "error" else row["finish_neutral"],
        "model": row["model"] or row["requested_model"],
        "refusal": row["refusal"],
        "server_tools": row["server_tools"],
        "reasoning": row["reasoning"]["text"],
        "reasoning_present": row["reasoning"]["present"],
        "input_total": usage.get("input_total"),
        "output_total": usage.get("output_total"),
        "cache_read": usage.get("cache_read"),
        "cache_write": usage.get("cache_write"),
        "reasoning_tokens": usage.get("reasoning"),
        "asked": 1,
    }


class Ledger:
    """The facts that were compared, and those that differ."""

    def __init__(self) -> None:
        self.exchanges = 0
        self.facts = 0
        self.wrong: dict[tuple[str, int, str], tuple[Any, Any]] = {}

    def enter(self, exchange: Any, answer: Reply | JochError, asked: int) -> None:
        self.exchanges += 1
        found, expected = facts_of(answer, asked), facts_expected(exchange)
        self.facts += len(expected)
        if "error" in found and "error" not in expected:  # one difference, not fourteen that follow from it
            self.wrong[exchange.file, exchange.interaction, "failed"] = (found, {})
            return
        for fact, value in expected.items():
            if found.get(fact) != value:
                self.wrong[exchange.file, exchange.interaction, fact] = (found.get(fact), value)

    def judge(self) -> None:
        assert self.exchanges == 1875
        assert {key: pair for key, pair in self.wrong.items() if key not in KNOWN} == {}
        assert self.wrong.keys() >= KNOWN.keys(), "a difference is gone: take it off the list"
        assert len(self.wrong) <= self.facts * 0.005


@pytest.mark.timeout(600)
def test_every_recorded_exchange_is_answered_as_it_was(replay: Replay, corpus: Any) -> None:
    ledger = Ledger()
    for exchange in corpus.exchanges(*PLACES):
        ledger.enter(exchange, replay.play(exchange), replay.player.asked)

    ledger.judge()
    assert replay.requests["recorded"] > 1850


@pytest.mark.timeout(600)
def test_every_recorded_exchange_is_answered_the_same_without_holding_the_loop(replay: Replay, corpus: Any) -> None:
    ledger = Ledger()

    async def run() -> None:
        for exchange in corpus.exchanges(*PLACES):
            ledger.enter(exchange, await replay.aplay(exchange), replay.player.asked)

    asyncio.run(run())

    ledger.judge()
