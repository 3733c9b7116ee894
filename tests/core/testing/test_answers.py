"""What the real SDKs make of the simulator's answers."""

import json

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from joch_core.testing import Simulator

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
BOTH = 'call get_weather {"city": "Bonn"} and call get_weather {"city": "Rome"}'
CITIES = [{"city": "Bonn"}, {"city": "Rome"}]


@pytest.fixture
def sim():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def chat(sim):
    return openai.OpenAI(base_url=sim.base_url("openai"), api_key="k", max_retries=0)


@pytest.fixture
def claude(sim):
    return anthropic.Anthropic(base_url=sim.base_url("anthropic"), api_key="k", max_retries=0)


def user(text):
    return [{"role": "user", "content": text}]


def test_chat_answers_with_text_and_usage(chat):
    done = chat.chat.completions.create(model="gpt-4o", messages=user("hi"))
    assert done.choices[0].message.content == "You said: hi"
    assert done.choices[0].finish_reason == "stop"
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 0


def test_chat_calls_two_tools_in_parallel_in_a_stream(chat):
    with chat.chat.completions.stream(model="gpt-4o", messages=user(BOTH), tools=[CHAT_TOOL]) as stream:
        message = list(stream) and stream.get_final_completion().choices[0].message
    assert [json.loads(call.function.arguments) for call in message.tool_calls] == CITIES


def test_messages_stream_thinking_and_a_tool_call(claude):
    tools = [{"name": "get_weather", "input_schema": WEATHER}]
    with claude.messages.stream(
        model="claude-sonnet-5", max_tokens=4000, thinking={"type": "adaptive"}, messages=user(BOTH), tools=tools
    ) as stream:
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "tool_use", "tool_use"]
    assert [block.input for block in message.content[1:]] == CITIES
    assert message.stop_reason == "tool_use"


def test_responses_are_stored_and_read_again(chat):
    first = chat.responses.create(model="gpt-5-mini", input="My dog is called Rex.")
    second = chat.responses.create(model="gpt-5-mini", input="What do you know about Rex?", previous_response_id=first.id)
    assert "My dog is called Rex." in second.output_text
    assert chat.responses.retrieve(first.id).output_text == first.output_text


def test_gemini_answers_under_its_own_path(sim):
    client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=sim.base_url("google")))
    assert client.models.generate_content(model="gemini-3-flash", contents="hi").text == "You said: hi"
    assert sim.calls("google")[0].model == "gemini-3-flash"


def test_an_ordered_fault_is_over_after_its_times(sim, chat):
    sim.fail("openai", status=503, times=1)
    with pytest.raises(openai.InternalServerError):
        chat.chat.completions.create(model="gpt-4o", messages=user("hi"))
    assert chat.chat.completions.create(model="gpt-4o", messages=user("hi")).choices
    assert [call.status for call in sim.calls("openai")] == [503, 200]
