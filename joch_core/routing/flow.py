"""One model call, from the verdicts to the reply. Decides everything, does nothing: what it wants done, it yields."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from decimal import Decimal
from typing import Any

from joch_core.errors import (
    Attempt,
    BudgetExceeded,
    ContextTooSmall,
    ConversationConflict,
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
from joch_core.routing import facts
from joch_core.routing.call import Account, Asked, Call, Ends, Progress, Totals, account_name, hold_for, worst_case
from joch_core.routing.candidates import Verdict, why_nobody
from joch_core.routing.faults import GoOver, Retry, Stop, SwitchReason, action
from joch_core.routing.steps import Abandoned, Answered, Flow, Record, Restart, Send, Step, Wait

__all__ = ["Account", "Call", "Ends", "Totals", "model_call"]

#: Below it a provider has begun to answer, and may bill.
_FIRST_ERROR_STATUS = 400


def model_call(call: Call) -> Flow:
    """Ask the candidates in order until one answers; every decision is recorded.

    Raises:
        NoEligibleCandidate, PolicyDenied, BudgetExceeded: nobody may be asked.
        RouteExhausted: everybody was asked, or passed over, and nobody answered.
        ProviderError: a fault that another candidate would not cure, or the fault of a route of one.
        StreamInterrupted: the stream broke after the caller had seen a part of it.
    """
    state = Progress([*call.before, Draft("RouteDecided", call.decided)], call.turn, call.execution)
    state.drafts.extend(facts.refusals(call.selection))
    for verdict in call.selection.order:
        asked = _prepared(call, state, verdict)
        if asked is None:
            continue
        if not state.opened and call.open_execution is not None and worst_case(call, asked) is not None:
            yield from _record(call, state)  # what is held is held in the name of the execution
        reply = yield from _ask(call, state, asked)
        if reply is not None:
            return reply
    raise (yield from _give_up(call, state)) from None


def _prepared(call: Call, state: Progress, verdict: Verdict) -> Asked | None:
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
    return Asked(verdict, verdict.model, verdict.target, prepared)


def _reason(call: Call, state: Progress, verdict: Verdict) -> SwitchReason | None:
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


def _switch(call: Call, state: Progress, asked: Asked) -> tuple[Draft, ...]:
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


def _ask(call: Call, state: Progress, asked: Asked) -> Generator[Step, Any, Reply | None]:
    """Send to one backend, again if that is worth it. Returns the reply, or None to go over to the next one."""
    begins: tuple[Draft, ...] = _switch(call, state, asked)
    requests = 0
    while True:
        hold = hold_for(call, state, asked)
        committed = yield from _begin(call, state, (*begins, _started(call, state, asked)), hold)
        if committed.refused is not None:
            reason = "what is spent and what running calls may cost leave too little of maxCostUsdPerExecution"
            _pass_over(state, asked.verdict, "budget", reason, "budget")
            state.over_budget = True
            return None
        begins = ()
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
                raise (yield from _interrupted(call, state, asked, hold, broken)) from None
            fault = ProviderError("stream_incomplete", broken.message, retryable=False)
            yield Restart()
        except Abandoned:
            yield from _abandoned(call, state, asked, hold)
            raise
        else:
            return (yield from _completed(call, state, asked, hold, answered))
        now_s = call.monotonic_s()
        _failed(state, asked, hold, fault, int((now_s - begin_s) * 1000))
        rules = replace(call.rules, remaining_s=call.deadline_s - now_s)
        match action(fault, rules, requests=requests, jitter=call.jitter()):
            case Retry(wait_s=wait_s):
                yield Wait(wait_s)
            case GoOver(reason=reason):
                verdict = asked.verdict
                verdict.outcome, verdict.code, verdict.reason = "failed", fault.kind, fault.message
                state.left, state.reason, state.fault = verdict, reason, fault
                return None
            case Stop():
                raise (yield from _ended(call, state, fault)) from None


def _started(call: Call, state: Progress, asked: Asked) -> Draft:
    owner = call.owner if call.turn is not None else ""
    lease_until = call.clock().timestamp() + call.attempt_s
    return facts.started(asked.verdict, asked.target, state.requests, owner=owner, lease_until=lease_until)


def _begin(call: Call, state: Progress, begins: tuple[Draft, ...], hold: Hold | None) -> Generator[Step, Any, Committed]:
    """Say that a request goes out, before it does; a call that nobody waits for says it afterwards."""
    if call.lazy and hold is None:
        state.drafts.extend(begins)
        return Committed()
    return (yield from _record(call, state, begins, hold))


def _completed(
    call: Call, state: Progress, asked: Asked, hold: Hold | None, answered: Answered
) -> Generator[Step, Any, Reply]:
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
    if hold is not None:
        # An answer without usage may have cost anything up to what was set aside.
        state.settles.append(Settle(hold.account, hold.amount if cost is None else cost, hold.id))
    elif call.account is not None and cost:
        state.settles.append(Settle(account_name(call, state), cost))
    try:
        yield from _record(call, state)
    except ConversationConflict as lost:
        raise (yield from _lost(call, state, verdict, lost)) from None
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


def _failed(state: Progress, asked: Asked, hold: Hold | None, fault: ProviderError, latency_ms: int) -> None:
    """Count a failed request. It costs nothing if it was refused, the worst case where nobody knows if it was billed."""
    fault.backend = asked.verdict.backend
    attempt = fault.attempt()
    state.attempts.append(attempt)
    state.drafts.append(facts.failed(asked.verdict, asked.target, attempt, latency_ms))
    if hold is not None:
        unknown = fault.sent and (fault.status is None or fault.status < _FIRST_ERROR_STATUS)
        state.settles.append(Settle(hold.account, hold.amount if unknown else 0, hold.id))


def _interrupted(
    call: Call, state: Progress, asked: Asked, hold: Hold | None, broken: StreamInterrupted
) -> Generator[Step, Any, JochError]:
    """The caller has seen a part of it: no other model may go on in its place."""
    payload: Json = {"backend": asked.verdict.backend, "reason": broken.message}
    if call.turn is not None:
        payload["text"] = broken.partial.text
    state.drafts.append(Draft("StreamInterrupted", payload))
    state.attempts.extend(broken.attempts)
    if hold is not None:
        state.settles.append(Settle(hold.account, hold.amount, hold.id))
    return (yield from _ended(call, state, broken))


def _abandoned(call: Call, state: Progress, asked: Asked, hold: Hold | None) -> Generator[Step, Any, None]:
    """The caller has left while the provider was at work: what it cost nobody knows."""
    state.drafts.append(facts.left(asked.verdict.backend))
    if hold is not None:
        state.settles.append(Settle(hold.account, hold.amount, hold.id))
    if call.ends != "never":
        state.drafts.append(_execution_ended(call, state, "cancelled"))
    yield from _record(call, state)


def _lost(call: Call, state: Progress, verdict: Verdict, lost: ConversationConflict) -> Generator[Step, Any, JochError]:
    """Another writer moved the conversation while this answer was on its way: it is not kept, but it was paid for."""
    state.turn = None
    ends = ("MessageAdded", "ExecutionSucceeded")
    state.drafts = [draft for draft in state.drafts if draft.type not in ends]
    state.attempts.append(Attempt(verdict.backend, "ok"))
    return (yield from _ended(call, state, lost))


def _pass_over(state: Progress, verdict: Verdict, code: str, reason: str, trigger: SwitchReason) -> None:
    verdict.outcome, verdict.code, verdict.reason, verdict.trigger = "skipped", code, reason, trigger
    state.attempts.append(Attempt(verdict.backend, code, message=reason))
    state.drafts.append(Draft("CandidateSkipped", {"backend": verdict.backend, "code": code, "reason": reason}))
    state.left, state.reason = verdict, trigger


def _record(
    call: Call, state: Progress, begins: tuple[Draft, ...] = (), hold: Hold | None = None
) -> Generator[Step, Any, Committed]:
    """Write what has come together since the last time; afterwards the fence and the execution's name are known.

    `begins` are the drafts of the request that goes out next; they are dropped with it if the store refuses its hold.
    """
    committed: Committed = yield Record(
        Commit(
            log=call.log + (state.execution or "") if call.log.endswith("/") else call.log,
            drafts=(*state.drafts, *begins),
            envelope=Draft("", {}, state.execution, call.trace_id, call.span_id, call.agent, call.framework),
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


def _ended(call: Call, state: Progress, error: JochError) -> Generator[Step, Any, JochError]:
    """Record the end of the call; the error comes back with what is known about it."""
    if call.ends != "never":
        state.drafts.append(_execution_ended(call, state, error.kind))
    yield from _record(call, state)
    error.execution = state.execution
    error.attempts = tuple(state.attempts)
    if isinstance(error, RouteExhausted) and state.execution is not None:
        error.args = (f"{error.message}; joch route {state.execution} --explain says more",)
    return error


def _execution_ended(call: Call, state: Progress, error: str | None = None) -> Draft:
    before = call.so_far
    return facts.execution_ended(
        cost=before.cost + state.cost_micro_usd,
        model_calls=before.model_calls + state.requests,
        tool_calls=before.tool_calls,
        error=error,
    )


def _give_up(call: Call, state: Progress) -> Generator[Step, Any, JochError]:
    """Nobody answered: say why, in the class that says whose decision it was."""
    verdicts = call.selection.verdicts
    name = call.route.metadata.name
    error: JochError
    if state.fault is not None and len(verdicts) == 1:
        error = state.fault
    elif state.fault is not None:
        tried = "; ".join(map(str, state.attempts))
        error = RouteExhausted(f"route {name!r} is exhausted ({tried})")
    else:
        error = _refused(call, state)
    return (yield from _ended(call, state, error))


def _refused(call: Call, state: Progress) -> JochError:
    verdicts = call.selection.verdicts
    name, why = call.route.metadata.name, why_nobody(verdicts)
    triggers = {verdict.trigger for verdict in verdicts}
    if state.over_budget or "budget" in triggers:
        return BudgetExceeded(f"route {name!r}: no candidate fits its cost caps ({why}); raise the cap or lower max_tokens")
    if triggers == {"policy"}:
        return PolicyDenied(f"route {name!r}: policy denies every candidate ({why})")
    hint = ""
    if "region" in triggers:
        residency = call.route.spec.constraints.data_residency
        hint = f"; apply a Model whose routing.regions includes {residency} and name it in the route"
    return NoEligibleCandidate(f"route {name!r} has no eligible candidate ({why}){hint}")
