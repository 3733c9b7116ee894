"""What a guarded call wants done, step by step, and the two drivers that do it: for plain and for asynchronous callers.

The key of the call that runs is a context variable here. Nothing is decided in this module.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
import time
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from joch_core.errors import NotExecuted
from joch_core.messages import Json
from joch_core.resources.tools import KEY_PARAMETER
from joch_core.stores.ledger_rows import Phase

_KEY: ContextVar[str | None] = ContextVar("joch_key", default=None)


def current_key() -> str | None:
    """The idempotency key of the tool call that runs here; None outside of one."""
    return _KEY.get()


def failpoint(name: str) -> None:
    """End this process here if `JOCH_FAILPOINT` says so (or stop it: `stop:NAME`): how the crash tests reach every gap."""
    wanted = os.environ.get("JOCH_FAILPOINT")
    if wanted is not None and wanted.removeprefix("stop:") == name:
        os.kill(os.getpid(), signal.SIGSTOP if wanted.startswith("stop:") else signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What came of a guarded call. `value` went through JSON; `deduplicated` says that an earlier call gave it."""

    value: Any
    key: str
    phase: Phase
    attempt: int
    deduplicated: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """Work on the store."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Run:
    """Foreign code: the tool itself, or its `verify`."""

    key: str
    work: Callable[[], Any]
    native: bool
    effect: bool = True


@dataclass(frozen=True, slots=True)
class Sleep:
    """Waiting."""

    seconds: float


Flow = Generator[Ask | Run | Sleep, Any, ToolOutcome]


def is_native(function: object) -> bool:
    """Must this be awaited?"""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def asked(verify: Callable[..., Any], args: Json, key: str) -> Any:
    """Call a `verify` with what it takes: `(args, key)`, `(args)`, nothing, or the tool's own parameters by name."""
    names = list(inspect.signature(verify).parameters)
    known = {**args, KEY_PARAMETER: key, "key": key}
    if names and set(names) <= set(known) and not set(names) <= {"key"}:
        return verify(**{name: known[name] for name in names})
    return verify(*(args, key)[: len(names)])


def drive(flow: Flow) -> ToolOutcome:
    """Do what a flow wants, and wait for it."""
    answer, fault = None, None
    while True:
        try:
            step = flow.send(answer) if fault is None else flow.throw(fault)
        except StopIteration as end:
            outcome: ToolOutcome = end.value
            return outcome
        answer, fault = None, None
        try:
            match step:
                case Ask():
                    answer = step.work()
                case Sleep():
                    time.sleep(step.seconds)
                case Run():
                    answer = _run(step)
        except BaseException as error:  # the flow decides what it means
            fault = error


def _run(step: Run) -> Any:
    token = _KEY.set(step.key or None)
    try:
        if step.effect:
            failpoint("before_effect")
        answer = step.work()
        if inspect.isawaitable(answer):
            if inspect.iscoroutine(answer):
                answer.close()
            raise NotExecuted("the tool is asynchronous: use acall or arun", key=step.key)
        if step.effect:
            failpoint("after_effect")
        return answer
    finally:
        _KEY.reset(token)


async def adrive(flow: Flow) -> ToolOutcome:
    """The same without holding the loop: the store in a worker thread, an asynchronous tool natively."""
    answer, fault = None, None
    while True:
        try:
            step = flow.send(answer) if fault is None else flow.throw(fault)
        except StopIteration as end:
            outcome: ToolOutcome = end.value
            return outcome
        answer, fault = None, None
        try:
            match step:
                case Ask():
                    answer = await _whole(step.work)
                case Sleep():
                    await asyncio.sleep(step.seconds)
                case Run():
                    answer = await _arun(step)
        except BaseException as error:  # the flow decides what it means
            fault = error


async def _whole(work: Callable[[], Any]) -> Any:
    """Work on the store is never left half done: a cancellation takes effect when it has ended, however often it comes."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():  # LangGraph cancels twice what runs beside a node that failed
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        raise


async def _arun(step: Run) -> Any:
    token = _KEY.set(step.key or None)
    try:
        if step.effect:
            failpoint("before_effect")
        answer = step.work() if step.native else await asyncio.to_thread(step.work)
        if inspect.isawaitable(answer):
            answer = await answer
        if step.effect:
            failpoint("after_effect")
        return answer
    finally:
        _KEY.reset(token)
