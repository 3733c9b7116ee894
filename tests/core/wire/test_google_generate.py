"""Gemini generateContent: what is sent, what is understood, and what happens to broken bodies."""

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


def test_the_path_names_the_model_and_the_way():
    publisher = Target("v:m", "vertex", API, "publishers/google/models/gemini-x", "o")

    assert wire.path(HERE, stream=False) == "/models/gemini-x:generateContent"
    assert wire.path(HERE, stream=True) == "/models/gemini-x:streamGenerateContent?alt=sse"
    assert wire.path(publisher, stream=False) == "/publishers/google/models/gemini-x:generateContent"


# ------------------------------------------------------------------------------------------------------- render
def test_all_system_messages_are_one_instruction_and_roles_are_user_and_model():
    body = body_of(Message.system("A"), Message.user("Hi"), Message.assistant("Ho"), Message.system("B"), Message.user("?"))

    assert body == {
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"text": "Ho"}]},
            {"role": "user", "parts": [{"text": "?"}]},
        ],
        "systemInstruction": {"parts": [{"text": "A"}, {"text": "B"}]},
    }


def test_responses_are_one_content_of_their_own_in_the_order_of_the_calls():
    calls = [ToolCall("c11111111", "w", {"n": 1}), ToolCall("c22222222", "w", {"n": 2})]
    body = body_of(
        Message.user("x"),
        Message.assistant(calls),
        Message.user("hurry"),
        Message.tool("c22222222", "two"),
        Message.tool("c11111111", "one"),
    )

    model, results, user = body["contents"][1:]
    assert [part["functionCall"]["args"]["n"] for part in model["parts"]] == [1, 2]
    assert [part["functionResponse"]["response"] for part in results["parts"]] == [{"output": "one"}, {"output": "two"}]
    assert [part["functionResponse"]["name"] for part in results["parts"]] == ["w", "w"]
    assert user["parts"] == [{"text": "hurry"}]


def test_a_native_id_is_echoed_and_none_is_made_up():
    call = ToolCall("c11111111", "w", {}, native=own({"id": "g1", "thoughtSignature": "sig"}))
    known = body_of(Message.user("x"), Message.assistant([call]), Message.tool("c11111111", "ok"))
    plain = body_of(Message.user("x"), Message.assistant([ToolCall("c11111111", "w", {})]), Message.tool("c11111111", "ok"))

    assert known["contents"][1]["parts"] == [
        {"functionCall": {"name": "w", "args": {}, "id": "g1"}, "thoughtSignature": "sig"}
    ]
    assert known["contents"][2]["parts"][0]["functionResponse"]["id"] == "g1"
    assert "id" not in plain["contents"][1]["parts"][0]["functionCall"]
    assert "id" not in plain["contents"][2]["parts"][0]["functionResponse"]


def test_calls_of_another_model_get_the_documented_mark_in_the_current_turn_only():
    def step(number):
        ids = [f"c1111111{number}", f"c2222222{number}"]
        return [Message.assistant([ToolCall(i, "w", {}) for i in ids]), *(Message.tool(i, "ok") for i in ids)]

    signed = ToolCall("c99999999", "w", {}, native=own({"id": "", "thoughtSignature": "real"}))
    messages = [Message.user("a"), *step(1), Message.assistant("done"), Message.user("b"), *step(2)]
    messages += [Message.assistant([signed]), Message.tool("c99999999", "ok")]
    contents = body_of(*messages, target=place(thought_signatures=True))["contents"]

    marks = [
        [part.get("thoughtSignature") for part in content["parts"]] for content in contents if content["role"] == "model"
    ]
    assert marks == [[None, None], [None], [SENTINEL, None], ["real"]]
    assert SENTINEL not in json.dumps(body_of(*messages))


def test_a_failed_tool_says_error_and_pictures_stand_inside_the_response():
    result = ToolResult("c11111111", (Text("no"), Image(data=b"\x01\x02", media_type="image/png")), "w", error=True)
    body = body_of(Message.user("x"), Message.assistant([ToolCall("c11111111", "w", {})]), Message("tool", (result,)))

    assert body["contents"][2]["parts"][0]["functionResponse"] == {
        "name": "w",
        "response": {"error": "no"},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": "AQI="}}],
    }


def test_own_thoughts_and_server_parts_go_back_and_foreign_ones_do_not():
    thought = {"text": "hm", "thought": True, "thoughtSignature": "s"}
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    foreign = Native("anthropic-messages", "a", {"type": "thinking", "signature": "zzz"})
    parts = [Reasoning("hm", own(thought)), ServerTool("executableCode", "1", own(code)), Reasoning("z", foreign), Text("c")]

    assert body_of(Message.user("x"), Message.assistant(parts))["contents"][1]["parts"] == [thought, code, {"text": "c"}]


def test_media_by_value_and_by_address():
    parts = [
        Image(data=b"\x01\x02", media_type="image/png"),
        Image(url="https://x/y.png", media_type="image/png"),
        Audio(data=b"\x01\x02", media_type="audio/mp3"),
        File(url="data:application/pdf;base64,AQI="),
        File(file_id="gs://bucket/a.pdf", media_type="application/pdf"),
        File(name="lost"),
    ]

    assert body_of(Message.user(parts))["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "AQI="}},
        {"fileData": {"fileUri": "https://x/y.png", "mimeType": "image/png"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AQI="}},
        {"inlineData": {"mimeType": "application/pdf", "data": "AQI="}},
        {"fileData": {"fileUri": "gs://bucket/a.pdf", "mimeType": "application/pdf"}},
    ]


def test_tools_with_full_and_with_reduced_schemas():
    tools = (WEATHER, ToolSpec("now"), ToolSpec.server("googleSearch"), ToolSpec.server("code_execution"))
    servers = [{"googleSearch": {}}, {"codeExecution": {}}]

    full = body_of(Message.user("x"), tools=tools)["tools"]
    reduced = body_of(Message.user("x"), tools=tools, target=place(full_json_schema=False))["tools"]
    declared = {"name": "weather", "description": "The weather"}
    assert full == [{"functionDeclarations": [{**declared, "parametersJsonSchema": SCHEMA}, {"name": "now"}]}, *servers]
    assert reduced[0]["functionDeclarations"][0] == {
        **declared,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "nullable": True}},
            "required": ["city"],
        },
    }


def test_a_reduced_schema_holds_only_what_the_own_form_knows():
    schema = {
        "$schema": "x", "type": "object", "additionalProperties": False,
        "properties": {"kind": {"const": 1}, "either": {"oneOf": [{"type": "string"}, {"type": ["integer", "null"]}]}},
    }  # fmt: skip
    body = body_of(Message.user("x"), tools=(ToolSpec("t", parameters=schema),), target=place(full_json_schema=False))

    assert body["tools"][0]["functionDeclarations"][0]["parameters"] == {
        "type": "object",
        "properties": {
            "kind": {"enum": ["1"], "type": "string"},
            "either": {"anyOf": [{"type": "string"}, {"type": "integer", "nullable": True}]},
        },
    }


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("weather", {"mode": "ANY", "allowedFunctionNames": ["weather"]}),
    ],
)
def test_tool_choice(choice, calling):
    body = body_of(Message.user("x"), tools=(WEATHER,), tool_choice=choice)

    assert body["toolConfig"] == {"functionCallingConfig": calling}
    assert "toolConfig" not in body_of(Message.user("x"), tool_choice=choice)


def test_options_stand_in_the_generation_config():
    body = body_of(
        Message.user("x"),
        temperature=0.5,
        top_p=0.9,
        max_tokens=10,
        stop=("END",),
        seed=7,
        output_schema=SCHEMA,
        output_mode="json_schema",
        reasoning="low",
        extra={"google": {"generationConfig": {"topK": 3}, "safetySettings": []}},
    )

    assert body["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "maxOutputTokens": 10,
        "stopSequences": ["END"],
        "seed": 7,
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
        "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
        "topK": 3,
    }
    assert body["safetySettings"] == []


def test_reasoning_of_older_models_is_a_budget():
    budget = place(reasoning_budget=True)

    def thinking(level, target):
        return body_of(Message.user("x"), reasoning=level, target=target)["generationConfig"]["thinkingConfig"]

    assert thinking("none", budget) == {"thinkingBudget": 0}
    assert thinking("high", budget) == {"thinkingBudget": 24_576, "includeThoughts": True}
    assert thinking("none", HERE) == {"thinkingLevel": "MINIMAL"}


def test_output_as_json_and_as_a_forced_tool():
    json_mode = body_of(Message.user("x"), output_mode="json")
    tool = body_of(Message.user("x"), output_mode="tool", output_schema=SCHEMA, output_name="place")

    assert json_mode["generationConfig"] == {"responseMimeType": "application/json"}
    assert tool["toolConfig"]["functionCallingConfig"] == {"mode": "ANY", "allowedFunctionNames": ["place"]}
    assert tool["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == SCHEMA


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
