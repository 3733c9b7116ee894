"""Anthropic Messages: what is answered, whole and streamed, and what errors mean."""

from __future__ import annotations

import json
import time

import pytest

from joch_core.capabilities import Target
from joch_core.errors import ProviderError
from joch_core.messages import (
    Message,
    ModelRequest,
    Native,
    Other,
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
