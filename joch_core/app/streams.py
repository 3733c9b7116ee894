"""What `stream` and `astream` return: the deltas of an answer, and the whole reply after the last one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Self

from joch_core.app.assembly import Assembly
from joch_core.errors import InvalidArgument
from joch_core.messages import Delta, Reply
from joch_core.routing import drive


class ReplyStream(Iterator[Delta]):
    """The deltas of a streamed answer; `.reply` is set after the last one. Closing it early cancels the request."""

    def __init__(self, assembly: Assembly, finished: Callable[[Reply], Reply]) -> None:
        self._finished = finished
        self._deltas = drive.stream(assembly.flow, assembly.ports)
        self._reply: Reply | None = None

    def __next__(self) -> Delta:
        try:
            return next(self._deltas)
        except StopIteration as end:
            if end.value is not None:
                self._reply = self._finished(end.value)
            raise StopIteration from None

    @property
    def reply(self) -> Reply:
        """What `call` would have returned; what is still on its way is read first."""
        for _ in self:
            pass
        if self._reply is None:
            raise InvalidArgument("the stream was closed or has failed before its end: there is no whole reply")
        return self._reply

    def close(self) -> None:
        """Cancel the request."""
        self._deltas.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class AsyncReplyStream(AsyncIterator[Delta]):
    """`ReplyStream` without holding the event loop. `.reply` is there after the last delta."""

    def __init__(self, assembled: Callable[[], Awaitable[Assembly]], finished: Callable[[Reply], Reply]) -> None:
        self._finished = finished
        self._assembled = assembled
        self._deltas: AsyncGenerator[Delta, None] | None = None
        self._replies: list[Reply] = []
        self._reply: Reply | None = None

    async def __anext__(self) -> Delta:
        if self._deltas is None:
            assembly = await self._assembled()
            self._deltas = drive.astream(assembly.flow, assembly.ports, self._replies)
        return await anext(self._deltas)

    @property
    def reply(self) -> Reply:
        """What `acall` would have returned."""
        if self._reply is None:
            if not self._replies:
                raise InvalidArgument("the stream has not come to its end: there is no whole reply yet")
            self._reply = self._finished(self._replies[0])
        return self._reply

    async def aclose(self) -> None:
        """Cancel the request."""
        if self._deltas is not None:
            await self._deltas.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
