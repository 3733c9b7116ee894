from __future__ import annotations

import pytest
from langchain_core.runnables import RunnableConfig
from langchain_joch.identity import conversation_of, stepping, thread, within

from joch_core import Message

OURS = [Message.system("be brief"), Message.user("plan my trip")]
THEIRS = [Message.user("find a hotel in Bern")]


def named(namespace: str, messages: list[Message], **logs: list[Message]) -> str:
    known = {name.replace("__", "/"): log for name, log in logs.items()}
    return conversation_of("T", namespace, messages, lambda name: known.get(name, ()))


def test_the_thread_is_the_conversation() -> None:
    with within({"configurable": {"thread_id": "T-1", "checkpoint_ns": "model:6f"}}):
        assert thread() == ("T-1", "")


def test_metadata_serves_where_the_config_says_nothing() -> None:
    assert thread({"thread_id": "T-2"}) == ("T-2", "")
    assert thread({}) == (None, "")


def test_an_inner_graph_is_known_by_its_namespace() -> None:
    config: RunnableConfig = {"configurable": {"thread_id": "T", "checkpoint_ns": "team:1|agent:2|model:3"}}

    with within(config):
        assert thread() == ("T", "team:1|agent:2")


def test_the_config_is_seen_while_an_item_is_made_and_not_between() -> None:
    def threads():
        yield thread()[0]
        yield thread()[0]

    config: RunnableConfig = {"configurable": {"thread_id": "T"}}
    seen = [(inside, thread()[0]) for inside in stepping(config, threads())]

    assert seen == [("T", None), ("T", None)]


@pytest.mark.parametrize(
    ("namespace", "messages", "logs", "name"),
    [
        ("", OURS, {}, "T"),
        ("", THEIRS, {"T": OURS}, "T"),
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
