"""How long one request may still take, read by read: four time-outs that hold for every kind of answer.

`httpx` knows one time-out for each read of a connection. It can be neither the time to the first content (a provider that
sends only pings never sends content) nor the end of a slow drip, where every single read is in time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from joch_core.errors import ProviderError
from joch_core.providers.endpoint import Timeouts

#: A moment that is this near counts as reached: a read may end a little early. Seconds.
_NEAR_S = 0.005
_LEAST_S = 0.001


class Patience:
    """The time-outs of one request while it runs. Seconds of `time.monotonic`."""

    __slots__ = ("_attempt_until_s", "_content", "_first_until_s", "_timeouts")

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._content = False
        self.begin()

    def begin(self) -> None:
        """From now on it counts: the request goes out. Before it an SDK may have been imported, which takes long."""
        now_s = time.monotonic()
        self._first_until_s = now_s + self._timeouts.first_content_s
        self._attempt_until_s = now_s + self._timeouts.attempt_s

    def before_answer(self) -> Timeouts:
        """What the SDK is told: it waits for the head of the answer, for which there is as long as for the first content."""
        timeouts = self._timeouts
        first_s = min(timeouts.first_content_s, timeouts.attempt_s)
        return Timeouts(min(timeouts.connect_s, timeouts.attempt_s), first_s, first_s, timeouts.attempt_s)

    def content(self) -> None:
        """Content has come: from now on the time between two chunks counts."""
        self._content = True

    def next_read_s(self) -> float:
        """How long the next read may take."""
        now_s = time.monotonic()
        until_s = now_s + self._timeouts.between_chunks_s if self._content else self._first_until_s
        return max(_LEAST_S, min(until_s, self._attempt_until_s) - now_s)

    def check(self) -> None:
        """After a read.

        Raises:
            ProviderError: the request has taken too long as a whole, or has brought no content for too long.
        """
        now_s = time.monotonic()
        if now_s >= self._attempt_until_s or (not self._content and now_s >= self._first_until_s):
            raise self.late()

    def late(self) -> ProviderError:
        """The fault of a request that is too late, with the name of the time-out that it broke."""
        timeouts, now_s = self._timeouts, time.monotonic()
        if now_s >= self._attempt_until_s - _NEAR_S:
            text, code = f"the answer did not end within {timeouts.attempt_s:g} s", "attempt_deadline"
        elif self._content:
            text, code = f"nothing more came for {timeouts.between_chunks_s:g} s", "between_chunks"
        else:
            text, code = f"no content came within {timeouts.first_content_s:g} s", "first_content"
        return ProviderError("timeout", text, code=code)

    @contextmanager
    def over(self, response: Any) -> Iterator[None]:
        """While a synchronous answer is read: every read of its connection waits as long as `next_read_s` says.

        The connection stands in the response (https://www.python-httpx.org/advanced/extensions/#network_stream); it gets
        its own way of reading back, since the next request may be sent over it.
        """
        extensions = getattr(response, "extensions", None) or {}
        connection: Any = extensions.get("network_stream")
        if connection is None:
            yield
            return
        read = connection.read

        def patient(max_bytes: int, timeout: float | None = None) -> Any:  # noqa: ARG001  the client's own is the same all along
            return read(max_bytes, self.next_read_s())

        connection.read = patient
        try:
            yield
        finally:
            del connection.read
