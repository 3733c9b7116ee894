"""What is known before the first step of a call, and what has come together while it runs. Values; no decision is made here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from joch_core.capabilities import Target
from joch_core.errors import Attempt, ProviderError
from joch_core.messages import Json
from joch_core.resources.commits import Hold, Settle
from joch_core.resources.events import Draft
from joch_core.resources.model import Model
from joch_core.resources.route import ModelRoute
from joch_core.routing.candidates import Selection, Verdict
from joch_core.routing.faults import Rules, SwitchReason
from joch_core.routing.steps import Prepared

#: A hold outlives the longest possible attempt by this, so that it is there when the call is settled.
_LEASE_MARGIN_S = 60.0

#: When a call also ends its execution: a bare call always, one that a conversation's newest turn has opened when the
#: model has answered (and does not wait for tools), one of an open execution never.
Ends = Literal["always", "answered", "never"]


@dataclass(frozen=True, slots=True)
class Totals:
    """What an execution has come to before this call; `cost` is micro-USD."""

    cost: int = 0
    model_calls: int = 0
    tool_calls: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a cap that holds over several calls, in integer micro-USD.

    A name that ends with `/` is completed by the execution that the call opens.
    """

    name: str
    cap: int | None


@dataclass(frozen=True, slots=True)
class Call:
    """Everything that is known before the first step.

    `before` are the drafts that this call adds in any case (new messages, a new execution); `turn` is the fence of the
    conversation (None: there is no conversation, and no message is kept). `previous` is the backend that the conversation
    is on. `owner` is the process that calls, as the store knows it. A call that is `lazy` writes once, at its end: nobody
    else waits for what it says before. `prepare` makes the request ready for a backend; given a reason it builds the checkpoint of a switch. `clock`,
    `monotonic_s` and `jitter` come in, so that a test can hold them. `on_interrupt` is `error` or `restart`.
    """

    route: ModelRoute
    selection: Selection
    rules: Rules
    log: str
    before: tuple[Draft, ...]
    decided: Json
    prepare: Callable[[Verdict, SwitchReason | None], Prepared]
    seed: str
    clock: Callable[[], datetime]
    monotonic_s: Callable[[], float]
    jitter: Callable[[], float]
    deadline_s: float
    attempt_s: float
    owner: str = ""
    lazy: bool = False
    turn: int | None = None
    previous: str | None = None
    execution: str | None = None
    open_execution: str | None = None
    ends: Ends = "never"
    so_far: Totals = Totals()
    on_interrupt: str = "error"
    account: Account | None = None
    trace_id: str | None = None
    span_id: str | None = None
    framework: str | None = None
    agent: str | None = None


@dataclass(slots=True)
class Progress:
    """What the call has come to so far."""

    drafts: list[Draft]
    turn: int | None
    execution: str | None
    settles: list[Settle] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    requests: int = 0
    cost_micro_usd: int = 0
    opened: bool = False
    over_budget: bool = False
    #: The candidate that was asked or passed over last, why the call left it, and the newest fault.
    left: Verdict | None = None
    reason: SwitchReason | None = None
    fault: ProviderError | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One candidate that is asked now."""

    verdict: Verdict
    model: Model
    target: Target
    prepared: Prepared


def worst_case(call: Call, asked: Asked) -> int | None:
    """The most that the request can cost, in micro-USD, where that must be set aside; None where no cap holds."""
    worst = asked.verdict.bound.micro_usd if asked.verdict.bound is not None else None
    return None if call.account is None or call.account.cap is None else worst


def hold_for(call: Call, state: Progress, asked: Asked) -> Hold | None:
    """What is set aside for the next request to this backend."""
    worst, account = worst_case(call, asked), call.account
    if worst is None or account is None or account.cap is None:
        return None
    lease_until = call.clock().timestamp() + call.attempt_s + _LEASE_MARGIN_S
    return Hold(f"{call.seed}/{state.requests}", account_name(call, state), worst, account.cap, lease_until)


def account_name(call: Call, state: Progress) -> str:
    """The account that this call is booked to, once its execution has a name."""
    name = "" if call.account is None else call.account.name
    return name + (state.execution or "") if name.endswith("/") else name
