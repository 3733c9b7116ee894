from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from langchain_joch.messages import Call, from_message, from_reply, to_joch

from joch_core import (
    Audio,
    File,
    Image,
    InvalidArgument,
    Message,
    Native,
    Reasoning,
    Reply,
    ServerTool,
    Text,
    ToolCall,
    Usage,
    call_id,
    is_call_id,
)

PIXEL = b"\x89PNG\r\n"
B64 = base64.b64encode(PIXEL).decode()
SIGNED = Native("anthropic-messages", "anthropic|default|claude", {"signature": "c2ln"})


def parts(content: Any) -> tuple[Any, ...]:
    return to_joch([HumanMessage(content)])[0].parts


def test_text_messages_keep_their_speaker_and_name() -> None:
    history = [
        SystemMessage("be brief"),
        HumanMessage("hi", name="ann"),
        AIMessage("hello"),
        ChatMessage("x", role="developer"),
    ]

    assert [(one.role, one.text, one.name) for one in to_joch(history)] == [
        ("system", "be brief", None), ("user", "hi", "ann"), ("assistant", "hello", None), ("system", "x", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "base64": B64, "mime_type": "image/png"},
        {"type": "image", "source_type": "base64", "data": B64, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{B64}"}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{B64}"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{B64}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": B64}},
        {"type": "media", "mime_type": "image/png", "data": PIXEL},
        {"type": "media", "mime_type": "image/png", "data": B64},
        {"type": "image", "url": f"data:image/png;base64,{B64}"},
    ],
)
def test_a_picture_is_the_same_picture_in_every_spelling(block: dict[str, Any]) -> None:
    assert parts(["look:", block]) == (Text("look:"), Image(data=PIXEL, media_type="image/png"))


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "image", "url": "https://x.test/a.png"}, Image("https://x.test/a.png")),
        ({"type": "image", "source_type": "url", "url": "https://x.test/a.png"}, Image("https://x.test/a.png")),
        ({"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}, Image("https://x.test/a.png")),
        ({"type": "image", "file_id": "file-1"}, File(file_id="file-1")),
        ({"type": "audio", "base64": B64, "mime_type": "audio/wav"}, Audio(PIXEL, "audio/wav")),
        ({"type": "input_audio", "input_audio": {"data": B64, "format": "mp3"}}, Audio(PIXEL, "audio/mp3")),
        ({"type": "file", "base64": B64, "mime_type": "application/pdf"}, File(data=PIXEL, media_type="application/pdf")),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{B64}"}},
            File(data=PIXEL, media_type="application/pdf", name="a.pdf"),
        ),
        ({"type": "file", "file": {"file_id": "file-2"}}, File(file_id="file-2")),
        ({"type": "file", "source_type": "id", "id": "file-3"}, File(file_id="file-3")),
        (
            {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "abc"}},
            File(data=b"abc", media_type="text/plain", name="t"),
        ),
        ({"type": "text-plain", "text": "abc", "mime_type": "text/plain"}, File(data=b"abc", media_type="text/plain")),
        (
            {"type": "video", "url": "https://x.test/v.mp4", "mime_type": "video/mp4"},
            File("https://x.test/v.mp4", media_type="video/mp4"),
        ),
    ],
)
def test_sound_and_documents_are_read_in_every_spelling(block: dict[str, Any], part: Any) -> None:
    assert parts([block]) == (part,)


def test_data_that_is_not_base64_is_named() -> None:
    with pytest.raises(InvalidArgument, match="not base64"):
        parts([{"type": "image", "base64": "é", "mime_type": "image/png"}])


def test_a_cache_mark_stays_with_its_block() -> None:
    (text,) = parts([{"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}])

    assert text.native == Native("anthropic-messages", "", {"cache_control": {"type": "ephemeral"}}, opaque=False)


def test_calls_and_results_of_another_vendor_meet_under_one_valid_id() -> None:
    history = [
        HumanMessage("weather?"),
        AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Bern"}, "id": "call_" + "x" * 60}]),
        ToolMessage("no such city", tool_call_id="call_" + "x" * 60, name="weather", status="error"),
    ]

    _, asked, answered = to_joch(history)

    (call,), (result,) = asked.tool_calls, answered.tool_results
    assert is_call_id(call.id)
    assert (call.id, call.name, call.args) == (result.call_id, "weather", {"city": "Bern"})
    assert (result.text, result.name, result.error) == ("no such city", "weather", True)


def test_a_vendor_that_counts_its_calls_anew_each_turn_does_not_mix_them() -> None:
    turn = [AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "call_0"}]), ToolMessage("1", tool_call_id="call_0")]

    first, one, second, two = to_joch([*turn, *turn])

    assert first.tool_calls[0].id == one.tool_results[0].call_id
    assert second.tool_calls[0].id == two.tool_results[0].call_id
    assert first.tool_calls[0].id != second.tool_calls[0].id


def test_a_call_whose_arguments_were_no_json_keeps_its_text() -> None:
    broken = {"name": "f", "args": '{"a": ', "id": "call_9", "error": None, "type": "invalid_tool_call"}

    message, result = to_joch([AIMessage("", invalid_tool_calls=[broken]), ToolMessage("bad JSON", tool_call_id="call_9")])

    assert message.tool_calls == (ToolCall(call_id("call_9"), "f", {"invalid_json": '{"a": '}),)
    assert result.tool_results[0].call_id == message.tool_calls[0].id


def test_tool_results_that_stand_in_a_user_turn_become_tool_messages() -> None:
    block = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "18"}], "is_error": False}

    result, user = to_joch([HumanMessage([block, {"type": "text", "text": "and?"}])])

    assert (result.role, result.tool_results[0].text) == ("tool", "18")
    assert (user.role, user.text) == ("user", "and?")


@pytest.mark.parametrize(
    ("content", "provider"),
    [
        ([{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "yes"}], "anthropic"),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}], "google_genai"),
        (
            [
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "hm"}],
                    "encrypted_content": "x",
                },
                {"type": "text", "text": "yes", "annotations": []},
            ],
            "openai",
        ),
        ([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "yes"}], ""),
        ([{"type": "thinking", "thinking": "hm", "signature": "s"}, "yes"], ""),
    ],
)
def test_an_answer_that_another_chat_model_wrote_is_read(content: list[Any], provider: str) -> None:
    metadata = {"model_provider": provider} if provider else {}

    (message,) = to_joch([AIMessage(content, response_metadata=metadata)])

    assert message.parts == (Reasoning("hm"), Text("yes"))


def test_a_message_that_no_model_can_be_sent_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="remove"):
        to_joch([RemoveMessage(id="1")])


def answer(*given: Any, **fields: Any) -> Reply:
    defaults: dict[str, Any] = {"finish": "stop", "model": "claude-sonnet-4-5", "backend": "anthropic:claude-sonnet"}
    return Reply(Message("assistant", given, id="msg_1"), **defaults | fields)


def test_an_answer_tells_langchain_who_gave_it_and_what_it_cost() -> None:
    reply = answer(
        Text("hi"),
        usage=Usage(10, 4, cache_read_tokens=3, reasoning_tokens=1),
        cost_usd=Decimal("0.0012"),
        execution="exec-20260510-002",
        switched_from="openai:gpt-5-thinking",
        switch_reason="outage",
        losses=({"level": "warn", "code": "reasoning.dropped", "text": "reasoning stays behind"},),
    )

    message = from_reply(reply, Call("research", "conv-9"))

    assert message.content == "hi"
    assert message.usage_metadata == {
        "input_tokens": 10, "output_tokens": 4, "total_tokens": 14,
        "input_token_details": {"cache_read": 3}, "output_token_details": {"reasoning": 1},
    }  # fmt: skip
    facts = message.response_metadata.pop("joch")
    assert message.response_metadata == {
        "model_name": "claude-sonnet-4-5", "model_provider": "anthropic", "finish_reason": "stop",
    }  # fmt: skip
    assert (facts["route"], facts["conversation"], facts["backend"]) == ("research", "conv-9", "anthropic:claude-sonnet")
    assert (facts["switched_from"], facts["reason"], facts["cost_usd"]) == ("openai:gpt-5-thinking", "outage", "0.0012")
    assert facts["losses"] == [{"code": "reasoning.dropped", "text": "reasoning stays behind"}]


@pytest.mark.parametrize(
    ("backend", "provider"),
    [("openai:a", "openai"), ("anthropic:a", "anthropic"), ("google:a", "google_genai"), ("ollama:a:7b", "ollama")],
)
def test_the_vendor_is_the_real_one(backend: str, provider: str) -> None:
    assert from_reply(answer(backend=backend), Call("r")).response_metadata["model_provider"] == provider


def test_an_answer_comes_back_as_it_was_with_the_providers_tokens() -> None:
    reply = answer(
        Reasoning("hm", native=SIGNED),
        Text("calling"),
        ToolCall("cAAAAAAAA", "f", {"a": 1}, native=SIGNED),
        finish="tool_calls",
    )

    message = from_reply(reply, Call("r"))

    assert to_joch([message]) == [reply.message]
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text", "tool_call"]
    assert str(message.text) == "calling"
    again = AIMessage.model_validate_json(message.model_dump_json())
    assert to_joch([again]) == [reply.message]


def test_a_plain_answer_carries_nothing_twice() -> None:
    message = from_reply(answer(Text("hi"), ToolCall("cAAAAAAAA", "f", {})), Call("r"))

    assert message.additional_kwargs == {"joch": {"id": "msg_1"}}
    assert to_joch([message])[0].id == "msg_1"


def test_an_answer_that_was_edited_is_read_as_it_stands_now() -> None:
    call = ToolCall("cAAAAAAAA", "pay", {"amount": 1000}, native=SIGNED)
    message = from_reply(answer(Reasoning("hm", native=SIGNED), Text("paying"), call), Call("r"))
    edited = message.model_copy(update={"tool_calls": [{**message.tool_calls[0], "args": {"amount": 10}}]})

    (read,) = to_joch([edited])

    assert read.parts == (Reasoning("hm", native=SIGNED), Text("paying"), ToolCall("cAAAAAAAA", "pay", {"amount": 10}))


def test_a_refusal_is_a_refusal_and_no_text() -> None:
    message = from_reply(answer(Text("I will not."), refusal="I will not.", finish="refusal"), Call("r"))

    assert str(message.text) == ""
    assert message.content_blocks == [{"type": "refusal", "refusal": "I will not."}]
    assert message.additional_kwargs["refusal"] == "I will not."


def test_what_a_provider_ran_itself_shows_as_standard_blocks() -> None:
    search = ServerTool("web_search_call", '{"query": "joch"}', Native("openai-responses", "o", {"id": "ws_1"}))

    message = from_reply(answer(search, Text("found", ({"url": "https://x.test", "title": "X"},))), Call("r"))

    assert message.content_blocks == [
        {"type": "server_tool_call", "id": "ws_1", "name": "web_search_call", "args": {"query": "joch"}},
        {"type": "text", "text": "found", "annotations": [{"type": "citation", "url": "https://x.test", "title": "X"}]},
    ]
    assert to_joch([message]) == [
        Message("assistant", (search, Text("found", ({"url": "https://x.test", "title": "X"},))), id="msg_1")
    ]


def test_a_structured_answer_that_came_as_a_call_reads_as_its_text() -> None:
    reply = answer(ToolCall("cAAAAAAAA", "final_answer", {"city": "Bern"}), output={"city": "Bern"}, finish="tool_calls")

    message = from_reply(reply, Call("r"))

    assert (message.content, message.tool_calls) == ('{"city": "Bern"}', [])
    assert to_joch([message]) == [reply.message]


def test_a_conversation_reads_back_as_langchain_messages() -> None:
    log = [
        Message.system("be brief"),
        Message.user(["look", Image(data=PIXEL, media_type="image/png")], name="ann"),
        Message("assistant", (Reasoning("hm", native=SIGNED), ToolCall("cAAAAAAAA", "f", {"a": 1}))),
        Message.tool("cAAAAAAAA", "18", name="f", error=True),
        Message.assistant("done"),
    ]

    messages = [one for message in log for one in from_message(message)]

    assert [message.type for message in messages] == ["system", "human", "ai", "tool", "ai"]
    assert to_joch(messages) == log
