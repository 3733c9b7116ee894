"""`JochSaver`, a LangGraph checkpointer whose storage grows with the conversation and not with its square."""

from langgraph.checkpoint.joch.saver import JochSaver
from langgraph.checkpoint.joch.serde import StrictSerializer, TypeNotAllowed

__all__ = ["JochSaver", "StrictSerializer", "TypeNotAllowed"]
