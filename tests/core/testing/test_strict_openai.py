"""Each strict rule of OpenAI: what is good passes, one change makes it the API's own error, pure and over the wire.

A case is a change (`changed` in conftest says how paths are read) and a part of the sentence that the API answers with.
"""

import openai
import pytest

from joch_core.testing import check_request
from joch_core.testing.tokens import item_id, seal

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}

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
GOOD = {"openai-chat": CHAT, "openai-responses": RESPONSES}

OPEN_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
LOOSE = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}
BRANCHES = {"type": "object", "oneOf": [{"required": ["city"]}]}
NO_ITEMS = {"type": "object", "properties": {"list": {"type": "array"}}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
HELLO = {"role": "assistant", "content": "Hello."}

CHAT_RULES = [
    ({"stream_options": {"include_usage": True}}, "only allowed when 'stream' is enabled."),
    ({"messages": ...}, "Missing required parameter: 'messages'."),
    ({"messages": []}, "Invalid 'messages': empty array."),
    ({"colour": "red"}, "Unrecognized request argument supplied: colour"),
    ({"messages.1.role": "model"}, "Invalid value: 'model'. Supported values are:"),
    ({"messages.2.reasoning_content": "hm"}, "Unknown parameter: 'messages[2].reasoning_content'."),
    (
        {"messages.2.tool_calls.0.id": "x" * 41},
        "string too long. Expected a string with maximum length 40, but instead got a string with length 41.",
    ),
    ({"messages.2.tool_calls.0.function.name": "get.weather"}, "string does not match pattern"),
    ({"messages.2.tool_calls.0.function.arguments": {"city": "Bonn"}}, "expected a string, but got an object instead."),
    ({"messages.2.tool_calls": []}, "Invalid 'messages[2].tool_calls': empty array."),
    ({"messages.3": ...}, "An assistant message with 'tool_calls' must be followed by tool messages"),
    ({"messages.+3": {"role": "user", "content": "wait"}}, "did not have response messages: call_1"),
    ({"messages.2": HELLO}, "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."),
    ({"messages.4": {"role": "assistant", "content": None}}, "expected a string, got null."),
    (
        {"messages.3.content": [IMAGE]},
        "Image URLs are only allowed for messages with role 'user', but this message with role 'tool'",
    ),
    ({"messages.4": {"role": "assistant", "content": [{"type": "reasoning", "text": "hm"}]}}, "Invalid value: 'reasoning'."),
    (
        {"messages.4.content.0": {"type": "input_audio", "input_audio": {}}},
        "Content blocks are expected to be either text or image_url type.",
    ),
    ({"tools": []}, "Invalid 'tools': empty array."),
    ({"tools.0.function.name": "get weather"}, "Invalid 'tools[0].function.name': string does not match pattern."),
    ({"tools.0.function.name": "w" * 65}, "maximum length 64"),
    ({"tools.0.function.parameters": OPEN_SCHEMA}, "'additionalProperties' is required to be supplied and to be false."),
    ({"tools.0.function.parameters": LOOSE}, "including every key in properties. Missing 'city'."),
    (
        {"tools.0.function": {"name": "w", "parameters": BRANCHES}},
        "not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.",
    ),
    (
        {"tools.0.function": {"name": "w", "parameters": NO_ITEMS}},
        "In context=('properties', 'list'), array schema missing items.",
    ),
    (
        {"tools.0.function": {"name": "w", "parameters": {"type": "string"}}},
        "schema must be a JSON Schema of 'type: \"object\"'",
    ),
    (
        {"tool_choice": {"type": "function", "function": {"name": "other"}}},
        "no function named 'other' was specified in the 'tools' parameter.",
    ),
    ({"tool_choice": "any"}, "Invalid value: 'any'."),
    ({"response_format": {"type": "json_object"}}, "must contain the word 'json'"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": OPEN_SCHEMA}}},
        "Invalid schema for response_format 'a': In context=()",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        "Missing required parameter: 'response_format.json_schema.name'.",
    ),
    ({"reasoning_effort": "high"}, "Unrecognized request argument supplied: reasoning_effort"),
    ({"temperature": 3}, "decimal above maximum value"),
    ({"stop": list("abcde")}, "Invalid 'stop': array too long."),
    ({"tools": None, "tool_choice": "auto"}, "'tool_choice' is only allowed when 'tools' are specified."),
    ({"model": "gpt-5-mini", "temperature": 0.5}, "'temperature' does not support 0.5 with this model."),
    ({"model": "o3", "max_tokens": 50}, "Use 'max_completion_tokens' instead."),
    ({"model": "o3", "stop": "x"}, "Unsupported parameter: 'stop' is not supported with this model."),
    ({"model": "gpt-5.4", "reasoning_effort": "low"}, "Please use /v1/responses instead."),
    ({"max_tokens": 9, "max_completion_tokens": 9}, "at the same time is not supported."),
    ({"model": "mistral-small"}, "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9."),
    ({"model": "llama+alternating"}, "Unexpected role 'user' after role 'tool'"),
    ({"model": "llama+alternating", "messages": [CHAT["messages"][1]] * 2}, "Conversation roles must alternate"),
    ({"messages.1.content": "word " * 200_000}, "This model's maximum context length is 128000 tokens."),
]
RESPONSES_RULES = [
    ({"input": ...}, "Missing required parameter: 'input'."),
    ({"input": []}, "Invalid 'input': empty array."),
    ({"stop": "x"}, "Unknown parameter: 'stop'."),
    ({"input.2.id": "call_1"}, "Invalid 'input[2].id': 'call_1'. Expected an ID that begins with 'fc'."),
    ({"input.2.call_id": "x" * 65}, "maximum length 64, but instead got a string with length 65."),
    ({"input.2.name": "get.weather"}, "Invalid 'input[2].name': string does not match pattern."),
    ({"input.2.tool_calls": []}, "Unknown parameter: 'input[2].tool_calls'."),
    ({"input.0.role": "tool"}, "Invalid value: 'tool'."),
    ({"input.4.content.0.type": "text"}, "Invalid value: 'text'. Supported values are: 'input_text'"),
    ({"input.4": {"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}}, "Invalid value: 'input_text'."),
    ({"input.3": ...}, "No tool output found for function call call_1."),
    (
        {"input.2": {"type": "message", "role": "assistant", "content": "Hm."}},
        "No tool call found for function call output with call_id call_1.",
    ),
    (
        {"input.+2": {"role": "user", "content": "wait"}},
        "of type 'reasoning' was provided without its required following item.",
    ),
    ({"input.1.encrypted_content": seal("reasoning", "gpt-5", "1")}, "could not be verified."),
    (
        {"input.1.encrypted_content": "gAAAAABqaR3--246DyIVMWvEVGOZxZ"},
        "The encrypted content gAAA...ZxZ could not be verified.".replace("ZxZ", "OZxZ"),
    ),
    (
        {"input.1": {"type": "reasoning", "id": "rs_68c42de022c8", "summary": []}},
        "Items are not persisted when `store` is set to false.",
    ),
    ({"tools.0": CHAT["tools"][0]}, "Missing required parameter: 'tools[0].name'."),
    ({"tools.0.parameters": OPEN_SCHEMA}, "'additionalProperties' is required to be supplied and to be false."),
    ({"tool_choice": {"type": "function", "name": "other"}}, "Tool choice 'function' not found in 'tools' parameter."),
    ({"tools": [], "tool_choice": "required"}, "must be specified with 'tools' parameter."),
    ({"temperature": 0.2}, "Unsupported parameter: 'temperature' is not supported with this model."),
    ({"max_output_tokens": 5}, "Expected a value >= 16, but got 5 instead."),
    ({"text": {"format": {"type": "json_object"}}}, "must contain the word 'json'"),
    (
        {"text": {"format": {"type": "json_schema", "name": "a", "strict": True, "schema": OPEN_SCHEMA}}},
        "Invalid schema for response_format 'a'",
    ),
    (
        {"input.4.content.0": {"type": "input_file", "file_url": "https://example.com/a.mp3"}},
        "The file type you uploaded is not supported.",
    ),
    ({"model": "gpt-4o", "reasoning": {"effort": "low"}}, "Unsupported parameter: 'reasoning.effort'"),
    ({"input.0.content": "word " * 300_000}, "Your input exceeds the context window of this model."),
]
RULES = {"openai-chat": CHAT_RULES, "openai-responses": RESPONSES_RULES}


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


def test_a_server_that_only_speaks_the_format_takes_other_fields(sim, sdk, changed):
    body = changed(CHAT, {"messages.2.reasoning_content": "hm"}) | {"enable_thinking": True}
    assert check_request("openai-chat", body)
    assert check_request("generic-openai", body) == []
    local = sdk.openai.with_options(base_url=sim.base_url("ollama"))
    assert local.post("/chat/completions", cast_to=object, body=body)
    assert [call.provider for call in sim.journal] == ["ollama"]


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


def test_deepseek_wants_its_reasoning_back_within_a_tool_loop(sim, sdk):
    local = sdk.openai.with_options(base_url=sim.base_url("deepseek"))
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
    messages = [{"role": "user", "content": 'call get_weather {"city": "Bonn"}'}]
    said = (
        local.chat.completions.create(model="deepseek-reasoner", messages=messages, tools=tools).choices[0].message.to_dict()
    )
    result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "warm"}
    done = local.chat.completions.create(model="deepseek-reasoner", messages=[*messages, said, result], tools=tools)
    assert done.choices[0].message.content == "get_weather returned: warm"
    del said["reasoning_content"]
    with pytest.raises(openai.BadRequestError, match="must be passed back"):
        local.chat.completions.create(model="deepseek-reasoner", messages=[*messages, said, result], tools=tools)


@pytest.mark.parametrize("roles", ["user", "system user assistant user", "user assistant tool tool assistant user"])
def test_alternating_roles_are_taken(roles):
    messages = [{"role": role, "content": "x"} for role in roles.split()]
    calls = [{"id": f"call_{number}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for number in (1, 2)]
    for number, message in enumerate(message for message in messages if message["role"] == "tool"):
        message["tool_call_id"] = calls[number]["id"]
        messages[1]["tool_calls"] = calls
    assert check_request("generic-openai", {"model": "old+alternating", "messages": messages}) == []
