"""Anthropic Messages: what is sent."""

from __future__ import annotations

import json

import pytest

from joch_core.capabilities import Dialect, Target
from joch_core.messages import (
    Audio,
    File,
    Image,
    Message,
    ModelRequest,
    Native,
    Other,
    Reasoning,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)
from joch_core.wire import anthropic_messages as wire

API = "anthropic-messages"
HERE = Target("anthropic:claude", "anthropic", API, "claude-x", "anthropic/claude-x", max_output=64_000)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = ToolSpec("weather", "The weather", SCHEMA)


def own(data, *, opaque=True):
    return Native(API, HERE.origin, data, opaque)


def body_of(*messages, target=HERE, stream=False, **options):
    return wire.render(ModelRequest(messages, **options), target, stream=stream)


# ------------------------------------------------------------------------------------------------------- render
def test_the_system_prompt_is_top_level_and_plain_text_is_a_string():
    body = body_of(Message.system("Be brief."), Message.user("Hi"), max_tokens=10)

    assert body == {
        "model": "claude-x",
        "max_tokens": 10,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hi"}],
    }


def test_a_later_system_message_joins_the_prompt_where_the_model_takes_none_in_the_middle():
    messages = (Message.system("A"), Message.user("Hi"), Message.system("B"))
    old = Target("a:b", "a", API, "m", "o", dialect=Dialect(system_anywhere=False))

    assert body_of(*messages)["messages"][1] == {"role": "system", "content": "B"}
    joined = Message.system([Text("A"), Text("\n\n"), Text("B"), Text(" ")])
    assert body_of(joined, Message.user("Hi"))["system"] == "A\n\nB "
    assert body_of(*messages, target=old)["system"] == [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]


def test_neighbours_of_one_role_are_one_turn_and_results_stand_first():
    body = body_of(
        Message.user("one"),
        Message.user("two"),
        Message.assistant([ToolCall("c11111111", "weather", {"city": "Rome"})]),
        Message.user("hurry"),
        Message.tool("c11111111", "sunny"),
    )

    roles = [turn["role"] for turn in body["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert body["messages"][0]["content"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "text"]


def test_native_ids_go_back_for_the_call_and_for_its_result():
    call = ToolCall("c11111111", "weather", {}, native=own({"id": "toolu_1", "caller": {"type": "direct"}}))
    body = body_of(Message.user("x"), Message.assistant([call]), Message.tool("c11111111", "sunny"))

    assert body["messages"][1]["content"][0]["id"] == "toolu_1"
    assert body["messages"][1]["content"][0]["caller"] == {"type": "direct"}
    assert body["messages"][2]["content"][0]["tool_use_id"] == "toolu_1"


def test_a_call_without_its_native_id_has_the_canonical_one_even_if_the_result_remembers_another():
    result = ToolResult("c11111111", (Text("sunny"),), native=own({"id": "toolu_1"}, opaque=False))
    body = body_of(Message.user("x"), Message.assistant([ToolCall("c11111111", "w", {})]), Message("tool", (result,)))

    assert body["messages"][1]["content"][0]["id"] == "c11111111"
    assert body["messages"][2]["content"][0]["tool_use_id"] == "c11111111"


def test_what_a_part_kept_of_another_format_is_not_sent():
    foreign = Native("gemini-generate", "google", {"id": "g1", "thoughtSignature": "zzz"})
    body = body_of(
        Message.user([Text("hi", native=foreign)]),
        Message.assistant([Reasoning("hm", foreign), ToolCall("c11111111", "w", {}, native=foreign)]),
        Message.tool("c11111111", "ok"),
    )

    assert "zzz" not in json.dumps(body)
    assert "g1" not in json.dumps(body)
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]


def test_own_thinking_and_server_blocks_go_back_as_they_were_and_others_are_left_out():
    thinking = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    body = body_of(
        Message.user("x"),
        Message.assistant(
            [
                Reasoning("hm", own(thinking)),
                ServerTool("server_tool_use", "", own(search)),
                Reasoning("a"),
                Other("b"),
                Text("c"),
            ]
        ),
    )

    assert body["messages"][1]["content"] == [thinking, search, {"type": "text", "text": "c"}]


def test_an_empty_text_is_not_sent_but_an_empty_result_is():
    body = body_of(
        Message.user(["", "x"]), Message.assistant([ToolCall("c11111111", "w", {})]), Message.tool("c11111111", "")
    )

    assert body["messages"][0]["content"] == "x"
    assert body["messages"][2]["content"][0]["content"] == ""


def test_cache_marks_are_hints_for_any_server():
    raw = {"model": "m", "max_tokens": 1, "messages": [
        {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}]}  # fmt: skip
    part = wire.read_request(raw, "elsewhere").messages[0].parts[0]

    assert part.native == Native(API, "elsewhere", {"cache_control": {"type": "ephemeral"}}, opaque=False)
    assert body_of(Message.user([part]))["messages"] == raw["messages"]


@pytest.mark.parametrize(
    ("given", "stream", "expected"),
    [
        ({"max_output": 64_000}, True, 64_000),
        ({"max_output": 64_000}, False, 21_333),
        ({"max_output": 8_192}, False, 8_192),
        ({"max_output": 64_000, "dialect": Dialect(default_max_tokens=1_000)}, True, 1_000),
        ({}, True, 4_096),
    ],
)
def test_the_output_limit_that_the_api_demands_is_what_the_model_can_give(given, stream, expected):
    target = Target("a:b", "a", API, "m", "o", **given)

    assert body_of(Message.user("x"), target=target, stream=stream)["max_tokens"] == expected
    assert body_of(Message.user("x"), target=target, stream=stream, max_tokens=7)["max_tokens"] == 7


def test_pictures_and_documents():
    body = body_of(
        Message.user(
            [
                Image(data=b"\x01\x02", media_type="image/png"),
                Image(url="https://x/y.png"),
                Image(url="data:image/gif;base64,AQI="),
                File(data=b"%PDF", media_type="application/pdf", name="a.pdf"),
                File(data=b"words", media_type="text/csv"),
                File(url="https://x/y.pdf"),
                File(file_id="file_1", native=own({})),
                Audio(data=b"x", media_type="audio/wav"),
            ]
        )
    )

    assert body["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AQI="}},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "AQI="}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", None, {"type": "auto"}),
        ("required", True, {"type": "any", "disable_parallel_tool_use": False}),
        ("weather", False, {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}),
        ("none", False, {"type": "none"}),
    ],
)
def test_tool_choice(choice, parallel, expected):
    body = body_of(Message.user("x"), tools=(WEATHER,), tool_choice=choice, parallel_tool_calls=parallel)

    assert body.get("tool_choice") == expected


def test_tools_of_all_kinds():
    tools = (
        WEATHER,
        ToolSpec.custom("note"),
        ToolSpec.server("web_search_20250305", max_uses=2),
        ToolSpec.server("web_fetch"),
    )

    assert body_of(Message.user("x"), tools=tools)["tools"] == [
        {"name": "weather", "input_schema": SCHEMA, "description": "The weather"},
        {
            "name": "note",
            "input_schema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
        },
        {"type": "web_search_20250305", "max_uses": 2, "name": "web_search"},
        {"type": "web_fetch_20250910", "name": "web_fetch"},
    ]
    assert "tool_choice" not in body_of(Message.user("x"), tool_choice="required")


def test_structured_output_as_schema_and_as_a_forced_tool():
    ask = Message.user("x")

    assert body_of(ask, output_schema=SCHEMA, output_mode="json_schema")["output_config"] == {
        "format": {"type": "json_schema", "schema": SCHEMA}
    }
    alone = body_of(ask, output_schema=SCHEMA, output_mode="tool", output_name="place")
    assert alone["tool_choice"] == {"type": "tool", "name": "place"}
    assert alone["tools"][0]["input_schema"] == SCHEMA
    among = body_of(ask, output_schema=SCHEMA, output_mode="tool", tools=(WEATHER,))
    assert among["tool_choice"] == {"type": "any"}
    assert [tool["name"] for tool in among["tools"]] == ["weather", "final_answer"]
    assert body_of(ask, output_mode="json")["tool_choice"] == {"type": "tool", "name": "final_answer"}


def test_reasoning_is_an_effort_or_for_older_models_a_budget_within_the_limit():
    old = Target("a:b", "a", API, "m", "o", max_output=64_000, dialect=Dialect(reasoning_budget=True))
    ask = Message.user("x")

    new = body_of(ask, reasoning="high")
    assert (new["thinking"], new["output_config"]) == ({"type": "adaptive"}, {"effort": "high"})
    assert body_of(ask, reasoning="none")["thinking"] == {"type": "disabled"}
    assert body_of(ask, target=old, reasoning="low")["thinking"] == {"type": "enabled", "budget_tokens": 2_048}
    assert body_of(ask, target=old, reasoning="high", max_tokens=3_000)["thinking"]["budget_tokens"] == 1_500
    assert "thinking" not in body_of(ask, target=old, reasoning="high", max_tokens=500)


def test_extra_fields_are_merged_last_and_leave_their_neighbours_alone():
    extra = {"anthropic": {"top_k": 5, "output_config": {"task_budget": 1}}, API: {"temperature": 0.1}, "openai": {"x": 1}}
    body = body_of(Message.user("x"), output_schema=SCHEMA, output_mode="json_schema", temperature=1, extra=extra)

    assert (body["top_k"], body["temperature"]) == (5, 0.1)
    assert body["output_config"].keys() == {"format", "task_budget"}
    assert "x" not in body


def test_a_container_of_another_account_is_not_named():
    native = Native(API, "elsewhere", {"container": "container_1", "top_k": 3})
    request = ModelRequest((Message.user("x"),), native=native)

    assert "container" not in wire.render(request, HERE, stream=False)
    assert wire.render(request, HERE, stream=False)["top_k"] == 3


def test_only_the_user_id_of_the_metadata_is_sent():
    body = body_of(Message.user("x"), metadata={"user_id": "u", "team": "t"}, stop=("END",), stream=True)

    assert (body["metadata"], body["stop_sequences"], body["stream"]) == ({"user_id": "u"}, ["END"], True)


def test_code_that_waits_for_a_tool_finds_its_container_at_the_same_backend_only():
    call = ToolCall("c11111111", "w", {}, native=own({"id": "toolu_1", "caller": {"type": "code_execution_20260120"}}))
    turn = Message("assistant", (call,), native=own({"container": {"id": "container_1"}}))
    messages = (Message.user("x"), turn, Message.tool("c11111111", "ok"))
    elsewhere = Target("a:b", "a", API, "m", "other")

    assert body_of(*messages)["container"] == "container_1"
    assert "container" not in body_of(*messages, target=elsewhere)
