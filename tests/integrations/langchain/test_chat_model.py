from __future__ import annotations

import copy
import pickle
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelAPIError, ModelError, ModelInvalidRequestError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_joch import ChatJoch, JochChatModel, chat_history
from pydantic import BaseModel

from joch_core import InvalidArgument, Joch, RouteExhausted, StreamInterrupted
from joch_core.testing import Simulator

PRIMARY, FALLBACK = "openai:gpt-5-mini", "anthropic:claude-sonnet"
Ask = Callable[..., Awaitable[AIMessage]]


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"18 degrees in {city}"


async def invoke(model: Any, *args: Any, **kwargs: Any) -> AIMessage:
    return model.invoke(*args, **kwargs)


async def ainvoke(model: Any, *args: Any, **kwargs: Any) -> AIMessage:
    return await model.ainvoke(*args, **kwargs)


async def stream(model: Any, *args: Any, **kwargs: Any) -> AIMessage:
    return whole(list(model.stream(*args, **kwargs)))


async def astream(model: Any, *args: Any, **kwargs: Any) -> AIMessage:
    return whole([chunk async for chunk in model.astream(*args, **kwargs)])


def whole(chunks: list[AIMessageChunk]) -> AIMessage:
    return sum(chunks[1:], chunks[0])


FOUR_WAYS = pytest.mark.parametrize("ask", [invoke, ainvoke, stream, astream])


@pytest.fixture
def model(simulator: Simulator) -> JochChatModel:
    return JochChatModel(model=PRIMARY, fallbacks=[FALLBACK], temperature=0)


def facts(message: AIMessage) -> dict[str, Any]:
    return message.response_metadata["joch"]


@FOUR_WAYS
async def test_an_answer_says_who_gave_it(ask: Ask, model: JochChatModel) -> None:
    message = await ask(model, "hello")

    assert str(message.text) == "You said: hello"
    assert message.usage_metadata["total_tokens"] > 0
    assert message.response_metadata["model_provider"] == "openai"
    assert facts(message)["backend"] == PRIMARY
    assert (facts(message)["attempts"], facts(message)["switched_from"]) == (1, None)


@FOUR_WAYS
async def test_a_provider_that_is_down_is_passed_over(ask: Ask, model: JochChatModel, simulator: Simulator) -> None:
    simulator.fail("openai", status=503)

    message = await ask(model, "hello")

    assert str(message.text) == "You said: hello"
    assert message.response_metadata["model_provider"] == "anthropic"
    assert (facts(message)["backend"], facts(message)["switched_from"]) == (FALLBACK, PRIMARY)
    assert (facts(message)["reason"], facts(message)["attempts"]) == ("outage", 2)


@FOUR_WAYS
async def test_when_all_are_down_the_error_is_jochs_and_langchains(
    ask: Ask, model: JochChatModel, simulator: Simulator
) -> None:
    simulator.fail(status=503)

    with pytest.raises(ModelAPIError) as caught:
        await ask(model, "hello")

    assert isinstance(caught.value, RouteExhausted)
    assert [attempt.backend for attempt in caught.value.attempts] == [PRIMARY, FALLBACK]
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@FOUR_WAYS
async def test_tools_are_called_in_every_way(ask: Ask, model: JochChatModel) -> None:
    bound = model.bind_tools([weather], parallel_tool_calls=False)

    message = await ask(bound, 'call weather {"city": "Bern"}')

    (call,) = message.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Bern"})
    assert [block["type"] for block in message.content_blocks] == ["tool_call"]


@pytest.mark.parametrize("down", [False, True])
@FOUR_WAYS
async def test_a_tool_conversation_goes_round_on_either_provider(
    ask: Ask, model: JochChatModel, simulator: Simulator, down: bool
) -> None:
    if down:
        simulator.fail("openai", status=503)
    bound, history = (
        model.bind_tools([weather]),
        [HumanMessage('call weather {"city": "Bern"} and call weather {"city": "Ulm"}')],
    )

    asked = await ask(bound, history)
    results = [weather.invoke(call) for call in asked.tool_calls]
    answer = await ask(bound, [*history, asked, *results])

    assert [call["args"]["city"] for call in asked.tool_calls] == ["Bern", "Ulm"]
    assert str(answer.text) == "weather returned: 18 degrees in Bern\nweather returned: 18 degrees in Ulm"


@FOUR_WAYS
async def test_a_conversation_that_changes_its_provider_keeps_its_calls(
    ask: Ask, model: JochChatModel, simulator: Simulator
) -> None:
    bound, history = model.bind_tools([weather]), [HumanMessage('call weather {"city": "Bern"}')]

    asked = await ask(bound, history)
    simulator.fail("openai", status=503)
    answer = await ask(bound, [*history, asked, weather.invoke(asked.tool_calls[0])])

    assert (facts(asked)["backend"], facts(answer)["backend"]) == (PRIMARY, FALLBACK)
    assert str(answer.text) == "weather returned: 18 degrees in Bern"


@pytest.mark.parametrize("read", [stream, astream])
async def test_a_stream_that_breaks_after_text_was_shown_is_no_answer(
    read: Ask, model: JochChatModel, simulator: Simulator
) -> None:
    simulator.fail("openai", mode="disconnect", after=8)

    with pytest.raises(StreamInterrupted) as caught:
        await read(model, "tell me a long story about a mountain and a valley and a river")

    assert isinstance(caught.value, ModelAPIError)
    assert caught.value.partial.text


class Answer(BaseModel):
    """An answer."""

    city: str
    degrees: int


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("down", [False, True])
@FOUR_WAYS
async def test_structured_output_comes_from_either_provider(ask: Ask, simulator: Simulator, method: Any, down: bool) -> None:
    if down:
        simulator.fail("openai", status=503)
    model = JochChatModel(model=PRIMARY, fallbacks=["anthropic:claude-sonnet-4-5"])
    structured = model.with_structured_output(Answer, method=method)

    if ask in (invoke, ainvoke):
        answer = await ask(structured, "how warm is it?")
    elif ask is stream:
        answer = list(structured.stream("how warm is it?"))[-1]
    else:
        answer = [one async for one in structured.astream("how warm is it?")][-1]

    assert answer == Answer(city="city", degrees=1)


UNFORCED = "anthropic:claude-fable-5-1"


@pytest.mark.parametrize("backends", [[UNFORCED], [PRIMARY, UNFORCED]])
async def test_a_model_that_no_tool_can_be_forced_on_still_gives_structured_output(
    simulator: Simulator, backends: list[str]
) -> None:
    simulator.fail("openai", status=503)
    model = JochChatModel(route=backends)
    structured = model.with_structured_output(Answer, method="function_calling")

    assert model.profile["tool_choice"] is False
    assert structured.invoke("how warm is it?") == Answer(city="city", degrees=1)
    assert [one async for one in structured.astream("how warm is it?")][-1] == Answer(city="city", degrees=1)


def test_raw_and_parsed_come_together(model: JochChatModel) -> None:
    both = model.with_structured_output(Answer, include_raw=True).invoke("how warm is it?")

    assert both["parsed"] == Answer(city="city", degrees=1)
    assert both["parsing_error"] is None
    assert facts(both["raw"])["backend"] == PRIMARY


def test_the_thread_of_the_caller_is_the_conversation(model: JochChatModel, joch: Joch) -> None:
    config = {"configurable": {"thread_id": "T-1"}}

    first = model.invoke("hello", config)
    model.invoke([HumanMessage("hello"), first, HumanMessage("and now?")], config)

    assert facts(first)["conversation"] == "T-1"
    assert [(one.role, one.text) for one in joch.conversation("T-1").messages()] == [
        ("user", "hello"), ("assistant", "You said: hello"), ("user", "and now?"), ("assistant", "You said: and now?"),
    ]  # fmt: skip


async def test_the_thread_is_seen_in_chains_and_streams(model: JochChatModel) -> None:
    config = {"configurable": {"thread_id": "T-2"}}
    chain = ChatPromptTemplate.from_messages([("human", "{text}")]) | model

    messages = [
        chain.invoke({"text": "a"}, config),
        await chain.ainvoke({"text": "b"}, config),
        await stream(model, "c", config=config),
        await astream(model, "d", config=config),
        model.batch(["e"], config)[0],
    ]

    assert [facts(message)["conversation"] for message in messages] == ["T-2"] * 5


def test_a_call_without_a_thread_belongs_to_no_conversation(model: JochChatModel) -> None:
    assert facts(model.invoke("hello"))["conversation"] is None


def test_a_conversation_reads_back_as_a_history(simulator: Simulator) -> None:
    model = JochChatModel(model=PRIMARY, conversation="conv-99")

    model.invoke([("system", "be brief"), ("human", "hello")])

    assert [(one.type, str(one.text)) for one in chat_history("conv-99")] == [
        ("system", "be brief"), ("human", "hello"), ("ai", "You said: hello"),
    ]  # fmt: skip


def test_one_call_may_go_to_another_model(model: JochChatModel) -> None:
    assert facts(model.invoke("hello", model=FALLBACK))["backend"] == FALLBACK
    assert model.bind(model="claude-sonnet").invoke("hello").response_metadata["joch"]["backend"] == FALLBACK


def test_options_reach_either_provider_in_its_own_words(model: JochChatModel, simulator: Simulator) -> None:
    simulator.fail("openai", status=503)

    model.invoke("hello", max_completion_tokens=70, stop=["xyz"])

    body = simulator.calls("anthropic")[-1].body
    assert (body["max_tokens"], body["stop_sequences"]) == (70, ["xyz"])


class Starts(BaseCallbackHandler):
    def __init__(self) -> None:
        self.starts = self.ends = 0

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.starts += 1

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.ends += 1


@FOUR_WAYS
async def test_a_failover_is_one_run(ask: Ask, model: JochChatModel, simulator: Simulator) -> None:
    simulator.fail("openai", status=503)
    seen = Starts()

    await ask(model, "hello", config={"callbacks": [seen]})

    assert (seen.starts, seen.ends) == (1, 1)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), copy.copy])
def test_a_model_that_was_used_can_be_copied(copied: Callable[[Any], Any], model: JochChatModel) -> None:
    model.invoke("hello")

    assert str(copied(model).invoke("again").text) == "You said: again"


def test_no_key_stands_in_what_is_shown_or_kept(simulator: Simulator) -> None:
    model = JochChatModel(model=PRIMARY, api_key="sk-secret")

    assert "sk-secret" not in repr(model) + str(model.asdict()) + model._get_llm_string()


def test_langchains_fallbacks_keep_their_tools(model: JochChatModel) -> None:
    both = model.with_fallbacks([JochChatModel(model=FALLBACK)]).bind_tools([weather])

    assert [len(runnable.kwargs["tools"]) for runnable in both.runnables] == [1, 1]


def test_the_profile_promises_what_both_backends_can(model: JochChatModel) -> None:
    alone = [JochChatModel(model=backend).profile for backend in (PRIMARY, FALLBACK)]

    assert model.profile["tool_calling"] is True
    assert model.profile["max_input_tokens"] == min(one["max_input_tokens"] for one in alone)


def test_a_route_may_stand_in_a_file(simulator: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "route.yaml"
    file.write_text(
        "apiVersion: joch.dev/v1alpha1\nkind: ModelRoute\nmetadata: {name: filed}\n"
        f"spec:\n  strategy:\n    primary: {PRIMARY}\n    fallback: [{FALLBACK}]\n"
    )

    model = JochChatModel(route=str(file))
    file.unlink()  # what stands in it was read when the model was made
    message = model.invoke("hello")

    assert (facts(message)["route"], facts(message)["backend"]) == ("filed", PRIMARY)


def test_a_list_of_backends_is_a_route(simulator: Simulator) -> None:
    simulator.fail("openai", status=503)

    assert facts(ChatJoch(route=[PRIMARY, FALLBACK]).invoke("hello"))["backend"] == FALLBACK


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "nothing to call"),
        ({"route": "a", "model": "b"}, "give one"),
        ({"route": "a", "fallbacks": [FALLBACK]}, "fallbacks="),
    ],
)
def test_a_model_that_goes_nowhere_is_not_made(simulator: Simulator, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        JochChatModel(**arguments)


def test_an_unknown_option_of_an_unnamed_provider_is_told_when_the_model_is_made(simulator: Simulator) -> None:
    with pytest.raises(InvalidArgument, match="temprature"):
        JochChatModel(route="research", temprature=0)


def test_a_route_that_nobody_knows_is_an_error_with_its_name(simulator: Simulator) -> None:
    with pytest.raises(ModelError, match="resaerch"):
        JochChatModel(route="resaerch").invoke("hello")


def test_a_picture_with_broken_data_is_an_invalid_request(model: JochChatModel) -> None:
    with pytest.raises(ModelInvalidRequestError, match="base64"):
        model.invoke([HumanMessage([{"type": "image", "base64": "é", "mime_type": "image/png"}])])


def test_init_chat_model_knows_joch_once_it_was_told(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from langchain.chat_models import base, init_chat_model
    from langchain_joch import register

    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", dict(base._BUILTIN_PROVIDERS))
    register()

    model = init_chat_model("openai:gpt-5-mini", model_provider="joch", temperature=0)

    assert facts(model.invoke("hello"))["backend"] == PRIMARY


def test_a_stream_that_is_left_early_is_closed(model: JochChatModel, simulator: Simulator) -> None:
    stream = model.stream("tell me a long story about a mountain and a valley")
    next(stream)
    stream.close()

    assert str(model.invoke("hello").text) == "You said: hello"
