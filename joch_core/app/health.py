"""The circuit breakers of one `Joch`, shared by its threads."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from joch_core.routing.health import Breaker


class Health:
    """The breakers of one `Joch`, keyed by `Target.origin`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._breakers: dict[str, Breaker] = {}

    def snapshot(self, origins: Iterable[str]) -> dict[str, Breaker]:
        """The breakers of these backends, as they stand."""
        return {origin: self._breakers.get(origin, Breaker()) for origin in origins}

    def asked(self, origin: str, now_s: float, probe_s: float) -> None:
        """A request goes out: where the circuit was open, it is the probe."""
        breaker = self._breakers.get(origin)
        if breaker is not None and breaker.open_until_s:
            with self._lock:
                self._breakers[origin] = self._breakers.get(origin, Breaker()).asked(now_s, probe_s)

    def failed(
        self, origin: str, now_s: float, *, threshold: int, open_s: float, retry_after_s: float | None = None
    ) -> None:
        """Count a failure."""
        with self._lock:
            breaker = self._breakers.get(origin, Breaker())
            self._breakers[origin] = breaker.failed(now_s, threshold=threshold, open_s=open_s, retry_after_s=retry_after_s)

    def succeeded(self, origin: str) -> None:
        """Count an answer."""
        breaker = self._breakers.get(origin)
        if breaker is None or breaker.failures or breaker.openings or breaker.open_until_s or not breaker.seen:
            with self._lock:
                self._breakers[origin] = Breaker(seen=True)
