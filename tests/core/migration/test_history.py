"""A conversation as the fold of its events, and what a caller passes again."""

from __future__ import annotations

from joch_core.messages import File, Message, Native, Text, ToolCall
from joch_core.migration.history import match_messages

TALK = [
    Message.user("find it"),
    Message.assistant(ToolCall("c00000001", "search", {"q": "it"})),
    Message.tool("c00000001", "found"),
    Message.assistant("here"),
]


def test_records_add_up_and_the_newest_one_holds(log):
    log.add("GoalSet", text="a", by="operator").add("GoalSet", text="b", by="operator")
    log.add("DecisionRecorded", text="Five competitors", by="user")
    log.add("DecisionRecorded", text="Six competitors", supersedes=" five  COMPETITORS", by="user")
    log.add("QuestionAsked", id="q1", text="Ship?", by="user").add("QuestionAsked", id="q2", text="When?", by="user")
    log.add("QuestionAnswered", id="q1", text="yes", by="user")
    log.add("TaskSet", text="draft", by="user")
    log.add("ArtifactCreated", ref="artifact://a", by="user").add("ArtifactCreated", ref="artifact://a", by="user")
    history = log.history
    assert (history.goal, history.task, history.decisions) == ("b", "draft", ["Six competitors"])
    assert (history.questions, history.artifacts) == ({"q2": "When?"}, ["artifact://a"])


def test_the_newest_system_message_is_the_operators_prompt_and_no_entry(log):
    log.say(Message.system("one"), Message.user("u"), Message.system("two"))
    assert log.history.operator_prompt == Message.system("two")
    assert [entry.message.role for entry in log.history.entries] == ["user"]


def test_a_snapshot_stays_as_it_is(log):
    before = log.say(Message.user("one")).history.snapshot()
    log.say(Message.user("two")).add("Pinned", text="p", by="operator").add(
        "MemoryWritten", ref="mem://a", text="x", by="user"
    )
    assert (len(before.entries), before.pinned, before.memories) == (1, [], {})


def test_rewritten_history_keeps_only_its_beginning(log):
    log.say(*TALK).add("HistoryRewritten", keep=1, reason="edit").say(Message.assistant("anew"))
    assert [entry.message.text for entry in log.history.entries] == ["find it", "anew"]


def test_a_memory_is_known_as_it_stood_at_an_event(log):
    log.add("MemoryWritten", ref="mem://a", text="old", by="user").add("MemoryWritten", ref="mem://a", text="new", by="user")
    assert log.history.memories_until(1) == {"mem://a": "old"}
    assert log.history.memories_until(2) == {"mem://a": "new"}


def test_the_whole_history_passed_again_adds_only_what_is_new(log):
    entries = log.say(*TALK).history.entries
    news = Message.user("thanks")
    assert match_messages(entries, [*TALK, news]).new == (news,)
    assert match_messages(entries, [news]).new == (news,)
    assert match_messages(entries, TALK).new == ()
    assert match_messages(entries, [*TALK[2:], news]).new == (news,)
    assert match_messages(entries, []).new == ()


def test_how_a_message_is_spelled_does_not_count(log):
    entries = log.say(*TALK).history.entries
    other = Message("assistant", (Text("he"), Text("re", native=Native("openai-chat", "o", {"x": 1}))), id="msg_1")
    assert match_messages(entries, [*TALK[:3], other]).new == ()


def test_a_rewritten_history_is_seen_and_says_where(log):
    entries = log.say(*TALK).history.entries
    match = match_messages(entries, [TALK[0], Message.assistant("no"), Message.user("well")])
    assert (match.keep, match.rewrites, len(match.new)) == (1, True, 2)


def test_a_run_that_is_started_again_goes_on_with_the_turn_that_it_began(log):
    before = [Message.user("hi"), Message.assistant("hello")]
    entries = log.say(*before, *TALK[:3]).history.entries
    for passed in ([TALK[0]], [*before, TALK[0]]):
        match = match_messages(entries, passed)
        assert (match.keep, match.new, match.rewrites) == (5, (), False)


def test_the_same_text_after_an_answer_is_a_new_turn(log):
    entries = log.say(*TALK).history.entries
    assert match_messages(entries, [TALK[0]]).new == (TALK[0],)


def test_a_newest_turn_that_is_passed_without_its_middle_is_recognised(log):
    before = [Message.user("hi"), Message.assistant("hello")]
    entries, news = log.say(*before, *TALK).history.entries, Message.user("thanks")
    for passed in ([TALK[0], TALK[3], news], [*before, TALK[0], TALK[3], news]):
        assert match_messages(entries, passed).new == (news,)
    assert match_messages(entries, [TALK[0], TALK[3], news], whole=True).rewrites


def test_two_uploads_are_two_files(log):
    entries = log.say(Message.user(File(file_id="file-1"))).history.entries
    assert len(match_messages(entries, [Message.user(File(file_id="file-2"))]).new) == 1


def test_a_model_cannot_pin_anything(log):
    log.add("Pinned", text="obey", by="model").add("Pinned", text="No prices", by="operator")
    assert log.history.pinned == ["No prices"]
