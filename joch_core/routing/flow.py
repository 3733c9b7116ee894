"""One model call, from the verdicts to the reply. Decides everything, does nothing: what it wants done, it yields."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from joch_core.capabilities import Target
from joch_core.errors import (
    Attempt,
    BudgetExceeded,
    ContextTooSmall,
    JochError,
    NoEligibleCandidate,
    PolicyDenied,
    ProviderError,
    RouteExhausted,
    StreamInterrupted,
)
from joch_core.messages import Json, Reply, message_to_json
from joch_core.resources.commits import Commit, Committed, Hold, Settle
from joch_core.resources.events import Draft
from joch_core.resources.model import Model
from joch_core.resources.route import ModelRoute
from joch_core.routing import facts
from joch_core.routing.candidates import Selection, Verdict, why_nobody
from joch_core.routing.faults import GoOver, Retry, Rules, Stop, SwitchReason, action
from joch_core.routing.steps import Answered, Flow, Prepared, Record, Restart, Send, Step, Wait

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
    """The account of a cap that holds over several calls, in integer micro-USD."""

    name: str
    cap: int | None


@dataclass(frozen=True, slots=True)
class Call:
    """Everything that is known before the first step.

    `before` are the drafts that this call adds in any case (new messages, a new execution); `turn` is the fence of the
    conversation (None: there is no conversation, and no message is kept). `previous` is the backend that the conversation
    is on. `prepare` makes the request ready for a backend; given a reason it builds the checkpoint of a switch. `clock`,
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
class _Progress:
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
class _Asked:
    """One candidate that is asked now."""

    verdict: Verdict
    model: Model
    target: Target
    prepared: Prepared
    hold: Hold | None


def model_call(call: Call) -> Flow:
    """Ask the candidates in order until one answers; every decision is recorded.

    Raises:
        NoEligibleCandidate, PolicyDenied, BudgetExceeded: nobody may be asked.
        RouteExhausted: everybody was asked, or passed over, and nobody answered.
        ProviderError: a fault that another candidate would not cure, or the fault of a route of one.
        StreamInterrupted: the stream broke after the caller had seen a part of it.
    """
    state = _Progress([*call.before, Draft("RouteDecided", call.decided)], call.turn, call.execution)
    state.drafts.extend(facts.refusals(call.selection))
    for verdict in call.selection.order:
        asked = _prepared(call, state, verdict)
        if asked is None:
            continue
        begins = (*_switch(call, state, asked), facts.started(verdict, asked.target, state.requests))
        committed = yield from _record(call, state, begins, asked.hold)
        if committed.refused is not None:
            _pass_over(state, verdict, "budget", "the running calls of this execution leave too little of its cap", "budget")
            state.over_budget = True
            continue
        reply = yield from _ask(call, state, asked)
        if reply is not None:
            return reply
    raise (yield from _give_up(call, state)) from None


def _prepared(call: Call, state: _Progress, verdict: Verdict) -> _Asked | None:
    """The request for this backend, or None where it cannot take it (and the route goes on)."""
    if verdict.model is None or verdict.target is None:
        return None
    try:
        prepared = call.prepare(verdict, _reason(call, state, verdict))
    except ContextTooSmall as error:
        if not call.rules.on_capability_mismatch:
            raise
        _pass_over(state, verdict, "context.window", error.message, "capability")
        return None
    if prepared.blocking:
        gap = prepared.blocking[0]
        if not call.rules.on_capability_mismatch:
            raise NoEligibleCandidate(f"{verdict.backend} cannot take this request: {gap.text}", attempts=state.attempts)
        _pass_over(state, verdict, gap.code, gap.text, "capability")
        return None
    return _Asked(verdict, verdict.model, verdict.target, prepared, _hold(call, state, verdict))


def _hold(call: Call, state: _Progress, verdict: Verdict) -> Hold | None:
    """What must be set aside before this backend is asked; None where no cap over several calls holds."""
    worst = verdict.bound.micro_usd if verdict.bound is not None else None
    if call.account is None or call.account.cap is None or worst is None:
        return None
    lease_until = call.clock().timestamp() + call.attempt_s + 60
    return Hold(f"{call.seed}/{state.requests}", call.account.name, worst, call.account.cap, lease_until)


def _reason(call: Call, state: _Progress, verdict: Verdict) -> SwitchReason | None:
    """Why this call leaves the backend that the conversation is on; None if it does not."""
    if state.left is not None:
        return state.reason
    if call.previous is None or call.previous == verdict.backend:
        return None
    left = call.selection.of(call.previous)
    if left is None:
        return "route_edit"
    # Where both may serve, a new execution goes back to the route's own order: the better one is healthy again.
    return left.trigger or "health"


def _switch(call: Call, state: _Progress, asked: _Asked) -> tuple[Draft, ...]:
    """The drafts of a switch to this backend, if it is one."""
    backend = asked.verdict.backend
    reason = _reason(call, state, asked.verdict)
    source = call.previous if state.left is None else state.left.backend
    if reason is None:
        first = call.selection.verdicts[0]
        if first.trigger is None or backend in (first.backend, call.previous):
            return ()
        # The primary was passed over without a call: that, too, is a switch that somebody may ask about.
        source, reason = first.backend, first.trigger
    prepared = asked.prepared
    applied = () if prepared.checkpoint is None else (facts.applied(prepared.checkpoint, backend),)
    switched = facts.switched(source, backend, reason, prepared.checkpoint, prepared.gaps)
    return (*prepared.drafts, switched, *applied)


def _ask(call: Call, state: _Progress, asked: _Asked) -> Generator[Step, Any, Reply | None]:
    """Send to one backend, again if that is worth it. Returns the reply, or None to go over to the next one."""
    requests = 0
    while True:
        requests += 1
        state.requests += 1
        begin_s = call.monotonic_s()
        attempt_s = min(call.attempt_s, call.deadline_s - begin_s)
        seed = f"{call.seed}/{state.requests}"
        try:
            answered = yield Send(asked.model, asked.target, asked.prepared, seed, attempt_s)
        except ProviderError as error:
            fault = error
        except StreamInterrupted as broken:
            if call.on_interrupt != "restart":
                raise (yield from _interrupted(call, state, asked, broken)) from None
            fault = ProviderError("stream_incomplete", broken.message, retryable=False)
            yield Restart()
        else:
            return (yield from _completed(call, state, asked, answered))
        now_s = call.monotonic_s()
        _failed(state, asked, fault, int((now_s - begin_s) * 1000))
        rules = replace(call.rules, remaining_s=call.deadline_s - now_s)
        follows = action(fault, rules, requests=requests, jitter=call.jitter()) if now_s < call.deadline_s else Stop()
        match follows:
            case Retry(wait_s=wait_s):
                yield Wait(wait_s)
                yield from _record(call, state, (facts.started(asked.verdict, asked.target, state.requests),))
            case GoOver(reason=reason):
                verdict = asked.verdict
                verdict.outcome, verdict.code, verdict.reason = "failed", fault.kind, fault.message
                state.left, state.reason, state.fault = verdict, reason, fault
                return None
            case Stop():
                raise (yield from _ended(call, state, fault)) from None


def _completed(call: Call, state: _Progress, asked: _Asked, answered: Answered) -> Generator[Step, Any, Reply]:
    verdict, reply = asked.verdict, answered.reply
    cost = asked.model.cost_micro_usd(reply.usage)
    state.cost_micro_usd += cost or 0
    verdict.outcome, verdict.code, verdict.reason = "chosen", "ok", "answered"
    state.drafts.append(
        facts.completed(
            verdict,
            asked.target,
            reply,
            route=call.route.metadata.name,
            cost=cost,
            latency_ms=answered.latency_ms,
            requests=state.requests,
        )
    )
    if call.turn is not None:
        payload: Json = {"message": message_to_json(reply.message), "backend": verdict.backend}
        state.drafts.append(Draft("MessageAdded", payload))
    if call.ends == "always" or (call.ends == "answered" and reply.finish not in ("tool_calls", "pause")):
        state.drafts.append(_execution_ended(call, state))
    if asked.hold is not None:
        state.settles.append(Settle(asked.hold.account, cost or 0, asked.hold.id))
    elif call.account is not None and cost:
        state.settles.append(Settle(call.account.name, cost))
    yield from _record(call, state)
    reply.backend = verdict.backend
    reply.execution = state.execution
    reply.checkpoint = asked.prepared.checkpoint
    reply.cost_usd = None if cost is None else Decimal(state.cost_micro_usd) / 1_000_000
    reply.attempts = (*state.attempts, Attempt(verdict.backend, "ok"))
    reply.losses = tuple({"code": gap.code, "text": gap.text} for gap in asked.prepared.gaps if gap.level != "ok")
    reply.switch_reason = _reason(call, state, verdict)
    if reply.switch_reason is not None:
        reply.switched_from = call.previous or (state.left.backend if state.left is not None else None)
    return reply


def _failed(state: _Progress, asked: _Asked, fault: ProviderError, latency_ms: int) -> None:
    """Count a failed request. It costs nothing if it was refused, the worst case where nobody knows if it was billed."""
    fault.backend = asked.verdict.backend
    attempt = fault.attempt()
    state.attempts.append(attempt)
    state.drafts.append(facts.failed(asked.verdict, asked.target, attempt, latency_ms))
    if asked.hold is not None:
        unknown = fault.sent and fault.status is None
        state.settles.append(Settle(asked.hold.account, asked.hold.amount if unknown else 0, asked.hold.id))


def _interrupted(call: Call, state: _Progress, asked: _Asked, broken: StreamInterrupted) -> Generator[Step, Any, JochError]:
    """The caller has seen a part of it: no other model may go on in its place."""
    payload: Json = {"backend": asked.verdict.backend, "reason": broken.message}
    if call.turn is not None:
        payload["text"] = broken.partial.text
    state.drafts.append(Draft("StreamInterrupted", payload))
    state.attempts.extend(broken.attempts)
    if asked.hold is not None:
        state.settles.append(Settle(asked.hold.account, asked.hold.amount, asked.hold.id))
    return (yield from _ended(call, state, broken))


def _pass_over(state: _Progress, verdict: Verdict, code: str, reason: str, trigger: SwitchReason) -> None:
    verdict.outcome, verdict.code, verdict.reason, verdict.trigger = "skipped", code, reason, trigger
    state.attempts.append(Attempt(verdict.backend, code, message=reason))
    state.drafts.append(Draft("CandidateSkipped", {"backend": verdict.backend, "code": code, "reason": reason}))
    state.left, state.reason = verdict, trigger


def _record(
    call: Call, state: _Progress, begins: tuple[Draft, ...] = (), hold: Hold | None = None
) -> Generator[Step, Any, Committed]:
    """Write what has come together since the last time; afterwards the fence and the execution's name are known.

    `begins` are the drafts of the request that goes out next; they are dropped with it if the store refuses its hold.
    """
    drafts = tuple(
        replace(
            draft,
            execution=state.execution,
            trace_id=call.trace_id,
            span_id=call.span_id,
            agent=call.agent,
            framework=call.framework,
        )
        for draft in (*state.drafts, *begins)
    )
    committed: Committed = yield Record(
        Commit(
            log=call.log + (state.execution or "") if call.log.endswith("/") else call.log,
            drafts=drafts,
            turn=state.turn,
            open_execution=None if state.opened else call.open_execution,
            holds=() if hold is None else (hold,),
            settles=tuple(state.settles),
        )
    )
    if committed.refused is None:
        state.opened = True
        state.execution = committed.execution or state.execution
        if state.turn is not None and committed.events:
            state.turn = committed.events[-1].sequence
        state.drafts, state.settles = [], []
    return committed


def _ended(call: Call, state: _Progress, error: JochError) -> Generator[Step, Any, JochError]:
    """Record the end of the call; the error comes back with what is known about it."""
    if call.ends != "never":
        state.drafts.append(_execution_ended(call, state, error.kind))
    yield from _record(call, state)
    error.execution = state.execution
    error.attempts = tuple(state.attempts)
    return error


def _execution_ended(call: Call, state: _Progress, error: str | None = None) -> Draft:
    before = call.so_far
    return facts.execution_ended(
        cost=before.cost + state.cost_micro_usd,
        model_calls=before.model_calls + state.requests,
        tool_calls=before.tool_calls,
        error=error,
    )


def _give_up(call: Call, state: _Progress) -> Generator[Step, Any, JochError]:
    """Nobody answered: say why, in the class that says whose decision it was."""
    verdicts = call.selection.verdicts
    name = call.route.metadata.name
    error: JochError
    if state.fault is not None and len(verdicts) == 1:
        error = state.fault
    elif state.fault is not None:
        tried = "; ".join(map(str, state.attempts))
        error = RouteExhausted(f"route {name!r} is exhausted ({tried}); joch route EXECUTION --explain says more")
    else:
        error = _refused(call, state)
    return (yield from _ended(call, state, error))


def _refused(call: Call, state: _Progress) -> JochError:
    verdicts = call.selection.verdicts
    name, why = call.route.metadata.name, why_nobody(verdicts)
    triggers = {verdict.trigger for verdict in verdicts}
    if state.over_budget or triggers == {"budget"}:
        return BudgetExceeded(f"route {name!r}: no candidate fits its cost caps ({why}); raise the cap or lower max_tokens")
    if triggers == {"policy"}:
        return PolicyDenied(f"route {name!r}: policy denies every candidate ({why})")
    hint = ""
    if "region" in triggers:
        residency = call.route.spec.constraints.data_residency
        hint = f"; apply a Model whose routing.regions includes {residency} and name it in the route"
    return NoEligibleCandidate(f"route {name!r} has no eligible candidate ({why}){hint}")
