"""What a route does on a fault of a provider: retry, wait, go over, or stop. Pure, one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from joch_core.errors import ProviderError

SwitchReason = Literal[
    "outage", "rate_limit", "budget", "capability", "region", "policy", "health", "operator", "route_edit",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask the same backend once more, after `wait_s` seconds."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class GoOver:
    """Ask the next candidate."""

    reason: SwitchReason


@dataclass(frozen=True, slots=True)
class Stop:
    """Give the fault to the caller: the same request would fail elsewhere, or going on is not allowed."""


Action = Retry | GoOver | Stop


@dataclass(frozen=True, slots=True)
class Rules:
    """The failover flags of a route, and the seconds that are left for the call with all its attempts."""

    on_error: bool = True
    on_capability_mismatch: bool = True
    on_auth_error: bool = False
    max_retry_after_s: float = 5.0
    remaining_s: float = float("inf")


#: Statuses after which one more request to the same backend is worth it. 503 and 529 say: not now.
_RETRY_STATUS = frozenset({408, 409, 500, 502, 504})
_CONFLICT = 409
_FIRST_ERROR_STATUS = 400
_BACKOFF_S = 0.25


def action(fault: ProviderError, rules: Rules, *, requests: int, jitter: float) -> Action:
    """What to do next.

    Args:
        fault: What the provider did.
        rules: The route's flags.
        requests: Requests that this backend was sent in this call so far, this one included.
        jitter: A number in [0, 1) that spreads retries.
    """
    if rules.remaining_s <= 0:
        return Stop()
    after = _after(fault, rules)
    if requests > 1 or fault.retryable is False:
        return after
    wait_s = _wait_s(fault, rules, jitter)
    return after if wait_s is None or wait_s >= rules.remaining_s else Retry(wait_s)


def _wait_s(fault: ProviderError, rules: Rules, jitter: float) -> float | None:
    """Seconds until one more request to the same backend; None where that is not worth it."""
    if fault.status in _RETRY_STATUS:
        return _BACKOFF_S * (1 + jitter)
    match fault.kind:
        case "rate_limit" if fault.retry_after_s is not None and fault.retry_after_s <= rules.max_retry_after_s:
            return fault.retry_after_s
        case "connection" | "stream_incomplete":
            return _BACKOFF_S * jitter
        case "server_error" if fault.status is None or fault.status < _FIRST_ERROR_STATUS:
            # An unreadable answer, or an error that is told in the middle of a stream: both stand for a 500.
            return _BACKOFF_S * (1 + jitter)
    return None


def _after(fault: ProviderError, rules: Rules) -> Action:
    """What follows when this backend is given up."""
    if fault.code == "certificate":
        return Stop()
    if fault.status == _CONFLICT:
        return GoOver("outage") if rules.on_error else Stop()
    match fault.kind:
        case "invalid_request" | "content_filter":
            # A plain 400 fails everywhere alike; a content filter is not to be laundered through another provider.
            return Stop()
        case "context_length":
            return GoOver("capability") if rules.on_capability_mismatch else Stop()
        case "authentication" | "permission":
            return GoOver("outage") if rules.on_auth_error else Stop()
        case "rate_limit" | "quota":
            return GoOver("rate_limit") if rules.on_error else Stop()
        case _:
            return GoOver("outage") if rules.on_error else Stop()


def counts_against_health(fault: ProviderError) -> bool:
    """Does this fault say something about the backend's health (and not about the request or the key)?"""
    return fault.kind in ("overloaded", "server_error", "timeout", "connection", "stream_incomplete", "rate_limit", "quota")
