"""What a checkpointer costs as its thread grows: bytes, time of one step, time to read it back.

    python benches/checkpointers.py [--steps 10 100 1000] [--rounds 3] [--folder DIR] [--json FILE]
    python benches/plot_checkpointers.py FILE docs/checkpointer.svg        (in an environment that has matplotlib)

Runs one real compiled agent graph (agent and tools take turns, one message of 500 bytes per superstep, durability "sync") on each
checkpointer, interleaved, and prints medians. A step is what LangGraph waits for: `put` and `put_writes` of one superstep.
Needs `langgraph` and `langgraph-checkpoint-sqlite`; a saver that is not installed is left out.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import _messages_delta_reducer, add_messages

MESSAGE_BYTES = 500
READS = 5
NEAR = 10


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


class DeltaState(TypedDict):
    messages: Annotated[list[AnyMessage], DeltaChannel(_messages_delta_reducer)]


def text(source: random.Random) -> str:
    return "".join(source.choices("abcdefghijklmnopqrstuvwxyz     ", k=MESSAGE_BYTES))


def agent_graph(state: type, steps: int, saver: Any) -> Any:
    """An agent that calls a tool in every turn until `steps` messages are there."""
    source = random.Random(7)

    def agent(state: Any) -> Any:
        count = len(state["messages"])
        calls = [] if count + 1 >= steps else [{"name": "lookup", "args": {"query": f"q{count}"}, "id": f"call_{count}"}]
        return {"messages": [AIMessage(text(source), id=f"m{count}", tool_calls=calls)]}

    def tools(state: Any) -> Any:
        count = len(state["messages"])
        call = state["messages"][-1].tool_calls[0]
        return {"messages": [ToolMessage(text(source), id=f"m{count}", tool_call_id=call["id"])]}

    builder = StateGraph(state)
    builder.add_node("agent", agent)
    builder.add_node("tools", tools)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges(
        "agent", lambda state: "tools" if state["messages"][-1].tool_calls else END, ["tools", END]
    )
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=saver)


@contextmanager
def in_memory(_: Path) -> Iterator[Any]:
    yield InMemorySaver()


@contextmanager
def sqlite(path: Path) -> Iterator[Any]:
    from langgraph.checkpoint.sqlite import SqliteSaver

    with SqliteSaver.from_conn_string(str(path)) as saver:
        yield saver


@contextmanager
def joch(path: Path) -> Iterator[Any]:
    from langgraph.checkpoint.joch import JochSaver

    with JochSaver.from_conn_string(f"sqlite:///{path}") as saver:
        yield saver


SAVERS: dict[str, tuple[Callable[[Path], Any], type]] = {
    "InMemorySaver": (in_memory, State),
    "SqliteSaver": (sqlite, State),
    "SqliteSaver + DeltaChannel": (sqlite, DeltaState),
    "JochSaver": (joch, State),
    "JochSaver + DeltaChannel": (joch, DeltaState),
}


def timed(saver: Any, spent: list[tuple[float, float]]) -> None:
    """Note how long each `put` with the `put_writes` before it took: by the clock, and of the processor.

    The second figure is the one to compare on a machine that is busy with other things.
    """
    since = [0.0, 0.0]

    def wrap(call: Callable[..., Any], last: bool) -> Callable[..., Any]:
        @functools.wraps(call)  # LangGraph reads the signature
        def run(*args: Any, **kwargs: Any) -> Any:
            begin, busy = time.perf_counter(), time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                since[0] += time.perf_counter() - begin
                since[1] += time.thread_time() - busy
                if last:
                    spent.append((since[0], since[1]))
                    since[:] = [0.0, 0.0]

        return run

    saver.put_writes = wrap(saver.put_writes, False)
    saver.put = wrap(saver.put, True)


def clock(call: Callable[[], Any], times: int = READS) -> float:
    """Median of some calls, in milliseconds."""
    found = []
    for _ in range(times):
        gc.collect()
        begin = time.perf_counter()
        call()
        found.append((time.perf_counter() - begin) * 1000)
    return statistics.median(found)


def measure(name: str, steps: int, folder: Path) -> dict[str, float]:
    """One run of one checkpointer."""
    make, state = SAVERS[name]
    path = folder / "thread.db"
    config: Any = {"configurable": {"thread_id": "bench"}, "recursion_limit": steps + 10}
    spent: list[tuple[float, float]] = []
    with make(path) as saver:
        if hasattr(saver, "setup"):
            saver.setup()
        timed(saver, spent)
        graph = agent_graph(state, steps, saver)
        graph.invoke({"messages": [HumanMessage(text(random.Random(1)), id="first")]}, config, durability="sync")
        facts = {
            "step ms": statistics.median(passed for passed, _ in spent[-NEAR:]) * 1000,
            "step CPU ms": statistics.median(busy for _, busy in spent[-NEAR:]) * 1000,
            "first steps ms": statistics.median(passed for passed, _ in spent[2 : 2 + NEAR]) * 1000,
            "get_state ms": clock(lambda: graph.get_state(config)),
            "list(10) ms": clock(lambda: list(saver.list(config, limit=10)), 3),
        }
        assert len(graph.get_state(config).values["messages"]) == steps
    if name != "InMemorySaver":
        with make(path) as saver:  # as a new process finds it, nothing remembered
            if hasattr(saver, "setup"):
                saver.setup()
            graph = agent_graph(state, steps, saver)
            facts["cold get_state ms"] = clock(lambda: graph.get_state(config), 1)
        facts["KB"] = sum(file.stat().st_size for file in folder.iterdir()) / 1024
    return facts


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, nargs="+", default=[10, 100, 1000])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--folder", type=Path, help="where the databases are made; default: the temporary folder")
    options.add_argument("--savers", nargs="+", default=list(SAVERS), choices=list(SAVERS))
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    found: dict[tuple[int, str], list[dict[str, float]]] = {}
    for steps in given.steps:
        for _ in range(given.rounds):
            for name in given.savers:
                with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                    try:
                        found.setdefault((steps, name), []).append(measure(name, steps, Path(folder)))
                    except ModuleNotFoundError as missing:
                        print(f"{name} left out: {missing}", file=sys.stderr)
    columns = ["step ms", "step CPU ms", "first steps ms", "get_state ms", "cold get_state ms", "list(10) ms", "KB"]
    print(f"{'steps':>6} {'saver':<28}" + "".join(f"{column:>19}" for column in columns))
    rows = []
    for (steps, name), rounds in found.items():
        medians = {
            column: statistics.median([one[column] for one in rounds if column in one] or [float("nan")])
            for column in columns
        }
        rows.append({"steps": steps, "saver": name, **medians})
        print(f"{steps:>6} {name:<28}" + "".join(f"{medians[column]:>19.2f}" for column in columns))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
