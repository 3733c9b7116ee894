"""Server-sent events out of a byte stream, as the HTML standard writes them: https://html.spec.whatwg.org/#event-stream.

Only what the providers use: `event`, `data` and comments. Ids and retry hints are passed over.
"""

from __future__ import annotations

from joch_core.errors import ProviderError

#: One event larger than this is no answer of any provider; reading on would only eat memory.
MAX_EVENT_BYTES = 64 * 1024 * 1024


class EventDecoder:
    """Takes chunks of bytes as they come and gives whole events `(name, data)`."""

    __slots__ = ("_buffer", "_data", "_held", "_more", "_name", "_waiting")

    def __init__(self) -> None:
        self._buffer = b""
        self._more: list[bytes] = []
        self._waiting = 0
        self._data: list[str] = []
        self._held = 0
        self._name: str | None = None

    def feed(self, chunk: bytes) -> list[tuple[str | None, str]]:
        """The events that this chunk completes."""
        if self._buffer and b"\n" not in chunk and b"\r" not in chunk and not self._buffer.endswith(b"\r"):
            # A long line in many pieces is put together once: to do it for each piece would take the square of its length.
            self._more.append(chunk)
            self._waiting += len(chunk)
            self._bound(len(self._buffer) + self._waiting)
            return []
        if self._more:
            self._buffer += b"".join(self._more)
            self._more, self._waiting = [], 0
        buffer = self._buffer + chunk if self._buffer else chunk
        if b"\r" in buffer:
            # A \r at the very end may be half of \r\n: it waits for the next chunk.
            held = b"\r" if buffer.endswith(b"\r") else b""
            body = buffer[: len(buffer) - len(held)]
            buffer = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
        lines = buffer.split(b"\n")
        self._buffer = lines.pop()
        out: list[tuple[str | None, str]] = []
        for line in lines:
            if not line:
                self._flush(out)
            elif line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                self._data.append(value.decode("utf-8", "replace"))
                self._held += len(value)
            elif line.startswith(b"event:"):
                self._name = line[6:].strip().decode("utf-8", "replace")
        self._bound(len(self._buffer))
        return out

    def end(self) -> list[tuple[str | None, str]]:
        """What is left when the stream ends: some servers forget the last blank line."""
        out = self.feed(b"\n\n") if self._buffer or self._data else []
        self._buffer = b""
        return out

    def _flush(self, out: list[tuple[str | None, str]]) -> None:
        if self._data:
            out.append((self._name, self._data[0] if len(self._data) == 1 else "\n".join(self._data)))
            self._data, self._held = [], 0
        self._name = None

    def _bound(self, waiting: int) -> None:
        """`waiting` bytes of the line that is not complete yet, and the lines of its event before it, stay within the limit."""
        if waiting + self._held > MAX_EVENT_BYTES:
            raise ProviderError("other", "the answer holds an event of over 64 MiB", code="event_too_large")
