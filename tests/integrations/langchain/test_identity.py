from __future__ import annotations

import pytest
from langchain_core.runnables import RunnableConfig
from langchain_joch.identity import Place, conversation_of, place, stepping, within

from joch_core import Message

OURS = [Message.system("be brief"), Message.user("plan my trip")]
THEIRS = [Message.user("find a hotel in Bern")]


def named(namespace: str, messages: list[Message], **logs: list[Message]) -> str:
    known = {name.replace("__", "/"): log for name, log in logs.items()}
    return conversation_of(Place("T", namespace, "agent"), messages, lambda name: known.get(name, ()))


def test_the_thread_is_the_conversation() -> None:
    with within({"configurable": {"thread_id": "T-1", "checkpoint_ns": "model:6f"}}):
        assert place() == Place("T-1", "", "model")


def test_metadata_serves_where_the_config_says_nothing() -> None:
    assert place({"thread_id": "T-2"}) == Place("T-2")
    assert place({}) == Place()


def test_an_inner_graph_is_known_by_its_namespace() -> None:
    config: RunnableConfig = {"configurable": {"thread_id": "T", "checkpoint_ns": "team:1|agent:2|model:3"}}

    with within(config):
        assert place() == Place("T", "team:1|agent:2", "model")


def test_the_config_is_seen_while_an_item_is_made_and_not_between() -> None:
    def threads():
        yield place().thread_id
        yield place().thread_id

    config: RunnableConfig = {"configurable": {"thread_id": "T"}}
    seen = [(inside, place().thread_id) for inside in stepping(config, threads())]

    assert seen == [("T", None), ("T", None)]


@pytest.mark.parametrize(
    ("namespace", "messages", "logs", "name"),
    [
        ("", OURS, {}, "T"),
        ("", [*OURS, Message.assistant("Bern?"), Message.user("no")], {"T": OURS}, "T"),
        ("team:1", OURS, {"T": OURS}, "T"),
        ("team:1", THEIRS, {"T": OURS}, "T/team:1"),
        ("team:1", OURS, {}, "T"),
        ("tools:1", THEIRS, {}, "T/tools:1"),
        ("tools:1|team:2", THEIRS, {"T": OURS, "T__tools:1": THEIRS}, "T/tools:1"),
        ("team:1", [*THEIRS, Message.assistant("hi")], {"T": OURS, "T__team:1": THEIRS}, "T/team:1"),
    ],
)
def test_an_inner_graph_shares_its_parents_conversation_only_with_its_parents_messages(
    namespace: str, messages: list[Message], logs: dict[str, list[Message]], name: str
) -> None:
    assert named(namespace, messages, **logs) == name


def test_a_call_beside_the_conversation_has_a_conversation_of_its_own() -> None:
    (title,) = {named("", [Message.user("a title for this")], T=OURS) for _ in range(2)}
    agent = conversation_of(Place("T", "", "model"), THEIRS, lambda name: OURS if name == "T" else ())
    bare = conversation_of(Place("T"), THEIRS, lambda name: OURS if name == "T" else ())

    assert title.startswith("T/agent:")
    assert (agent, bare) == ("T", "T")
