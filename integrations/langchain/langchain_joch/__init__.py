"""Joch for LangChain: a chat model that is a route, and tools that run at most once.

Names are looked up on first use: the chat model needs langchain-core only, the middleware LangChain's agents.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_joch.chat_model import ChatJoch, JochChatModel
    from langchain_joch.history import chat_history
    from langchain_joch.middleware import JochMiddleware, guard_tools
    from langchain_joch.provider import LangChainProvider
    from langchain_joch.registry import register

_PLACES = {
    "ChatJoch": "chat_model",
    "JochChatModel": "chat_model",
    "JochMiddleware": "middleware",
    "LangChainProvider": "provider",
    "chat_history": "history",
    "guard_tools": "middleware",
    "register": "registry",
}

__all__ = ["ChatJoch", "JochChatModel", "JochMiddleware", "LangChainProvider", "chat_history", "guard_tools", "register"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'langchain_joch' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"langchain_joch.{_PLACES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return list(__all__)
