"""Real compiled graphs on the saver."""

from __future__ import annotations

import operator
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.joch import JochSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, _messages_delta_reducer, add_messages
from langgraph.types import Command, Send, interrupt

from joch_core import ConversationConflict


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    log: Annotated[list[str], operator.add]
    note: str


class DeltaState(TypedDict):
    messages: Annotated[list[AnyMessage], DeltaChannel(_messages_delta_reducer, snapshot_frequency=5)]


CONFIG = {"configurable": {"thread_id": "t"}, "recursion_limit": 500}


def talker(saver, turns: int = 3, state: type = State):
    """A graph that answers itself: agent and tools in turn until there are `turns` tool results."""

    def agent(state):
        done = sum(isinstance(one, ToolMessage) for one in state["messages"])
        number = len(state["messages"])
        calls = [{"name": "f", "args": {"n": number}, "id": f"c{number}"}] if done < turns else []
        return {"messages": [AIMessage(f"agent {number}", id=f"m{number}", tool_calls=calls)]}

    def tools(state):
        number = len(state["messages"])
        call = state["messages"][-1].tool_calls[0]
        return {"messages": [ToolMessage(f"result {number}", id=f"m{number}", tool_call_id=call["id"])]}

    def where_next(state):
        return "tools" if getattr(state["messages"][-1], "tool_calls", None) else END

    builder = StateGraph(state)
    builder.add_node("agent", agent)
    builder.add_node("tools", tools)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", where_next, ["tools", END])
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=saver)


def begin() -> dict:
    return {"messages": [HumanMessage("go", id="go")]}


def plain(history) -> list:
    """A history without what no two runs share."""
    return [(one.values, one.next, one.metadata["step"], one.metadata["source"]) for one in history]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("state", [State, DeltaState])
def test_a_graph_runs_as_it_does_in_memory(make_store, durability: str, state: type) -> None:
    ours = talker(JochSaver(make_store()), state=state)
    reference = talker(InMemorySaver(), state=state)

    for graph in (ours, reference):
        graph.invoke(begin(), CONFIG, durability=durability)
        graph.invoke({"messages": [HumanMessage("again", id="again")]}, CONFIG, durability=durability)

    assert plain(ours.get_state_history(CONFIG)) == plain(reference.get_state_history(CONFIG))
    reopened = talker(JochSaver(make_store()), state=state)
    assert reopened.get_state(CONFIG).values == reference.get_state(CONFIG).values


async def test_an_asynchronous_run_gives_the_same_history(make_store) -> None:
    ours, reference = talker(JochSaver(make_store())), talker(InMemorySaver())
    for graph in (ours, reference):
        await graph.ainvoke(begin(), CONFIG)

    mine = [one async for one in ours.aget_state_history(CONFIG)]
    theirs = [one async for one in reference.aget_state_history(CONFIG)]

    assert plain(mine) == plain(theirs)
    assert (await ours.aget_state(CONFIG)).values == ours.get_state(CONFIG).values


def test_removed_edited_and_replaced_messages(make_store) -> None:
    ours, reference = talker(JochSaver(make_store())), talker(InMemorySaver())
    for graph in (ours, reference):
        graph.invoke(begin(), CONFIG)
        graph.update_state(CONFIG, {"messages": [RemoveMessage(id="m2")]})
        graph.update_state(CONFIG, {"messages": [AIMessage("edited", id="m1")]})
        graph.invoke({"messages": [HumanMessage("more", id="more")]}, CONFIG)
        graph.update_state(CONFIG, {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES), HumanMessage("summary", id="s")]})
        graph.invoke({"messages": [HumanMessage("even more", id="even")]}, CONFIG)

    assert plain(ours.get_state_history(CONFIG)) == plain(reference.get_state_history(CONFIG))
    assert plain(talker(JochSaver(make_store())).get_state_history(CONFIG)) == plain(reference.get_state_history(CONFIG))


def test_time_travel_and_forks_leave_both_branches_readable(make_store) -> None:
    ours, reference = talker(JochSaver(make_store())), talker(InMemorySaver())
    branches = []
    for graph in (ours, reference):
        graph.invoke(begin(), CONFIG)
        trunk = graph.get_state(CONFIG)
        middle = next(
            one for one in graph.get_state_history(CONFIG) if one.next == ("tools",) and len(one.values["messages"]) == 4
        )
        fork = graph.update_state(middle.config, {"note": "forked", "messages": [HumanMessage("other way", id="other")]})
        graph.invoke(None, fork)
        again = graph.invoke(None, middle.config)
        branches.append((trunk.values, graph.get_state(trunk.config).values, graph.get_state(fork).values, again))

    assert branches[0] == branches[1]
    assert plain(ours.get_state_history(CONFIG)) == plain(reference.get_state_history(CONFIG))


def test_an_interrupt_waits_in_the_store_and_is_answered_by_another_process(make_store) -> None:
    def build(saver):
        builder = StateGraph(State)
        builder.add_node("ask", lambda state: {"note": interrupt({"question": "really?"})})
        builder.add_edge(START, "ask")
        return builder.compile(checkpointer=saver)

    waiting = build(JochSaver(make_store())).invoke(begin(), CONFIG)
    later = build(JochSaver(make_store()))

    assert waiting["__interrupt__"][0].value == {"question": "really?"}
    assert later.get_state(CONFIG).interrupts[0].value == {"question": "really?"}
    assert later.invoke(Command(resume="yes"), CONFIG)["note"] == "yes"


def test_a_finished_task_is_not_run_again_when_its_neighbour_failed(make_store) -> None:
    runs: list[str] = []
    broken = [True]

    def good(state):
        runs.append("good")
        return {"log": ["good"], "messages": [AIMessage("from good", id="good")]}

    def bad(state):
        if broken[0]:
            raise RuntimeError("down")
        return {"log": ["bad"]}

    def build(saver):
        builder = StateGraph(State)
        builder.add_node("good", good)
        builder.add_node("bad", bad)
        builder.add_edge(START, "good")
        builder.add_edge(START, "bad")
        return builder.compile(checkpointer=saver)

    with pytest.raises(RuntimeError):
        build(JochSaver(make_store())).invoke(begin(), CONFIG)
    broken[0] = False
    end = build(JochSaver(make_store())).invoke(None, CONFIG)

    assert runs == ["good"]
    assert sorted(end["log"]) == ["bad", "good"]
    assert end["messages"][-1] == AIMessage("from good", id="good")


def test_parallel_sends_arrive_in_their_order(make_store) -> None:
    def build(saver):
        builder = StateGraph(State)
        builder.add_node("plan", lambda state: {})
        builder.add_node("work", lambda state: {"log": [str(state["n"])]})
        builder.add_edge(START, "plan")
        builder.add_conditional_edges("plan", lambda state: [Send("work", {"n": n}) for n in range(12)], ["work"])
        return builder.compile(checkpointer=saver)

    end = build(JochSaver(make_store())).invoke(begin(), CONFIG)

    assert end["log"] == [str(n) for n in range(12)]
    assert build(JochSaver(make_store())).get_state(CONFIG).values == end


@pytest.mark.parametrize("own_memory", [None, True])
def test_subgraphs_keep_their_state_in_a_namespace_of_their_own(make_store, own_memory) -> None:
    def build(saver):
        inner = StateGraph(State)
        inner.add_node("step", lambda state: {"log": [f"inner {len(state['log'])}"]})
        inner.add_node("ask", lambda state: {"note": interrupt("inner question")})
        inner.add_edge(START, "step")
        inner.add_edge("step", "ask")
        builder = StateGraph(State)
        builder.add_node("sub", inner.compile(checkpointer=own_memory))
        builder.add_edge(START, "sub")
        return builder.compile(checkpointer=saver)

    ours, reference = build(JochSaver(make_store())), build(InMemorySaver())
    for graph in (ours, reference):
        graph.invoke(begin(), CONFIG)
    mine, theirs = (graph.get_state(CONFIG, subgraphs=True) for graph in (ours, reference))
    assert mine.tasks[0].state.values == theirs.tasks[0].state.values
    ends = [graph.invoke(Command(resume="answer"), CONFIG) for graph in (build(JochSaver(make_store())), reference)]

    assert ends[0] == ends[1]
    assert ends[0]["note"] == "answer"


def test_pruning_takes_the_namespaces_of_finished_subgraph_calls_along(make_store) -> None:
    inner = StateGraph(State)
    inner.add_node("step", lambda state: {"log": ["inner"]})
    inner.add_edge(START, "step")
    builder = StateGraph(State)
    builder.add_node("sub", inner.compile())
    builder.add_edge(START, "sub")
    saver = JochSaver(make_store())
    graph = builder.compile(checkpointer=saver)
    for _ in range(3):
        graph.invoke(begin(), CONFIG)
    everything = {"configurable": {"thread_id": "t"}}
    before = graph.get_state(CONFIG).values
    assert len({one.config["configurable"]["checkpoint_ns"] for one in saver.list(everything)}) > 1

    saver.prune(["t"])

    assert [one.config["configurable"]["checkpoint_ns"] for one in saver.list(everything)] == [""]
    assert graph.get_state(CONFIG).values == before
    assert len(graph.invoke(begin(), CONFIG)["log"]) > len(before["log"])


def test_pruning_keeps_what_a_delta_channel_is_built_from(make_store) -> None:
    saver = JochSaver(make_store())
    graph = talker(saver, turns=9, state=DeltaState)
    graph.invoke(begin(), CONFIG)
    before, count = graph.get_state(CONFIG).values, len(list(saver.list(CONFIG)))

    saver.prune(["t"])

    assert graph.get_state(CONFIG).values == before
    assert len(list(saver.list(CONFIG))) < count


def test_two_runs_of_one_thread_at_once_do_not_lose_a_branch_silently(make_store) -> None:
    first, second = talker(JochSaver(make_store())), talker(JochSaver(make_store()))
    first.invoke(begin(), CONFIG)
    raced = []

    def overtake(state):
        if not raced:
            raced.append(first.invoke({"messages": [HumanMessage("first", id="first")]}, CONFIG))
        return {"note": "second"}

    builder = StateGraph(State)
    builder.add_node("agent", overtake)
    builder.add_edge(START, "agent")

    with pytest.raises(ConversationConflict):
        builder.compile(checkpointer=JochSaver(make_store())).invoke({"note": "x"}, CONFIG, durability="sync")

    assert second.get_state(CONFIG).values == raced[0]


def test_bytes_grow_with_the_conversation_and_not_with_its_square(make_store) -> None:
    def stored_bytes(turns: int) -> int:
        store = make_store(f"turns{turns}")
        talker(JochSaver(store), turns=turns).invoke(begin(), CONFIG)
        with store.database.reading() as cursor:
            sizes = [
                cursor.execute(f"SELECT coalesce(sum(length(data)), 0) FROM {table}").fetchone()[0]
                for table in ("graph_item", "graph_version", "graph_write")
            ]
        return sum(sizes)

    assert stored_bytes(80) < 8.5 * stored_bytes(10)


#: Forks a writer for each line that it is told, so that the imports are paid once, and says when the writer is dead.
NURSERY = """
import os, sys
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.joch import JochSaver


def write(url):
    saver = JochSaver(url)
    config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    found = saver.get_tuple(config)
    messages = [] if found is None else found.checkpoint["channel_values"]["messages"]
    assert [one.id for one in messages] == [f"m{n}" for n in range(len(messages))]
    version = None if found is None else found.checkpoint["channel_versions"]["messages"]
    at = config if found is None else found.config
    print("ready", os.getpid(), flush=True)
    while True:
        number = len(messages)
        messages = [*messages, HumanMessage("x" * 500, id=f"m{number}")]
        version = saver.get_next_version(version)
        state = {**empty_checkpoint(), "id": f"{number:08}", "channel_values": {"messages": messages}, "channel_versions": {"messages": version}}
        at = saver.put(at, state, {"step": number}, {"messages": version})
        saver.put_writes(at, [("messages", messages[-1:])], f"task{number}")
        print(number, flush=True)


for _ in sys.stdin:
    child = os.fork()
    if not child:
        try:
            write(sys.argv[1])
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


def kill_writers(times: int, path: Path, make_store) -> None:
    """Let a process write, kill it without warning, and look at what it left; again and again."""
    source = random.Random(5)
    (path / "nursery.py").write_text(NURSERY)
    command = [sys.executable, str(path / "nursery.py"), f"sqlite:///{path / 'graphs.db'}"]
    newest = -1
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        for _ in range(times):
            nursery.stdin.write("go\n")
            nursery.stdin.flush()
            ready, child = nursery.stdout.readline().split()
            assert ready == "ready"
            time.sleep(source.uniform(0.0, 0.06))
            os.kill(int(child), signal.SIGKILL)
            said = []
            while not (line := nursery.stdout.readline().strip()).endswith("dead"):
                said.append(int(line))
            acknowledged = max([newest, *said])
            saver = JochSaver(make_store())
            found = saver.get_tuple(CONFIG)
            ids = [] if found is None else [one.id for one in found.checkpoint["channel_values"]["messages"]]
            assert ids == [f"m{number}" for number in range(len(ids))]
            newest = len(ids) - 1
            assert newest in {acknowledged, acknowledged + 1}  # one may be stored and not yet said
            assert found is None or int(found.checkpoint["id"]) == newest
            saver.joch_store.close()
        nursery.stdin.close()
    assert newest > times


def test_a_killed_process_leaves_whole_checkpoints(tmp_path, make_store) -> None:
    kill_writers(4, tmp_path, make_store)


@pytest.mark.slow
def test_thirty_killed_processes_leave_whole_checkpoints(tmp_path, make_store) -> None:
    kill_writers(30, tmp_path, make_store)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_three_hundred_killed_processes_leave_whole_checkpoints(tmp_path, make_store) -> None:
    kill_writers(300, tmp_path, make_store)
