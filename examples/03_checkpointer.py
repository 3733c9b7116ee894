"""`JochSaver` in place of LangGraph's checkpointer: the thread is there again after the process is gone."""

import operator
import tempfile
from typing import Annotated, TypedDict

from langgraph.checkpoint.joch import JochSaver
from langgraph.graph import START, StateGraph


class State(TypedDict):
    seen: Annotated[list[str], operator.add]


def main() -> None:
    builder = StateGraph(State)
    builder.add_node("note", lambda state: {"seen": [f"step {len(state['seen'])}"]})
    builder.add_edge(START, "note")
    config = {"configurable": {"thread_id": "thread-1"}}
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/joch.db"
        with JochSaver.from_conn_string(url) as saver:
            builder.compile(checkpointer=saver).invoke({"seen": ["begin"]}, config)
        with JochSaver.from_conn_string(url) as saver:
            print(builder.compile(checkpointer=saver).invoke({"seen": ["again"]}, config)["seen"])


main()
