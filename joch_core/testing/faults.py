"""What can go wrong at a provider: faults, where they come from (a model's name, an order), and real error bodies.

A model's name may carry faults behind a plus sign: `gpt-5-mini+fail=503`, `+fail=429;retry_after=1`, `+quota`,
`+truncate=3` (the stream ends cleanly after 3 events), `+disconnect=3`, `+delay=0.5`. Sending is the server's business.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from joch_core.errors import InvalidArgument
from joch_core.messages import Json

Mode = Literal[
    "fail",  # an HTTP error with the API's own error body
    "delay",  # nothing but waiting
    "disconnect",  # the connection closes after `after` events (whole answers: after half the body)
    "reset",  # the same with a TCP reset; `after` 0: before any answer
    "refuse",  # a reset as soon as the request is read; see `Simulator.refuse` for a closed port
    "truncate",  # the stream ends cleanly after `after` events, without its terminal marker
    "stall",  # nothing more comes after `after` events (whole answers: nothing at all)
    "malformed",  # an event that is not JSON after `after` events
    "error_event",  # the API's error event in a stream after `after` events
    "drip",  # one byte at a time, `interval_s` between
    "html200",  # an HTML page with status 200
    "broken_json",  # half a JSON body with status 200
    "empty",  # no body (whole) or no event (stream) with status 200
]
MODES: tuple[Mode, ...] = get_args(Mode)

#: What an error is about, and the status it has where none is given.
KINDS: dict[str, int] = {
    "invalid_request": 400, "context_length": 400, "authentication": 401, "billing": 402, "permission": 403,
    "not_found": 404, "timeout": 408, "conflict": 409, "too_large": 413, "rate_limit": 429, "quota": 429,
    "server_error": 500, "bad_gateway": 502, "unavailable": 503, "gateway_timeout": 504, "overloaded": 529,
    "content_filter": 400,
}  # fmt: skip
_KIND_OF_STATUS = {status: kind for kind, status in reversed(KINDS.items()) if kind not in ("context_length", "quota")}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. `times` requests long (None: until recovered), or from request to request (1-based)."""

    mode: Mode = "fail"
    status: int | None = None
    kind: str | None = None
    message: str | None = None
    retry_after_s: float | str | None = None
    delay_s: float = 0.0
    after: int = 0
    interval_s: float = 0.02
    times: int | None = None
    from_turn: int | None = None
    to_turn: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InvalidArgument(f"no fault mode {self.mode!r}; there are {', '.join(MODES)}")
        if self.kind is not None and self.kind not in KINDS:
            raise InvalidArgument(f"no fault kind {self.kind!r}; there are {', '.join(KINDS)}")

    @property
    def http_status(self) -> int:
        """The status of a `fail`."""
        return self.status or KINDS.get(self.kind or "", 500)

    @property
    def error_kind(self) -> str:
        """What the error body says."""
        return self.kind or _KIND_OF_STATUS.get(
            self.http_status, "server_error" if self.http_status >= 500 else "invalid_request"
        )

    def __str__(self) -> str:
        return f"{self.mode} {self.http_status}" if self.mode == "fail" else f"{self.mode} after {self.after}"


_SHORT = {"retry_after": "retry_after_s", "delay": "delay_s", "interval": "interval_s"}
_INTEGERS = {"status", "after", "times", "from_turn", "to_turn"}
_FLOATS = {"delay_s", "interval_s"}


def fault(**order: object) -> Fault:
    """A fault from plain values: the fields of `Fault`, also as `retry_after`, `delay`, `interval`, `stream` (a mode).

    Raises:
        InvalidArgument: a field, mode or kind that does not exist.
    """
    given: dict[str, object] = {}
    for name, value in order.items():
        if value is not None:
            given["mode" if name == "stream" else _SHORT.get(name, name)] = value
    if "mode" not in given and "delay_s" in given and not {"status", "kind"} & set(given):
        given["mode"] = "delay"
    unknown = set(given) - {spec.name for spec in fields(Fault)}
    if unknown:
        raise InvalidArgument(f"a fault has no field {', '.join(sorted(unknown))}")
    return Fault(**given)  # type: ignore[arg-type]  # checked above by name; by value in __post_init__


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model's name as it was sent, without and with what stands behind its plus signs."""

    full: str
    base: str
    fault: Fault | None = None
    window: int | None = None
    flags: frozenset[str] = frozenset()


def model_name(full: str) -> ModelName:
    """Read a model's name with its suffixes. What is no fault is kept as a flag (`alternating`) or belongs to the name."""
    base, *suffixes = full.split("+")
    order: dict[str, object] = {}
    window: int | None = None
    flags: set[str] = set()
    for suffix in suffixes:
        for index, field in enumerate(suffix.split(";")):
            name, _, value = field.partition("=")
            if name == "window":
                window = int(value)
            elif name == "fail":
                order |= {"mode": "fail", "status": int(value or 500)}
            elif name in KINDS:
                order |= {"mode": "fail", "kind": name}
            elif name == "delay":
                order["delay_s"] = float(value or 1)
                order.setdefault("mode", "delay")
            elif name == "drip":
                order |= {"mode": "drip", "interval_s": float(value or 0.02)}
            elif name in MODES:
                order |= {"mode": name, "after": int(value or 0)}
            elif index and name:
                name = _SHORT.get(name, name)
                order[name] = int(value) if name in _INTEGERS else float(value) if name in _FLOATS else value
            else:
                flags.add(field)
    return ModelName(full, base, fault(**order) if order else None, window, frozenset(flags))


class _Order:
    def __init__(self, names: str | None, model: str | None, ordered: Fault) -> None:
        self.names, self.model, self.fault = names, model, ordered
        self.seen = 0

    def fits(self, names: Sequence[str], model: str) -> bool:
        return self.names in (None, *names) and self.model in (None, model)

    def strikes(self) -> bool:
        self.seen += 1
        if self.fault.from_turn is not None or self.fault.to_turn is not None:
            return (self.fault.from_turn or 1) <= self.seen <= (self.fault.to_turn or self.seen)
        return self.fault.times is None or self.seen <= self.fault.times


class Faults:
    """The faults that are ordered at a running simulator. The newest order that fits and strikes wins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[_Order] = []
        self._named: dict[str, _Order] = {}

    def order(self, provider: str | None, model: str | None, ordered: Fault) -> None:
        with self._lock:
            self._orders.insert(0, _Order(provider, model, ordered))

    def recover(self, provider: str | None = None, model: str | None = None) -> None:
        """Forget the faults of a provider (and model); without arguments: all."""
        with self._lock:
            if provider is None and model is None:
                self._named.clear()
            self._orders = [
                order
                for order in self._orders
                if (provider is not None and order.names != provider) or (model is not None and order.model != model)
            ]

    def strike(self, names: Sequence[str], model: ModelName) -> Fault | None:
        """The fault of this request, if any. Counts the request."""
        with self._lock:
            for order in self._orders:
                if order.fits(names, model.base) and order.strikes():
                    return order.fault
            if model.fault is not None:
                named = self._named.setdefault(f"{names[0]} {model.full}", _Order(None, None, model.fault))
                return model.fault if named.strikes() else None
        return None


def as_stream(ordered: Fault, *, stream: bool) -> Fault:
    """The fault that a whole answer shows for one that only streams can have."""
    if stream or ordered.mode not in ("malformed", "error_event"):
        return ordered
    return replace(ordered, mode="broken_json") if ordered.mode == "malformed" else replace(ordered, mode="fail")


def retry_headers(ordered: Fault) -> Json:
    """`retry-after` as the providers send it, in whole seconds where it can be."""
    if ordered.retry_after_s is None:
        return {}
    value = ordered.retry_after_s
    return {"retry-after": str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)}
