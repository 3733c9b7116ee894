"""A circuit breaker per (provider, endpoint, model). The state machine is pure: moments come in as seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Condition = Literal["Healthy", "Degraded", "Unhealthy", "Unknown"]

_MAX_OPEN_S = 300.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """Closed while `open_until_s` lies in the past.

    After it one request may pass as a probe, and the others wait for what becomes of it; its failure opens the breaker
    for twice as long.
    """

    failures: int = 0
    openings: int = 0
    open_until_s: float = 0.0
    probing: bool = False
    seen: bool = False
    failed_at_s: float | None = None

    def failed(self, now_s: float, *, threshold: int, open_s: float, retry_after_s: float | None = None) -> Breaker:
        """After a failure. A rate limit with Retry-After opens at once, until then, and is no sign of ill health."""
        if retry_after_s is not None:
            until_s = max(self.open_until_s, now_s + retry_after_s)
            return replace(self, open_until_s=until_s, probing=False, seen=True, failed_at_s=now_s)
        failures = self.failures + 1
        if failures < threshold and not self.probing:
            return replace(self, failures=failures, seen=True, failed_at_s=now_s)
        openings = self.openings + 1
        until_s = now_s + min(_MAX_OPEN_S, open_s * 2 ** (openings - 1))
        return Breaker(failures, openings, until_s, probing=False, seen=True, failed_at_s=now_s)

    def asked(self, now_s: float, probe_s: float) -> Breaker:
        """A request goes out. If it is the probe, the breaker stays shut to others for `probe_s`, or until it has ended."""
        if not self.open_until_s or self.is_open(now_s):
            return self
        return replace(self, open_until_s=now_s + probe_s, probing=True)

    def succeeded(self) -> Breaker:
        """After an answer that ended in order."""
        return Breaker(seen=True)

    def is_open(self, now_s: float) -> bool:
        """Is the backend passed over right now?"""
        return now_s < self.open_until_s

    def is_well(self, now_s: float, quiet_s: float) -> bool:
        """Has it not failed for a while? A conversation that has left it may go back then."""
        return not self.is_open(now_s) and (self.failed_at_s is None or now_s - self.failed_at_s >= quiet_s)

    def condition(self, now_s: float) -> Condition:
        """The health as `status` shows it."""
        if not self.seen:
            return "Unknown"
        if self.is_open(now_s):
            return "Unhealthy"
        return "Degraded" if self.failures else "Healthy"
