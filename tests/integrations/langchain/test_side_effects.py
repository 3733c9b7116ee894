"""How often a payment is made when a graph crashes, travels back in time, loses its provider or is run by several agents."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, tool
from langchain_joch import JochChatModel, JochMiddleware
from langgraph.checkpoint.joch import JochSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command

from joch_core import Joch
from joch_core.testing import Simulator

PRIMARY, FALLBACK = "openai:gpt-5-mini", "anthropic:claude-sonnet"
PAY = 'call pay {"amount": 10}'
PAID: list[Any] = []
CRASH: list[BaseException] = []
FLAKY = {"flaky": "read_only"}
#: What an existing agent's tools say (nothing), and what a careful author says.
DECLARED: list[Any] = [pytest.param(FLAKY, id="undeclared"), pytest.param({"pay": "financial", **FLAKY}, id="declared")]


class Crash(BaseException):
    """The process dies."""


@pytest.fixture(autouse=True)
def _clean() -> None:
    PAID.clear()
    CRASH.clear()


@tool
def pay(amount: int) -> str:
    """Pay an amount."""
    PAID.append(amount)
    return f"payment {len(PAID)}"


@tool
def flaky() -> str:
    """Look something up, sometimes."""
    if CRASH:
        # It fails while the payment beside it has been made: a call that is cancelled before it began has no effect.
        begin_s = time.monotonic()
        while not PAID and time.monotonic() - begin_s < 5:
            time.sleep(0.005)
        raise CRASH.pop()
    return "looked up"


@tool
def add_item(name: str) -> str:
    """Put an item into the basket."""
    PAID.append(name)
    return f"{len(PAID)} items"


@pytest.fixture
def model(simulator: Simulator) -> JochChatModel:
    return JochChatModel(model=PRIMARY, fallbacks=[FALLBACK])


def human(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


def thread(name: str = "T") -> Any:
    return {"configurable": {"thread_id": name}}


def results(state: Any) -> list[str]:
    return [str(one.text) for one in state["messages"] if isinstance(one, ToolMessage)]


def plain_graph(model: JochChatModel, tools: list[Any], declared: Any) -> Any:
    """Model and tool node, as the tutorials write them; a crash may follow the tool, before its writes are saved."""
    guard, bound = JochMiddleware(tools=declared), model.bind_tools(tools)

    def wrapped(request: Any, handler: Callable[..., Any]) -> Any:
        result = guard.wrap_tool_call(request, handler)
        if CRASH and request.tool_call["name"] == "pay":
            raise CRASH.pop()
        return result

    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [bound.invoke(state["messages"])]})
    builder.add_node("tools", ToolNode(tools, wrap_tool_call=wrapped))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    builder.add_edge("tools", "model")
    return builder.compile(checkpointer=JochSaver())


def before_tools(graph: Any) -> Any:
    return next(state for state in graph.get_state_history(thread()) if set(state.next) == {"tools"})


@pytest.mark.parametrize("declared", DECLARED)
def test_crash_after_the_effect_and_resume(model: JochChatModel, declared: Any) -> None:
    graph = plain_graph(model, [pay], declared)
    CRASH.append(Crash())

    with pytest.raises(Crash):
        graph.invoke(human(PAY), thread())
    state = graph.invoke(None, thread())

    assert PAID == [10]
    assert "payment 1" in results(state)[0]


SCRIPT = """
import os
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_joch import JochChatModel, JochMiddleware
from langgraph.checkpoint.joch import JochSaver

@tool
def pay(amount: int) -> str:
    "Pay an amount."
    with open(os.environ["WORLD"], "a") as world:
        world.write(f"{amount}\\n")
    return "paid"

agent = create_agent(
    JochChatModel(model="openai:gpt-5-mini"), [pay], checkpointer=JochSaver(), middleware=[JochMiddleware()]
)
config = {"configurable": {"thread_id": "T"}}
given = None if agent.get_state(config).next else {"messages": [("user", 'call pay {"amount": 10}')]}
print(agent.invoke(given, config)["messages"][-1].text)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("border", "payments", "said"),
    [("after_started", 0, "unknown"), ("after_effect", 1, "unknown"), ("after_completed", 1, "already done")],
)
def test_a_killed_process_is_started_again(
    simulator: Simulator, tmp_path: Path, border: str, payments: int, said: str
) -> None:
    world = tmp_path / "world"
    environment = {**os.environ, "WORLD": str(world)}
    command = [sys.executable, "-c", SCRIPT]

    killed = subprocess.run(command, env={**environment, "JOCH_FAILPOINT": border}, check=False, capture_output=True)
    again = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)

    assert killed.returncode == -signal.SIGKILL
    assert len(world.read_text().splitlines() if world.exists() else []) == payments
    assert said in again.stdout


@pytest.mark.parametrize("declared", DECLARED)
def test_time_travel_to_before_the_tools(model: JochChatModel, declared: Any) -> None:
    graph = plain_graph(model, [pay], declared)
    graph.invoke(human(PAY), thread())

    state = graph.invoke(None, before_tools(graph).config)

    assert PAID == [10]
    assert "already done" in results(state)[0]


@pytest.mark.parametrize("declared", DECLARED)
def test_a_tool_node_with_two_parallel_calls_one_of_which_fails(model: JochChatModel, declared: Any) -> None:
    graph = plain_graph(model, [pay, flaky], declared)
    CRASH.append(RuntimeError("down"))
    # The failure must be the other tool's: pay is through when it happens.
    with pytest.raises(RuntimeError, match="down"):
        graph.invoke(human(f"{PAY} and call flaky {{}}"), thread())

    state = graph.invoke(None, thread())

    assert PAID == [10]
    assert len(results(state)) == 2


@pytest.mark.parametrize("declared", DECLARED)
async def test_create_agent_with_two_parallel_calls_one_of_which_fails(model: JochChatModel, declared: Any) -> None:
    middleware = JochMiddleware(tools=declared)
    agent = create_agent(model, [pay, flaky], checkpointer=JochSaver(), middleware=[middleware])
    CRASH.append(RuntimeError("down"))
    with pytest.raises(RuntimeError, match="down"):
        await agent.ainvoke(human(f"{PAY} and call flaky {{}}"), thread())

    state = await agent.ainvoke(None, thread())

    assert PAID == [10]
    assert "looked up" in results(state)


@pytest.mark.parametrize("declared", DECLARED)
def test_a_fork_with_other_arguments_is_another_call(model: JochChatModel, declared: Any) -> None:
    graph = plain_graph(model, [pay], declared)
    graph.invoke(human(PAY), thread())
    before = before_tools(graph)
    planned = before.values["messages"][-1]
    edited = planned.model_copy(update={"tool_calls": [{**planned.tool_calls[0], "args": {"amount": 11}}]})

    graph.invoke(None, graph.update_state(before.config, {"messages": [edited]}, as_node="model"))

    assert PAID == [10, 11]


@pytest.mark.parametrize("declared", DECLARED)
def test_a_provider_switch_between_request_and_execution(model: JochChatModel, joch: Joch, declared: Any) -> None:
    agent = create_agent(
        model, [pay], checkpointer=JochSaver(), middleware=[JochMiddleware(tools=declared)], interrupt_before=["tools"]
    )
    agent.invoke(human(PAY), thread())
    joch.switch(conversation="T", to=FALLBACK)

    state = agent.invoke(None, thread())

    assert PAID == [10]
    assert state["messages"][-1].response_metadata["joch"]["backend"] == FALLBACK
    assert state["messages"][-1].text == "pay returned: payment 1"


@pytest.mark.parametrize("declared", DECLARED)
def test_the_new_provider_asks_again_for_the_same_call_under_a_new_id(
    model: JochChatModel, simulator: Simulator, joch: Joch, declared: Any
) -> None:
    simulator.fail("openai", status=503, from_turn=2)
    agent = create_agent(model, [pay], checkpointer=JochSaver(), middleware=[JochMiddleware(tools=declared)])

    state = agent.invoke(human(f"{PAY} then {PAY}"), thread())

    asked = [one for one in state["messages"] if isinstance(one, AIMessage) and one.tool_calls]
    assert [one.response_metadata["joch"]["backend"] for one in asked] == [PRIMARY, FALLBACK]
    assert asked[0].tool_calls[0]["id"] != asked[1].tool_calls[0]["id"]
    assert PAID == [10]
    assert "already done" in results(state)[1]
    assert [row["status"]["phase"] for row in joch.calls()] == ["Succeeded"]


@pytest.mark.parametrize("switched", [False, True])
@pytest.mark.parametrize("declared", DECLARED)
def test_send_it_again_says_the_user(model: JochChatModel, joch: Joch, declared: Any, switched: bool) -> None:
    agent = create_agent(model, [pay], checkpointer=JochSaver(), middleware=[JochMiddleware(tools=declared)])
    agent.invoke(human(PAY), thread())
    if switched:
        joch.switch(conversation="T", to=FALLBACK)

    state = agent.invoke(human(PAY), thread())

    assert PAID == [10, 10]
    assert results(state) == ["payment 1", "payment 2"]


@pytest.mark.parametrize("declared", [{}, {"add_item": "external_write"}])
def test_the_same_item_twice_in_one_turn(model: JochChatModel, declared: Any) -> None:
    agent = create_agent(model, [add_item], checkpointer=JochSaver(), middleware=[JochMiddleware(tools=declared)])
    twice = 'call add_item {"name": "pen"} and call add_item {"name": "pen"}'
    agent.invoke(human(twice), thread())
    assert PAID == ["pen", "pen"]

    agent.invoke(None, before_tools(agent).config)

    assert PAID == ["pen", "pen"]


# ---------------------------------------------------------------------------------- several agents in one conversation


def planning(name: str, call_id: str) -> Callable[[Any], Any]:
    def plan(_state: Any) -> Any:
        call = {"name": "pay", "args": {"amount": 10}, "id": call_id}
        return {"messages": [AIMessage("", name=name, tool_calls=[call])]}

    return plan


def test_two_agents_that_take_turns_on_one_thread_pay_once(model: JochChatModel) -> None:
    first = create_agent(model, [pay], middleware=[JochMiddleware(tools={"pay": "financial"})])
    builder = StateGraph(MessagesState)
    builder.add_node("first", first)
    builder.add_node("second_plan", planning("second", "call_2"))
    guard = JochMiddleware(tools={"pay": "financial"})
    builder.add_node("second", ToolNode([pay], wrap_tool_call=guard.wrap_tool_call))
    builder.add_edge(START, "first")
    builder.add_edge("first", "second_plan")
    builder.add_edge("second_plan", "second")
    builder.add_edge("second", END)
    graph = builder.compile(checkpointer=JochSaver())

    state = graph.invoke(human(PAY), thread())

    assert PAID == [10]
    assert "already done" in results(state)[-1]


def test_agents_that_work_at_the_same_time_pay_once(model: JochChatModel) -> None:
    guard = JochMiddleware(tools={"pay": "financial"}, conversation="T")

    def agent(number: int) -> Callable[[Any], Any]:
        builder = StateGraph(MessagesState)
        builder.add_node("plan", planning(f"agent {number}", f"call_{number}"))
        builder.add_node("tools", ToolNode([pay], wrap_tool_call=guard.wrap_tool_call))
        builder.add_edge(START, "plan")
        builder.add_edge("plan", "tools")
        graph = builder.compile()
        return lambda _state: {"messages": [graph.invoke(human("go"))["messages"][-1]]}

    builder = StateGraph(MessagesState)
    for number in range(4):
        builder.add_node(f"agent_{number}", agent(number))
        builder.add_edge(START, f"agent_{number}")
    graph = builder.compile(checkpointer=JochSaver())

    state = graph.invoke(human("all of you: pay"), thread())

    assert PAID == [10]
    assert len(results(state)) == 4
    assert all("payment 1" in text for text in results(state))


def test_an_agent_below_another_does_not_pay_again_when_the_upper_one_is_run_again(model: JochChatModel) -> None:
    inner = create_agent(model, [pay], middleware=[JochMiddleware(tools={"pay": "financial"})])

    @tool
    def delegate(order: str) -> str:
        """Let the cashier do it."""
        said = str(inner.invoke(human(order))["messages"][-1].text)
        if CRASH:
            raise CRASH.pop()
        return said

    outer = create_agent(
        model, [delegate], checkpointer=JochSaver(), middleware=[JochMiddleware(tools={"delegate": "read_only"})]
    )
    CRASH.append(Crash())
    order = '{"order": "call pay {\\"amount\\": 10}"}'
    with pytest.raises(Crash):
        outer.invoke(human(f"call delegate {order}"), thread())

    outer.invoke(None, thread())

    assert PAID == [10]


# --------------------------------------------------------------------------------- another chat model, the ledger of Joch


def foreign_graph(declared: Any, *ids: str) -> Any:
    """A graph whose model is not Joch's: each turn it plans the same payments, under ids that its provider repeats."""
    calls = [{"name": "pay", "args": {"amount": 10}, "id": call_id} for call_id in ids]
    guard = JochMiddleware(tools=declared)

    def wrapped(request: Any, handler: Callable[..., Any]) -> Any:
        result = guard.wrap_tool_call(request, handler)
        if CRASH:
            raise CRASH.pop()
        return result

    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda _state: {"messages": [AIMessage("", tool_calls=calls)]})
    builder.add_node("tools", ToolNode([pay], wrap_tool_call=wrapped))
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    builder.add_edge("tools", END)
    return builder.compile(checkpointer=JochSaver())


@pytest.mark.parametrize("declared", DECLARED)
def test_a_call_of_another_chat_model_is_paid_once_for_each_turn_of_the_user(simulator: Simulator, declared: Any) -> None:
    graph = foreign_graph(declared, "call_0")
    CRASH.append(Crash())
    with pytest.raises(Crash):
        graph.invoke(human("pay"), thread())
    graph.invoke(None, thread())
    assert PAID == [10]

    graph.invoke(human("pay again"), thread())
    graph.invoke(None, before_tools(graph).config)

    assert PAID == [10, 10]


@pytest.mark.parametrize("declared", DECLARED)
def test_two_equal_calls_of_another_chat_model_in_one_turn_are_two(simulator: Simulator, declared: Any) -> None:
    graph = foreign_graph(declared, "call_0", "call_1")
    graph.invoke(human("pay twice"), thread())

    graph.invoke(None, before_tools(graph).config)

    assert PAID == [10, 10]


# ------------------------------------------------------------------------------------- policies, and tools of MCP servers


def test_a_policy_that_denies_a_tool_is_told_to_the_model(model: JochChatModel, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        "apiVersion: joch.dev/v1alpha1\nkind: Policy\nmetadata: {name: no-money}\n"
        "spec: {rules: [{when: {tool.sideEffect: financial}, action: {deny: true, reason: ask the office}}]}\n"
    )
    with Joch(resources=str(tmp_path / "policy.yaml")) as joch:
        guard = JochMiddleware(tools={"pay": "financial"}, joch=joch)
        agent = create_agent(model, [pay], checkpointer=JochSaver(), middleware=[guard])

        state = agent.invoke(human(PAY), thread())

    assert PAID == []
    assert "ask the office" in results(state)[0]


GATED = {
    "policy": "kind: Policy\nmetadata: {name: four-eyes}\n"
    "spec: {rules: [{when: {tool.sideEffect: financial}, require: {approval: human}}]}\n",
    "tool": "kind: Tool\nmetadata: {name: pay}\nspec: {sideEffects: {level: financial, requiresApproval: true}}\n",
}


@pytest.mark.parametrize("gate", GATED)
@pytest.mark.parametrize(
    ("answer", "paid"), [(True, [10]), ({"approved_by": "ada"}, [10]), ("no", []), (False, []), ({"approved_by": ""}, [])]
)
async def test_a_required_approval_stops_the_graph_until_a_person_has_answered(
    model: JochChatModel, tmp_path: Path, gate: str, answer: Any, paid: list[int]
) -> None:
    (tmp_path / "gate.yaml").write_text("apiVersion: joch.dev/v1alpha1\n" + GATED[gate])
    with Joch(resources=str(tmp_path / "gate.yaml")) as joch:
        guard = JochMiddleware(tools={"pay": "financial"}, joch=joch)
        agent = create_agent(model, [pay], checkpointer=JochSaver(), middleware=[guard])
        stopped = await agent.ainvoke(human(PAY), thread())
        assert PAID == []

        await agent.ainvoke(Command(resume=answer), thread())

        requested = [event.payload for event in joch.trace("T") if event.type == "ToolCallRequested"]
    asked = stopped["__interrupt__"][0].value
    assert (asked["joch"], asked["tool"], asked["args"]) == ("approval_required", "pay", {"amount": 10})
    assert paid == PAID
    assert [one["approvedBy"] for one in requested] == (["ada" if isinstance(answer, dict) else "a human"] if paid else [])


def from_mcp(name: str, **metadata: Any) -> BaseTool:
    """A tool as langchain-mcp-adapters makes it: asynchronous, a JSON Schema, the server's annotations as its metadata."""

    async def call(**given: Any) -> tuple[str, None]:
        PAID.append(given)
        return f"answer {len(PAID)}", None

    hints = {"title": None, "readOnlyHint": None, "destructiveHint": None, "idempotentHint": None, "openWorldHint": None}
    return StructuredTool(
        name=name,
        description="Something at a server",
        args_schema={"type": "object", "properties": {"query": {"type": "string"}}},
        coroutine=call,
        response_format="content_and_artifact",
        metadata={**hints, **metadata},
    )


@pytest.mark.parametrize(
    ("metadata", "trust", "times"),
    [
        ({"readOnlyHint": True}, False, 1),
        ({"readOnlyHint": True}, True, 2),
        ({"readOnlyHint": True}, ["search"], 2),
        ({"readOnlyHint": True}, ["another"], 1),
        ({"joch": {"effect": "read_only"}}, False, 1),
        ({"joch": "read"}, False, 1),
        ({"joch": {"effect": "external_write", "repeat": "always"}}, False, 1),
        ({"joch": {"effect": "read_only"}}, True, 2),
        ({}, True, 1),
    ],
)
async def test_what_an_mcp_server_says_of_its_tools_is_believed_only_if_configured(
    model: JochChatModel, metadata: Any, trust: Any, times: int
) -> None:
    guard = JochMiddleware(trust_mcp_hints=trust)
    agent = create_agent(model, [from_mcp("search", **metadata)], checkpointer=JochSaver(), middleware=[guard])
    await agent.ainvoke(human('call search {"query": "x"}'), thread())

    await agent.ainvoke(None, before_tools(agent).config)

    assert len(PAID) == times


async def test_what_the_user_declares_of_an_mcp_tool_wins(model: JochChatModel, joch: Joch) -> None:
    tools = [from_mcp("search", readOnlyHint=True), from_mcp("send", joch={"effect": "communication"})]
    guard = JochMiddleware(tools={"search": "financial"}, trust_mcp_hints=True)
    agent = create_agent(model, tools, checkpointer=JochSaver(), middleware=[guard])

    await agent.ainvoke(human('call search {"query": "x"} then call send {"query": "y"}'), thread())

    assert [row["spec"]["sideEffects"]["level"] for row in joch.calls()] == ["financial", "communication"]


async def test_a_trusted_hint_of_idempotence_is_in_the_ledger(model: JochChatModel, joch: Joch) -> None:
    tools = [from_mcp("put", idempotentHint=True)]
    guard = JochMiddleware(trust_mcp_hints=True)
    agent = create_agent(model, tools, checkpointer=JochSaver(), middleware=[guard])

    await agent.ainvoke(human('call put {"query": "x"}'), thread())

    (row,) = joch.calls()
    assert row["spec"]["sideEffects"]["idempotent"] is True
