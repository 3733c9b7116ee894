"""An agent in a process of its own, which a test kills right after its tool has changed the world."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from langchain.agents import create_agent
from langchain_joch import JochChatModel, JochMiddleware
from langgraph.checkpoint.joch import JochSaver

from joch_core import Joch

store, world, again = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
ROUTE = ["openai:gpt-5-mini", "anthropic:claude-sonnet"]
CONFIG = {"configurable": {"thread_id": "conv-1"}}


def create_ticket(subject: str) -> str:
    """Create a ticket."""
    with world.open("a") as file:
        file.write(subject + "\n")
    if os.environ.get("KILL_AFTER_TICKET"):
        os.kill(os.getpid(), signal.SIGKILL)
    return "SALES-1"


with Joch(store=store) as joch:
    guard = JochMiddleware(joch=joch, tools={"create_ticket": {"effect": "external_write"}})
    middleware = [] if os.environ.get("WITHOUT_LEDGER") else [guard]
    agent = create_agent(
        JochChatModel(route=ROUTE, joch=joch),
        tools=[create_ticket],
        middleware=middleware,
        checkpointer=JochSaver(joch.store),
    )
    question = {"messages": [{"role": "user", "content": "create a ticket about prices"}]}
    state = agent.invoke(None if again == "resume" else question, CONFIG)
    print(json.dumps({"answer": state["messages"][-1].text}))
