"""What the real SDKs make of the simulator's answers: whole and streamed, sync and async, with tools and with schemas."""

import json

import pydantic
import pytest
from google.genai import types

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
CHAT_TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather", "parameters": WEATHER, "strict": True},
}
FLAT_TOOL = {"type": "function", "name": "get_weather", "description": "Weather", "parameters": WEATHER, "strict": True}
CLAUDE_TOOL = {"name": "get_weather", "description": "Weather", "input_schema": WEATHER}
GEMINI_TOOL = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(name="get_weather", description="Weather", parameters_json_schema=WEATHER)
    ]
)
BOTH = 'call get_weather {"city": "Bonn"} and call get_weather {"city": "Rome"}'
CITIES = [{"city": "Bonn"}, {"city": "Rome"}]
MANUAL = types.AutomaticFunctionCallingConfig(disable=True)


class Person(pydantic.BaseModel):
    name: str
    age: int


def user(text):
    return [{"role": "user", "content": text}]


# ------------------------------------------------------------------------------------------------------------- chat


def test_chat_answers_with_text_and_usage(sim, sdk):
    done = sdk.openai.chat.completions.create(model="gpt-4o", messages=user("hi"))
    assert done.choices[0].message.content == "You said: hi"
    assert done.choices[0].finish_reason == "stop"
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 0


def test_chat_streams_the_same_text_with_usage_at_the_end(sim, sdk):
    text = "A sentence that is long enough to be cut into several pieces."
    stream = sdk.openai.chat.completions.create(
        model="gpt-4o", messages=user(text), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == f"You said: {text}"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens > 0


def test_chat_calls_two_tools_in_parallel_and_tells_what_they_gave(sim, sdk):
    asked = user(BOTH)
    with sdk.openai.chat.completions.stream(model="gpt-4o", messages=asked, tools=[CHAT_TOOL]) as stream:
        message = list(stream) and stream.get_final_completion().choices[0].message
    assert [json.loads(call.function.arguments) for call in message.tool_calls] == CITIES
    calls = [
        {"id": call.id, "type": "function", "function": {"name": "get_weather", "arguments": call.function.arguments}}
        for call in message.tool_calls
    ]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"result {index}"}
        for index, call in enumerate(message.tool_calls)
    ]
    done = sdk.openai.chat.completions.create(
        model="gpt-4o",
        tools=[CHAT_TOOL],
        messages=[*asked, {"role": "assistant", "content": None, "tool_calls": calls}, *results],
    )
    assert done.choices[0].message.content == "get_weather returned: result 0\nget_weather returned: result 1"


def test_chat_calls_one_tool_at_a_time_when_told_so(sim, sdk):
    done = sdk.openai.chat.completions.create(
        model="gpt-4o", messages=user(BOTH), tools=[CHAT_TOOL], parallel_tool_calls=False
    )
    assert [json.loads(call.function.arguments) for call in done.choices[0].message.tool_calls] == CITIES[:1]


def test_chat_answers_with_an_object_of_the_schema(sim, sdk):
    done = sdk.openai.chat.completions.parse(model="gpt-4o", messages=user("Who?"), response_format=Person)
    assert done.choices[0].message.parsed == Person(name="name", age=1)


def test_chat_obeys_a_forced_tool(sim, sdk):
    choice = {"type": "function", "function": {"name": "get_weather"}}
    done = sdk.openai.chat.completions.create(model="gpt-4o", messages=user("hi"), tools=[CHAT_TOOL], tool_choice=choice)
    assert json.loads(done.choices[0].message.tool_calls[0].function.arguments) == {"city": "city"}


async def test_chat_speaks_to_the_asynchronous_client(sim, asdk):
    stream = await asdk.openai.chat.completions.create(model="gpt-4o", messages=user("hi"), stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "You said: hi"


# -------------------------------------------------------------------------------------------------------- responses


def test_responses_are_stored_and_read_again(sim, sdk):
    first = sdk.openai.responses.create(model="gpt-5-mini", input="My dog is called Rex.")
    second = sdk.openai.responses.create(
        model="gpt-5-mini", input="What do you know about Rex?", previous_response_id=first.id
    )
    assert "My dog is called Rex." in second.output_text
    assert sdk.openai.responses.retrieve(first.id).output_text == first.output_text


def test_responses_stream_reasoning_and_tool_calls_that_go_back_without_a_store(sim, sdk):
    asked = user(BOTH)
    options = {"model": "gpt-5-mini", "tools": [FLAT_TOOL], "store": False, "include": ["reasoning.encrypted_content"]}
    with sdk.openai.responses.stream(input=asked, **options) as stream:
        kinds = [event.type for event in stream]
        done = stream.get_final_response()
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert [item.type for item in done.output] == ["reasoning", "function_call", "function_call"]
    again = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in done.output]
    results = [{"type": "function_call_output", "call_id": item.call_id, "output": "warm"} for item in done.output[1:]]
    told = sdk.openai.responses.create(input=[*asked, *again, *results], **options)
    assert told.output_text == "get_weather returned: warm\nget_weather returned: warm"


def test_responses_parse_an_object_of_the_schema(sim, sdk):
    assert sdk.openai.responses.parse(model="gpt-4o", input="Who?", text_format=Person).output_parsed == Person(
        name="name", age=1
    )


async def test_responses_stream_text_to_the_asynchronous_client(sim, asdk):
    stream = await asdk.openai.responses.create(model="gpt-4o", input="hi", stream=True)
    assert "".join([event.delta async for event in stream if event.type == "response.output_text.delta"]) == "You said: hi"


def test_a_response_that_was_too_long_is_incomplete(sim, sdk):
    done = sdk.openai.responses.create(model="gpt-4o", input="word " * 100, max_output_tokens=16)
    assert (done.status, done.incomplete_details.reason) == ("incomplete", "max_output_tokens")


# --------------------------------------------------------------------------------------------------------- messages


def test_messages_stream_thinking_and_tool_calls_that_go_back_signed(sim, sdk):
    options = {"model": "claude-sonnet-5", "max_tokens": 4000, "thinking": {"type": "adaptive"}, "tools": [CLAUDE_TOOL]}
    asked = user(BOTH)
    with sdk.anthropic.messages.stream(messages=asked, **options) as stream:
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "tool_use", "tool_use"]
    assert [block.input for block in message.content[1:]] == CITIES
    assert message.stop_reason == "tool_use"
    results = [{"type": "tool_result", "tool_use_id": block.id, "content": "warm"} for block in message.content[1:]]
    said = [block.model_dump(exclude_none=True) for block in message.content]
    done = sdk.anthropic.messages.create(
        messages=[*asked, {"role": "assistant", "content": said}, {"role": "user", "content": results}], **options
    )
    assert done.content[-1].text == "get_weather returned: warm\nget_weather returned: warm"


def test_messages_count_tokens_as_they_are_charged(sim, sdk):
    counted = sdk.anthropic.messages.count_tokens(model="claude-sonnet-5", messages=user("hi there"))
    done = sdk.anthropic.messages.create(model="claude-sonnet-5", max_tokens=99, messages=user("hi there"))
    assert counted.input_tokens == done.usage.input_tokens > 0


def test_messages_answer_with_an_object_of_the_schema(sim, sdk):
    schema = Person.model_json_schema() | {"additionalProperties": False}
    done = sdk.anthropic.messages.create(
        model="claude-sonnet-5",
        max_tokens=99,
        messages=user("Who?"),
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert Person.model_validate_json(done.content[0].text) == Person(name="name", age=1)


async def test_messages_stream_to_the_asynchronous_client(sim, asdk):
    async with asdk.anthropic.messages.stream(model="claude-sonnet-5", max_tokens=99, messages=user("hi")) as stream:
        assert [text async for text in stream.text_stream] == ["You said: hi"]


# ----------------------------------------------------------------------------------------------------------- gemini


def test_gemini_calls_tools_in_parallel_and_takes_its_signature_back(sim, sdk):
    config = types.GenerateContentConfig(tools=[GEMINI_TOOL], automatic_function_calling=MANUAL)
    asked = types.Content(role="user", parts=[types.Part(text=BOTH)])
    first = sdk.google.models.generate_content(model="gemini-3-flash", contents=[asked], config=config)
    assert [call.args for call in first.function_calls] == CITIES
    results = [
        types.Part.from_function_response(name=call.name, response={"result": "warm"}) for call in first.function_calls
    ]
    contents = [asked, first.candidates[0].content, types.Content(role="user", parts=results)]
    done = sdk.google.models.generate_content(model="gemini-3-flash", contents=contents, config=config)
    assert done.text == "get_weather returned: warm\nget_weather returned: warm"


def test_gemini_streams_text_and_says_how_it_ended(sim, sdk):
    text = "A sentence that is long enough to be cut into several pieces."
    chunks = list(sdk.google.models.generate_content_stream(model="gemini-2.5-flash", contents=text))
    assert "".join(chunk.text for chunk in chunks) == f"You said: {text}"
    assert [chunk.candidates[0].finish_reason for chunk in chunks][-2:] == [None, types.FinishReason.STOP]


def test_gemini_answers_with_an_object_of_the_schema(sim, sdk):
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Person)
    done = sdk.google.models.generate_content(model="gemini-2.5-flash", contents="Who?", config=config)
    assert done.parsed == Person(name="name", age=1)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_gemini_is_served_under_both_versions(sim, sdk, version):
    options = types.HttpOptions(base_url=sim.base_url("google"), api_version=version)
    done = sdk.google.models.generate_content(
        model="gemini-2.5-flash", contents="hi", config=types.GenerateContentConfig(http_options=options)
    )
    assert done.text == "You said: hi"
    assert sim.calls("google")[-1].path.startswith(f"/{version}/")


async def test_gemini_streams_to_the_asynchronous_client(sim, asdk):
    stream = await asdk.google.models.generate_content_stream(model="gemini-2.5-flash", contents="hi")
    assert "".join([chunk.text async for chunk in stream]) == "You said: hi"
