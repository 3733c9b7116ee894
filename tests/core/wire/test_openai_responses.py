"""The OpenAI Responses wire, case by case: state, items, tools that the client runs, streams that break."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joch_core.capabilities import Target
from joch_core.errors import InvalidArgument, ProviderError
from joch_core.messages import Message, ModelRequest, ToolCall, ToolSpec, Usage, call_id
from joch_core.wire import openai_responses as responses

HERE = Target("openai:m", "openai", "openai-responses", "m", "here", frozenset({"reasoning"}))
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "f",
    "arguments": '{"x":1}',
    "status": "completed",
}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "encrypted_content": "secret",
    "summary": [{"type": "summary_text", "text": "hm"}],
}
SAID = {
    "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
    "content": [
        {"type": "output_text", "text": "hello", "annotations": [{"type": "url_citation", "url": "u", "start_index": 0}]}
    ],
}  # fmt: skip


def answer(*output, **fields):
    return {"id": "resp_1", "object": "response", "status": "completed", "model": "m-1", "output": list(output), **fields}


def read(events):
    reader = responses.reader(HERE, "seed")
    deltas = [delta for event in events for delta in reader.feed(event["type"], json.dumps(event))]
    return reader, deltas


def user(text="hi", **options):
    return ModelRequest((Message.user(text),), **options)


def test_a_request_is_stateless_and_asks_for_what_it_must_carry_itself():
    request = ModelRequest((Message.system("be kind"), Message.user("hi")), max_tokens=99, reasoning="low")
    plain = replace(HERE, capabilities=frozenset())

    assert responses.render(request, HERE, stream=True) == {
        "model": "m",
        "instructions": "be kind",
        "store": False,
        "input": [{"role": "user", "content": "hi"}],
        "max_output_tokens": 99,
        "reasoning": {"effort": "low"},
        "include": ["reasoning.encrypted_content"],
        "stream": True,
    }
    assert "include" not in responses.render(request, plain, stream=False)
    assert responses.render(user(extra={"openai": {"store": True}}), HERE, stream=False)["store"] is True


@pytest.mark.parametrize("state", [{"previous_response_id": "resp_0"}, {"conversation": "conv_0"}])
def test_a_body_that_relies_on_stored_state_keeps_it(state):
    body = {"model": "m", "input": [{"role": "user", "content": "hi"}], **state}

    assert responses.render(responses.read_request(body, "here"), HERE, stream=False) == body
    assert responses.read_request(body, "here").native.opaque


def test_items_of_an_answer_go_back_as_they_came():
    reply = responses.parse(answer(THOUGHT, SAID, CALL), HERE, "seed")
    call = reply.tool_calls[0]
    request = ModelRequest((reply.message, Message.tool(call.id, "done")))

    assert responses.render(request, HERE, stream=False)["input"] == [
        THOUGHT, SAID, CALL, {"type": "function_call_output", "call_id": "call_1", "output": "done"},
    ]  # fmt: skip
    assert reply.message.parts[1].citations == ({"url": "u", "start": 0},)


def test_a_thought_without_its_content_is_not_sent_where_nothing_is_stored():
    bare = {"type": "reasoning", "id": "rs_1", "summary": []}
    reply = responses.parse(answer(bare, SAID), HERE, "seed")

    assert responses.render(ModelRequest((reply.message,)), HERE, stream=False)["input"] == [SAID]


@pytest.mark.parametrize(
    ("item", "name", "args", "output"),
    [
        (
            {"type": "apply_patch_call", "call_id": "c1", "operation": {"type": "delete_file", "path": "a"}},
            "apply_patch_call",
            {"type": "delete_file", "path": "a"},
            {"type": "apply_patch_call_output", "call_id": "c1", "status": "completed", "output": "ok"},
        ),
        (
            {"type": "local_shell_call", "call_id": "c1", "action": {"command": ["ls"]}},
            "local_shell_call",
            {"command": ["ls"]},
            {"type": "local_shell_call_output", "id": "c1", "output": "ok"},
        ),
        (
            {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": "select"},
            "sql",
            {"input": "select"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
        ),
    ],
)
def test_tools_that_the_client_runs_are_calls_and_their_results_fit(item, name, args, output):
    reply = responses.parse(answer(item), HERE, "seed")
    call = reply.tool_calls[0]
    sent = responses.render(ModelRequest((reply.message, Message.tool(call.id, "ok"))), HERE, stream=False)["input"]

    assert (call.id, call.name, call.args, reply.finish) == (call_id("seed", 0), name, args, "tool_calls")
    assert sent == [item, output]


def test_tools_that_the_provider_runs_are_no_calls():
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "joch"}}
    shell = [
        {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "c1", "output": []},
    ]
    reply = responses.parse(answer(search, *shell, {"type": "of_tomorrow"}, SAID), HERE, "seed")

    assert reply.server_tools == ("web_search_call", "shell_call", "shell_call_output")
    assert (reply.tool_calls, reply.finish, reply.parts[0].text) == ((), "stop", "joch")
    assert responses.render(ModelRequest((reply.message,)), HERE, stream=False)["input"][0] == search


def test_a_function_is_not_strict_unless_somebody_says_so():
    request = user(tools=(ToolSpec("f"), ToolSpec("g", strict=True), ToolSpec.server("web_search")), tool_choice="f")
    body = responses.render(request, HERE, stream=False)

    assert [tool.get("strict") for tool in body["tools"]] == [False, True, None]
    assert body["tool_choice"] == {"type": "function", "name": "f"}


def test_ends_and_usage_are_neutral():
    usage = {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 3}
    cut = answer({**CALL, "arguments": '{"x', "status": "incomplete"}, status="incomplete", usage=usage)
    reply = responses.parse({**cut, "incomplete_details": {"reason": "max_output_tokens"}}, HERE, "s")
    refused = responses.parse(answer({**SAID, "content": [{"type": "refusal", "refusal": "no"}]}), HERE, "s")

    assert (reply.finish, reply.tool_calls, reply.usage) == ("length", (), Usage(5, 3, 2, None, None))
    assert (refused.finish, refused.text, refused.refusal) == ("refusal", "", "no")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (answer(status="failed", error={"code": "rate_limit_exceeded", "message": "slow"}), "rate_limit"),
        (answer({**CALL, "arguments": "{"}), "server_error"),
        ({"error": {"code": "context_length_exceeded", "message": "long"}}, "context_length"),
        ([], "server_error"),
        ({}, "server_error"),
    ],
)
def test_a_failed_answer_is_an_error(body, kind):
    with pytest.raises(ProviderError) as caught:
        responses.parse(body, HERE, "s")

    assert caught.value.kind == kind


STREAM = [
    {"type": "response.created", "response": answer(status="in_progress")},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"},
    {"type": "response.output_item.done", "output_index": 0, "item": THOUGHT},
    {"type": "response.output_text.delta", "output_index": 1, "delta": "hel"},
    {"type": "response.of_tomorrow", "output_index": 1},
    {"type": "response.output_text.delta", "output_index": 1, "delta": "lo"},
    {"type": "response.output_item.done", "output_index": 1, "item": SAID},
    {"type": "response.output_item.done", "output_index": 2, "item": CALL},
    {"type": "response.completed", "response": answer(THOUGHT, SAID, CALL)},
]


@pytest.mark.parametrize("silent_end", [False, True])
def test_a_stream_says_what_the_whole_answer_says(silent_end):
    events = [*STREAM[:-1], {"type": "response.completed", "response": answer()}] if silent_end else STREAM
    reader, deltas = read(events)

    assert [(delta.type, delta.text) for delta in deltas] == [
        ("reasoning", "hm"), ("text", "hel"), ("text", "lo"), ("tool_call", ""),
    ]  # fmt: skip
    assert reader.reply() == responses.parse(answer(THOUGHT, SAID, CALL), HERE, "seed")


def test_a_stream_that_is_cut_is_incomplete_and_gives_what_came():
    reader, _ = read(STREAM[:4])

    with pytest.raises(ProviderError) as caught:
        reader.reply()
    assert caught.value.kind == "stream_incomplete"
    assert (reader.partial().text, reader.partial().reasoning) == ("hel", "hm")


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "error", "code": "server_error", "message": "x"}, "server_error"),
        ({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "x"}}}, "rate_limit"),
        ({"type": "response.output_text.delta", "output_index": 0, "delta": 5}, "server_error"),
    ],
)
def test_an_error_event_is_an_error(event, kind):
    with pytest.raises(ProviderError) as caught:
        read([event])

    assert caught.value.kind == kind


def test_a_history_keeps_roles_ids_and_results_together():
    body = {
        "model": "m",
        "store": False,
        "input": [
            {"role": "developer", "content": "be kind"},
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "http://x/y"}],
            },
            {"role": "assistant", "content": "b"},
            CALL,
            {
                "type": "function_call_output",
                "call_id": "call_1",
                "output": [{"type": "input_text", "text": "r"}, {"type": "new"}],
            },
        ],
        "include": ["reasoning.encrypted_content"],
    }
    request = responses.read_request(body, "here")

    assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool"]
    assert request.messages[3].tool_results[0].call_id == request.messages[2].tool_calls[0].id == call_id("call_1")
    assert request.messages[3].tool_results[0].name == "f"
    assert responses.render(request, HERE, stream=False) == body


def test_a_call_of_another_provider_has_only_joch_ids():
    request = ModelRequest((Message.assistant(ToolCall("c12345678", "f", {"a": 1})), Message.tool("c12345678", "r")))

    assert responses.render(request, HERE, stream=False)["input"] == [
        {"type": "function_call", "call_id": "c12345678", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "c12345678", "output": "r"},
    ]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (None, "the body"),
        ({"input": 5}, "input"),
        ({"input": [{"role": "wizard", "content": ""}]}, r"input\[0\].role"),
        ({"input": [{"type": "function_call"}]}, r"input\[0\]"),
        ({"input": [{"type": "function_call_output", "output": ""}]}, r"input\[0\].call_id"),
        ({"input": "x", "tools": [{}]}, r"tools\[0\].type"),
    ],
)
def test_a_wrong_body_is_named_by_its_place(body, place):
    with pytest.raises(InvalidArgument, match=place):
        responses.read_request(body, "here")


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
    body = mutated(answer(THOUGHT, SAID, CALL, usage={"input_tokens": 1, "input_tokens_details": {}}), data)
    events = [event if isinstance(event, dict) else {"type": None} for event in mutated(STREAM, data)]

    def streamed():
        reader = responses.reader(HERE, "s")
        try:
            for event in events:
                reader.feed(None, json.dumps(event))
            reader.reply()
        finally:
            reader.partial()

    for attempt in (lambda: responses.parse(body, HERE, "s"), streamed):
        try:
            attempt()
        except ProviderError:
            continue


@pytest.mark.parametrize("index", ["0", None, [0]])
def test_an_index_that_is_no_number_is_a_typed_error_and_what_came_before_stays(index):
    reader = responses.reader(HERE, "s")
    reader.feed(None, json.dumps({"type": "response.output_text.delta", "output_index": 0, "delta": "hel"}))
    with pytest.raises(ProviderError):
        reader.feed(None, json.dumps({"type": "response.output_text.delta", "output_index": index, "delta": "lo"}))
    assert reader.partial().text == "hel"
