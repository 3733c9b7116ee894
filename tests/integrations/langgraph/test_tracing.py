"""The steps of a graph beside what happened to its conversation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage
from langchain_joch import JochChatModel
from langgraph.checkpoint.joch import JochSaver, graph_steps
from langgraph.graph import START, MessagesState, StateGraph

from joch_core import Joch
from joch_core.cli.main import run
from joch_core.testing import Simulator

PRIMARY, FALLBACK = "openai:gpt-5-mini", "anthropic:claude-sonnet-4-6"
THREAD = {"configurable": {"thread_id": "conv-7"}}


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Simulator() as double:
        for name, value in double.env().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("JOCH_HOME", str(tmp_path))
        for name in ("JOCH_STORE", "JOCH_RESOURCES", "JOCH_NAMESPACE", "JOCH_CHECKPOINT_KEY"):
            monkeypatch.delenv(name, raising=False)
        yield double


class Crash(BaseException):
    """As hard as an exception can be."""


def build(saver: JochSaver, model: JochChatModel, crashes: list):
    """Plan, ask the model, write it up; the node dies after its model call as often as `crashes` says."""

    def agent(state: MessagesState) -> dict:
        answer = model.invoke(state["messages"])
        if crashes:
            raise crashes.pop()
        return {"messages": [answer]}

    builder = StateGraph(MessagesState)
    builder.add_node("plan", lambda state: {"messages": []})
    builder.add_node("agent", agent)
    builder.add_node("report", lambda state: {"messages": []})
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "agent")
    builder.add_edge("agent", "report")
    return builder.compile(checkpointer=saver)


def trace(capsys, *arguments: str) -> tuple[int, str, str]:
    code = run(["trace", *arguments])
    seen = capsys.readouterr()
    return code, seen.out, seen.err


def failed_over(saver: JochSaver, simulator: Simulator, crashes: list) -> None:
    """A graph loses its provider in mid-conversation, its node dies as often as `crashes` says, and it is resumed."""
    graph = build(saver, JochChatModel(model=PRIMARY, fallbacks=[FALLBACK]), crashes)
    graph.invoke({"messages": [HumanMessage("first")]}, THREAD)
    simulator.fail("openai", status=503)
    crashes += [Crash() for _ in range(2)]
    given: dict | None = {"messages": [HumanMessage("second")]}
    while crashes:
        with pytest.raises(Crash):
            graph.invoke(given, THREAD)
        given = None
    graph.invoke(None, THREAD)
    assert len(graph.get_state(THREAD).values["messages"]) == 4


def test_a_switch_is_told_once_within_its_step_though_the_node_ran_three_times(simulator: Simulator, capsys) -> None:
    failed_over(JochSaver(), simulator, [])

    code, out, err = trace(capsys, "conv-7", "-o", "json")

    assert (code, err) == (0, "")
    lines = json.loads(out)
    told = [
        one["payload"]["nodes"] or one["payload"]["source"] if one["type"] == "GraphStep" else one["type"]
        for one in lines
        if one["type"] in {"GraphStep", "ProviderSwitched"}
    ]
    turn = ["input", "loop", ["plan"], ["agent"], ["report"]]
    assert told == [*turn, "input", "loop", ["plan"], "ProviderSwitched", ["agent"], ["report"]]
    steps = [one for one in lines if one["type"] == "GraphStep"]
    assert [one["payload"]["step"] for one in steps] == list(range(-1, 9))
    assert all(one["sequence"] is None and one["hash"] is None and one["conversationId"] == "conv-7" for one in steps)
    assert [one["at"] for one in lines] == sorted(one["at"] for one in lines)
    events = [one for one in lines if one["type"] != "GraphStep"]
    assert [one["sequence"] for one in events] == list(range(1, len(events) + 1))
    with Joch() as joch:
        assert [event.type for event in joch.trace("conv-7")] == [one["type"] for one in events]


def test_people_read_the_steps_among_the_events(simulator: Simulator, capsys) -> None:
    failed_over(JochSaver(), simulator, [])

    lines = trace(capsys, "conv-7")[1].splitlines()

    switch = next(at for at, text in enumerate(lines) if "provider switched" in text)
    before = [text for text in lines[:switch] if "GraphStep" in text]
    after = [text for text in lines[switch:] if "GraphStep" in text]
    assert before[-1].endswith("step 6: the graph ran plan")
    assert after[0].endswith("step 7: the graph ran agent")
    assert "GraphStep" not in trace(capsys, "conv-7", "--type", "ProviderSwitched")[1]


def test_a_graph_that_called_no_model_has_a_trace_too(simulator: Simulator, capsys) -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("plan", lambda state: {"messages": []})
    builder.add_edge(START, "plan")
    builder.compile(checkpointer=JochSaver()).invoke({"messages": []}, THREAD)

    code, out, _ = trace(capsys, "conv-7")

    assert (code, out.count("GraphStep")) == (0, 3)
    assert trace(capsys, "nobody")[0] == 1


def test_an_encrypted_thread_shows_its_steps_to_who_has_the_key(simulator: Simulator, capsys, monkeypatch) -> None:
    key = bytes(range(32))
    failed_over(JochSaver(encrypt=key), simulator, [])

    code, out, err = trace(capsys, "conv-7")
    assert (code, "GraphStep" in out, "ProviderSwitched" in out) == (0, False, True)
    assert "encrypted" in err
    monkeypatch.setenv("JOCH_CHECKPOINT_KEY", key.hex())

    assert trace(capsys, "conv-7")[1].count("GraphStep") == 10


def test_steps_are_read_on_from_where_a_reader_stopped(simulator: Simulator) -> None:
    saver = JochSaver()
    failed_over(saver, simulator, [])
    every = graph_steps(saver, "conv-7")

    assert len(every) == 10
    assert graph_steps(saver, "conv-7", after=every[6].checkpoint) == every[7:]
    assert graph_steps(saver, "nobody") == []
