from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.context import collect_runs
from langchain_joch import JochChatModel

from joch_core import StreamInterrupted
from joch_core.testing import Simulator

PRIMARY, FALLBACK = "openai:gpt-5-mini", "anthropic:claude-sonnet"
PROMPT = ChatPromptTemplate.from_messages([("human", "{text}")])
Ask = Callable[..., Awaitable[Any]]


async def invoke(runnable: Any, *args: Any, **kwargs: Any) -> None:
    runnable.invoke(*args, **kwargs)


async def ainvoke(runnable: Any, *args: Any, **kwargs: Any) -> None:
    await runnable.ainvoke(*args, **kwargs)


async def stream(runnable: Any, *args: Any, **kwargs: Any) -> None:
    list(runnable.stream(*args, **kwargs))


async def astream(runnable: Any, *args: Any, **kwargs: Any) -> None:
    [chunk async for chunk in runnable.astream(*args, **kwargs)]


FOUR_WAYS = pytest.mark.parametrize("ask", [invoke, ainvoke, stream, astream])


class Events(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.seen.append((name, data))


@pytest.fixture
def model(simulator: Simulator) -> JochChatModel:
    simulator.fail("openai", status=503)
    return JochChatModel(model=PRIMARY, fallbacks=[FALLBACK])


@FOUR_WAYS
async def test_a_failover_inside_a_chain_is_an_event_with_its_reason(ask: Ask, model: JochChatModel) -> None:
    events = Events()

    await ask(PROMPT | model, {"text": "hello"}, config={"callbacks": [events]})

    ((name, facts),) = events.seen
    assert name == "joch.provider_switched"
    assert (facts["switched_from"], facts["backend"], facts["reason"]) == (PRIMARY, FALLBACK, "outage")


@FOUR_WAYS
async def test_a_call_that_nothing_went_wrong_with_has_no_event(
    ask: Ask, model: JochChatModel, simulator: Simulator
) -> None:
    simulator.recover()
    events = Events()

    await ask(PROMPT | model, {"text": "hello"}, config={"callbacks": [events]})

    assert events.seen == []


@FOUR_WAYS
async def test_a_bare_call_fails_over_without_an_event(ask: Ask, model: JochChatModel, simulator: Simulator) -> None:
    events = Events()

    await ask(model, "hello", config={"callbacks": [events]})

    assert events.seen == []
    assert len(simulator.calls("anthropic")) == 1


async def test_the_event_is_seen_among_the_streamed_events_of_a_chain(model: JochChatModel) -> None:
    chain = PROMPT | model | RunnableLambda(lambda message: message.text)

    names = [event["name"] async for event in chain.astream_events({"text": "hello"}) if event["event"] == "on_custom_event"]

    assert names == ["joch.provider_switched"]


async def test_asynchronous_handlers_are_told(model: JochChatModel) -> None:
    seen: list[str] = []

    class Handler(AsyncCallbackHandler):
        async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            seen.append(name)

    await (PROMPT | model).ainvoke({"text": "hello"}, {"callbacks": [Handler()]})

    assert seen == ["joch.provider_switched"]


@FOUR_WAYS
async def test_the_traced_run_names_the_backend_that_answered(ask: Ask, model: JochChatModel) -> None:
    with collect_runs() as collected:
        await ask(model, "hello")

    (run,) = collected.traced_runs
    metadata = run.extra["metadata"]
    assert (metadata["joch_backend"], metadata["joch_switched_from"], metadata["joch_reason"]) == (
        FALLBACK,
        PRIMARY,
        "outage",
    )
    assert (metadata["ls_provider"], metadata["joch_attempts"]) == ("anthropic", 2)
    assert metadata["ls_model_name"].startswith("claude")


@pytest.mark.parametrize("ask", [stream, astream])
async def test_a_chain_whose_stream_breaks_after_text_gives_what_came(ask: Ask, simulator: Simulator) -> None:
    simulator.fail("openai", mode="disconnect", after=8)
    model = JochChatModel(model=PRIMARY, fallbacks=[FALLBACK])

    with pytest.raises(StreamInterrupted) as caught:
        await ask(PROMPT | model, {"text": "tell me a long story about a mountain and a valley and a river"})

    assert caught.value.partial.text
    assert simulator.calls("anthropic") == []
