from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_joch.chunks import Chunks
from langchain_joch.messages import Call, to_joch

from joch_core import Delta, Message, Native, Reasoning, Reply, ServerTool, StreamInterrupted, Text, ToolCall, Usage

CALLS = [ToolCall("cAAAAAAAA", "f", {"a": 1}), ToolCall("cBBBBBBBB", "g", {})]


def spoken(*texts: str) -> list[Delta]:
    return [Delta("text", text, backend="anthropic:claude-sonnet") for text in texts]


def thought(*texts: str) -> list[Delta]:
    return [Delta("reasoning", text) for text in texts]


def called(*calls: ToolCall) -> list[Delta]:
    return [Delta("tool_call", tool_call=call) for call in calls]


def merged(deltas: list[Delta], reply: Reply, *, listed: bool = False, tools: str = "fg", **more: Any) -> AIMessageChunk:
    chunks = Chunks(listed=listed, tools=frozenset(tools), **more)
    given = [chunk for delta in deltas if (chunk := chunks.feed(delta)) is not None]
    whole = sum((one.message for one in given[1:]), given[0].message) if given else None
    last = chunks.last(reply, Call("r", "conv-9")).message
    out = last if whole is None else whole + last
    assert isinstance(out, AIMessageChunk)
    return out


def answer(*parts: Any, **fields: Any) -> Reply:
    defaults: dict[str, Any] = {"finish": "stop", "model": "m-1", "backend": "anthropic:claude-sonnet", "usage": Usage(3, 2)}
    return Reply(Message("assistant", parts, id="msg_1"), **defaults | fields)


def test_a_plain_stream_is_text_with_its_facts_at_the_end() -> None:
    message = merged(spoken("Hel", "lo"), answer(Text("Hello")), tools="")

    assert message.content == "Hello"
    assert message.chunk_position == "last"
    assert message.usage_metadata == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    assert (message.response_metadata["model_name"], message.response_metadata["model_provider"]) == ("m-1", "anthropic")
    assert message.response_metadata["joch"]["conversation"] == "conv-9"
    assert to_joch([message]) == [answer(Text("Hello")).message]


@pytest.mark.parametrize("listed", [False, True])
def test_parallel_calls_stay_apart_and_whole(listed: bool) -> None:
    reply = answer(Text("calling"), *CALLS)

    message = merged(spoken("call", "ing") + called(*CALLS), reply, listed=listed)

    assert [(call["id"], call["name"], call["args"]) for call in message.tool_calls] == [
        ("cAAAAAAAA", "f", {"a": 1}), ("cBBBBBBBB", "g", {}),
    ]  # fmt: skip
    assert [block["type"] for block in message.content_blocks] == ["text", "tool_call", "tool_call"]
    assert to_joch([message]) == [reply.message]


@pytest.mark.parametrize("listed", [False, True])
def test_an_answer_that_begins_with_reasoning_comes_in_blocks(listed: bool) -> None:
    native = Native("anthropic-messages", "o", {"signature": "s"})
    reply = answer(Reasoning("hmm", native=native), Text("yes"), CALLS[0])

    message = merged(thought("h", "mm") + spoken("y", "es") + called(CALLS[0]), reply, listed=listed)

    assert [(block["type"], block.get("reasoning", block.get("text"))) for block in message.content_blocks] == [
        ("reasoning", "hmm"), ("text", "yes"), ("tool_call", None),
    ]  # fmt: skip
    assert str(message.text) == "yes"
    assert to_joch([message]) == [reply.message]


def test_text_and_calls_that_alternate_do_not_flow_into_each_other() -> None:
    deltas = [*spoken("a"), *called(CALLS[0]), *spoken("b"), *called(CALLS[1])]

    message = merged(deltas, answer(Text("a"), CALLS[0], Text("b"), CALLS[1]), listed=True)

    assert [block["type"] for block in message.content_blocks] == ["text", "tool_call", "text", "tool_call"]
    assert str(message.text) == "ab"


def test_what_no_delta_carried_stands_in_the_last_chunk() -> None:
    search = ServerTool("web_search_call", "{}", Native("openai-responses", "o", {"id": "ws_1"}))
    reply = answer(search, Text("found", ({"url": "https://x.test"},)))

    message = merged(spoken("fou", "nd"), reply, listed=True)

    text, tool = message.content_blocks
    assert (text["text"], text["annotations"]) == ("found", [{"type": "citation", "url": "https://x.test"}])
    assert (tool["type"], tool["name"]) == ("server_tool_call", "web_search_call")
    assert to_joch([message]) == [reply.message]


def test_a_refusal_that_was_never_spoken_is_one_block() -> None:
    message = merged([], answer(Text("no"), refusal="no", finish="refusal"))

    assert [(block["type"], block["refusal"]) for block in message.content_blocks] == [("refusal", "no")]
    assert message.additional_kwargs["refusal"] == "no"


def test_a_structured_answer_that_came_as_a_call_streams_as_its_text() -> None:
    call = ToolCall("cAAAAAAAA", "final_answer", {"city": "Bern"})

    message = merged(called(call), answer(call, output={"city": "Bern"}), structured=True, tools="")

    assert (message.content, message.tool_calls) == ('{"city": "Bern"}', [])


def test_two_models_texts_are_never_merged() -> None:
    chunks = Chunks(listed=False)
    chunks.feed(Delta("text", "The first"))

    with pytest.raises(StreamInterrupted) as caught:
        chunks.feed(Delta("restart"))

    assert caught.value.partial.text == "The first"


def test_a_restart_before_anything_was_shown_goes_unnoticed() -> None:
    chunks = Chunks(listed=False)

    assert chunks.feed(Delta("restart")) is None
