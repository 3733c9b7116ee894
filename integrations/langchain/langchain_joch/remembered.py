"""Messages that were translated before, so that an agent's next turn translates what is new only.

A LangChain message may be changed in place; what is remembered of it counts while everything that a reader sees of it still
stands as it stood. An entry lives as long as its message.
"""

from __future__ import annotations

import weakref
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from joch_core import Message

_known: dict[int, tuple[weakref.ref[BaseMessage], tuple[Any, ...], Message]] = {}


def state(message: BaseMessage) -> tuple[Any, ...] | None:
    """What the translation of this message depends on; None where looking would cost as much as translating."""
    content = message.content
    if isinstance(message, AIMessage):
        own = message.additional_kwargs.get("joch")
        shown = content if isinstance(content, str) else repr(content)
        calls = repr((message.tool_calls, message.invalid_tool_calls))
        return shown, calls, own, message.name, message.response_metadata.get("model_provider")
    if not isinstance(content, str):
        return None
    if isinstance(message, ToolMessage):
        return content, message.tool_call_id, message.status, message.name
    return content, message.name


def recall(message: BaseMessage, now: tuple[Any, ...] | None) -> Message | None:
    """The translation of a message that stands as it stood then."""
    entry = _known.get(id(message))
    if entry is None or now is None or entry[0]() is not message or entry[1] != now:
        return None
    return entry[2]


def remember(message: BaseMessage, now: tuple[Any, ...] | None, translated: Message) -> Message:
    """Keep a translation, and give it back."""
    if now is not None:
        key = id(message)
        _known[key] = (weakref.ref(message, lambda _gone: _known.pop(key, None)), now, translated)
    return translated
