"""LangChain's own middlewares, chains and agents on a route, each one while its provider fails."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    HumanInTheLoopMiddleware,
    LLMToolSelectorMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
    ToolRetryMiddleware,
)
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableParallel
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool
from langchain_joch import JochChatModel, JochMiddleware
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from joch_core import Joch, ProviderError
from joch_core.testing import Simulator

PRIMARY, FALLBACK = "openai:gpt-5-mini", "anthropic:claude-sonnet"
DONE: list[str] = []
FAILS: list[Exception] = []


@pytest.fixture(autouse=True)
def _clean() -> None:
    DONE.clear()
    FAILS.clear()


@tool
def create_ticket(subject: str) -> str:
    """Open a ticket."""
    DONE.append(subject)
    if FAILS:
        raise FAILS.pop()
    return f"ticket {len(DONE)} for {subject}"


@pytest.fixture
def model(simulator: Simulator) -> JochChatModel:
    return JochChatModel(model=PRIMARY, fallbacks=[FALLBACK])


def human(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


def last(state: Any) -> str:
    return str(state["messages"][-1].text)


def facts(state: Any) -> dict[str, Any]:
    return state["messages"][-1].response_metadata["joch"]


SAY = 'call create_ticket {"subject": "printer"}'


def test_a_summary_is_made_on_the_fallback_and_the_thread_goes_on(
    model: JochChatModel, simulator: Simulator, joch: Joch
) -> None:
    summing = SummarizationMiddleware(model, trigger=("messages", 4), keep=("messages", 2))
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver(), middleware=[summing])
    agent.invoke(human(SAY), thread("T"))
    simulator.fail("openai", status=503)

    state = agent.invoke(human("and now?"), thread("T"))

    assert last(state).startswith("You said:")
    assert facts(state)["backend"] == FALLBACK
    assert facts(state)["conversation"] == "T"
    assert len(state["messages"]) <= 4
    assert DONE == ["printer"]


def test_what_the_summary_model_is_asked_stays_out_of_the_conversation(
    model: JochChatModel, simulator: Simulator, joch: Joch
) -> None:
    simulator.script([{"text": "a ticket was opened", "when": "Messages to summarize"}])
    summing = SummarizationMiddleware(model, trigger=("messages", 4), keep=("messages", 2))
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver(), middleware=[summing])
    agent.invoke(human(SAY), thread("T"))
    agent.invoke(human("and now?"), thread("T"))

    texts = [message.text for message in joch.conversation("T").messages()]

    assert any("a ticket was opened" in text for text in texts)
    assert not any("Context Extraction Assistant" in text for text in texts)


def test_a_fractional_trigger_reads_the_smallest_window_of_the_route(model: JochChatModel) -> None:
    summing = SummarizationMiddleware(model, trigger=("fraction", 0.8), keep=("fraction", 0.3))

    state = create_agent(model, [], middleware=[summing]).invoke(human("hello"))

    assert last(state) == "You said: hello"


@pytest.mark.parametrize("decision", ["approve", "edit", "reject"])
def test_a_person_decides_and_the_provider_is_gone_when_they_have(
    model: JochChatModel, simulator: Simulator, decision: str
) -> None:
    watched = HumanInTheLoopMiddleware({"create_ticket": True})
    guard = JochMiddleware(tools={"create_ticket": "external_write"})
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver(), middleware=[guard, watched])
    asked = agent.invoke(human(SAY), thread("T"))
    simulator.fail("openai", status=503)
    edited = {"name": "create_ticket", "args": {"subject": "scanner"}}
    answer = {
        "approve": {"type": "approve"},
        "edit": {"type": "edit", "edited_action": edited},
        "reject": {"type": "reject"},
    }

    state = agent.invoke(Command(resume={"decisions": [answer[decision]]}), thread("T"))

    assert "__interrupt__" in asked
    assert facts(state)["backend"] == FALLBACK
    assert {"approve": ["printer"], "edit": ["scanner"], "reject": []}[decision] == DONE


def test_a_tool_that_is_retried_inside_its_claim_runs_until_it_works(model: JochChatModel) -> None:
    """The ledger's middleware comes first, so that the retries are one call to it."""
    FAILS.append(ConnectionError("no line"))
    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)
    guard = JochMiddleware(tools={"create_ticket": "external_write"})
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver(), middleware=[guard, retry])

    state = agent.invoke(human(SAY), thread("T"))

    assert "ticket 2 for printer" in last(state)
    assert DONE == ["printer", "printer"]


def test_a_retry_outside_the_claim_does_not_repeat_an_effect(model: JochChatModel) -> None:
    FAILS.append(ConnectionError("no line"))
    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)
    guard = JochMiddleware(tools={"create_ticket": "external_write"})
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver(), middleware=[retry, guard])

    agent.invoke(human(SAY), thread("T"))

    assert DONE == ["printer"]


@pytest.mark.parametrize(("status", "rounds"), [(503, 2), (401, 1)])
def test_the_retrying_middleware_repeats_what_may_pass_and_nothing_else(
    simulator: Simulator, status: int, rounds: int
) -> None:
    simulator.fail(status=status)
    model = JochChatModel(model=PRIMARY)
    retry = ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False, on_failure="error")

    with pytest.raises(ProviderError):
        create_agent(model, [], middleware=[retry]).invoke(human("hello"))

    assert len(simulator.calls()) == rounds


def test_cleared_tool_results_stay_cleared_on_the_fallback(model: JochChatModel, simulator: Simulator) -> None:
    editing = ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=1, keep=0)])
    agent = create_agent(model, [create_ticket], middleware=[editing])
    history = [
        HumanMessage("open one"),
        AIMessage("", tool_calls=[{"name": "create_ticket", "args": {"subject": "x"}, "id": "call_1"}]),
        ToolMessage("a very long result", tool_call_id="call_1"),
        HumanMessage("and now?"),
    ]
    simulator.fail("openai", status=503)

    state = agent.invoke({"messages": history})

    assert facts(state)["backend"] == FALLBACK
    sent = str(simulator.calls("anthropic")[-1].body)
    assert "[cleared]" in sent
    assert "a very long result" not in sent


def test_a_route_may_choose_its_tools_and_stand_in_for_another_model(simulator: Simulator) -> None:
    simulator.fail("openai", status=400)
    select = LLMToolSelectorMiddleware(model=JochChatModel(model=FALLBACK), max_tools=1)
    stand_in = ModelFallbackMiddleware(JochChatModel(model=FALLBACK))

    state = create_agent(JochChatModel(model=PRIMARY), [create_ticket], middleware=[select, stand_in]).invoke(human("hello"))

    assert facts(state)["backend"] == FALLBACK


PROMPT = ChatPromptTemplate.from_messages([
    ("system", "be brief"), MessagesPlaceholder("history", optional=True), ("human", "{text}"),
])  # fmt: skip


@pytest.mark.parametrize("down", [False, True])
async def test_a_chain_answers_in_every_way(model: JochChatModel, simulator: Simulator, down: bool) -> None:
    if down:
        simulator.fail("openai", status=503)
    chain = PROMPT | model | StrOutputParser()
    both = RunnableParallel(one=chain, two=chain)

    assert chain.invoke({"text": "a"}) == "You said: a"
    assert await chain.ainvoke({"text": "b"}) == "You said: b"
    assert "".join(chain.stream({"text": "c"})) == "You said: c"
    assert "".join([piece async for piece in chain.astream({"text": "d"})]) == "You said: d"
    assert chain.batch([{"text": "e"}, {"text": "f"}]) == ["You said: e", "You said: f"]
    assert both.invoke({"text": "g"}) == {"one": "You said: g", "two": "You said: g"}


def test_a_chain_with_a_memory_of_its_own_changes_its_provider(model: JochChatModel, simulator: Simulator) -> None:
    memories: dict[str, InMemoryChatMessageHistory] = {}
    chain = RunnableWithMessageHistory(
        PROMPT | model,
        lambda session_id: memories.setdefault(session_id, InMemoryChatMessageHistory()),
        input_messages_key="text",
        history_messages_key="history",
    )
    config: Any = {"configurable": {"session_id": "S"}}
    chain.invoke({"text": "one"}, config)
    simulator.fail("openai", status=503)

    chain.invoke({"text": "two"}, config)

    body = simulator.calls("anthropic")[-1].body
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert len(memories["S"].messages) == 4


@pytest.mark.filterwarnings("ignore:create_react_agent has been moved")
async def test_the_prebuilt_agent_of_langgraph_runs_on_a_route(model: JochChatModel, simulator: Simulator) -> None:
    from langgraph.prebuilt import create_react_agent

    simulator.fail("openai", status=503, from_turn=2)
    agent = create_react_agent(model, [create_ticket], checkpointer=InMemorySaver())

    state = await agent.ainvoke(human(SAY), thread("T"))

    assert last(state) == "create_ticket returned: ticket 1 for printer"
    assert facts(state)["backend"] == FALLBACK


# What users of LangChain's own fallbacks have reported, on a route.


def test_a_tool_of_the_vendors_own_does_not_follow_to_one_that_lacks_it(model: JochChatModel, simulator: Simulator) -> None:
    """langchain-ai/langchain#39788, langchainjs#11415: the fallback dies of the primary's built-in tool, in silence."""
    simulator.fail("openai", status=503)
    agent = create_agent(model, [create_ticket, {"type": "code_interpreter", "container": {"type": "auto"}}])

    state = agent.invoke(human("hello"))

    assert facts(state)["backend"] == FALLBACK
    sent = [one.get("name") or one.get("type") for one in simulator.calls("anthropic")[-1].body["tools"]]
    assert "code_interpreter" not in sent
    assert "create_ticket" in sent


def test_a_thread_is_not_bricked_by_a_foreign_thought(model: JochChatModel, simulator: Simulator) -> None:
    """langchain-ai/langchain#34933, langgraph#6691: from one vendor's reasoning model to another in mid-conversation."""
    saver = InMemorySaver()
    simulator.script(
        [{"reasoning": "hm", "tool_calls": [{"name": "create_ticket", "args": {"subject": "a"}}]}], provider="anthropic"
    )
    first = create_agent(JochChatModel(model="anthropic:claude-sonnet-4-5"), [create_ticket], checkpointer=saver)
    first.invoke(human("open one"), thread("T"))

    for backend in ("google:gemini-2.5-pro", "openai:gpt-5-mini", "anthropic:claude-sonnet-4-5"):
        agent = create_agent(JochChatModel(model=backend), [create_ticket], checkpointer=saver)
        assert last(agent.invoke(human(f"over to {backend}"), thread("T"))) == f"You said: over to {backend}"


def test_a_run_that_died_between_call_and_result_goes_on_with_a_new_question(
    model: JochChatModel, simulator: Simulator
) -> None:
    """langgraph#5109, #4289: one missing result poisons the checkpoint for ever."""
    watched = HumanInTheLoopMiddleware({"create_ticket": True})
    agent = create_agent(model, [create_ticket], checkpointer=InMemorySaver(), middleware=[watched])
    agent.invoke(human(SAY), thread("T"))
    agent.update_state(thread("T"), human("never mind"), as_node="tools")

    state = agent.invoke(None, thread("T"))

    assert last(state) == "You said: never mind"
    assert DONE == []


@pytest.mark.parametrize("down", [False, True])
def test_an_answer_without_words_is_an_answer(model: JochChatModel, simulator: Simulator, down: bool) -> None:
    """langchain-ai/langchain#38886: an empty stream counted as a failure of the primary."""
    if down:
        simulator.fail("openai", status=503)
    simulator.script([""], provider="anthropic" if down else "openai", repeat_last=True)

    chunks = list(model.stream("say nothing"))

    assert "".join(str(chunk.text) for chunk in chunks) == ""
    assert chunks[-1].response_metadata["joch"]["backend"] == (FALLBACK if down else PRIMARY)
    assert str(model.invoke("say nothing").text) == ""


def test_the_tokens_of_two_providers_are_never_glued_together(model: JochChatModel, simulator: Simulator) -> None:
    """langchainjs#4341, and what ModelFallbackMiddleware streams: the failed answer first, then the other one."""
    simulator.fail("openai", mode="disconnect", after=1)
    agent = create_agent(model, [])

    texts = [str(chunk.text) for chunk, _ in agent.stream(human("hello"), stream_mode="messages") if chunk.text]

    assert "".join(texts) == "You said: hello"
