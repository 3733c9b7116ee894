"""`deepagents` on a route: it plans, writes files and hands work to a subagent, and its provider fails in between."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool
from langchain_joch import JochChatModel
from langgraph.checkpoint.memory import InMemorySaver

from joch_core.testing import Simulator

deepagents = pytest.importorskip("deepagents", reason="deepagents is not installed: it brings every partner package along")
pytestmark = pytest.mark.slow

PRIMARY, FALLBACK = "openai:gpt-5-mini", "anthropic:claude-sonnet"


@tool
def lookup(subject: str) -> str:
    """Look something up."""
    return f"facts about {subject}"


def call(name: str, **args: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "args": args}]}


@pytest.mark.parametrize("from_turn", [1, 2, 4])
def test_a_deep_agent_plans_writes_and_delegates_through_a_failover(simulator: Simulator, from_turn: int) -> None:
    turns = [
        call("write_todos", todos=[{"content": "find facts", "status": "in_progress"}]),
        call("write_file", file_path="/notes.md", content="begun"),
        call("task", description="find facts about printers", subagent_type="general-purpose"),
        call("lookup", subject="printers"),
        "the subagent found facts",
        "all done",
    ]
    simulator.script(turns[: from_turn - 1], provider="openai")
    simulator.script(turns[from_turn - 1 :], provider="anthropic")
    simulator.fail("openai", status=503, from_turn=from_turn)
    model = JochChatModel(model=PRIMARY, fallbacks=[FALLBACK])
    agent = deepagents.create_deep_agent(model=model, tools=[lookup], checkpointer=InMemorySaver())

    state = agent.invoke(
        {"messages": [{"role": "user", "content": "research printers"}]}, {"configurable": {"thread_id": "T"}}
    )

    assert str(state["messages"][-1].text) == "all done"
    assert state["messages"][-1].response_metadata["joch"]["backend"] == FALLBACK
    assert "/notes.md" in state["files"]
    assert any("the subagent found facts" in str(message.text) for message in state["messages"])
