"""Every failure of Joch, as one tree. No I/O, no vendor names.

::

    JochError
    ├── InvalidArgument        a call was made wrongly (also a ValueError)
    ├── InvalidResource        a YAML document is wrong; `.problems` says where
    ├── NotFound               a name that nobody knows
    ├── RouteError             the route could not serve the call
    │   ├── NoEligibleCandidate    residency, policy or requirements leave nobody
    │   ├── PolicyDenied           every candidate was denied
    │   ├── BudgetExceeded         over a cap, or the price is unknown under one
    │   └── RouteExhausted         every candidate was tried and failed
    ├── ProviderError          what one provider did; only this one can lead to another candidate
    ├── StreamInterrupted      a stream broke after the caller had seen a part of it
    ├── MigrationRefused       a switch that policy or the target does not allow
    ├── ContextTooSmall        the fixed part of a request does not fit the target
    ├── ConversationConflict   another writer was faster
    ├── LedgerError            side effects
    │   ├── OutcomeUnknown         started, and nobody knows how it ended
    │   ├── KeyConflict            the same key with other arguments
    │   ├── CallInProgress         somebody else runs it right now
    │   └── NotExecuted            raised by a tool: nothing happened
    └── StoreError             the store did not do what it was told

Each carries `.kind`, `.execution`, `.attempts`. The message is one sentence and says what to do next. Errors leave Joch
`from None`, so that no SDK exception with its headers can be reached from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from joch_core.messages import Reply

FaultKind = Literal[
    "invalid_request", "context_length", "authentication", "permission", "not_found", "rate_limit", "quota",
    "overloaded", "server_error", "timeout", "content_filter", "connection", "stream_incomplete", "other",
]  # fmt: skip
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that a provider was sent, or a candidate that was passed over.

    `status` is the HTTP status, `code` the vendor's own code, `retry_after_s` seconds; what is not known is None.
    """

    backend: str
    kind: str
    status: int | None = None
    code: str | None = None
    retry_after_s: float | None = None
    message: str = ""

    def __str__(self) -> str:
        facts = " ".join(str(fact) for fact in (self.status, self.code) if fact is not None)
        return (
            f"{self.backend}: {self.kind}" + (f" ({facts})" if facts else "") + (f" {self.message}" if self.message else "")
        )

    def as_json(self) -> dict[str, object]:
        """The fields as they stand in a `ModelCallFailed` event."""
        fields = asdict(self)
        fields["retryAfterS"] = fields.pop("retry_after_s")
        return {name: value for name, value in fields.items() if value is not None}


class JochError(Exception):
    """Anything that Joch refuses or fails to do."""

    kind: str = "error"

    def __init__(self, message: str, *, execution: str | None = None, attempts: Sequence[Attempt] = ()) -> None:
        super().__init__(message)
        self.execution = execution
        self.attempts = tuple(attempts)

    @property
    def message(self) -> str:
        """The sentence for the user."""
        return str(self.args[0])

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls: type[JochError], args: tuple[object, ...], state: dict[str, object]) -> JochError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidArgument(JochError, ValueError):
    """A call was made wrongly."""

    kind = "invalid_argument"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of one document: where it is and what to do."""

    text: str
    file: str = ""
    line: int | None = None
    field: str = ""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part not in ("", None))
        return ": ".join(part for part in (place, self.field, self.text) if part)


class InvalidResource(JochError):
    """One or more YAML documents are wrong. All faults are reported at once, one line each."""

    kind = "invalid_resource"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class NotFound(JochError):
    """A name that nobody knows."""

    kind = "not_found"


class RouteError(JochError):
    """The route could not serve the call."""

    kind = "route"


class NoEligibleCandidate(RouteError):
    """Residency, policy or requirements leave no candidate; nothing was sent."""

    kind = "no_eligible_candidate"


class PolicyDenied(RouteError):
    """Policy denied the call, the switch or every candidate; nothing was sent. `.approval`: a human could allow it."""

    kind = "policy_denied"
    approval: bool = False


class BudgetExceeded(RouteError):
    """The call would go over a cap, or its price is unknown under one; nothing was sent."""

    kind = "budget_exceeded"


class RouteExhausted(RouteError):
    """Every candidate of the route was passed over or failed; `.attempts` has one row each."""

    kind = "route_exhausted"


class ProviderError(JochError):
    """What one provider did wrong. The only failure that can lead to another candidate.

    `kind` is one of `FAULT_KINDS`; `sent` is False when it is certain that the provider never saw the request.
    """

    def __init__(
        self,
        kind: FaultKind,
        message: str,
        *,
        backend: str = "",
        status: int | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        sent: bool = True,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.kind: FaultKind = kind
        self.backend = backend
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        self.sent = sent
        self.retryable = retryable

    def attempt(self) -> Attempt:
        """This failure as a row of `.attempts`."""
        return Attempt(self.backend, self.kind, self.status, self.code, self.retry_after_s, self.message)


class StreamInterrupted(JochError):
    """A stream broke after the caller had seen a part of it.

    `.partial` is a Reply with what arrived; `.resumable` says that a new call of the same conversation goes on.
    """

    kind = "stream_interrupted"

    def __init__(self, message: str, *, partial: Reply, resumable: bool = True, attempts: Sequence[Attempt] = ()) -> None:
        super().__init__(message, attempts=attempts)
        self.partial = partial
        self.resumable = resumable


class MigrationRefused(JochError):
    """A switch that policy or the target does not allow."""

    kind = "migration_refused"


class ContextTooSmall(JochError):
    """What must be sent (operator prompt, pinned text, tools, the newest user message) does not fit the target."""

    kind = "context_too_small"


class ConversationConflict(JochError):
    """Another writer of the same conversation was faster; nothing of this call was written."""

    kind = "conversation_conflict"


class LedgerError(JochError):
    """A side effect that may not run now."""

    kind = "ledger"

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class OutcomeUnknown(LedgerError):
    """The call was started and nobody knows how it ended: do not repeat it, verify first."""

    kind = "outcome_unknown"


class KeyConflict(LedgerError):
    """The same effect key with other arguments."""

    kind = "key_conflict"


class CallInProgress(LedgerError):
    """Somebody else runs this very call right now, and the waiting bound is over."""

    kind = "call_in_progress"


class NotExecuted(LedgerError):
    """Raised by a tool to say: nothing happened, it is safe to call me again."""

    kind = "not_executed"

    def __init__(self, message: str = "the tool did nothing", *, key: str = "") -> None:
        super().__init__(message, key=key)


class StoreError(JochError):
    """The store did not do what it was told; nothing was half written."""

    kind = "store"
