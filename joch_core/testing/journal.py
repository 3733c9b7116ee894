"""What the simulator was asked: one `Call` per request, without secrets. Readable from any thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from joch_core.messages import Json

_SECRET = ("authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "proxy-authorization")


@dataclass(frozen=True, slots=True)
class Call:
    """One request and what came of it.

    `at` is seconds since the epoch; `body` is the parsed JSON (None where it was none); `status` is the HTTP status that
    was or would have been sent; `fault` names an ordered fault; `answer` has the facts of the turn that was answered.
    """

    number: int
    at: float
    provider: str
    api: str
    method: str
    path: str
    model: str
    headers: Mapping[str, str]
    body: Any
    status: int
    stream: bool = False
    fault: str | None = None
    error: str | None = None
    answer: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> Json:
        """The fields as a JSON object."""
        return asdict(self)


def masked(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with every secret replaced."""
    return {name: "***" if name in _SECRET else value for name, value in headers.items()}


#: A simulator that runs for days shall not eat the machine.
_KEPT = 20_000


class Journal:
    """The calls so far, oldest first; the newest 20,000."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=_KEPT)
        self._count = 0

    def __iter__(self) -> Iterator[Call]:
        with self._lock:
            return iter(tuple(self._calls))

    def __len__(self) -> int:
        return len(self._calls)

    def __getitem__(self, index: int) -> Call:
        with self._lock:
            return self._calls[index]

    def write(self, headers: Mapping[str, str], **facts: Any) -> Call:
        """Add a call; `headers` may hold secrets, the journal will not."""
        with self._lock:
            self._count += 1
            call = Call(number=self._count, at=time.time(), headers=masked(headers), **facts)
            self._calls.append(call)
            return call

    def calls(self, name: str | None = None, model: str | None = None) -> list[Call]:
        """The calls of one provider or api, and of one model."""
        return [
            call
            for call in self
            if (name is None or name in (call.provider, call.api)) and (model is None or call.model == model)
        ]

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()
