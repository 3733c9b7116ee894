from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_joch import JochChatModel, JochMiddleware, guard_tools
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from joch_core import Joch, OutcomeUnknown
from joch_core.testing import Simulator

PRIMARY, FALLBACK = "openai:gpt-5-mini", "anthropic:claude-sonnet"
SAY = 'call create_ticket {"subject": "printer"}'
TICKETS: list[str] = []
CRASH: list[BaseException] = []


@pytest.fixture(autouse=True)
def _clean() -> None:
    TICKETS.clear()
    CRASH.clear()


@tool
def create_ticket(subject: str) -> str:
    """Open a ticket."""
    TICKETS.append(subject)
    if CRASH:
        raise CRASH.pop()
    return f"ticket {len(TICKETS)} for {subject}"


@tool
def lookup(subject: str) -> str:
    """Look for tickets."""
    TICKETS.append(f"lookup {subject}")
    return f"found {subject}"


@pytest.fixture
def model(simulator: Simulator) -> JochChatModel:
    return JochChatModel(model=PRIMARY, fallbacks=[FALLBACK])


def human(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


def last(state: Any) -> str:
    return str(state["messages"][-1].text)


async def test_an_agent_works_as_with_any_model(model: JochChatModel) -> None:
    agent = create_agent(model, [create_ticket])

    assert last(agent.invoke(human(SAY))) == "create_ticket returned: ticket 1 for printer"
    assert last(await agent.ainvoke(human(SAY))) == "create_ticket returned: ticket 2 for printer"


@pytest.mark.parametrize("down", [False, True])
async def test_an_agent_streams_its_tokens(model: JochChatModel, simulator: Simulator, down: bool) -> None:
    if down:
        simulator.fail("openai", status=503)
    agent = create_agent(model, [create_ticket])

    texts = [
        str(chunk.text)
        for chunk, metadata in agent.stream(human(SAY), stream_mode="messages")
        if isinstance(chunk, AIMessage) and metadata["langgraph_node"] == "model"
    ]
    atexts = [
        str(chunk.text)
        async for chunk, metadata in agent.astream(human(SAY), stream_mode="messages")
        if isinstance(chunk, AIMessage) and metadata["langgraph_node"] == "model"
    ]

    assert "".join(texts) == "create_ticket returned: ticket 1 for printer"
    assert "".join(atexts) == "create_ticket returned: ticket 2 for printer"
    assert len([text for text in texts if text]) > 1


def test_an_agent_that_loses_its_provider_between_two_calls_finishes_on_the_other(
    model: JochChatModel, simulator: Simulator
) -> None:
    simulator.fail("openai", status=503, from_turn=2)
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver(), middleware=[JochMiddleware()])

    state = agent.invoke(human(SAY), thread("T"))

    answers = [message for message in state["messages"] if isinstance(message, AIMessage)]
    assert [one.response_metadata["joch"]["backend"] for one in answers] == [PRIMARY, FALLBACK]
    assert last(state) == "create_ticket returned: ticket 1 for printer"
    assert TICKETS == ["printer"]


def test_the_log_of_the_thread_holds_each_turn_once(model: JochChatModel, joch: Joch) -> None:
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver(), system_prompt="be brief")

    agent.invoke(human(SAY), thread("T"))
    agent.invoke(human("thanks"), thread("T"))

    assert [(one.role, one.text) for one in joch.conversation("T").messages()] == [
        ("system", "be brief"),
        ("user", SAY),
        ("assistant", ""),
        ("tool", "ticket 1 for printer"),
        ("assistant", "create_ticket returned: ticket 1 for printer"),
        ("user", "thanks"),
        ("assistant", "You said: thanks"),
    ]


async def test_two_threads_do_not_mix(model: JochChatModel, joch: Joch) -> None:
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver())

    agent.invoke(human("one"), thread("A"))
    await agent.ainvoke(human("two"), thread("B"))

    assert [one.text for one in joch.conversation("A").messages()] == ["one", "You said: one"]
    assert [one.text for one in joch.conversation("B").messages()] == ["two", "You said: two"]


def test_a_subagent_with_messages_of_its_own_has_a_conversation_of_its_own(model: JochChatModel, joch: Joch) -> None:
    inner = create_agent(model, [lookup])

    @tool
    def research(topic: str) -> str:
        """Find something out."""
        return last(inner.invoke(human(f'call lookup {{"subject": "{topic}"}}')))

    outer = create_agent(model, [research], checkpointer=InMemorySaver())
    state = outer.invoke(human('call research {"topic": "printers"}'), thread("T"))

    assert last(state) == "research returned: lookup returned: found printers"
    assert [one.role for one in joch.conversation("T").messages()] == ["user", "assistant", "tool", "assistant"]


def test_a_subgraph_that_shares_the_messages_continues_the_conversation(model: JochChatModel, joch: Joch) -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("agent", create_agent(model, [lookup]))
    builder.add_node("closing", lambda state: {"messages": [model.invoke([*state["messages"], HumanMessage("thanks")])]})
    builder.add_edge(START, "agent")
    builder.add_edge("agent", "closing")
    builder.add_edge("closing", END)
    graph = builder.compile(checkpointer=InMemorySaver())

    graph.invoke(human('call lookup {"subject": "x"}'), thread("T"))

    assert [one.role for one in joch.conversation("T").messages()] == [
        "user", "assistant", "tool", "assistant", "user", "assistant",
    ]  # fmt: skip


def test_a_node_sees_the_messages_that_it_passes_and_no_others(
    model: JochChatModel, joch: Joch, simulator: Simulator
) -> None:
    def aside(*before: Any) -> Any:
        def node(state: MessagesState) -> dict[str, Any]:
            model.invoke([*before, *state["messages"]] if len(before) == 1 else "is that allowed?")
            return {"messages": []}

        return node

    builder = StateGraph(MessagesState)
    builder.add_node("router", aside(("system", "route")))
    builder.add_node("guard", aside())
    builder.add_node("agent", lambda state: {"messages": [model.invoke([("system", "help"), *state["messages"]])]})
    builder.add_edge(START, "router")
    builder.add_edge("router", "guard")
    builder.add_edge("guard", "agent")
    builder.add_edge("agent", END)
    graph = builder.compile(checkpointer=InMemorySaver())

    graph.invoke(human("one"), thread("T"))
    graph.invoke(human("two"), thread("T"))

    said = [call.answer["text"].removeprefix("You said: ") for call in simulator.calls()]
    assert said == ["one", "is that allowed?", "one", "two", "is that allowed?", "two"]
    assert [(one.role, one.text) for one in joch.conversation("T").messages()] == [
        ("system", "help"), ("user", "one"), ("assistant", "You said: one"), ("user", "two"), ("assistant", "You said: two"),
    ]  # fmt: skip
    assert str(simulator.calls()[-1].body).count("You said: one") == 1


class Verdict(BaseModel):
    """A verdict."""

    fine: bool


@pytest.mark.parametrize("response_format", [Verdict, ToolStrategy(Verdict)])
def test_an_agent_gives_its_answer_in_the_form_that_was_asked_for(model: JochChatModel, response_format: Any) -> None:
    agent = create_agent(model, [], response_format=response_format)

    assert agent.invoke(human("is it fine?"))["structured_response"] == Verdict(fine=True)


class Crash(BaseException):
    """The process dies."""


@pytest.mark.parametrize("on_in_doubt", ["report", "raise"])
def test_a_tool_that_died_in_the_middle_is_not_repeated(model: JochChatModel, on_in_doubt: Any) -> None:
    middleware = JochMiddleware(tools={"create_ticket": {"effect": "external_write"}}, on_in_doubt=on_in_doubt)
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver(), middleware=[middleware])
    CRASH.append(Crash())

    with pytest.raises(Crash):
        agent.invoke(human(SAY), thread("T"))
    if on_in_doubt == "raise":
        with pytest.raises(OutcomeUnknown):
            agent.invoke(None, thread("T"))
    else:
        assert "outcome" in last(agent.invoke(None, thread("T")))

    assert TICKETS == ["printer"]


async def test_a_tool_that_is_done_is_not_repeated_after_time_travel(model: JochChatModel) -> None:
    middleware = JochMiddleware(tools={"create_ticket": {"effect": "external_write"}})
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver(), middleware=[middleware])
    agent.invoke(human(SAY), thread("T"))
    before = next(state for state in agent.get_state_history(thread("T")) if state.next == ("tools",))

    state = await agent.ainvoke(None, before.config)

    (result,) = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    assert "already done" in str(result.text)
    assert "ticket 1 for printer" in str(result.text)
    assert TICKETS == ["printer"]


def test_a_person_may_be_asked_how_a_call_in_doubt_ended(model: JochChatModel) -> None:
    middleware = JochMiddleware(tools={"create_ticket": "external_write"}, on_in_doubt="interrupt")
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver(), middleware=[middleware])
    CRASH.append(Crash())
    with pytest.raises(Crash):
        agent.invoke(human(SAY), thread("T"))

    stopped = agent.invoke(None, thread("T"))
    state = agent.invoke(Command(resume="the ticket exists"), thread("T"))

    asked = stopped["__interrupt__"][0].value
    assert (asked["joch"], asked["tool"], asked["args"]) == ("outcome_unknown", "create_ticket", {"subject": "printer"})
    assert "the ticket exists" in last(state)
    assert TICKETS == ["printer"]


def test_an_argument_that_is_left_out_is_its_default_to_the_ledger(model: JochChatModel, simulator: Simulator) -> None:
    @tool
    def order(item: str, count: int = 1) -> str:
        """Order something."""
        TICKETS.append(f"{count} {item}")
        return "ordered"

    guard = JochMiddleware(tools={"order": "external_write"})
    agent = create_agent(model, [order], checkpointer=InMemorySaver(), middleware=[guard])

    agent.invoke(human('call order {"item": "pen"} then call order {"item": "pen", "count": 1}'), thread("T"))

    assert TICKETS == ["1 pen"]


@tool
def pay_once(amount: int, joch_key: str | None = None) -> str:
    """Pay."""
    TICKETS.append(f"{amount} by {joch_key}")
    return "paid"


@pytest.mark.parametrize("guarded", [False, True])
async def test_a_tool_gets_its_key_and_the_model_never_sees_it(
    model: JochChatModel, simulator: Simulator, guarded: bool
) -> None:
    declared = {"pay_once": {"effect": "financial"}}
    tools = guard_tools([pay_once], declared=declared) if guarded else [pay_once]
    middleware = [] if guarded else [JochMiddleware(tools=declared)]
    agent = create_agent(model, tools, checkpointer=InMemorySaver(), middleware=middleware)

    state = await agent.ainvoke(human('call pay_once {"amount": 10}'), thread("T"))

    assert last(state) == "pay_once returned: paid"
    (paid,) = TICKETS
    assert len(paid.removeprefix("10 by ")) >= 16
    assert "joch_key" not in str(simulator.calls()[0].body["tools"])


def test_a_tool_that_only_reads_runs_again(model: JochChatModel) -> None:
    middleware = JochMiddleware(tools={"lookup": {"effect": "read_only"}})
    agent = create_agent(model, [lookup], checkpointer=InMemorySaver(), middleware=[middleware])
    agent.invoke(human('call lookup {"subject": "x"}'), thread("T"))
    before = next(state for state in agent.get_state_history(thread("T")) if state.next == ("tools",))

    agent.invoke(None, before.config)

    assert TICKETS == ["lookup x", "lookup x"]


def test_an_interrupt_inside_a_tool_releases_its_claim(model: JochChatModel) -> None:
    @tool
    def pay(amount: int) -> str:
        """Pay."""
        answer = interrupt(f"pay {amount}?")
        TICKETS.append(f"paid {amount}: {answer}")
        return "paid"

    agent = create_agent(
        model, [pay], checkpointer=InMemorySaver(), middleware=[JochMiddleware(tools={"pay": "external_write"})]
    )

    first = agent.invoke(human('call pay {"amount": 10}'), thread("T"))
    state = agent.invoke(Command(resume="yes"), thread("T"))

    assert first["__interrupt__"][0].value == "pay 10?"
    assert last(state) == "pay returned: paid"
    assert TICKETS == ["paid 10: yes"]


def test_arguments_that_a_tool_refuses_are_the_models_to_mend(model: JochChatModel) -> None:
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver(), middleware=[JochMiddleware()])

    state = agent.invoke(human('call create_ticket {"title": "printer"}'), thread("T"))

    (result,) = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    assert result.status == "error"
    assert TICKETS == []


async def test_guarded_tools_serve_a_plain_tool_node(model: JochChatModel) -> None:
    tools = guard_tools([create_ticket], declared={"create_ticket": {"effect": "external_write"}})
    bound = model.bind_tools(tools)
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [bound.invoke(state["messages"])]})
    builder.add_node("tools", ToolNode(tools))
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    builder.add_edge("tools", END)
    graph = builder.compile(checkpointer=InMemorySaver())

    graph.invoke(human(SAY), thread("T"))
    before = next(state for state in graph.get_state_history(thread("T")) if state.next == ("tools",))
    state = await graph.ainvoke(None, before.config)

    assert "already done" in last(state)
    assert TICKETS == ["printer"]
    assert (tools[0].name, tools[0].args) == (create_ticket.name, create_ticket.args)


def test_a_plain_tool_node_takes_the_middlewares_wrapper(model: JochChatModel) -> None:
    guard = JochMiddleware(tools={"create_ticket": {"effect": "external_write"}})
    bound = model.bind_tools([create_ticket])
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [bound.invoke(state["messages"])]})
    builder.add_node(
        "tools", ToolNode([create_ticket], wrap_tool_call=guard.wrap_tool_call, awrap_tool_call=guard.awrap_tool_call)
    )
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    builder.add_edge("tools", END)
    graph = builder.compile(checkpointer=InMemorySaver())

    graph.invoke(human(SAY), thread("T"))
    before = next(state for state in graph.get_state_history(thread("T")) if state.next == ("tools",))
    graph.invoke(None, before.config)

    assert TICKETS == ["printer"]
