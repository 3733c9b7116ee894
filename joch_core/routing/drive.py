"""The four drivers of a call: the only file of this room that may wait. The flow decides; a driver does.

A stream driver answers `Send` by letting deltas out, and sends the whole reply back in. A fault before the first delta is
thrown in as it is (the flow may go over); after it as `StreamInterrupted`, since the caller has seen a part of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, Protocol

from joch_core.errors import JochError, ProviderError, StreamInterrupted
from joch_core.messages import Delta, Reply
from joch_core.resources.commits import Commit, Committed
from joch_core.routing.steps import Abandoned, Answered, Flow, Record, Restart, Send, Step, Wait


class Arrival(Protocol):
    """A streamed answer on its way."""

    def reply(self) -> Reply:
        """The whole answer; a fault if its terminal marker is missing."""

    def partial(self) -> Reply:
        """What has arrived so far."""


class Ports(Protocol):
    """What a driver does for a flow."""

    def commit(self, commit: Commit) -> Committed:
        """Write to the store."""

    def ended(self) -> None:
        """The call is over, however it went."""

    def send(self, step: Send) -> Reply:
        """Ask a provider and wait."""

    async def asend(self, step: Send) -> Reply:
        """Ask a provider without holding the loop."""

    def stream(self, step: Send) -> tuple[Iterator[Delta], Arrival]:
        """Ask a provider and hand over what arrives."""

    def astream(self, step: Send) -> tuple[AsyncIterator[Delta], Arrival]:
        """The same without holding the loop."""


def call(flow: Flow, ports: Ports) -> Reply:
    """Run a call to its end."""
    answer: Any = None
    error: JochError | None = None
    try:
        while True:
            step = _next(flow, answer, error)
            answer, error = None, None
            try:
                match step:
                    case Record(commit=commit):
                        answer = ports.commit(commit)
                    case Send():
                        begin_s = time.monotonic()
                        answer = Answered(ports.send(step), _ms(begin_s))
                    case Wait(seconds=seconds):
                        time.sleep(seconds)
                    case Restart():
                        pass
            except JochError as raised:
                error = raised
    except StopIteration as end:
        reply: Reply = end.value
        return reply
    except KeyboardInterrupt:
        _abandon(flow, ports)
        raise
    finally:
        flow.close()
        ports.ended()


async def acall(flow: Flow, ports: Ports) -> Reply:
    """Run a call to its end without holding the loop; the store is reached through a worker thread."""
    answer: Any = None
    error: JochError | None = None
    try:
        while True:
            try:
                step = _next(flow, answer, error)
            except StopIteration as end:
                reply: Reply = end.value
                return reply
            answer, error = None, None
            try:
                match step:
                    case Record(commit=commit):
                        answer = await asyncio.to_thread(ports.commit, commit)
                    case Send():
                        begin_s = time.monotonic()
                        answer = Answered(await ports.asend(step), _ms(begin_s))
                    case Wait(seconds=seconds):
                        await asyncio.sleep(seconds)
                    case Restart():
                        pass
            except JochError as raised:
                error = raised
    except (asyncio.CancelledError, KeyboardInterrupt):
        _abandon(flow, ports)
        raise
    finally:
        flow.close()
        ports.ended()


def stream(flow: Flow, ports: Ports) -> Generator[Delta, None, Reply]:
    """Hand over what arrives; the generator's value is the whole reply."""
    answer: Any = None
    error: JochError | None = None
    try:
        while True:
            try:
                step = _next(flow, answer, error)
            except StopIteration as end:
                reply: Reply = end.value
                return reply
            answer, error = None, None
            try:
                match step:
                    case Record(commit=commit):
                        answer = ports.commit(commit)
                    case Send():
                        begin_s = time.monotonic()
                        deltas, arrival = ports.stream(step)
                        seen = False
                        try:
                            for delta in deltas:
                                seen, delta.backend = True, step.target.backend
                                yield delta
                            answer = Answered(arrival.reply(), _ms(begin_s))
                        except ProviderError as fault:
                            error = _broken(fault, arrival) if seen else fault
                        finally:
                            _close(deltas)
                    case Wait(seconds=seconds):
                        time.sleep(seconds)
                    case Restart():
                        yield Delta("restart")
            except JochError as raised:
                error = raised
    except (GeneratorExit, KeyboardInterrupt):
        _abandon(flow, ports)
        raise
    finally:
        flow.close()
        ports.ended()


async def astream(flow: Flow, ports: Ports, replies: list[Reply]) -> AsyncGenerator[Delta, None]:
    """Hand over what arrives without holding the loop; the whole reply is appended to `replies` at the end."""
    answer: Any = None
    error: JochError | None = None
    try:
        while True:
            try:
                step = _next(flow, answer, error)
            except StopIteration as end:
                replies.append(end.value)
                return
            answer, error = None, None
            try:
                match step:
                    case Record(commit=commit):
                        answer = await asyncio.to_thread(ports.commit, commit)
                    case Send():
                        begin_s = time.monotonic()
                        deltas, arrival = ports.astream(step)
                        seen = False
                        try:
                            async for delta in deltas:
                                seen, delta.backend = True, step.target.backend
                                yield delta
                            answer = Answered(arrival.reply(), _ms(begin_s))
                        except ProviderError as fault:
                            error = _broken(fault, arrival) if seen else fault
                        finally:
                            await _aclose(deltas)
                    case Wait(seconds=seconds):
                        await asyncio.sleep(seconds)
                    case Restart():
                        yield Delta("restart")
            except JochError as raised:
                error = raised
    except (GeneratorExit, asyncio.CancelledError, KeyboardInterrupt):
        _abandon(flow, ports)
        raise
    finally:
        flow.close()
        ports.ended()


def _abandon(flow: Flow, ports: Ports) -> None:
    """The caller has left: let the flow say so, and write what it says. A failure here has nobody to tell it to."""
    with contextlib.suppress(Abandoned, JochError, StopIteration):
        step = flow.throw(Abandoned())
        if isinstance(step, Record):
            ports.commit(step.commit)


def _next(flow: Flow, answer: Any, error: JochError | None) -> Step:
    return flow.send(answer) if error is None else flow.throw(error)


def _ms(begin_s: float) -> int:
    return int((time.monotonic() - begin_s) * 1000)


def _broken(fault: ProviderError, arrival: Arrival) -> StreamInterrupted:
    text = f"the stream broke after a part of the answer had arrived ({fault.message}); call again to go on"
    return StreamInterrupted(text, partial=arrival.partial(), attempts=(fault.attempt(),))


def _close(deltas: Iterator[Delta]) -> None:
    close = getattr(deltas, "close", None)
    if close is not None:
        close()


async def _aclose(deltas: AsyncIterator[Delta]) -> None:
    close = getattr(deltas, "aclose", None)
    if close is not None:
        await close()
