"""The OpenAI Chat wire, case by case: options, ids, habits of compatible servers, streams that break."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joch_core.capabilities import Dialect, Target
from joch_core.errors import InvalidArgument, ProviderError
from joch_core.messages import Image, Message, ModelRequest, Native, Reasoning, Text, ToolCall, ToolSpec, Usage, call_id
from joch_core.wire import openai_chat as chat

HERE = Target("openai:m", "openai", "openai-chat", "m", "here")


def answer(message, **choice):
    return {"model": "m-1", "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}]}


def chunk(delta, **choice):
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None, **choice}]})


def read(chunks, target=HERE):
    reader = chat.reader(target, "seed")
    deltas = [delta for data in chunks for delta in reader.feed(None, data)]
    return reader, deltas


def user(text="hi", **options):
    return ModelRequest((Message.user(text),), **options)


# ------------------------------------------------------------------------------------------------------- render
def test_options_are_spelled_in_the_words_of_the_dialect():
    request = user(max_tokens=9, temperature=0.5, stop=("a",), seed=1, reasoning="low", parallel_tool_calls=False)
    older = replace(HERE, dialect=Dialect(max_tokens_field="max_tokens", stream_usage=False))

    assert chat.render(request, HERE, stream=True) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "seed": 1,
        "max_completion_tokens": 9,
        "stop": ["a"],
        "reasoning_effort": "low",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert chat.render(request, older, stream=True).keys() >= {"max_tokens"}
    assert "stream_options" not in chat.render(request, older, stream=True)


def test_extra_fields_come_last_and_only_those_of_this_target():
    extra = {"openai": {"top_k": 1}, "openai-chat": {"top_k": 2}, "anthropic": {"top_k": 3}}

    assert chat.render(user(extra=extra), HERE, stream=False)["top_k"] == 2


def test_more_than_one_choice_is_refused():
    with pytest.raises(InvalidArgument, match="n must be 1"):
        chat.render(user(extra={"openai": {"n": 2}}), HERE, stream=False)
    with pytest.raises(InvalidArgument, match="n must be 1"):
        chat.read_request({"messages": [], "n": 2}, "here")


def test_metadata_is_sent_only_with_a_stored_completion():
    request = user(metadata={"user_id": "u", "team": "t"})

    assert chat.render(request, HERE, stream=False)["user"] == "u"
    stored = chat.render(replace(request, extra={"openai": {"store": True}}), HERE, stream=False)
    assert stored["metadata"] == {"user_id": "u", "team": "t"}


@pytest.mark.parametrize(
    ("choice", "spelled"),
    [
        ("required", "required"),
        ("f", {"type": "function", "function": {"name": "f"}}),
        ("c", {"type": "custom", "custom": {"name": "c"}}),
    ],
)
def test_a_tool_choice_has_the_kind_of_its_tool(choice, spelled):
    request = user(tools=(ToolSpec("f"), ToolSpec.custom("c")), tool_choice=choice)

    assert chat.render(request, HERE, stream=False)["tool_choice"] == spelled


def test_a_structured_answer_is_a_schema_or_a_forced_tool():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    by_schema = chat.render(user(output_mode="json_schema", output_schema=schema, output_strict=True), HERE, stream=False)
    by_tool = chat.render(user(output_mode="tool", output_schema=schema), HERE, stream=False)

    assert by_schema["response_format"]["json_schema"] == {"name": "answer", "schema": schema, "strict": True}
    assert by_tool["tools"][0]["function"]["name"] == by_tool["tool_choice"]["function"]["name"] == "final_answer"


def test_a_result_goes_back_under_the_providers_own_id():
    call = ToolCall("c12345678", "f", {"a": 1}, native=Native("openai-chat", "here", {"id": "call_x"}))
    request = ModelRequest((Message.assistant(call), Message.tool("c12345678", "done")))

    first, second = chat.render(request, HERE, stream=False)["messages"]

    assert first["tool_calls"] == [
        {"id": "call_x", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
    ]
    assert second == {"role": "tool", "tool_call_id": "call_x", "content": "done"}


def test_thoughts_go_back_only_where_the_dialect_wants_them():
    thought = Reasoning("hm", Native("openai-chat", "here", {"reasoning_content": "hm"}))
    request = ModelRequest((Message.assistant([thought, "yes"]),))
    deepseek = replace(HERE, dialect=Dialect(reasoning_content=True))

    assert chat.render(request, HERE, stream=False)["messages"] == [{"role": "assistant", "content": "yes"}]
    assert chat.render(request, deepseek, stream=False)["messages"][0]["reasoning_content"] == "hm"


def test_parts_of_another_wire_leave_no_trace():
    foreign = Native("anthropic-messages", "there", {"block": {"type": "thinking"}, "id": "toolu_1"})
    call = ToolCall("c12345678", "f", {}, native=foreign)

    body = chat.render(ModelRequest((Message.assistant([Reasoning("x", foreign), call]),)), HERE, stream=False)

    assert body["messages"][0]["tool_calls"][0]["id"] == "c12345678"
    assert "toolu_1" not in json.dumps(body)


def test_a_picture_is_a_data_url():
    body = chat.render(user([Text("see"), Image(data=b"x", media_type="image/gif")]), HERE, stream=False)

    assert body["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/gif;base64,eA=="}}


# -------------------------------------------------------------------------------------------------------- parse
def test_an_answer_with_calls_is_read_whole():
    calls = [
        {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "", "function": {"name": "g", "arguments": None}},
        {"id": "call_c", "function": {"name": "h", "arguments": {"y": 2}}},
    ]
    reply = chat.parse(answer({"role": "assistant", "content": None, "tool_calls": calls}), HERE, "seed")

    assert reply.finish == "tool_calls"
    assert [(call.id, call.name, call.args) for call in reply.tool_calls] == [
        (call_id("seed", 0), "f", {"x": 1}),
        (call_id("seed", 1), "g", {}),
        (call_id("seed", 2), "h", {"y": 2}),
    ]
    assert reply.tool_calls[0].native.data["id"] == "call_a"


def test_cut_arguments_are_dropped_at_the_limit_and_a_fault_elsewhere():
    message = {"content": "so", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"x": '}}]}

    assert chat.parse(answer(message, finish_reason="length"), HERE, "s").tool_calls == ()
    with pytest.raises(ProviderError) as caught:
        chat.parse(answer(message, finish_reason="tool_calls"), HERE, "s")
    assert caught.value.code == "tool_arguments"


def test_a_refusal_is_no_text():
    reply = chat.parse(answer({"content": None, "refusal": "no"}), HERE, "s")

    assert (reply.text, reply.refusal, reply.finish) == ("", "no", "refusal")


def test_usage_counts_cache_and_reasoning_in():
    usage = {
        "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 5},
    }  # fmt: skip
    reply = chat.parse({**answer({"content": "x"}), "usage": usage}, HERE, "s")

    assert reply.usage == Usage(10, 7, 4, None, 5)  # reasoning was left out of the 2: the total shows it


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "slow", "code": 429}}, "rate_limit"),
        (answer({"content": ""}, error={"code": 502, "message": "bad"}), "server_error"),
        (answer({"content": "x"}, finish_reason="error"), "server_error"),
        (answer({"content": "x"}, finish_reason="insufficient_system_resource"), "overloaded"),
        ({"detail": "no"}, "server_error"),
        ("text", "server_error"),
        ({"choices": []}, "server_error"),
    ],
)
def test_an_error_in_an_answer_is_an_error(body, kind):
    with pytest.raises(ProviderError) as caught:
        chat.parse(body, HERE, "s")

    assert caught.value.kind == kind


# ------------------------------------------------------------------------------------------------------- stream
def test_a_stream_hands_calls_over_when_they_are_complete():
    reader, deltas = read(
        [
            chunk({"role": "assistant", "reasoning_content": "hm"}),
            chunk({"content": "so "}),
            chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}]}),
            chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}),
            chunk({}, finish_reason="tool_calls"),
            json.dumps({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
            "[DONE]",
        ]
    )

    assert [delta.type for delta in deltas] == ["reasoning", "text", "tool_call", "tool_call"]
    reply = reader.reply()
    assert [(call.name, call.args) for call in reply.tool_calls] == [("f", {"x": 1}), ("g", {})]
    assert (reply.text, reply.reasoning, reply.usage.input_tokens) == ("so ", "hm", 3)


@pytest.mark.parametrize("number", [{"index": 0}, {}])
def test_parallel_calls_without_an_index_of_their_own_stay_apart(number):
    reader, _ = read(
        [
            chunk({"tool_calls": [{**number, "id": "a", "function": {"name": "f", "arguments": '{"x":1}'}}]}),
            chunk({"tool_calls": [{**number, "id": "b", "function": {"name": "f", "arguments": '{"x":2}'}}]}),
            chunk({}, finish_reason="tool_calls"),
        ]
    )

    assert [call.args for call in reader.reply().tool_calls] == [{"x": 1}, {"x": 2}]


def test_a_stream_that_is_cut_is_incomplete_and_gives_its_text():
    reader, _ = read(
        [chunk({"content": "half"}), chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f"}}]})]
    )

    with pytest.raises(ProviderError) as caught:
        reader.reply()
    assert caught.value.kind == "stream_incomplete"
    assert reader.partial().text == "half"
    assert reader.partial().tool_calls == ()


def test_done_is_an_end_where_the_dialect_says_so():
    ollama = replace(HERE, dialect=Dialect(finish_reason_optional=True))

    assert read([chunk({"content": "x"}), "[DONE]"], ollama)[0].reply().finish == "stop"
    with pytest.raises(ProviderError):
        read([chunk({"content": "x"}), "[DONE]"])[0].reply()


@pytest.mark.parametrize("data", ["{", "[]", "null", '{"error": {"message": "x", "code": "server_error"}}'])
def test_a_broken_chunk_is_a_provider_error(data):
    with pytest.raises(ProviderError):
        read([data])


# ------------------------------------------------------------------------------------------------- read_request
def test_repeated_native_ids_are_calls_of_their_own():
    turn = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_0", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": "r"},
    ]
    request = chat.read_request({"messages": [*turn, *turn]}, "here")
    calls = [call.id for message in request.messages for call in message.tool_calls]

    assert len(set(calls)) == 2
    assert next(result.call_id for message in request.messages for result in message.tool_results) == calls[0]


def test_legacy_functions_come_back_as_they_were():
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "r"},
        ],
        "functions": [{"name": "f", "parameters": {"type": "object", "properties": {}}}],
        "function_call": {"name": "f"},
    }

    assert chat.render(chat.read_request(body, "here"), HERE, stream=False) == body


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ([], "the body"),
        ({"messages": 1}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages\\[0\\].content\\[0\\]",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages\\[0\\].tool_call_id"),
        ({"messages": [], "tools": [{"type": "function", "function": {}}]}, "tools\\[0\\].function.name"),
    ],
)
def test_a_wrong_body_is_named_by_its_place(body, place):
    with pytest.raises(InvalidArgument, match=place):
        chat.read_request(body, "here")


WHOLE = {
    **answer(
        {
            "role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": [{"text": "t"}]}],
            "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}], "refusal": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            "reasoning_details": [{"type": "reasoning.text", "text": "x", "index": 0}],
            "audio": {"id": "au", "data": "eA==", "transcript": "x"},
        },
        logprobs={"content": [{"token": "a"}]},
    ),
    "usage": {"prompt_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 2}},
}  # fmt: skip
ODD = st.sampled_from([None, 0, True, "", "x", [], {}, [None], [[]], {"type": None}, {"type": []}, 1.5])


def places(value, path=()):
    yield path
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, name))


def mutated(body, data):
    body = copy.deepcopy(body)
    *way, last = data.draw(st.sampled_from([path for path in places(body) if path]))
    place = body
    for name in way:
        place = place[name]
    if data.draw(st.booleans()):
        place[last] = data.draw(ODD)
    else:
        del place[last]
    return body


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_answer_is_read_or_refused_and_nothing_else(data):
    body = mutated(WHOLE, data)
    streamed = json.dumps(body).replace('"message":', '"delta":')
    for attempt in (lambda: chat.parse(body, HERE, "s"), lambda: read([streamed])[0]):
        try:
            attempt()
        except ProviderError:
            continue
