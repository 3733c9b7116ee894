"""What a new provider receives: bounds, order, whole exchanges, and a beginning that never changes."""

from __future__ import annotations

import copy
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from joch_core.errors import ContextTooSmall
from joch_core.messages import Message, Text, ToolCall, call_id
from joch_core.migration.extract import build_checkpoint
from joch_core.migration.reconstruct import Bounds, check_room, reconstruct
from joch_core.migration.window import recent_window
from joch_core.projection.tokens import message_tokens

BOUNDS = Bounds(24_000, 4_000, 3_600)


def moved(log, budget=24_000, room=None):
    window = recent_window(log.history.entries, budget, room)
    return build_checkpoint(log.history, window, to_backend="a:b", from_backend="c:d")


def turns(number, size=400):
    identity = call_id(number)
    return [
        Message.user(f"ask {number}"),
        Message.assistant([Text("look"), ToolCall(identity, "search", {"n": number})]),
        Message.tool(identity, "r" * size),
        Message.assistant(f"answer {number}"),
    ]


def test_prompt_then_block_then_window(log):
    log.say(Message.system("Be brief."), *turns(1), Message.user("new")).add("Pinned", text="No prices", by="operator")
    prompt, block, *window = reconstruct(log.history, moved(log), BOUNDS)
    assert prompt.role == "system"
    assert prompt.text.startswith("Be brief.\n\nConstraints that always hold:\n- No prices\n\n")
    assert block.text.startswith("<joch-handoff nonce=")
    assert [message.text for message in window] == [message.text for message in [*turns(1), Message.user("new")]]


def test_a_long_conversation_goes_over_by_its_newest_whole_turns(log):
    for number in range(30):
        log.say(*turns(number))
    log.say(Message.user("new"))
    _, _, *window = reconstruct(log.history, moved(log, budget=1_000), BOUNDS)
    assert window[0].role == "user"
    assert window[-1] == Message.user("new")
    assert 5 <= len(window) < 30
    assert sum(map(message_tokens, window)) <= 1_000


def test_the_newest_turn_of_the_user_is_never_cut(log):
    text = "w" * 50_000
    log.say(*turns(1), Message.user(text))
    assert reconstruct(log.history, moved(log, budget=10), BOUNDS)[-1].text == text


def test_a_long_loop_goes_over_by_its_newest_steps_with_the_question_before_them(log):
    log.say(Message.user("before"), Message.assistant("ok"), Message.user("the question"))
    for number in range(20):
        identity = call_id(number)
        log.say(Message.assistant(ToolCall(identity, "step", {"n": number})), Message.tool(identity, "r" * 1_000))
    made = moved(log, budget=500, room=2_000)
    _, block, *window = reconstruct(log.history, made, BOUNDS)
    assert window[0].text == "the question"
    assert window[1].tool_calls[0].id == window[2].tool_results[0].call_id
    assert window[-1] == log.history.entries[-1].message
    left_out = 20 - (len(window) - 1) // 2
    assert left_out > 0
    assert block.text.count('"what": "step"') == left_out


def test_oversized_results_lose_their_middle_and_say_how_much(log):
    log.say(
        Message.user("go"),
        Message.assistant(ToolCall("c00000001", "f", {})),
        Message.tool("c00000001", "a" * 9_000 + "ö" * 9_000),
    )
    text = reconstruct(log.history, moved(log), BOUNDS)[-1].text
    assert re.search(r"^a{4000}\n\[… 15,000 bytes left out …\]\nö{4000}$", text)


def test_the_beginning_stays_byte_for_byte_as_the_log_grows(log):
    log.say(Message.system("Be brief."), *turns(1), Message.user("new"))
    log.add("MemoryWritten", ref="mem://a", text="old", by="user")
    made = moved(log)
    before = reconstruct(log.history, made, BOUNDS)
    log.say(Message.assistant("a"), Message.user("b")).add("MemoryWritten", ref="mem://a", text="new", by="user")
    log.act("k1", "ticket").add("DecisionRecorded", text="d", by="user")
    after = reconstruct(log.history, made, BOUNDS)
    assert after[: len(before)] == before
    assert [message.text for message in after[len(before) :]] == ["a", "b"]


def test_there_and_back_again_gives_the_originals(log):
    log.say(*turns(1), Message.user("new"))
    there = moved(log)
    log.add("CheckpointCreated", name=there.name, spec=there.spec)
    log.add(
        "ProviderSwitched",
        fromProvider="c:d",
        toProvider="a:b",
        checkpointRef=there.name,
        reason="outage",
        capabilityDeltas=[],
    )
    log.say(Message.assistant("from b"), Message.user("back"))
    originals = [entry.message for entry in log.history.entries]
    assert list(reconstruct(log.history, moved(log), BOUNDS)[2:]) == originals
    assert log.history.checkpoint_spec == there.spec


def test_what_does_not_fit_is_refused_before_anything_is_sent():
    with pytest.raises(ContextTooSmall, match="operator prompt and the tools"):
        Bounds.of(recent=100, memory=10, share=0.15, input_window=1_000, fixed=2_000)
    with pytest.raises(ContextTooSmall, match="shorten the newest message"):
        check_room([Message.user("w" * 9_000)], 1_000, 0)


def test_bounds_follow_the_route_and_the_window_of_the_target():
    wide = Bounds.of(recent=24_000, memory=4_000, share=0.15, input_window=200_000, fixed=1_000)
    assert (wide.window_tokens, wide.memory_tokens) == (24_000, 4_000)
    tight = Bounds.of(recent=24_000, memory=4_000, share=0.15, input_window=8_000, fixed=1_000)
    assert tight.window_tokens + tight.memory_tokens + tight.checkpoint_tokens <= 8_000 - 1_000 - 512


_STEP = some.sampled_from(["user", "answer", "call", "calls", "open"])


@given(
    steps=some.lists(_STEP, min_size=1, max_size=25),
    budget=some.integers(0, 900),
    room=some.one_of(some.none(), some.integers(0, 900)),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_window_splits_a_pair_cuts_the_question_or_changes_the_log(new_log, steps, budget, room):
    log = new_log()
    for number, step in enumerate(steps):
        ids = [call_id(number, place) for place in range({"call": 1, "calls": 2, "open": 1}.get(step, 0))]
        if step == "user":
            log.say(Message.user(f"ask {number} " + "w" * number * 9))
        elif step == "answer":
            log.say(Message.assistant(f"answer {number}"))
        else:
            log.say(Message.assistant([ToolCall(identity, "f", {"n": number}) for identity in ids]))
            log.say(*(Message.tool(identity, "r" * 200) for identity in ids if step != "open"))
    before = copy.deepcopy(log.history)
    window = reconstruct(log.history, moved(log, budget, room), BOUNDS)[2:]
    known = set()
    for message in window:
        known |= {call.id for call in message.tool_calls}
        assert all(result.call_id in known for result in message.tool_results)
    asked = [entry.message for entry in log.history.entries if entry.message.role == "user"]
    assert not asked or asked[-1] in window
    assert window[-1] == log.history.entries[-1].message
    assert log.history == before
