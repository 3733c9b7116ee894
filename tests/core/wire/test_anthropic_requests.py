"""Anthropic Messages: bodies that others wrote, and broken bodies of all kinds."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joch_core.capabilities import Target
from joch_core.errors import InvalidArgument, ProviderError
from joch_core.messages import (
    Message,
    ModelRequest,
    Native,
    Text,
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


def answer(*content, stop="end_turn", **fields):
    usage = {"input_tokens": 10, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 4}
    return {"type": "message", "id": "msg_1", "role": "assistant", "model": "claude-x-1", "content": list(content),
            "stop_reason": stop, "usage": usage, **fields}  # fmt: skip


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


CALL = {"type": "tool_use", "id": "toolu_1", "name": "w", "input": {}}


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
