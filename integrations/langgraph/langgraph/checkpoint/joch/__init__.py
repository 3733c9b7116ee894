"""`JochSaver`, a LangGraph checkpointer whose storage grows with the conversation and not with its square."""

from langgraph.checkpoint.joch.importing import ImportReport, import_threads
from langgraph.checkpoint.joch.saver import JochSaver
from langgraph.checkpoint.joch.serde import StrictSerializer, TypeNotAllowed
from langgraph.checkpoint.joch.sources import open_source
from langgraph.checkpoint.joch.steps import GraphStep, graph_steps

__all__ = [
    "GraphStep",
    "ImportReport",
    "JochSaver",
    "StrictSerializer",
    "TypeNotAllowed",
    "graph_steps",
    "import_threads",
    "open_source",
]
