"""Which conversation a model call belongs to.

LangGraph's thread is the conversation, by name and exactly. A graph inside a graph that is given its parent's messages goes
on with the parent's conversation; one that begins with messages of its own gets a conversation below it. Without any of
these a call belongs to no conversation: nothing is guessed from what a message says, so that two users never mix.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from joch_core import Message

ItemT = TypeVar("ItemT")
#: Reads the messages of a conversation by its name; an unknown one has none.
Log = Callable[[str], Sequence[Message]]

# LangChain hands a model its callbacks and metadata, but not `configurable`, where the thread stands.
_captured: ContextVar[RunnableConfig | None] = ContextVar("joch_langchain_config", default=None)


@contextmanager
def within(config: RunnableConfig | None) -> Iterator[None]:
    """While this is open, the model sees the config that its caller gave."""
    token = _captured.set(config)
    try:
        yield
    finally:
        _captured.reset(token)


def stepping(config: RunnableConfig | None, items: Iterator[ItemT]) -> Iterator[ItemT]:
    """The items, each made while the config can be seen and handed on when it cannot."""
    while True:
        with within(config):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


async def astepping(config: RunnableConfig | None, items: AsyncIterator[ItemT]) -> AsyncIterator[ItemT]:
    """As `stepping`, for an asynchronous iterator."""
    while True:
        with within(config):
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
        yield item


def _configurables(metadata: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    given = _captured.get() or {}
    yield given.get("configurable") or {}
    yield ensure_config().get("configurable") or {}
    yield given.get("metadata") or {}
    yield metadata or {}


def thread(metadata: Mapping[str, Any] | None = None) -> tuple[str | None, str]:
    """The thread of the running call and the namespace of the graph that makes it (`""` for the outermost one)."""
    for place in _configurables(metadata):
        if place.get("thread_id") is not None:
            namespace = str(place.get("checkpoint_ns") or "")
            return str(place["thread_id"]), namespace.rpartition("|")[0]
    return None, ""


def _opening(messages: Sequence[Message]) -> tuple[str, str] | None:
    first = next((message for message in messages if message.role != "system"), None)
    return None if first is None else (first.role, first.text)


def conversation_of(thread_id: str, namespace: str, messages: Sequence[Message], log: Log) -> str:
    """The conversation of a call in this thread and graph, whose whole history is `messages`.

    An inner graph shares its parent's messages if both begin with the same one. While nothing is known of the parent, the
    first graph to speak opens the thread's conversation, but for one that a tool runs.
    """
    if not namespace:
        return thread_id
    parts = namespace.split("|")
    own = "/".join([thread_id, *parts])
    if log(own):
        return own
    opening = _opening(messages)
    for depth in range(len(parts) - 1, -1, -1):
        name = "/".join([thread_id, *parts[:depth]])
        if (known := log(name)) and _opening(known) == opening:
            return name
    by_tool = any(part.partition(":")[0] == "tools" for part in parts)
    return own if by_tool or log(thread_id) else thread_id
