"""A conversation: its log holds each turn once, moves between providers, and refuses two writers at once."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from joch_core import (
    ConversationConflict,
    Image,
    InvalidArgument,
    Joch,
    Message,
    MigrationRefused,
    NotFound,
    PolicyDenied,
    ProviderError,
    Reply,
    Text,
    ToolSpec,
)
from joch_core.resources.route import Migration, ModelRoute, route_of
from joch_core.testing import Simulator

Way = Callable[..., Reply]
ONE, TWO = "openai:gpt-5-mini", "anthropic:claude-sonnet"
ROUTE = [ONE, TWO]
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64


def narrow(tokens: int = 300) -> ModelRoute:
    """A route whose new providers receive a small recent window."""
    route = route_of(ROUTE, name="narrow")
    return route.model_copy(
        update={"spec": route.spec.model_copy(update={"migration": Migration(recent_window_tokens=tokens)})}
    )


def said(joch: Joch, name: str) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in joch.conversation(name).messages()]


def switches(joch: Joch, name: str) -> list[dict[str, object]]:
    return [event.payload for event in joch.conversation(name).events() if event.type == "ProviderSwitched"]


def test_a_caller_may_pass_only_what_is_new(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.script(["one", "two"])

    way(joch, ONE, [Message.system("Be brief."), Message.user("first")], conversation="c")
    way(joch, ONE, "second", conversation="c")

    assert said(joch, "c") == [
        ("system", "Be brief."), ("user", "first"), ("assistant", "one"), ("user", "second"), ("assistant", "two"),
    ]  # fmt: skip
    assert "first" in json.dumps(joch_simulator.calls()[-1].body)


def test_a_caller_may_pass_the_whole_history_again_and_no_turn_is_kept_twice(
    way: Way, joch: Joch, joch_simulator: Simulator
) -> None:
    joch_simulator.script(["one", "two"])
    history = [Message.system("Be brief."), Message.user("first")]

    reply = way(joch, ONE, history, conversation="c")
    way(joch, ONE, [*history, reply.message, Message.user("second")], conversation="c")

    assert [role for role, _ in said(joch, "c")] == ["system", "user", "assistant", "user", "assistant"]


def test_an_empty_list_asks_the_model_to_go_on(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("openai", status=400, times=1)
    with pytest.raises(ProviderError):
        way(joch, ONE, "a question that failed", conversation="c")
    joch_simulator.script(["the answer"])

    reply = way(joch, ONE, [], conversation="c")

    assert reply.text == "the answer"
    assert said(joch, "c") == [("user", "a question that failed"), ("assistant", "the answer")]


def test_nothing_to_ask_is_one_sentence(joch: Joch) -> None:
    with pytest.raises(InvalidArgument, match="empty"):
        joch.call(ONE, [], conversation="c")


def test_a_switch_in_the_middle_keeps_what_was_decided_and_hides_the_raw_transcript(
    way: Way, joch: Joch, joch_simulator: Simulator
) -> None:
    secret = "raw page 7f3a"
    joch_simulator.script(["noted", "noted", "noted"], provider="openai")
    way(
        joch,
        narrow(),
        [Message.system("Be brief."), Message.user(f"Goal: find X\n{secret} " + "bla " * 400)],
        conversation="c",
    )
    conversation = joch.conversation("c")
    conversation.decide("Five competitors in scope")
    conversation.pin("Never mention prices")
    conversation.link_artifact("artifact://research/draft.md")
    conversation.link_memory("mem://research/notes", text="they like tables")
    joch_simulator.fail("openai", status=503)

    reply = way(joch, narrow(), "go on", conversation="c")

    sent = json.dumps(joch_simulator.calls("anthropic")[-1].body)
    assert reply.backend == TWO
    assert secret not in sent
    for kept in (
        "find X",
        "Five competitors in scope",
        "Never mention prices",
        "artifact://research/draft.md",
        "they like tables",
    ):
        assert kept in sent
    (switch,) = switches(joch, "c")
    assert (switch["fromProvider"], switch["toProvider"], switch["reason"]) == (ONE, TWO, "outage")
    assert switch["checkpointRef"] == reply.checkpoint


def test_after_a_switch_the_same_beginning_is_sent_again_so_that_prompt_caches_work(
    joch: Joch, joch_simulator: Simulator
) -> None:
    joch.call(ROUTE, "first", conversation="c")
    joch_simulator.fail("openai", status=503)
    with joch.execution(conversation="c") as run:
        for text in ("second", "third", "fourth"):
            joch.call(ROUTE, text, execution=run)

    bodies = [call.body for call in joch_simulator.calls("anthropic")]
    assert len(bodies) == 3
    for before, after in itertools.pairwise(bodies):
        assert after["system"] == before["system"]
        assert after["messages"][: len(before["messages"])] == before["messages"]
    assert len(switches(joch, "c")) == 1


def test_a_new_execution_goes_back_to_the_primary_when_it_is_well_again(joch: Joch, joch_simulator: Simulator) -> None:
    joch.call(ROUTE, "first", conversation="c")
    joch_simulator.fail("openai", status=503, times=1)
    joch.call(ROUTE, "second", conversation="c")

    stays = joch.call(ROUTE, "third", conversation="c")
    with Joch(store=joch.store) as another:  # a process that has not seen the failure
        returns = another.call(ROUTE, "fourth", conversation="c")

    assert (stays.backend, returns.backend) == (TWO, ONE)
    assert [(row["toProvider"], row["reason"]) for row in switches(joch, "c")] == [(TWO, "outage"), (ONE, "health")]


def test_the_operators_choice_holds(joch: Joch, joch_simulator: Simulator) -> None:
    joch.call(ROUTE, "first", conversation="c")

    checkpoint = joch.switch(conversation="c", to=TWO)
    replies = [joch.call(ROUTE, text, conversation="c") for text in ("second", "third")]

    assert [reply.backend for reply in replies] == [TWO, TWO]
    (switch,) = switches(joch, "c")
    assert (switch["reason"], switch["checkpointRef"]) == ("operator", checkpoint.metadata.name)


def test_the_operators_choice_may_lie_outside_the_route_and_ends_with_an_edit_of_it(joch: Joch) -> None:
    elsewhere = "anthropic:claude-haiku-4-5"
    joch.call(ROUTE, "first", conversation="c")
    joch.switch(conversation="c", to=elsewhere)

    chosen = [joch.call(ROUTE, text, conversation="c").backend for text in ("second", "third")]
    edited = joch.call([*ROUTE, "openai:gpt-4o-mini"], "fourth", conversation="c")

    assert chosen == [elsewhere, elsewhere]
    assert (edited.backend, edited.switch_reason) == (ONE, "route_edit")


def test_switching_to_where_it_is_already_changes_nothing(joch: Joch) -> None:
    joch.call(ONE, "first", conversation="c")

    with pytest.raises(MigrationRefused):
        joch.switch(conversation="c", to=ONE)

    assert switches(joch, "c") == []


def test_the_dry_run_names_what_would_change_and_writes_nothing(joch: Joch) -> None:
    tools = [
        ToolSpec("lookup", "…", {"type": "object", "properties": {}}, strict=True, mcp=True),
        ToolSpec.server("computer_use_preview", display_width=800, display_height=600, environment="browser"),
    ]
    picture = Message.user([Text("what is this?"), Image(data=PNG, media_type="image/png")])
    joch.call(ONE, [picture], conversation="c")
    before = len(joch.conversation("c").events())

    report = joch.check_switch(conversation="c", to=TWO, tools=tools)

    lines = {(line.level, line.text) for line in report.lines}
    assert ("ok", "Text conversation supported") in lines
    assert ("ok", "MCP tools supported") in lines
    assert ("warn", "JSON schema strict mode differs (loose-parse fallback)") in lines
    assert ("warn", "Previous turn used image input; image format will be transformed") in lines
    assert ("fail", "Computer-use tool unavailable; tool will be removed for this conversation") in lines
    assert any(
        line.code == "context.window" and line.level == "ok" and line.text.endswith("context sufficient")
        for line in report.lines
    )
    assert report.allowed
    assert len(joch.conversation("c").events()) == before


def test_a_policy_gates_a_switch_that_loses_something(joch: Joch, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: joch.dev/v1alpha1\nkind: Policy\nmetadata: {name: no-losses}\nspec:\n  rules:\n"
        "    - when: {migration.warnings: '>0'}\n      action: {deny: true, reason: nothing may be lost}\n"
    )
    with Joch(store=joch.store, resources=policy) as strict:
        strict.call(ONE, "first", conversation="c")

        assert not strict.check_switch(conversation="c", to=TWO).allowed
        with pytest.raises(PolicyDenied, match="nothing may be lost"):
            strict.switch(conversation="c", to=TWO)

    assert switches(joch, "c") == []


def test_the_preview_is_what_the_target_then_receives(joch: Joch, joch_simulator: Simulator) -> None:
    joch.call(ROUTE, [Message.system("Be brief."), Message.user("first")], conversation="c")
    preview = joch.preview(conversation="c", to=TWO)

    joch.switch(conversation="c", to=TWO)
    joch.call(ROUTE, "second", conversation="c")

    sent = joch_simulator.calls("anthropic")[-1].body
    assert sent["system"] == preview["system"]
    assert "first" in json.dumps(preview)


def test_while_a_call_is_on_its_way_another_writer_is_refused_and_writes_nothing(
    joch: Joch, joch_simulator: Simulator
) -> None:
    joch.call(ONE, "first", conversation="c")
    stream = joch.stream(ONE, "mine", conversation="c")
    next(stream)  # the question is in the log, the answer is on its way
    asked = len(joch_simulator.calls())

    with pytest.raises(ConversationConflict):
        joch.call(ONE, "theirs", conversation="c")

    assert len(joch_simulator.calls()) == asked
    assert ("user", "theirs") not in said(joch, "c")
    assert stream.reply.text
    assert joch.call(ONE, "theirs", conversation="c").text


def test_of_writers_at_the_same_moment_one_wins_and_the_others_write_nothing(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("openai", delay=0.3)
    texts = [f"text {number}" for number in range(6)]
    gate = threading.Barrier(len(texts))

    def speak(text: str) -> str | None:
        gate.wait()
        try:
            joch.call(ONE, text, conversation="c")
        except ConversationConflict:
            return None
        return text

    with ThreadPoolExecutor(len(texts)) as pool:
        (winner,) = [text for text in pool.map(speak, texts) if text is not None]

    assert [role for role, _ in said(joch, "c")] == ["user", "assistant"]
    assert said(joch, "c")[0] == ("user", winner)
    assert len(joch_simulator.calls()) == 1


def test_a_stream_that_is_closed_early_says_so_and_keeps_nobody_out(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.script(["one two three four five six " * 20, "the next answer"], provider="openai")
    with joch.stream(ONE, "mine", conversation="c") as stream:
        next(stream)

    reply = joch.call(ONE, "go on", conversation="c")

    assert reply.text == "the next answer"
    events = [event.type for event in joch.conversation("c").events()]
    assert events.count("StreamInterrupted") == 1
    assert events.count("ExecutionFailed") == 1


def test_a_cancelled_task_keeps_nobody_out(joch: Joch, joch_simulator: Simulator) -> None:
    async def cancelled() -> Reply:
        joch_simulator.fail("openai", delay=5, times=1)
        task = asyncio.create_task(joch.acall(ONE, "mine", conversation="c"))
        while not joch_simulator.calls():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await joch.acall(ONE, "go on", conversation="c")

    assert asyncio.run(cancelled()).text
    assert "StreamInterrupted" in [event.type for event in joch.conversation("c").events()]


def test_an_export_comes_back_whole_and_an_edit_is_refused(joch: Joch) -> None:
    joch.call(ONE, "first", conversation="c")
    exported = json.loads(json.dumps(joch.conversation("c").export()))

    joch.import_conversation(exported, name="copy")
    exported["events"][2]["payload"]["message"]["parts"][0]["text"] = "something else"

    assert said(joch, "copy") == said(joch, "c")
    with pytest.raises(MigrationRefused, match="edited"):
        joch.import_conversation(exported, name="forged")
    with pytest.raises(MigrationRefused):
        joch.import_conversation(joch.conversation("c").export())


def test_the_log_is_a_chain_that_shows_tampering(joch: Joch) -> None:
    joch.call(ONE, "first", conversation="c")
    log = joch.conversation("c").log
    assert joch.store.verify(joch.namespace, log) is None

    with joch.store.database.writing() as cursor:  # type: ignore[attr-defined]
        cursor.execute("UPDATE joch_event SET payload = replace(payload, 'first', 'other') WHERE sequence = 3")

    assert joch.store.verify(joch.namespace, log) == 3


def test_namespaces_do_not_see_each_other(joch: Joch) -> None:
    joch.call(ONE, "first", conversation="c")

    with Joch(store=joch.store, namespace="another") as other:
        assert not other.conversation("c").exists
        assert other.list("conversation") == []
        with pytest.raises(NotFound):
            other.trace("c")


def test_an_unknown_conversation_is_one_sentence(joch: Joch) -> None:
    with pytest.raises(NotFound, match="joch get conversations"):
        joch.check_switch(conversation="nobody", to=TWO)


def test_questions_are_asked_and_answered(joch: Joch) -> None:
    conversation = joch.conversation("c")
    question = conversation.ask("Confirm shipping address?")
    conversation.answer(question, "yes")

    assert [event.type for event in conversation.events()] == ["QuestionAsked", "QuestionAnswered"]
    with pytest.raises(NotFound):
        conversation.answer("never asked")
