"""Gemini generateContent: bodies that others wrote, and broken bodies of all kinds."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joch_core.capabilities import Dialect, Target
from joch_core.errors import InvalidArgument, ProviderError
from joch_core.messages import (
    File,
    Image,
    Message,
    ModelRequest,
    Native,
    ToolSpec,
    is_call_id,
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


def answer(*parts, finish="STOP", **candidate):
    usage = {"promptTokenCount": 10, "toolUsePromptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 4,
             "cachedContentTokenCount": 6}  # fmt: skip
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, "finishReason": finish, "index": 0, **candidate}],
            "usageMetadata": usage, "modelVersion": "gemini-x-001", "responseId": "r"}  # fmt: skip


def chunk(*parts, finish=None):
    out = answer(*parts, finish=finish)
    if finish is None:
        del out["candidates"][0]["finishReason"]
    return out


# -------------------------------------------------------------------------------------------------- read_request
OWN_SCHEMA = {"type": "OBJECT", "properties": {"city": {"type": "STRING", "nullable": True}}, "required": ["city"]}
BODY = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [
            {"text": "look"},
            {"inlineData": {"mimeType": "image/png", "data": "AQI="}},
            {"fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"}, "videoMetadata": {"fps": 1}},
        ]},
        {"role": "model", "parts": [
            {"text": "hm", "thought": True, "thoughtSignature": "s1"},
            {"functionCall": {"name": "w", "args": {"n": 1}}, "thoughtSignature": "s2"},
            {"functionCall": {"name": "w", "args": {"n": 2}}},
            {"functionCall": {"name": "v", "args": {}, "id": "g1"}},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "w", "response": {"output": "one"}}},
            {"functionResponse": {"name": "w", "response": {"value": 2}}},
            {"functionResponse": {"name": "v", "id": "g1", "response": {"error": "no"}}},
        ]},
        {"role": "model", "parts": [{"executableCode": {"language": "PYTHON", "code": "1"}}, {"text": "ok"}]},
        {"role": "user", "parts": [{"text": "go on"}]},
    ],
    "tools": [
        {"functionDeclarations": [
            {"name": "w", "description": "d", "parameters": OWN_SCHEMA},
            {"name": "v", "parametersJsonSchema": SCHEMA, "behavior": "BLOCKING"},
        ]},
        {"googleSearch": {}},
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}},
    "generationConfig": {"temperature": 0.5, "topK": 3, "maxOutputTokens": 9, "responseMimeType": "application/json",
                         "responseSchema": OWN_SCHEMA, "thinkingConfig": {"thinkingBudget": 3000}},
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
}  # fmt: skip


def test_a_request_body_is_read_into_neutral_parts():
    request = wire.read_request(BODY, HERE.origin)

    assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert [tool.parameters for tool in request.tools] == [SCHEMA, SCHEMA, {}]
    assert (request.output_schema, request.output_mode) == (SCHEMA, "json_schema")
    assert (request.tool_choice, request.reasoning, request.max_tokens) == ("auto", "medium", 9)
    assert request.messages[1].parts[2] == File(
        url="https://youtu.be/x", media_type="video/mp4", native=own({"videoMetadata": {"fps": 1}}, opaque=False)
    )


def test_calls_without_ids_are_paired_with_their_responses_by_name_and_order():
    request = wire.read_request(BODY, HERE.origin)
    again = wire.read_request({**BODY, "contents": BODY["contents"][:3]}, HERE.origin)
    calls, results = request.messages[2].tool_calls, request.messages[3].tool_results

    assert [result.call_id for result in results] == [call.id for call in calls]
    assert all(is_call_id(call.id) for call in calls)
    assert len({call.id for call in calls}) == 3
    assert [(result.text, result.error) for result in results] == [("one", False), ('{"value":2}', False), ("no", True)]
    assert again.messages[2].tool_calls == calls  # a longer history does not rename them


def test_a_request_body_is_spelled_back_as_it_was():
    assert wire.render(wire.read_request(BODY, HERE.origin), HERE, stream=False) == BODY


def test_snake_case_is_understood():
    body = {
        "system_instruction": {"parts": {"text": "Be brief."}},
        "contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": "_-8"}}]}],
        "generation_config": {"max_output_tokens": 9.0, "response_mime_type": "application/json"},
    }
    request = wire.read_request(body, "o")

    assert request.messages == (Message.system("Be brief."), Message.user(Image(data=b"\xff\xef", media_type="image/png")))
    assert (request.max_tokens, request.output_mode) == (9, "json")


def test_an_upload_is_an_id_that_only_its_maker_knows():
    uri = "https://generativelanguage.googleapis.com/v1beta/files/abc"
    body = {"contents": [{"parts": [{"fileData": {"fileUri": uri, "mimeType": "image/png"}}]}]}
    (part,) = wire.read_request(body, "o").messages[0].parts

    assert (part.file_id, part.url, part.native.opaque) == (uri, None, True)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"contents": "x"}, "contents"),
        ({"contents": [{"role": "robot", "parts": []}]}, r"contents\[0\]\.role"),
        ({"contents": [{"parts": [{"text": 5}]}]}, r"contents\[0\]\.parts\[0\]\.text"),
        ({"contents": [{"parts": [{"functionCall": {"args": {}}}]}]}, r"parts\[0\]\.functionCall\.name"),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "a/b", "data": "%"}}]}]}, r"inlineData\.data"),
        ({"tools": [{"functionDeclarations": [{}]}]}, r"tools\[0\]\.functionDeclarations\[0\]\.name"),
        ({"generationConfig": {"temperature": "hot"}}, r"generationConfig\.temperature"),
    ],
)
def test_a_body_that_is_no_request_is_refused_by_place(change, where):
    with pytest.raises(InvalidArgument, match=where):
        wire.read_request({**BODY, **change}, "o")


# ------------------------------------------------------------------------------------------------------- broken
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    | st.sampled_from(["STOP", "user", "model", "ANY"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["text", "parts", "functionCall", "functionResponse", "name", "id", "thought", "content"]), inner, max_size=3
    ),
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
        where = draw(st.sampled_from(list(places(body))[1:] or [("contents",)]))
        target = body
        for key in where[:-1]:
            target = target[key]
        if draw(st.booleans()) and not isinstance(target, list):
            del target[where[-1]]
            if not body:
                return body
        else:
            target[where[-1]] = draw(JUNK)
    return body


@FUZZ
@given(mutated(BODY) | JUNK)
def test_a_broken_request_is_read_or_refused_but_never_a_crash(body):
    try:
        request = wire.read_request(body, "o")
    except InvalidArgument:
        return
    json.dumps(wire.render(request, place(thought_signatures=True, full_json_schema=False), stream=True))


WHOLE = answer(
    *BODY["contents"][1]["parts"],
    {"codeExecutionResult": {"output": "1"}},
    {"text": "It rains."},
    groundingMetadata={
        "groundingChunks": [{"web": {"uri": "u", "title": "t"}}],
        "groundingSupports": [{"segment": {"text": "It rains."}, "groundingChunkIndices": [0]}],
    },
)


@FUZZ
@given(mutated(WHOLE) | JUNK)
def test_a_broken_answer_is_read_or_a_provider_error(body):
    try:
        reply = wire.parse(body, HERE, "s")
    except ProviderError:
        return
    json.dumps(body_of(Message.user("x"), reply.message))


@FUZZ
@given(mutated([chunk({"text": "a"}), chunk({"text": "b", "thought": True}), chunk({"text": "c"}), WHOLE]))
def test_a_broken_stream_is_read_or_a_provider_error(chunks):
    reader = wire.reader(HERE, "s")
    try:
        for item in chunks:
            reader.feed(None, json.dumps(item))
        reader.reply()
    except ProviderError:
        pass
    reader.partial()


@FUZZ
@given(st.sampled_from([0, 200, 400, 401, 429, 500, 503]), JUNK)
def test_any_error_body_has_a_kind(status, body):
    kind, _code, message = wire.read_error(status, {"error": body})
    assert isinstance(kind, str)
    assert isinstance(message, str)


@pytest.mark.parametrize(
    ("url", "media_type"), [("https://example.com/a.webp?x=1", "image/webp"), ("https://example.com/a", "image/png")]
)
def test_a_picture_by_address_says_what_it_is(url, media_type):
    request = ModelRequest((Message.user([Image(url=url)]),))
    (part,) = wire.render(request, HERE, stream=False)["contents"][0]["parts"]
    assert part == {"fileData": {"fileUri": url, "mimeType": media_type}}
