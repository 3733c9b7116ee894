"""Gemini generateContent: what is sent."""

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
    Reasoning,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
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
