"""Anthropic Messages: what is sent, what is understood, and what happens to broken bodies."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joch_core.capabilities import Dialect, Target
from joch_core.errors import InvalidArgument, ProviderError
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
    call_id,
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


# -------------------------------------------------------------------------------------------------------- parse
def answer(*content, stop="end_turn", **fields):
    usage = {"input_tokens": 10, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 4}
    return {"type": "message", "id": "msg_1", "role": "assistant", "model": "claude-x-1", "content": list(content),
            "stop_reason": stop, "usage": usage, **fields}  # fmt: skip


def test_usage_includes_what_was_cached():
    usage = wire.parse(answer({"type": "text", "text": "hi"}), HERE, "s").usage

    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (15, 4, 3, 2)


def test_tool_calls_have_ids_of_the_seed_and_keep_their_own():
    use = {"type": "tool_use", "id": "toolu_1", "name": "w", "input": {"a": 1}}
    reply = wire.parse(answer(use, {**use, "id": "toolu_2"}, stop="tool_use"), HERE, "seed")

    assert [call.id for call in reply.tool_calls] == [call_id("seed", 0), call_id("seed", 1)]
    assert [call.native.data["id"] for call in reply.tool_calls] == ["toolu_1", "toolu_2"]
    assert (reply.finish, reply.model) == ("tool_calls", "claude-x-1")


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("pause_turn", "pause"),
        ("model_context_window_exceeded", "length"), ("tomorrow", "other"), (None, "other"),
    ],
)  # fmt: skip
def test_finish(stop, finish):
    assert wire.parse(answer({"type": "text", "text": "hi"}, stop=stop), HERE, "s").finish == finish


def test_a_refusal_is_a_reply_without_text():
    reply = wire.parse(answer({"type": "text", "text": "I will not."}, stop="refusal"), HERE, "s")
    silent = wire.parse(answer(stop="refusal", stop_details={"explanation": "no"}), HERE, "s")

    assert (reply.finish, reply.refusal, reply.text) == ("refusal", "I will not.", "")
    assert (silent.refusal, silent.text) == ("no", "")


def test_blocks_of_tomorrow_are_kept_whole():
    block = {"type": "hologram", "data": [1]}
    reply = wire.parse(answer(block, {"type": "text", "text": "hi"}), HERE, "s")

    assert reply.parts[0] == Other("hologram", own(block))
    assert body_of(Message.user("x"), reply.message)["messages"][1]["content"][0] == block


def test_what_a_server_tool_found_is_readable_and_its_secrets_are_not():
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [
        {"type": "web_search_result", "title": "Joch", "url": "https://joch.dev", "encrypted_content": "SECRET"}]}  # fmt: skip
    reply = wire.parse(answer(found), HERE, "s")

    assert reply.server_tools == ("web_search_tool_result",)
    assert reply.parts[0].text == "Joch\nhttps://joch.dev"


def test_citations_have_a_neutral_form_and_go_back_in_their_own():
    cite = {
        "type": "web_search_result_location",
        "url": "https://a",
        "title": "A",
        "cited_text": "q",
        "encrypted_index": "E",
    }
    block = {"type": "text", "text": "hi", "citations": [cite]}
    part = wire.parse(answer(block), HERE, "s").parts[0]

    assert part.citations == ({"url": "https://a", "title": "A", "quote": "q"},)
    assert part.native.opaque
    assert body_of(Message.user("x"), Message.assistant([part]))["messages"][1]["content"] == [block]


@pytest.mark.parametrize("body", [{}, {"content": "x"}, {"content": [1]}, {"content": [{"type": "text"}]}, [], "x", None])
def test_what_is_no_answer_is_a_typed_fault(body):
    with pytest.raises(ProviderError) as caught:
        wire.parse(body, HERE, "s")

    assert (caught.value.kind, caught.value.code, caught.value.backend) == ("server_error", "unreadable", "anthropic:claude")


def test_arguments_that_are_no_object_are_a_typed_fault():
    with pytest.raises(ProviderError, match="must be an object"):
        wire.parse(answer({"type": "tool_use", "id": "t", "name": "w", "input": "Rome"}), HERE, "s")


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}, "context_length"),
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low"}, "quota"),
        (400, {"type": "invalid_request_error", "message": "messages: roles"}, "invalid_request"),
        (401, {"type": "authentication_error", "message": "invalid x-api-key"}, "authentication"),
        (403, {"type": "permission_error", "message": "no"}, "permission"),
        (404, {"type": "not_found_error", "message": "model: x"}, "not_found"),
        (413, {"type": "request_too_large", "message": "big"}, "context_length"),
        (429, {"type": "rate_limit_error", "message": "slow down"}, "rate_limit"),
        (500, {"type": "api_error", "message": "oops"}, "server_error"),
        (529, {"type": "overloaded_error", "message": "Overloaded"}, "overloaded"),
        (529, {}, "overloaded"),
        (418, {"type": "teapot", "message": ""}, "other"),
        (0, {"type": "overloaded_error"}, "overloaded"),
    ],
)
def test_errors(status, error, kind):
    assert wire.read_error(status, {"type": "error", "error": error})[0] == kind


def test_an_error_page_is_read_by_its_status():
    assert wire.read_error(502, "<html>Bad gateway</html>") == ("server_error", None, "<html>Bad gateway</html>")


# ------------------------------------------------------------------------------------------------------- stream
START = {"type": "message_start", "message": answer(stop=None)}
STOP = {"type": "message_stop"}


def block(index, start, *deltas):
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def end(stop):
    return [{"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 9}}, STOP]


def feed(reader, *events):
    return [delta for event in events for delta in reader.feed(event["type"], json.dumps(event))]


CALL = {"type": "tool_use", "id": "toolu_1", "name": "w", "input": {}}


def test_a_stream_gives_text_at_once_and_a_tool_call_when_it_is_whole():
    reader = wire.reader(HERE, "s")
    pieces = [{"type": "input_json_delta", "partial_json": text} for text in ("", '{"city"', ': "Rome"}')]

    assert [
        delta.text
        for delta in feed(reader, START, *block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}))
    ] == ["Hi"]
    assert feed(reader, *block(1, CALL, *pieces)[:-1]) == []
    (delta,) = feed(reader, block(1, CALL)[-1])
    feed(reader, *end("tool_use"))

    assert (delta.type, delta.tool_call.args) == ("tool_call", {"city": "Rome"})
    reply = reader.reply()
    assert (reply.text, reply.finish, reply.tool_calls) == ("Hi", "tool_calls", (delta.tool_call,))
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (15, 9)


def test_thinking_is_streamed_and_keeps_its_signature():
    reader = wire.reader(HERE, "s")
    deltas = feed(
        reader,
        START,
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "h"},
            {"type": "thinking_delta", "thinking": "m"},
            {"type": "signature_delta", "signature": "sig"},
        ),
        *end("end_turn"),
    )

    assert [(delta.type, delta.text) for delta in deltas] == [("reasoning", "h"), ("reasoning", "m")]
    assert reader.reply().reasoning == "hm"
    assert reader.reply().parts[0].native.data == {"type": "thinking", "thinking": "hm", "signature": "sig"}


def test_a_stream_without_its_last_event_is_incomplete_and_leaves_out_the_cut_call():
    reader = wire.reader(HERE, "s")
    feed(reader, START, *block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}))
    feed(reader, *block(1, CALL, {"type": "input_json_delta", "partial_json": '{"ci'})[:-1])

    with pytest.raises(ProviderError) as caught:
        reader.reply()

    assert caught.value.kind == "stream_incomplete"
    assert (reader.partial().text, reader.partial().tool_calls) == ("Hi", ())
    with pytest.raises(ProviderError):
        wire.reader(HERE, "s").reply()


def test_arguments_cut_by_the_output_limit_are_left_out_and_broken_ones_are_a_fault():
    cut = block(0, CALL, {"type": "input_json_delta", "partial_json": '{"ci'})
    reader = wire.reader(HERE, "s")
    assert feed(reader, START, *cut, *end("max_tokens")) == []
    assert (reader.reply().finish, reader.reply().tool_calls) == ("length", ())

    with pytest.raises(ProviderError) as caught:
        feed(wire.reader(HERE, "s"), START, *cut, *end("tool_use"))
    assert caught.value.code == "tool_arguments"


def test_an_error_event_is_raised_with_its_kind():
    with pytest.raises(ProviderError) as caught:
        feed(
            wire.reader(HERE, "s"), START, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        )

    assert (caught.value.kind, caught.value.code, str(caught.value)) == ("overloaded", "overloaded_error", "Overloaded")


def test_pings_unknown_events_and_unknown_deltas_do_no_harm():
    reader = wire.reader(HERE, "s")
    feed(
        reader,
        START,
        {"type": "ping"},
        {"type": "weather_report", "x": 1},
        *block(0, {"type": "compaction", "content": "a"}, {"type": "compaction_delta", "content": "b"}),
        *end("end_turn"),
    )

    assert reader.reply().parts[0] == Other("compaction", own({"type": "compaction", "content": "ab"}))


@pytest.mark.parametrize("data", ["{", "[]", "nonsense", '{"type":"content_block_delta","index":7,"delta":{}}'])
def test_an_event_that_is_none_is_a_typed_fault(data):
    with pytest.raises(ProviderError) as caught:
        wire.reader(HERE, "s").feed(None, data)

    assert caught.value.code == "unreadable"


def test_feeding_an_event_is_cheap():
    reader = wire.reader(HERE, "s")
    feed(reader, START, block(0, {"type": "text", "text": ""})[0])
    event = json.dumps({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}})

    begun = time.perf_counter()
    for _ in range(5_000):
        reader.feed("content_block_delta", event)
    assert (time.perf_counter() - begun) / 5_000 < 1e-3  # seconds, with room for a busy machine; measured: 3 µs


# -------------------------------------------------------------------------------------------------- read_request
BODY = {
    "model": "claude-x",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "look"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AQI="}},
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a"}]}, "title": "t"},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "text", "text": "I call."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}},
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": [
                {"type": "text", "text": "no"},
                {"type": "search_result", "source": "s", "title": "T", "content": [{"type": "text", "text": "found"}]},
            ]},
            {"type": "text", "text": "and?"},
        ]},
    ],
    "tools": [
        {"name": "weather", "description": "d", "input_schema": SCHEMA, "defer_loading": True},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": None},
    ],
    "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    "thinking": {"type": "adaptive", "display": "summarized"},
    "temperature": 0.5,
    "stop_sequences": ["END"],
    "metadata": {"user_id": "u"},
    "top_k": 3,
}  # fmt: skip


def test_a_request_body_is_read_into_neutral_parts():
    request = wire.read_request(BODY, HERE.origin)

    assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool", "user"]
    (call,) = request.messages[2].tool_calls
    (result,) = request.messages[3].tool_results
    assert (call.id, result.call_id, result.name, result.error) == (call_id("toolu_1"), call.id, "weather", True)
    assert result.text == "noT\ns\nfound"
    assert (request.tool_choice, request.parallel_tool_calls, request.reasoning) == ("weather", False, "high")
    assert (request.output_mode, request.output_schema) == ("json_schema", SCHEMA)
    assert [tool.kind for tool in request.tools] == ["function", "server"]
    assert request.native.data["top_k"] == 3


def test_a_request_body_is_spelled_back_as_it_was():
    assert wire.render(wire.read_request(BODY, HERE.origin), HERE, stream=False) == BODY


def test_text_that_was_changed_since_is_sent_instead_of_the_raw_block():
    request = wire.read_request(BODY, HERE.origin)
    (result,) = request.messages[3].tool_results
    redacted = ToolResult(result.call_id, (Text("[redacted]", native=result.content[1].native),))
    body = body_of(Message.user("x"), Message("tool", (redacted,)))

    assert "found" not in json.dumps(body)
    assert "[redacted]" in json.dumps(body)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"messages": "x"}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, r"messages\[0\]\.content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, r"messages\[0\]\.role"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, r"messages\[0\]\.content\[0\]\.tool_use_id"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png",
           "data": "%%"}}]}]}, r"content\[0\]\.source\.data"),
        ({"tools": [{"name": 5}]}, r"tools\[0\]\.name"),
        ({"tool_choice": {"type": "magic"}}, r"tool_choice\.type"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused_by_place(change, place):
    with pytest.raises(InvalidArgument, match=place):
        wire.read_request({**BODY, **change}, "o")


# ------------------------------------------------------------------------------------------------------- broken
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    | st.sampled_from(["text", "thinking", "tool_use", "tool_result", "image", "user", "assistant"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "text", "id", "content", "source", "input", "name"]), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def places(value, place=()):
    yield place
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*place, key))


@st.composite
def mutated(draw, body):
    """A real body in which one to three values were replaced or taken out."""
    body = json.loads(json.dumps(body))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(list(places(body))[1:] or [("type",)]))
        target = body
        for key in place[:-1]:
            target = target[key]
        if draw(st.booleans()) and not isinstance(target, list):
            del target[place[-1]]
            if not body:
                return body
        else:
            target[place[-1]] = draw(JUNK)
    return body


@FUZZ
@given(mutated(BODY) | JUNK)
def test_a_broken_request_is_read_or_refused_but_never_a_crash(body):
    try:
        request = wire.read_request(body, "o")
    except InvalidArgument:
        return
    json.dumps(wire.render(request, HERE, stream=True))


WHOLE = answer(
    *(BODY["messages"][1]["content"]), {"type": "text", "text": "c", "citations": [{"url": "u"}]}, stop="tool_use"
)
EVENTS = [
    START,
    *block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "h"}),
    *block(
        1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}, {"type": "citations_delta", "citation": {}}
    ),
    *block(2, CALL, {"type": "input_json_delta", "partial_json": "{}"}),
    *end("tool_use"),
]


@FUZZ
@given(mutated(WHOLE) | JUNK)
def test_a_broken_answer_is_read_or_a_provider_error(body):
    try:
        reply = wire.parse(body, HERE, "s")
    except ProviderError:
        return
    json.dumps(body_of(Message.user("x"), reply.message))


@FUZZ
@given(mutated(EVENTS))
def test_a_broken_stream_is_read_or_a_provider_error(events):
    reader = wire.reader(HERE, "s")
    try:
        for event in events:
            reader.feed(None, json.dumps(event))
        reader.reply()
    except ProviderError:
        pass
    reader.partial()


@FUZZ
@given(st.sampled_from([0, 200, 400, 401, 429, 500, 529]), JUNK)
def test_any_error_body_has_a_kind(status, body):
    kind, _code, message = wire.read_error(status, {"error": body})
    assert isinstance(kind, str)
    assert isinstance(message, str)
