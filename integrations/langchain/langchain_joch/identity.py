"""Which conversation a model call belongs to.

LangGraph's thread is the conversation, by name and exactly. A graph inside a graph that is given its parent's messages goes
on with the parent's conversation; one that begins with messages of its own gets a conversation below it. Without any of
these a call belongs to no conversation: nothing is guessed from what a message says, so that two users never mix.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.utils.uuid import uuid7

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


def traceable(config: RunnableConfig | None) -> RunnableConfig:
    """The config with the id of the run to come, by which the run can be found again while it is going on."""
    out: RunnableConfig = {**config} if config else {}
    if out.get("run_id") is None:
        out["run_id"] = uuid7()
    return out


def captured() -> RunnableConfig | None:
    """The config that the caller of the running call gave."""
    return _captured.get()


def stepping(config: RunnableConfig | None, items: Iterator[ItemT]) -> Iterator[ItemT]:
    """The items, each made while the config can be seen and handed on when it cannot; closed when this is closed."""
    try:
        while True:
            with within(config):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item
    finally:
        if (close := getattr(items, "close", None)) is not None:
            close()


async def astepping(config: RunnableConfig | None, items: AsyncIterator[ItemT]) -> AsyncIterator[ItemT]:
    """As `stepping`, for an asynchronous iterator."""
    try:
        while True:
            with within(config):
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            yield item
    finally:
        if (close := getattr(items, "aclose", None)) is not None:
            await close()


class Place(NamedTuple):
    """Where a call is made: its thread, the graph's namespace (`""` for the outermost one), and the node (`""`: none)."""

    thread_id: str | None = None
    namespace: str = ""
    node: str = ""


def _configurables(metadata: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    given = _captured.get() or {}
    yield given.get("configurable") or {}
    yield ensure_config().get("configurable") or {}
    yield given.get("metadata") or {}
    yield metadata or {}


def place(metadata: Mapping[str, Any] | None = None) -> Place:
    """The place of the running call."""
    for found in _configurables(metadata):
        if found.get("thread_id") is not None:
            namespace, _, task = str(found.get("checkpoint_ns") or "").rpartition("|")
            return Place(str(found["thread_id"]), namespace, task.partition(":")[0])
    return Place()


def _opening(messages: Sequence[Message]) -> tuple[str, str] | None:
    first = next((message for message in messages if message.role != "system"), None)
    return None if first is None else (first.role, first.text)


def _said(message: Message) -> tuple[str, str]:
    return message.role, message.text


def _aside(at: Place, messages: Sequence[Message], known: Sequence[Message]) -> str | None:
    """The name of a call beside the conversation: a guard, a title, a summary, which shares no message with it.

    The `model` node of LangChain's agents is never beside its own conversation; a history that it passes is the history.
    """
    if not known or not at.node or at.node == "model":
        return None
    said = {_said(message) for message in known if message.role != "system"}
    own = [_said(message) for message in messages if message.role != "system"]
    if any(one in said for one in own):
        return None
    digest = hashlib.sha256("\x1f".join(own[0] if own else ()).encode()).hexdigest()[:8]
    return f"{at.thread_id}/{at.node}:{digest}"


def conversation_of(at: Place, messages: Sequence[Message], log: Log) -> str | None:
    """The conversation of a call at this place, whose whole history is `messages`; None if there is no thread.

    An inner graph shares its parent's messages if both begin with the same one. While nothing is known of the parent, the
    first graph to speak opens the thread's conversation, but for one that a tool runs.
    """
    if at.thread_id is None:
        return None
    if not at.namespace:
        return (_aside(at, messages, log(at.thread_id)) if at.node else None) or at.thread_id
    parts = at.namespace.split("|")
    own = "/".join([at.thread_id, *parts])
    if log(own):
        return own
    opening = _opening(messages)
    for depth in range(len(parts) - 1, -1, -1):
        name = "/".join([at.thread_id, *parts[:depth]])
        if (known := log(name)) and _opening(known) == opening:
            return name
    by_tool = any(part.partition(":")[0] == "tools" for part in parts)
    return own if by_tool or log(at.thread_id) else at.thread_id
