"""Each strict rule: what is good passes, one change makes it the API's own error, in a pure check and over the wire."""

import base64
import copy
import json
import urllib.error
import urllib.request

import anthropic
import openai
import pytest

from joch_core.testing import check_request
from joch_core.testing.tokens import item_id, seal

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(32)).decode()

CHAT = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Bonn"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "warm"},
        {"role": "user", "content": [{"type": "text", "text": "Thanks."}]},
    ],
    "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA, "strict": True}}],
}
RESPONSES = {
    "model": "gpt-5-mini",
    "store": False,
    "input": [
        {"role": "user", "content": "Weather?"},
        {
            "type": "reasoning",
            "id": item_id("rs", "gpt-5-mini", "1"),
            "summary": [],
            "encrypted_content": seal("reasoning", "gpt-5-mini", "1"),
        },
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city": "Bonn"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "warm"},
        {"role": "user", "content": [{"type": "input_text", "text": "Thanks."}]},
    ],
    "tools": [{"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": True}],
}
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
GOOD = {"openai-chat": CHAT, "openai-responses": RESPONSES, "anthropic-messages": CLAUDE, "gemini-generate": GEMINI}


def put(path, value):
    """A change: put a value at a path such as `messages.2.tool_calls.0.id`; `...` takes it away, `+` inserts before."""

    def change(body):
        *way, last = path.split(".")
        for step in way:
            body = body[int(step)] if isinstance(body, list) else body.setdefault(step, {})
        if last.startswith("+"):
            body.insert(int(last[1:]), value)
        elif value is ...:
            del body[int(last) if isinstance(body, list) else last]
        else:
            body[int(last) if isinstance(body, list) else last] = value

    return change


OPEN_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
LOOSE = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}
BRANCHES = {"type": "object", "oneOf": [{"required": ["city"]}]}
NO_ITEMS = {"type": "object", "properties": {"list": {"type": "array"}}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
HELLO = {"role": "assistant", "content": "Hello."}

CHAT_RULES = [
    (put("messages", ...), "Missing required parameter: 'messages'."),
    (put("messages", []), "Invalid 'messages': empty array."),
    (put("colour", "red"), "Unrecognized request argument supplied: colour"),
    (put("messages.1.role", "model"), "Invalid value: 'model'. Supported values are:"),
    (put("messages.2.reasoning_content", "hm"), "Unknown parameter: 'messages[2].reasoning_content'."),
    (
        put("messages.2.tool_calls.0.id", "x" * 41),
        "string too long. Expected a string with maximum length 40, but instead got a string with length 41.",
    ),
    (put("messages.2.tool_calls.0.function.name", "get.weather"), "string does not match pattern"),
    (put("messages.2.tool_calls.0.function.arguments", {"city": "Bonn"}), "expected a string, but got an object instead."),
    (put("messages.2.tool_calls", []), "Invalid 'messages[2].tool_calls': empty array."),
    (put("messages.3", ...), "An assistant message with 'tool_calls' must be followed by tool messages"),
    (put("messages.+3", {"role": "user", "content": "wait"}), "did not have response messages: call_1"),
    (put("messages.2", HELLO), "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."),
    (put("messages.4", {"role": "assistant", "content": None}), "expected a string, got null."),
    (
        put("messages.3.content", [IMAGE]),
        "Image URLs are only allowed for messages with role 'user', but this message with role 'tool'",
    ),
    (
        put("messages.4", {"role": "assistant", "content": [{"type": "reasoning", "text": "hm"}]}),
        "Invalid value: 'reasoning'.",
    ),
    (
        put("messages.4.content.0", {"type": "input_audio", "input_audio": {}}),
        "Content blocks are expected to be either text or image_url type.",
    ),
    (put("tools", []), "Invalid 'tools': empty array."),
    (put("tools.0.function.name", "get weather"), "Invalid 'tools[0].function.name': string does not match pattern."),
    (put("tools.0.function.name", "w" * 65), "maximum length 64"),
    (put("tools.0.function.parameters", OPEN_SCHEMA), "'additionalProperties' is required to be supplied and to be false."),
    (put("tools.0.function.parameters", LOOSE), "including every key in properties. Missing 'city'."),
    (
        put("tools.0.function", {"name": "w", "parameters": BRANCHES}),
        "not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.",
    ),
    (
        put("tools.0.function", {"name": "w", "parameters": NO_ITEMS}),
        "In context=('properties', 'list'), array schema missing items.",
    ),
    (
        put("tools.0.function", {"name": "w", "parameters": {"type": "string"}}),
        "schema must be a JSON Schema of 'type: \"object\"'",
    ),
    (
        put("tool_choice", {"type": "function", "function": {"name": "other"}}),
        "no function named 'other' was specified in the 'tools' parameter.",
    ),
    (put("tool_choice", "any"), "Invalid value: 'any'."),
    (put("response_format", {"type": "json_object"}), "must contain the word 'json'"),
    (
        put("response_format", {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": OPEN_SCHEMA}}),
        "Invalid schema for response_format 'a': In context=()",
    ),
    (
        put("response_format", {"type": "json_schema", "json_schema": {"schema": SCHEMA}}),
        "Missing required parameter: 'response_format.json_schema.name'.",
    ),
    (put("reasoning_effort", "high"), "Unrecognized request argument supplied: reasoning_effort"),
    (put("temperature", 3), "decimal above maximum value"),
    (put("stop", list("abcde")), "Invalid 'stop': array too long."),
    (lambda body: body.update(tools=None, tool_choice="auto"), "'tool_choice' is only allowed when 'tools' are specified."),
    (lambda body: body.update(model="gpt-5-mini", temperature=0.5), "'temperature' does not support 0.5 with this model."),
    (lambda body: body.update(model="o3", max_tokens=50), "Use 'max_completion_tokens' instead."),
    (lambda body: body.update(model="o3", stop="x"), "Unsupported parameter: 'stop' is not supported with this model."),
    (lambda body: body.update(model="gpt-5.4", reasoning_effort="low"), "Please use /v1/responses instead."),
    (lambda body: body.update(max_tokens=9, max_completion_tokens=9), "at the same time is not supported."),
    (
        lambda body: body.update(model="mistral-small"),
        "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.",
    ),
    (lambda body: body.update(model="llama+alternating"), "Unexpected role 'user' after role 'tool'"),
    (
        lambda body: body.update(model="llama+alternating", messages=[CHAT["messages"][1]] * 2),
        "Conversation roles must alternate",
    ),
    (put("messages.1.content", "word " * 200_000), "This model's maximum context length is 128000 tokens."),
]
RESPONSES_RULES = [
    (put("input", ...), "Missing required parameter: 'input'."),
    (put("input", []), "Invalid 'input': empty array."),
    (put("stop", "x"), "Unknown parameter: 'stop'."),
    (put("input.2.id", "call_1"), "Invalid 'input[2].id': 'call_1'. Expected an ID that begins with 'fc'."),
    (put("input.2.call_id", "x" * 65), "maximum length 64, but instead got a string with length 65."),
    (put("input.2.name", "get.weather"), "Invalid 'input[2].name': string does not match pattern."),
    (put("input.2.tool_calls", []), "Unknown parameter: 'input[2].tool_calls'."),
    (put("input.0.role", "tool"), "Invalid value: 'tool'."),
    (put("input.4.content.0.type", "text"), "Invalid value: 'text'. Supported values are: 'input_text'"),
    (
        put("input.4", {"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}),
        "Invalid value: 'input_text'.",
    ),
    (put("input.3", ...), "No tool output found for function call call_1."),
    (
        put("input.2", {"type": "message", "role": "assistant", "content": "Hm."}),
        "No tool call found for function call output with call_id call_1.",
    ),
    (
        put("input.+2", {"role": "user", "content": "wait"}),
        "of type 'reasoning' was provided without its required following item.",
    ),
    (put("input.1.encrypted_content", seal("reasoning", "gpt-5", "1")), "could not be verified."),
    (
        put("input.1.encrypted_content", "gAAAAABqaR3--246DyIVMWvEVGOZxZ"),
        "The encrypted content gAAA...ZxZ could not be verified.".replace("ZxZ", "OZxZ"),
    ),
    (
        put("input.1", {"type": "reasoning", "id": "rs_68c42de022c8", "summary": []}),
        "Items are not persisted when `store` is set to false.",
    ),
    (put("tools.0", CHAT["tools"][0]), "Missing required parameter: 'tools[0].name'."),
    (put("tools.0.parameters", OPEN_SCHEMA), "'additionalProperties' is required to be supplied and to be false."),
    (put("tool_choice", {"type": "function", "name": "other"}), "Tool choice 'function' not found in 'tools' parameter."),
    (lambda body: body.update(tools=[], tool_choice="required"), "must be specified with 'tools' parameter."),
    (put("temperature", 0.2), "Unsupported parameter: 'temperature' is not supported with this model."),
    (put("max_output_tokens", 5), "Expected a value >= 16, but got 5 instead."),
    (put("text", {"format": {"type": "json_object"}}), "must contain the word 'json'"),
    (
        put("text", {"format": {"type": "json_schema", "name": "a", "strict": True, "schema": OPEN_SCHEMA}}),
        "Invalid schema for response_format 'a'",
    ),
    (
        put("input.4.content.0", {"type": "input_file", "file_url": "https://example.com/a.mp3"}),
        "The file type you uploaded is not supported.",
    ),
    (lambda body: body.update(model="gpt-4o", reasoning={"effort": "low"}), "Unsupported parameter: 'reasoning.effort'"),
    (put("input.0.content", "word " * 300_000), "Your input exceeds the context window of this model."),
]
CLAUDE_RULES = [
    (put("max_tokens", ...), "max_tokens: Field required"),
    (put("messages", []), "messages: at least one message is required"),
    (put("seed", 1), "seed: Extra inputs are not permitted"),
    (put("messages.+0", HELLO), 'messages: first message must use the "user" role'),
    (put("messages.+0", {"role": "system", "content": "Be kind."}), 'messages: Unexpected role "system".'),
    (put("messages.2.role", "tool"), 'messages: Unexpected role "tool".'),
    (
        put("messages.1.content.1.id", "functions.Bash:0"),
        "messages.1.content.1.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
    ),
    (put("messages.1.content.1.name", "get.weather"), "tool_use.name: String should match pattern"),
    (put("messages.1.content.1.input", "Bonn"), "tool_use.input: Input should be a valid dictionary"),
    (
        put("messages.2.content", "Thanks."),
        "`tool_use` ids were found without `tool_result` blocks immediately after: toolu_1.",
    ),
    (
        put("messages.2.content.+0", {"type": "text", "text": "Here:"}),
        "`tool_use` ids were found without `tool_result` blocks immediately after",
    ),
    (
        put("messages.1.content.1", {"type": "text", "text": "Hm."}),
        "unexpected `tool_use_id` found in `tool_result` blocks: toolu_1.",
    ),
    (put("messages.2.content.+1", CLAUDE["messages"][2]["content"][0]), "each tool_use must have a single result."),
    (put("messages.2.content.+1", {"type": "text", "text": ""}), "text content blocks must be non-empty"),
    (put("messages.2.content.+1", {"type": "text", "text": " "}), "text content blocks must contain non-whitespace text"),
    (put("messages.0.content", ""), "messages.0: user messages must have non-empty content"),
    (
        put("messages.+3", {"role": "assistant", "content": "Then "}),
        "final assistant content cannot end with trailing whitespace",
    ),
    (
        put("messages.1.content.0.signature", seal("thinking", "claude-opus-4-5", "1")),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    (
        put("messages.1.content.0.signature", "EqQBCkYIBRgCIkDx"),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    (put("messages.1.content.0.signature", ...), "messages.1.content.0.thinking.signature: Field required"),
    (
        put("messages.1.content.0.cache_control", {"type": "ephemeral"}),
        "messages.1.content.0.thinking.cache_control: Extra inputs are not permitted",
    ),
    (put("messages.1.content.0", ...), "Expected `thinking` or `redacted_thinking`, but found `tool_use`."),
    (
        put("messages.2.content.+1", {"type": "input_text", "text": "x"}),
        "Input tag 'input_text' found using 'type' does not match",
    ),
    (
        put("messages.2.content.+1", CLAUDE["messages"][1]["content"][1]),
        "`tool_use` blocks can only be in `assistant` messages",
    ),
    (
        put(
            "messages.2.content.+1", {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}}
        ),
        "appears to be a image/png image",
    ),
    (
        put(
            "messages.2.content.+1", {"type": "image", "source": {"type": "base64", "media_type": "image/bmp", "data": PNG}}
        ),
        "media_type: Input should be 'image/jpeg'",
    ),
    (put("tools.0.name", "get.weather"), "tools.0.custom.name: String should match pattern"),
    (put("tools.+0", CLAUDE["tools"][0]), "tools: Tool names must be unique."),
    (put("tools.0.input_schema", BRANCHES), "input_schema does not support oneOf, allOf, or anyOf at the top level"),
    (put("tools.0.input_schema", {"properties": {}}), "input_schema.type: Field required"),
    (put("tools.0.input_schema", {"type": "object", "properties": {"a b": {}}}), "Property keys should match pattern"),
    (put("tool_choice", "auto"), "tool_choice: Input should be a valid dictionary"),
    (put("tool_choice", {"type": "any"}), "Thinking may not be enabled when tool_choice forces tool use."),
    (put("tool_choice", {"type": "tool", "name": "other"}), "Tool 'other' not found in provided tools"),
    (
        lambda body: body.update(tools=[], tool_choice={"type": "auto"}),
        "Tool choice may only be specified while providing tools.",
    ),
    (put("temperature", 0.5), "`temperature` may only be set to 1 when thinking is enabled"),
    (put("temperature", 1.5), "temperature: range: 0..1"),
    (lambda body: body.update(temperature=1, top_p=0.9), "cannot both be specified for this model."),
    (put("thinking.budget_tokens", 500), "Input should be greater than or equal to 1024"),
    (put("thinking.budget_tokens", 4000), "`max_tokens` must be greater than `thinking.budget_tokens`."),
    (
        put("max_tokens", 100_000),
        "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for claude-sonnet-4-5",
    ),
    (put("stop_sequences", [" "]), "each stop sequence must contain non-whitespace"),
    (
        put("output_config", {"format": {"type": "json_schema", "schema": OPEN_SCHEMA}}),
        "'additionalProperties' must be explicitly set to false",
    ),
    (put("output_config", {"effort": "xhigh"}), "This model does not support effort level 'xhigh'."),
    (
        put("system", [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}] * 5),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    (lambda body: body.update(model="claude-opus-4-7"), '"thinking.type.enabled" is not supported for this model.'),
    (
        lambda body: body.update(model="claude-opus-4-7", thinking={"type": "adaptive"}, temperature=1),
        "`temperature` is deprecated for this model.",
    ),
    (
        lambda body: body.update(model="claude-sonnet-4-6", messages=[*body["messages"], HELLO]),
        "This model does not support assistant message prefill.",
    ),
    (put("messages.0.content", "word " * 200_000), "prompt is too long: 250"),
]
GEMINI_RULES = [
    (put("contents", []), "contents is not specified"),
    (put("messages", []), 'Unknown name "messages": Cannot find field.'),
    (put("contents.0.parts", []), "contents.parts must not be empty."),
    (put("contents.0.parts.0", {}), "required oneof field 'data' must have one initialized field"),
    (put("contents.0.role", "assistant"), "Please use a valid role: user, model."),
    (
        put("contents.2", {"role": "user", "parts": [{"text": "x"}]}),
        "number of function response parts is equal to the number of function call parts",
    ),
    (
        put("contents.1", {"role": "model", "parts": [{"text": "x"}]}),
        "function response turn comes immediately after a function call turn.",
    ),
    (put("contents.0.role", "model"), "function call turn comes immediately after a user turn"),
    (
        put("contents.+3", {"role": "model", "parts": [{"text": "x"}]}),
        "multiturn requests end with a user role or a function response.",
    ),
    (put("contents.1.parts.0.thoughtSignature", ...), "Function call is missing a thought_signature in functionCall parts."),
    (put("contents.1.parts.0.thoughtSignature", seal("thought", "gemini-2.5-pro", "1")), "Corrupted thought signature."),
    (put("tools.0.functionDeclarations.0.name", "1st"), "Invalid function name. Must start with a letter or an underscore."),
    (
        put("tools.0.functionDeclarations.+0", GEMINI["tools"][0]["functionDeclarations"][0]),
        "Duplicate function declaration found: get_weather",
    ),
    (
        put("tools.0.functionDeclarations.0.parameters", SCHEMA),
        "Unknown name \"additionalProperties\" at 'tools[0].function_declarations[0].parameters': Cannot find field.",
    ),
    (
        put(
            "tools.0.functionDeclarations.0.parameters",
            {"type": "object", "properties": {"n": {"type": ["string", "null"]}}},
        ),
        "Proto field is not repeating, cannot start list.",
    ),
    (
        put(
            "tools.0.functionDeclarations.0.parameters",
            {"type": "object", "properties": {"n": {"type": "integer", "enum": [1]}}},
        ),
        "(TYPE_STRING), 1",
    ),
    (put("tools.0.functionDeclarations.0.parameters", NO_ITEMS), "parameters.properties[list].items: missing field."),
    (
        put("toolConfig.functionCallingConfig", {"mode": "AUTO", "allowedFunctionNames": ["get_weather"]}),
        "only when function calling mode is ANY.",
    ),
    (put("generationConfig.responseSchema", {"type": "object"}), "requires response_mime_type to be application/json."),
    (
        lambda body: body.update(tools=[], toolConfig={"functionCallingConfig": {"mode": "ANY"}}),
        "Function calling config is set without function_declarations.",
    ),
    (put("contents.0.parts.0.text", "word " * 1_000_000), "The input token count (1250"),
]
CASES = [
    pytest.param(api, change, sentence, id=f"{api}-{sentence[:60]}")
    for api, rules in zip(GOOD, (CHAT_RULES, RESPONSES_RULES, CLAUDE_RULES, GEMINI_RULES), strict=True)
    for change, sentence in rules
]


def changed(api, change):
    body = copy.deepcopy(GOOD[api])
    change(body)
    return body


@pytest.mark.parametrize("api", GOOD)
def test_a_good_request_is_taken(sim, sdk, api):
    assert check_request(api, GOOD[api]) == []
    assert send(sim, sdk, api, GOOD[api]) is None


@pytest.mark.parametrize(("api", "change", "sentence"), CASES)
def test_a_bad_request_is_refused_with_the_sentence_of_its_api(api, change, sentence):
    assert any(sentence in found for found in check_request(api, changed(api, change)))


@pytest.mark.parametrize(("api", "change", "sentence"), CASES)
def test_a_bad_request_is_a_400_for_the_sdk(sim, sdk, api, change, sentence):
    body = changed(api, change)
    status, told = send(sim, sdk, api, body)
    assert status == 404 if "not persisted" in sentence else status == 400
    assert told in check_request(api, body)
    assert sim.calls()[-1].error == told


def send(sim, sdk, api, body):
    """Send a body as it stands, by the SDK where it has a door for that: None, or the status and the sentence."""
    try:
        match api:
            case "openai-chat":
                sdk.openai.post("/chat/completions", cast_to=object, body=body)
            case "openai-responses":
                sdk.openai.post("/responses", cast_to=object, body=body)
            case "anthropic-messages":
                sdk.anthropic.post("/v1/messages", cast_to=object, body=body)
            case _:
                url = f"{sim.base_url('google')}/v1beta/models/{body['model']}:generateContent"
                data = json.dumps({name: value for name, value in body.items() if name != "model"}).encode()
                urllib.request.urlopen(urllib.request.Request(url, data, {"x-goog-api-key": "k"}), timeout=5).close()
    except openai.APIStatusError as error:
        return error.status_code, error.body["message"]
    except anthropic.APIStatusError as error:
        return error.status_code, error.body["error"]["message"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]["message"]
    return None


def test_a_server_that_only_speaks_the_format_takes_other_fields(sim, sdk):
    body = changed("openai-chat", put("messages.2.reasoning_content", "hm")) | {"enable_thinking": True}
    assert check_request("openai-chat", body)
    assert check_request("generic-openai", body) == []
    local = sdk.openai.with_options(base_url=sim.base_url("ollama"))
    assert local.post("/chat/completions", cast_to=object, body=body)
    assert [call.provider for call in sim.journal] == ["ollama"]


def test_foreign_tokens_pass_where_only_the_form_is_asked_for():
    body = changed("anthropic-messages", put("messages.1.content.0.signature", "EqQBCkYIBRgCIkDx"))
    assert check_request("anthropic-messages", body, tokens="any") == []


def test_the_documented_sentinels_stand_for_a_thought_signature():
    body = changed("gemini-generate", put("contents.1.parts.0.thoughtSignature", "skip_thought_signature_validator"))
    assert check_request("gemini-generate", body) == []


def test_a_window_can_be_declared(sim, sdk):
    assert "maximum context length is 3 tokens" in check_request("openai-chat", CHAT, window=3)[0]
    with pytest.raises(openai.BadRequestError) as told:
        sdk.openai.chat.completions.create(model="gpt-4o+window=3", messages=CHAT["messages"])
    assert told.value.code == "context_length_exceeded"


def test_an_item_of_a_stored_response_wants_the_reasoning_that_led_to_it(sim, sdk):
    tools = RESPONSES["tools"]
    first = sdk.openai.responses.create(model="gpt-5-mini", input='call get_weather {"city": "Bonn"}', tools=tools)
    call = first.output[1].model_dump(exclude_none=True)
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "warm"}
    with pytest.raises(openai.BadRequestError, match="without its required 'reasoning' item: 'rs_"):
        sdk.openai.responses.create(model="gpt-5-mini", input=[call, result], tools=tools)
    both = [{"type": "item_reference", "id": first.output[0].id}, call, result]
    assert sdk.openai.responses.create(model="gpt-5-mini", input=both, tools=tools).output_text


def test_a_response_that_was_not_stored_is_not_found(sim, sdk):
    done = sdk.openai.responses.create(model="gpt-5-mini", input="hi", store=False)
    with pytest.raises(openai.BadRequestError, match="Previous response with id"):
        sdk.openai.responses.create(model="gpt-5-mini", input="hi", previous_response_id=done.id)
    with pytest.raises(openai.NotFoundError):
        sdk.openai.responses.retrieve(done.id)


def test_a_key_is_wanted_by_every_api(sim, sdk):
    with pytest.raises(openai.AuthenticationError):
        sdk.openai.with_options(api_key="invalid").chat.completions.create(model="gpt-4o", messages=CHAT["messages"])
    with pytest.raises(anthropic.AuthenticationError):
        sdk.anthropic.with_options(api_key="invalid").messages.create(
            model="claude-sonnet-5", max_tokens=9, messages=[HELLO]
        )
