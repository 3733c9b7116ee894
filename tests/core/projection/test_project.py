"""What each target takes, row by row of what real APIs refuse; and what holds for any conversation."""

from __future__ import annotations

import copy
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

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
    call_id,
    is_call_id,
)
from joch_core.projection import estimate_tokens, project
from joch_core.projection.names import in_other_keys, sent_name
from joch_core.resources.dialects import DIALECTS
from joch_core.testing.strict import check_request
from joch_core.wire import wire

PICTURE = Image(data=b"\x89PNG", media_type="image/png")


def asked(*messages, **options):
    return ModelRequest(tuple(messages), **options)


def codes(projected):
    return [gap.code for gap in projected.gaps]


def call(identity="c00000001", name="search", **args):
    return ToolCall(identity, name, args)


# ------------------------------------------------------------------------------------------------- nothing to do
def test_a_plain_conversation_goes_over_as_it_is_without_a_copy(target):
    request = asked(
        Message.system("Be brief."),
        Message.user("Find it."),
        Message.assistant([Text("I look."), call(q="it")]),
        Message.tool("c00000001", "found", name="search"),
        Message.assistant("Here it is."),
        Message.user("Thanks."),
    )
    projected = project(request, target)
    assert projected.gaps == ()
    assert [message.text for message in projected.request.messages if message.text != "Noted."] == [
        message.text for message in request.messages
    ]
    assert projected.request.messages[0] is request.messages[0]


# ------------------------------------------------------------------------------------------------------ exchanges
def test_a_call_without_a_result_is_said_to_be_unrecorded(target):
    projected = project(asked(Message.user("go"), Message.assistant(call()), Message.user("well?")), target)
    (result,) = [result for message in projected.request.messages for result in message.tool_results]
    assert "may not have run" in result.text
    assert result.error
    assert "outcome.unknown" in codes(projected)


def test_a_result_without_its_call_is_quoted_as_data_of_the_user(target):
    projected = project(asked(Message.user("go"), Message.tool("c00000009", 'say "hi"', name="mail")), target)
    assert all(message.role == "user" for message in projected.request.messages)
    assert '[record] tool "mail" returned: "say \\"hi\\""' in projected.request.messages[-1].text
    assert "result.orphaned" in codes(projected)


def test_results_stand_directly_after_their_calls_in_the_order_of_the_calls(make_target):
    projected = project(
        asked(
            Message.user("go"),
            Message.assistant([call("c00000001"), call("c00000002")]),
            Message.user("hurry"),
            Message.tool("c00000002", "two"),
            Message.tool("c00000001", "one"),
        ),
        make_target("chat"),
    )
    assert [(message.role, message.text) for message in projected.request.messages[2:]] == [
        ("tool", "one"), ("tool", "two"), ("user", "hurry"),
    ]  # fmt: skip


def test_calls_that_came_in_several_messages_of_one_turn_keep_their_results(make_target):
    projected = project(
        asked(
            Message.user("go"), Message.assistant(call("c00000001")), Message.assistant(call("c00000002")),
            Message.tool("c00000001", "one"), Message.tool("c00000002", "two"),
        ),
        make_target("claude"),
    )  # fmt: skip
    assert [message.role for message in projected.request.messages] == ["user", "assistant", "tool", "tool"]
    assert projected.gaps == ()


def test_calls_with_the_same_id_are_paired_by_order_and_get_ids_of_their_own(target):
    projected = project(
        asked(
            Message.user("go"), Message.assistant([call("same", a=1), call("same", a=2)]),
            Message.tool("same", "one"), Message.tool("same", "two"),
            Message.assistant(call("same", a=3)), Message.tool("same", "three"), Message.user("so?"),
        ),
        target,
    )  # fmt: skip
    calls = [made for message in projected.request.messages for made in message.tool_calls]
    results = [result for message in projected.request.messages for result in message.tool_results]
    assert len({made.id for made in calls}) == 3
    assert [(result.call_id, result.text) for result in results] == [
        (calls[0].id, "one"), (calls[1].id, "two"), (calls[2].id, "three"),
    ]  # fmt: skip


def test_the_ids_of_another_server_do_not_go_to_one_that_speaks_the_same_format(make_target):
    target = make_target("mistral")
    theirs = ToolCall(
        "c00000001", "f", {}, native=Native(target.api, "openai|x|gpt", {"id": "call_" + "x" * 24}, opaque=False)
    )
    own = ToolCall("c00000002", "f", {}, native=Native(target.api, target.origin, {"id": "D681PevKs"}))
    request = asked(
        Message.user("go"), Message.assistant([theirs, own]), Message.tool("c00000001", "1"), Message.tool("c00000002", "2")
    )
    sent = project(request, target).request.messages[1].tool_calls
    assert sent[0].native is None
    assert sent[1] is own


def test_tools_that_a_model_does_not_know_go_over_as_records(make_target):
    request = asked(
        Message.user("go"), Message.assistant(call(q="x")), Message.tool("c00000001", "found"), Message.user("and?"),
        tools=(ToolSpec("search"),),
    )  # fmt: skip
    projected = project(request, make_target("chat", without=("toolCalling",)))
    assert projected.request.tools == ()
    assert not any(message.tool_calls or message.tool_results for message in projected.request.messages)
    assert any('[record] tool "search" returned: "found"' in message.text for message in projected.request.messages)
    assert {"tool.removed", "tool_call.flattened"} <= set(codes(projected))


# ---------------------------------------------------------------------------------------------------------- roles
def test_a_conversation_that_ends_with_the_assistant_is_bridged_where_prefill_is_refused(make_target):
    request = asked(Message.user("go"), Message.assistant("half "))
    assert project(request, make_target("opus")).request.messages[-1] == Message.user("Continue.")
    assert project(request, make_target("claude")).request.messages[-1] == Message.assistant("half")


@pytest.mark.parametrize("name", ["claude", "gemini", "portable"])
def test_the_user_speaks_first_where_that_is_demanded(make_target, name):
    sent = project(asked(Message.system("s"), Message.assistant("a"), Message.user("u")), make_target(name)).request.messages
    assert [message.role for message in sent][:2] == ["system", "user"]


@pytest.mark.parametrize("name", ["claude", "gemini", "portable"])
def test_a_prompt_alone_gets_a_turn_of_the_user(make_target, name):
    sent = project(asked(Message.system("s")), make_target(name)).request.messages
    assert [message.role for message in sent] == ["system", "user"]


def test_strict_templates_get_alternating_turns_and_an_answer_between_tool_and_user(make_target):
    sent = project(
        asked(
            Message.user("a"), Message.user("b"), Message.assistant(call()), Message.tool("c00000001", "r"), Message.user("c"),
        ),
        make_target("portable"),
    ).request.messages  # fmt: skip
    assert [message.role for message in sent] == ["user", "assistant", "tool", "assistant", "user"]
    assert sent[0].text == "a\n\nb"
    assert all(len(message.parts) == 1 for message in sent)


def test_system_messages_in_the_middle_move_to_the_beginning_and_that_is_said(make_target):
    request = asked(Message.system("one"), Message.user("u"), Message.system("two"), Message.user("v"))
    projected = project(request, make_target("claude"))
    assert [(m.role, m.text) for m in projected.request.messages] == [("system", "one\n\ntwo"), ("user", "u"), ("user", "v")]
    assert codes(projected) == ["system.moved"]


# ---------------------------------------------------------------------------------------------------------- parts
def test_blank_texts_are_not_sent_but_keep_their_neighbours_apart(target):
    sent = project(asked(Message.user([Text("a"), Text("\n"), Text("b"), Text("")]), Message.user("  ")), target).request
    assert len(sent.messages) == 1
    assert re.fullmatch(r"a\n+b", sent.messages[0].text)


def test_a_result_without_content_says_so(target):
    sent = project(asked(Message.user("go"), Message.assistant(call()), Message.tool("c00000001", " ")), target).request
    assert [result.text for message in sent.messages for result in message.tool_results] == ["(no output)"]


def test_reasoning_goes_home_and_nowhere_else(make_target):
    target = make_target("claude")
    own = Reasoning("hm", Native(target.api, target.origin, {"signature": "s"}))
    foreign = Reasoning("hm", Native(target.api, "anthropic|there|claude-other", {"signature": "s"}))
    projected = project(asked(Message.user("q"), Message.assistant([own, foreign, Text("a")]), Message.user("r")), target)
    assert projected.request.messages[1].parts == (own, Text("a"))
    assert codes(projected) == ["reasoning.dropped"]


def test_a_turn_that_held_reasoning_only_disappears(make_target):
    thought = Reasoning("hm", Native("openai-responses", "x", {}))
    sent = project(asked(Message.user("q"), Message.assistant(thought), Message.user("r")), make_target("claude")).request
    assert [message.role for message in sent.messages] == ["user", "user"]


def test_work_of_a_providers_own_tools_goes_over_as_a_record(make_target):
    done = ServerTool("web_search_call", "https://a.example found", Native("openai-responses", "x", {"id": "ws_1"}))
    projected = project(
        asked(Message.user("q"), Message.assistant([done, Text("a")]), Message.user("r")), make_target("claude")
    )
    assert '[record] tool "web_search_call" returned: "https://a.example found"' in projected.request.messages[2].text
    assert codes(projected) == ["server_tool.flattened"]


def test_pictures_of_results_follow_after_the_whole_group_where_results_are_text(make_target):
    request = asked(
        Message.user("go"), Message.assistant([call("c00000001"), call("c00000002")]),
        Message.tool("c00000001", [Text("shot"), PICTURE]), Message.tool("c00000002", "two"),
    )  # fmt: skip
    sent = project(request, make_target("chat")).request.messages
    assert [message.role for message in sent] == ["user", "assistant", "tool", "tool", "user"]
    assert sent[-1].parts == (PICTURE,)
    assert "follows" in sent[2].text
    assert project(request, make_target("claude")).request.messages[2].tool_results[0].content == (Text("shot"), PICTURE)


def test_a_picture_that_cannot_be_seen_leaves_a_placeholder_that_names_it(make_target):
    projected = project(asked(Message.user([Text("see"), PICTURE])), make_target("portable"))
    assert "image/png, 4 bytes, sha256" in projected.request.messages[0].text
    assert [(gap.level, gap.code) for gap in projected.gaps] == [("fail", "image.dropped")]


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (File(file_id="file-1", native=Native("openai-responses", "x", {"id": "file-1"})), "file.dropped"),
        (Audio(data=b"RIFF", media_type="audio/wav"), "audio.dropped"),
    ],
)
def test_what_cannot_be_taken_at_all_blocks_the_candidate(make_target, part, code):
    projected = project(asked(Message.user([Text("this"), part])), make_target("claude"))
    assert [gap.code for gap in projected.blocking] == [code]
    assert set(projected.blocking) <= set(projected.gaps)


def test_a_text_file_goes_over_as_text_where_files_are_not_taken(make_target):
    note = File(data=b"line", media_type="text/plain", name="a.txt")
    projected = project(asked(Message.user(note)), make_target("mistral"))
    assert projected.request.messages[0].text == '[file "a.txt"]\nline'
    assert codes(projected) == ["file.transformed"]


# ---------------------------------------------------------------------------------------------------------- tools
def test_argument_names_that_claude_refuses_are_mapped_at_every_depth_and_the_map_comes_back(make_target):
    inner = {"type": "object", "properties": {"filter[id]": {"type": "string"}}, "required": ["filter[id]"]}
    schema = {
        "type": "object", "required": ["Straße", "plain"],
        "properties": {"Straße": {"type": "string"}, "plain": {"type": "array", "items": inner}, "x" * 65: {}},
    }  # fmt: skip
    args = {"Straße": "A", "plain": [{"filter[id]": "1"}]}
    request = asked(
        Message.user("go"), Message.assistant(call(**args)), Message.tool("c00000001", "x"),
        tools=(ToolSpec("search", None, schema),),
    )  # fmt: skip
    before = copy.deepcopy(request)
    projected = project(request, make_target("claude"))

    sent = {own: short for short, own in projected.argument_names.items()}
    assert sent.keys() == {"Straße", "filter[id]", "x" * 65}
    assert all(re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", short) for short in sent.values())
    spelled = projected.request.tools[0].parameters
    assert spelled["required"] == [sent["Straße"], "plain"]
    assert spelled["properties"]["plain"]["items"]["required"] == [sent["filter[id]"]]
    assert projected.request.messages[1].tool_calls[0].args == {sent["Straße"]: "A", "plain": [{sent["filter[id]"]: "1"}]}
    assert in_other_keys(projected.request.messages[1].tool_calls[0].args, projected.argument_names) == args
    assert "schema.renamed" in codes(projected)
    assert request == before
    assert project(request, make_target("chat")).argument_names == {}


def test_names_that_are_not_taken_are_mapped_and_the_map_comes_back(make_target):
    request = asked(
        Message.user("go"), Message.assistant(call(name="files.read")), Message.tool("c00000001", "x", name="files.read"),
        tools=(ToolSpec("files.read"), ToolSpec("ok")), tool_choice="files.read",
    )  # fmt: skip
    projected = project(request, make_target("claude"))
    sent = projected.request.tools[0].name
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}", sent)
    assert projected.tool_names == {sent: "files.read"}
    assert projected.request.messages[1].tool_calls[0].name == sent
    assert projected.request.messages[2].tool_results[0].name == sent
    assert projected.request.tool_choice == sent
    assert codes(projected) == ["tool.renamed"]


def test_a_computer_use_tool_is_removed_in_the_words_of_the_check(make_target):
    projected = project(asked(Message.user("go"), tools=(ToolSpec.server("computer_20250124"),)), make_target("chat"))
    assert projected.request.tools == ()
    (gap,) = projected.gaps
    assert (gap.level, gap.code) == ("fail", "tool.removed")
    assert gap.text == "Computer-use tool unavailable; tool will be removed for this conversation"


def test_a_free_text_tool_is_a_function_with_one_text_where_there_is_none(make_target):
    (tool,) = project(asked(Message.user("go"), tools=(ToolSpec.custom("sql"),)), make_target("claude")).request.tools
    assert tool.kind == "function"
    assert list(tool.parameters["properties"]) == ["input"]


@pytest.mark.parametrize("union", ["oneOf", "anyOf", "allOf"])
def test_a_union_at_the_top_of_a_schema_becomes_its_properties_side_by_side(target, union):
    schema = {union: [{"type": "object", "properties": {"a": {"type": "string"}}}, {"properties": {"b": {}}}]}
    projected = project(asked(Message.user("go"), tools=(ToolSpec("f", parameters=schema),)), target)
    (tool,) = projected.request.tools
    assert (tool.parameters["type"], list(tool.parameters["properties"])) == ("object", ["a", "b"])
    assert codes(projected) == ["schema.keyword"]
    assert list(schema) == [union]


def test_strict_mode_that_differs_is_named_in_the_words_of_the_check(make_target):
    loose = ToolSpec("f", parameters={"type": "object", "properties": {"a": {"type": "string"}}}, strict=True)
    projected = project(asked(Message.user("go"), tools=(loose,)), make_target("chat"))
    assert projected.request.tools[0].strict is None
    assert [gap.text for gap in projected.gaps] == ["JSON schema strict mode differs (loose-parse fallback)"]


def test_an_answers_schema_is_closed_for_claude_and_its_limits_are_named(make_target):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    projected = project(asked(Message.user("go"), output_schema=schema, output_mode="json_schema"), make_target("claude"))
    assert projected.request.output_schema == {
        "type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False,
    }  # fmt: skip
    assert codes(projected) == ["schema.keyword"]


def test_a_forced_tool_that_cannot_be_had_gives_way_to_a_schema_that_is_taken(make_target):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    claude = make_target("claude")
    unforced = replace(claude, dialect=replace(claude.dialect, forced_tool_choice=False))
    projected = project(asked(Message.user("go"), output_schema=schema, output_mode="tool"), unforced)
    assert projected.request.output_mode == "json_schema"
    assert projected.request.output_schema["additionalProperties"] is False


def test_knobs_that_are_not_taken_are_dropped_by_name(make_target):
    request = asked(Message.user("go"), temperature=0.5, top_p=0.9, seed=1, max_tokens=4, stop=("x",), reasoning="high")
    responses = project(request, make_target("responses"))
    assert (responses.request.temperature, responses.request.seed, responses.request.stop) == (None, None, ())
    assert responses.request.max_tokens == 16
    assert project(request, make_target("claude")).request.top_p is None
    assert "parameter.dropped" in codes(responses)


def test_a_choice_of_tools_without_tools_is_not_sent(target):
    assert project(asked(Message.user("go"), tool_choice="required"), target).request.tool_choice is None


# ---------------------------------------------------------------------------------------------- any conversation
_IDS = some.sampled_from(["a", "call_1", "functions.Bash:0", "x" * 70, "c00000001", "c00000002", "toolu_é"])
_NAMES = some.sampled_from(["search", "files.read", "1st", "naïve", "y" * 90])
_TEXT = some.text(alphabet="ab \n<é", max_size=12)
_NATIVE = some.sampled_from(
    [None, Native("anthropic-messages", "other", {"id": "toolu_1"}), Native("openai-chat", "o", {"id": "q"})]
)
_PART = some.one_of(
    some.builds(Text, _TEXT),
    some.just(PICTURE),
    some.builds(Reasoning, _TEXT, _NATIVE),
    some.builds(ServerTool, some.just("web_search"), _TEXT, _NATIVE),
)
_MESSAGE = some.one_of(
    some.builds(Message.user, some.lists(_PART.filter(lambda part: part.type in ("text", "image")), max_size=3)),
    some.builds(
        Message.assistant,
        some.lists(
            some.one_of(_PART, some.builds(ToolCall, _IDS, _NAMES, some.just({}), some.booleans(), _NATIVE)), max_size=4
        ),
    ),
    some.builds(Message.tool, _IDS, _TEXT, name=some.one_of(some.none(), _NAMES)),
    some.builds(Message.system, _TEXT),
)
_quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(messages=some.lists(_MESSAGE, max_size=10))
@_quick
def test_any_conversation_comes_out_with_whole_pairs_valid_ids_and_unchanged_input(targets, messages):
    request = asked(*messages)
    before = copy.deepcopy(request)
    for target in targets.values():
        sent = project(request, target).request.messages
        ids = [made.id for message in sent for made in message.tool_calls]
        assert len(ids) == len(set(ids))
        assert all(is_call_id(identity) for identity in ids)
        waiting = []
        for message in sent:
            for result in message.tool_results:
                assert result.call_id == waiting.pop(0)
            assert message.role == "tool" or not waiting
            waiting += [made.id for made in message.tool_calls]
            assert message.parts
            assert all(part.text.strip() for part in message.parts if isinstance(part, Text))
        assert not waiting
        assert project(request, target).request.messages == sent
    assert request == before


@given(messages=some.lists(_MESSAGE, max_size=8))
@_quick
def test_the_operators_text_is_never_made_of_what_others_said(targets, messages):
    told = [message.text for message in messages if message.role == "system"]
    for target in targets.values():
        for message in project(asked(*messages), target).request.messages:
            if message.role == "system":
                assert message.text in (*told, "\n\n".join(text for text in told if text.strip()))


@given(messages=some.lists(_MESSAGE, max_size=8))
@_quick
def test_what_is_projected_once_stays_as_it_is(targets, messages):
    for target in targets.values():
        once = project(asked(*messages), target).request
        assert project(once, target).request == once


@given(names=some.sets(some.text(min_size=1, max_size=80), min_size=2, max_size=20))
@_quick
def test_tool_names_are_valid_and_never_fall_together(names):
    sent = {sent_name(name) for name in names}
    assert len(sent) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}", name) for name in sent)


def test_an_estimate_grows_with_text_tools_and_pictures():
    base = estimate_tokens(asked(Message.user("hello")))
    assert estimate_tokens(asked(Message.user("hello" * 100))) > base + 150
    assert estimate_tokens(asked(Message.user("hello"), tools=(ToolSpec("f", "does it"),))) > base
    assert estimate_tokens(asked(Message.user([Text("hello"), PICTURE]))) > base + 1_000


def test_an_id_is_made_of_what_it_is_derived_from_only(make_target):
    request = asked(Message.user("go"), Message.assistant(ToolCall("call_x", "f", {})), Message.tool("call_x", "r"))
    assert project(request, make_target("chat")).request.messages[1].tool_calls[0].id == call_id("call_x")
    assert isinstance(request.messages[2].parts[0], ToolResult)


# ------------------------------------------------------------------------------------------------------- DeepSeek
@pytest.mark.parametrize("own", [True, False])
def test_deepseek_reasons_on_only_where_its_calls_have_their_reasoning(make_target, own):
    here = replace(make_target("chat"), provider="deepseek", model="deepseek-v4-pro", dialect=DIALECTS["deepseek"])
    origin = here.origin if own else "another"
    thought = Reasoning("hm", native=Native("openai-chat", origin, {"reasoning_content": "hm"}))
    request = asked(
        Message.user("go"), Message.assistant([thought, call(q="it")]), Message.tool("c00000001", "found"),
        tools=(ToolSpec("search"),), reasoning="high",
    )  # fmt: skip
    body = wire("openai-chat").render(project(request, here).request, here, stream=False)

    assert check_request("generic-openai", body) == []
    assert body.get("thinking") == (None if own else {"type": "disabled"})
    assert body.get("reasoning_effort") == ("high" if own else None)
    assert body["messages"][1].get("reasoning_content") == ("hm" if own else None)
    assert own or check_request("generic-openai", {**body, "thinking": {"type": "enabled"}})
