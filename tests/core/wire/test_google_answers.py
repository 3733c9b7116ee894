"""Gemini generateContent: what is answered, whole and streamed, and what errors mean."""

from __future__ import annotations

import json
import time

import pytest

from joch_core.capabilities import Dialect, Target
from joch_core.errors import ProviderError
from joch_core.messages import (
    Image,
    Message,
    ModelRequest,
    Native,
    Other,
    ToolSpec,
    call_id,
)
from joch_core.wire import google_generate as wire

API = "gemini-generate"
HERE = Target("google:gemini", "google", API, "gemini-x", "google/gemini-x")
SCHEMA = {"type": "object", "properties": {"city": {"type": ["string", "null"]}}, "required": ["city"]}
WEATHER = ToolSpec("weather", "The weather", SCHEMA)
SENTINEL = "skip_thought_signature_validator"


def place(**dialect):
    return Target("google:gemini", "google", API, "gemini-x", "google/gemini-x", dialect=Dialect(**dialect))


def own(data, *, opaque=True):
    return Native(API, HERE.origin, data, opaque)


def body_of(*messages, target=HERE, **options):
    return wire.render(ModelRequest(messages, **options), target, stream=False)


# -------------------------------------------------------------------------------------------------------- parse
def answer(*parts, finish="STOP", **candidate):
    usage = {"promptTokenCount": 10, "toolUsePromptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 4,
             "cachedContentTokenCount": 6}  # fmt: skip
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, "finishReason": finish, "index": 0, **candidate}],
            "usageMetadata": usage, "modelVersion": "gemini-x-001", "responseId": "r"}  # fmt: skip


def test_usage_includes_tool_prompts_and_thoughts():
    usage = wire.parse(answer({"text": "hi"}), HERE, "s").usage

    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens) == (15, 7, 6, 4)


def test_a_stop_with_calls_counts_as_tool_calls_and_no_arguments_are_an_empty_object():
    reply = wire.parse(answer({"functionCall": {"name": "w"}, "thoughtSignature": "sig"}), HERE, "seed")

    (call,) = reply.tool_calls
    assert (call.id, call.args, call.native.data) == (call_id("seed", 0), {}, {"id": "", "thoughtSignature": "sig"})
    assert (reply.finish, reply.model) == ("tool_calls", "gemini-x-001")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("STOP", "stop"), (1, "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("TOMORROW", "other"), (None, "other"),
     ("MALFORMED_FUNCTION_CALL", "other")],
)  # fmt: skip
def test_finish(reason, finish):
    assert wire.parse(answer({"text": "hi"}, finish=reason), HERE, "s").finish == finish


def test_a_blocked_prompt_is_a_filtered_reply():
    reply = wire.parse({"promptFeedback": {"blockReason": "SAFETY"}}, HERE, "s")

    assert (reply.finish, reply.text) == ("content_filter", "")


def test_a_model_that_fails_at_its_own_format_and_says_nothing_is_a_fault():
    with pytest.raises(ProviderError) as caught:
        wire.parse(answer(finish="MALFORMED_FUNCTION_CALL", finishMessage="bad call"), HERE, "s")

    assert (caught.value.kind, caught.value.code, str(caught.value)) == (
        "server_error",
        "MALFORMED_FUNCTION_CALL",
        "bad call",
    )


def test_thoughts_pictures_server_parts_and_parts_of_tomorrow():
    parts = [
        {"text": "hm", "thought": True},
        {"inlineData": {"mimeType": "image/png", "data": "AQI="}},
        {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"hologram": {"x": 1}},
    ]
    reply = wire.parse(answer(*parts, groundingMetadata={"webSearchQueries": ["q"]}), HERE, "s")

    assert reply.reasoning == "hm"
    assert reply.parts[1] == Image(data=b"\x01\x02", media_type="image/png")
    assert reply.server_tools == ("groundingMetadata", "executableCode", "codeExecutionResult")
    assert [part.text for part in reply.parts if part.type == "server_tool"] == ["print(1)", "1"]
    assert reply.parts[4] == Other("hologram", own({"hologram": {"x": 1}}))
    assert body_of(Message.user("x"), reply.message)["contents"][1]["parts"] == parts


def test_what_google_search_found_is_cited():
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
        "groundingSupports": [{"segment": {"text": "It rains.", "startIndex": 9}, "groundingChunkIndices": [0, 9]}],
    }
    reply = wire.parse(answer({"text": "Grüezi. It rains."}, groundingMetadata=grounding), HERE, "s")

    assert reply.parts[0].citations == ({"url": "https://a", "title": "A", "start": 8, "end": 17},)


@pytest.mark.parametrize("body", [{}, [], "x", None, {"candidates": 5}, {"candidates": [5]}, answer(5), answer({"text": 5})])
def test_what_is_no_answer_is_a_typed_fault(body):
    with pytest.raises(ProviderError) as caught:
        wire.parse(body, HERE, "s")

    assert (caught.value.kind, caught.value.code) == ("server_error", "unreadable")


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (
            400,
            {"status": "INVALID_ARGUMENT", "message": "API key not valid. Please pass a valid API key."},
            "authentication",
        ),
        (400, {"status": "INVALID_ARGUMENT", "message": "The input token count (9) exceeds the maximum"}, "context_length"),
        (400, {"status": "INVALID_ARGUMENT", "message": "bad"}, "invalid_request"),
        (400, {"status": "FAILED_PRECONDITION", "message": "User location is not supported"}, "permission"),
        (403, {"status": "PERMISSION_DENIED", "message": ""}, "permission"),
        (404, {"status": "NOT_FOUND", "message": ""}, "not_found"),
        (429, {"status": "RESOURCE_EXHAUSTED", "message": "Resource exhausted."}, "rate_limit"),
        (
            429,
            {"status": "RESOURCE_EXHAUSTED", "message": "", "details": [{"violations": [{"quotaId": "RequestsPerDay"}]}]},
            "quota",
        ),
        (500, {"status": "INTERNAL", "message": ""}, "server_error"),
        (503, {"status": "UNAVAILABLE", "message": "The model is overloaded."}, "overloaded"),
        (504, {"status": "DEADLINE_EXCEEDED", "message": ""}, "timeout"),
        (502, {}, "server_error"),
        (0, {"code": 503}, "overloaded"),
    ],
)
def test_errors(status, error, kind):
    assert wire.read_error(status, {"error": error})[0] == kind
    assert wire.read_error(status, [{"error": error}])[0] == kind


# ------------------------------------------------------------------------------------------------------- stream
def chunk(*parts, finish=None):
    out = answer(*parts, finish=finish)
    if finish is None:
        del out["candidates"][0]["finishReason"]
    return out


def feed(reader, *chunks):
    return [delta for item in chunks for delta in reader.feed(None, json.dumps(item))]


def test_a_stream_joins_plain_text_and_leaves_signed_parts_alone():
    reader = wire.reader(HERE, "s")
    deltas = feed(
        reader,
        chunk({"text": "h", "thought": True}),
        chunk({"text": "m", "thought": True}),
        chunk({"text": "He"}),
        chunk({"text": "llo"}),
        chunk({"functionCall": {"name": "w", "args": {"a": 1}}, "thoughtSignature": "sig"}),
        chunk({"text": "", "thoughtSignature": "end"}, finish="STOP"),
    )

    assert [(delta.type, delta.text) for delta in deltas] == [
        ("reasoning", "h"), ("reasoning", "m"), ("text", "He"), ("text", "llo"), ("tool_call", ""),
    ]  # fmt: skip
    reply = reader.reply()
    assert (reply.reasoning, reply.text, reply.finish) == ("hm", "Hello", "tool_calls")
    assert body_of(Message.user("x"), reply.message)["contents"][1]["parts"] == [
        {"text": "hm", "thought": True},
        {"text": "Hello"},
        {"functionCall": {"name": "w", "args": {"a": 1}}, "thoughtSignature": "sig"},
        {"text": "", "thoughtSignature": "end"},
    ]


def test_looking_at_what_has_arrived_does_not_disturb_the_stream():
    reader = wire.reader(HERE, "s")
    feed(reader, chunk({"text": "He"}), chunk({"text": "l"}))
    seen = reader.partial().text
    feed(reader, chunk({"text": "lo"}, finish="STOP"))

    assert (seen, reader.reply().text, len(reader.reply().parts)) == ("Hel", "Hello", 1)


def test_a_stream_without_a_finish_reason_is_incomplete():
    reader = wire.reader(HERE, "s")
    feed(reader, chunk({"text": "Hi"}))

    with pytest.raises(ProviderError) as caught:
        reader.reply()
    assert (caught.value.kind, reader.partial().text) == ("stream_incomplete", "Hi")


def test_an_error_in_the_stream_is_raised_with_its_kind():
    with pytest.raises(ProviderError) as caught:
        feed(wire.reader(HERE, "s"), {"error": {"code": 503, "status": "UNAVAILABLE", "message": "overloaded"}})

    assert (caught.value.kind, caught.value.code) == ("overloaded", "UNAVAILABLE")


@pytest.mark.parametrize("data", ["{", '"x"', "nonsense", '{"candidates": {}, "x": 1, "error": 5}'])
def test_an_event_that_is_none_is_a_typed_fault(data):
    with pytest.raises(ProviderError):
        wire.reader(HERE, "s").feed(None, data)


def test_feeding_an_event_is_cheap():
    reader = wire.reader(HERE, "s")
    event = json.dumps(chunk({"text": "word "}))

    begun = time.perf_counter()
    for _ in range(5_000):
        reader.feed(None, event)
    assert (time.perf_counter() - begun) / 5_000 < 1e-3  # seconds, with room for a busy machine; measured: 9 µs
