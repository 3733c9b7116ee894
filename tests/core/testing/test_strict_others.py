"""Each strict rule of Anthropic and Gemini: what is good passes, one change makes it the API's own error, pure and over the wire.

A case is a change (`changed` in conftest says how paths are read) and a part of the sentence that the API answers with.
"""

import base64

import anthropic
import openai
import pytest

from joch_core.testing import check_request
from joch_core.testing.tokens import seal

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(32)).decode()

CLAUDE = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 4000,
    "system": "Be kind.",
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "messages": [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": seal("thinking", "claude-sonnet-4-5", "1")},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Bonn"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "warm"}]},
    ],
    "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
}
GEMINI = {
    "model": "gemini-3-flash",
    "contents": [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"name": "get_weather", "args": {"city": "Bonn"}},
                    "thoughtSignature": seal("thought", "gemini-3-flash", "1"),
                }
            ],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "get_weather", "response": {"result": "warm"}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": SCHEMA}]}],
}
GOOD = {"anthropic-messages": CLAUDE, "gemini-generate": GEMINI}

OPEN_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
BRANCHES = {"type": "object", "oneOf": [{"required": ["city"]}]}
NO_ITEMS = {"type": "object", "properties": {"list": {"type": "array"}}}
HELLO = {"role": "assistant", "content": "Hello."}

CLAUDE_RULES = [
    ({"max_tokens": ...}, "max_tokens: Field required"),
    ({"messages": []}, "messages: at least one message is required"),
    ({"seed": 1}, "seed: Extra inputs are not permitted"),
    ({"messages.+0": HELLO}, 'messages: first message must use the "user" role'),
    ({"messages.+0": {"role": "system", "content": "Be kind."}}, 'messages: Unexpected role "system".'),
    ({"messages.2.role": "tool"}, 'messages: Unexpected role "tool".'),
    (
        {"messages.1.content.1.id": "functions.Bash:0"},
        "messages.1.content.1.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
    ),
    ({"messages.1.content.1.name": "get.weather"}, "tool_use.name: String should match pattern"),
    ({"messages.1.content.1.input": "Bonn"}, "tool_use.input: Input should be a valid dictionary"),
    (
        {"messages.2.content": "Thanks."},
        "`tool_use` ids were found without `tool_result` blocks immediately after: toolu_1.",
    ),
    (
        {"messages.2.content.+0": {"type": "text", "text": "Here:"}},
        "`tool_use` ids were found without `tool_result` blocks immediately after",
    ),
    (
        {"messages.1.content.1": {"type": "text", "text": "Hm."}},
        "unexpected `tool_use_id` found in `tool_result` blocks: toolu_1.",
    ),
    ({"messages.2.content.+1": CLAUDE["messages"][2]["content"][0]}, "each tool_use must have a single result."),
    ({"messages.2.content.+1": {"type": "text", "text": ""}}, "text content blocks must be non-empty"),
    ({"messages.2.content.+1": {"type": "text", "text": " "}}, "text content blocks must contain non-whitespace text"),
    ({"messages.0.content": ""}, "messages.0: user messages must have non-empty content"),
    (
        {"messages.+3": {"role": "assistant", "content": "Then "}},
        "final assistant content cannot end with trailing whitespace",
    ),
    (
        {"messages.1.content.0.signature": seal("thinking", "claude-opus-4-5", "1")},
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    (
        {"messages.1.content.0.signature": "EqQBCkYIBRgCIkDx"},
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    ({"messages.1.content.0.signature": ...}, "messages.1.content.0.thinking.signature: Field required"),
    (
        {"messages.1.content.0.cache_control": {"type": "ephemeral"}},
        "messages.1.content.0.thinking.cache_control: Extra inputs are not permitted",
    ),
    ({"messages.1.content.0": ...}, "Expected `thinking` or `redacted_thinking`, but found `tool_use`."),
    (
        {"messages.2.content.+1": {"type": "input_text", "text": "x"}},
        "Input tag 'input_text' found using 'type' does not match",
    ),
    (
        {"messages.2.content.+1": CLAUDE["messages"][1]["content"][1]},
        "`tool_use` blocks can only be in `assistant` messages",
    ),
    (
        {"messages.2.content.+1": {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}}},
        "appears to be a image/png image",
    ),
    (
        {"messages.2.content.+1": {"type": "image", "source": {"type": "base64", "media_type": "image/bmp", "data": PNG}}},
        "media_type: Input should be 'image/jpeg'",
    ),
    ({"tools.0.name": "get.weather"}, "tools.0.custom.name: String should match pattern"),
    ({"tools.+0": CLAUDE["tools"][0]}, "tools: Tool names must be unique."),
    ({"tools.0.input_schema": BRANCHES}, "input_schema does not support oneOf, allOf, or anyOf at the top level"),
    ({"tools.0.input_schema": {"properties": {}}}, "input_schema.type: Field required"),
    ({"tools.0.input_schema": {"type": "object", "properties": {"a b": {}}}}, "Property keys should match pattern"),
    ({"tool_choice": "auto"}, "tool_choice: Input should be a valid dictionary"),
    ({"tool_choice": {"type": "any"}}, "Thinking may not be enabled when tool_choice forces tool use."),
    ({"tool_choice": {"type": "tool", "name": "other"}}, "Tool 'other' not found in provided tools"),
    ({"tools": [], "tool_choice": {"type": "auto"}}, "Tool choice may only be specified while providing tools."),
    ({"temperature": 0.5}, "`temperature` may only be set to 1 when thinking is enabled"),
    ({"temperature": 1.5}, "temperature: range: 0..1"),
    ({"temperature": 1, "top_p": 0.9}, "cannot both be specified for this model."),
    ({"thinking.budget_tokens": 500}, "Input should be greater than or equal to 1024"),
    ({"thinking.budget_tokens": 4000}, "`max_tokens` must be greater than `thinking.budget_tokens`."),
    (
        {"max_tokens": 100_000},
        "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for claude-sonnet-4-5",
    ),
    ({"stop_sequences": [" "]}, "each stop sequence must contain non-whitespace"),
    (
        {"output_config": {"format": {"type": "json_schema", "schema": OPEN_SCHEMA}}},
        "'additionalProperties' must be explicitly set to false",
    ),
    ({"output_config": {"effort": "xhigh"}}, "This model does not support effort level 'xhigh'."),
    (
        {"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}] * 5},
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    ({"model": "claude-opus-4-7"}, '"thinking.type.enabled" is not supported for this model.'),
    (
        {"model": "claude-opus-4-7", "thinking": {"type": "adaptive"}, "temperature": 1},
        "`temperature` is deprecated for this model.",
    ),
    ({"model": "claude-sonnet-4-6", "messages.+3": HELLO}, "This model does not support assistant message prefill."),
    ({"messages.0.content": "word " * 200_000}, "prompt is too long: 250"),
]
GEMINI_RULES = [
    ({"contents": []}, "contents is not specified"),
    ({"messages": []}, 'Unknown name "messages": Cannot find field.'),
    ({"contents.0.parts": []}, "contents.parts must not be empty."),
    ({"contents.0.parts.0": {}}, "required oneof field 'data' must have one initialized field"),
    ({"contents.0.role": "assistant"}, "Please use a valid role: user, model."),
    (
        {"contents.2": {"role": "user", "parts": [{"text": "x"}]}},
        "number of function response parts is equal to the number of function call parts",
    ),
    (
        {"contents.1": {"role": "model", "parts": [{"text": "x"}]}},
        "function response turn comes immediately after a function call turn.",
    ),
    ({"contents.0.role": "model"}, "function call turn comes immediately after a user turn"),
    (
        {"contents.+3": {"role": "model", "parts": [{"text": "x"}]}},
        "multiturn requests end with a user role or a function response.",
    ),
    ({"contents.1.parts.0.thoughtSignature": ...}, "Function call is missing a thought_signature in functionCall parts."),
    ({"contents.1.parts.0.thoughtSignature": seal("thought", "gemini-2.5-pro", "1")}, "Corrupted thought signature."),
    (
        {"model": "gemini-2.0-flash", "contents.0.parts.0": {"fileData": {"fileUri": "https://example.com/a.pdf"}}},
        "Invalid or unsupported file uri: https://example.com/a.pdf",
    ),
    ({"tools.0.functionDeclarations.0.name": "1st"}, "Invalid function name. Must start with a letter or an underscore."),
    (
        {"tools.0.functionDeclarations.+0": GEMINI["tools"][0]["functionDeclarations"][0]},
        "Duplicate function declaration found: get_weather",
    ),
    (
        {"tools.0.functionDeclarations.0.parameters": SCHEMA},
        "Unknown name \"additionalProperties\" at 'tools[0].function_declarations[0].parameters': Cannot find field.",
    ),
    (
        {"tools.0.functionDeclarations.0.parameters": {"type": "object", "properties": {"n": {"type": ["string", "null"]}}}},
        "Proto field is not repeating, cannot start list.",
    ),
    (
        {
            "tools.0.functionDeclarations.0.parameters": {
                "type": "object",
                "properties": {"n": {"type": "integer", "enum": [1]}},
            }
        },
        "(TYPE_STRING), 1",
    ),
    ({"tools.0.functionDeclarations.0.parameters": NO_ITEMS}, "parameters.properties[list].items: missing field."),
    (
        {"toolConfig.functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["get_weather"]}},
        "only when function calling mode is ANY.",
    ),
    ({"generationConfig.responseSchema": {"type": "object"}}, "requires response_mime_type to be application/json."),
    (
        {"tools": [], "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        "Function calling config is set without function_declarations.",
    ),
    ({"contents.0.parts.0.text": "word " * 1_000_000}, "The input token count (1250"),
]
RULES = {"anthropic-messages": CLAUDE_RULES, "gemini-generate": GEMINI_RULES}


CASES = [
    pytest.param(api, change, sentence, id=f"{api}-{sentence[:60]}")
    for api, rules in RULES.items()
    for change, sentence in rules
]


@pytest.mark.parametrize("api", GOOD)
def test_a_good_request_is_taken(send, api):
    assert check_request(api, GOOD[api]) == []
    assert send(api, GOOD[api]) is None


@pytest.mark.parametrize(("api", "change", "sentence"), CASES)
def test_a_bad_request_is_refused_with_the_sentence_of_its_api(changed, api, change, sentence):
    assert any(sentence in found for found in check_request(api, changed(GOOD[api], change)))


@pytest.mark.parametrize(("api", "change", "sentence"), CASES)
def test_a_bad_request_is_an_http_error_for_the_sdk(sim, send, changed, api, change, sentence):
    body = changed(GOOD[api], change)
    status, told = send(api, body)
    assert status == (404 if "not persisted" in sentence else 400)
    assert told == check_request(api, body)[0]
    assert sim.calls()[-1].error == told


def test_foreign_tokens_pass_where_only_the_form_is_asked_for(changed):
    body = changed(CLAUDE, {"messages.1.content.0.signature": "EqQBCkYIBRgCIkDx"})
    assert check_request("anthropic-messages", body, tokens="any") == []


def test_the_documented_sentinels_stand_for_a_thought_signature(changed):
    body = changed(GEMINI, {"contents.1.parts.0.thoughtSignature": "skip_thought_signature_validator"})
    assert check_request("gemini-generate", body) == []


def test_a_key_is_wanted_by_every_api(sim, sdk):
    with pytest.raises(openai.AuthenticationError):
        sdk.openai.with_options(api_key="invalid").chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "hi"}]
        )
    with pytest.raises(anthropic.AuthenticationError):
        sdk.anthropic.with_options(api_key="invalid").messages.create(
            model="claude-sonnet-5", max_tokens=9, messages=[HELLO]
        )
