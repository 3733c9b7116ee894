"""Joch for LlamaIndex: an LLM that is a route, and tools that run at most once.

Names are looked up on first use, so that the converters can be read without the LLM class and the other way round.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_index.llms.joch.guarding import joch_tools
    from llama_index.llms.joch.history import chat_history
    from llama_index.llms.joch.llm import JochLLM
    from llama_index.llms.joch.messages import from_joch, to_joch

_PLACES = {
    "JochLLM": "llm",
    "chat_history": "history",
    "from_joch": "messages",
    "joch_tools": "guarding",
    "to_joch": "messages",
}

__all__ = ["JochLLM", "chat_history", "from_joch", "joch_tools", "to_joch"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'llama_index.llms.joch' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"llama_index.llms.joch.{_PLACES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return list(__all__)
