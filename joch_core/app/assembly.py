"""Everything that is known before the first step of a call, put together: route, models, history, money, policies."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from joch_core.app.conversation import Conversation
from joch_core.app.intake import Intake, take_in
from joch_core.app.ports import DEFAULT_TOTAL_S, OPEN_S, CallPorts
from joch_core.app.request import demanded
from joch_core.app.stretch import prepare_in_conversation
from joch_core.capabilities import Target
from joch_core.errors import ConversationConflict, InvalidArgument, JochError
from joch_core.messages import Json, ModelRequest
from joch_core.migration.history import History, Switch
from joch_core.projection import project
from joch_core.projection.tokens import estimate_tokens
from joch_core.resources.events import Draft
from joch_core.resources.model import Model
from joch_core.resources.policy import Policy
from joch_core.resources.route import ModelRoute
from joch_core.resources.secret import Secret
from joch_core.routing.candidates import Demand, Situation, Verdict, select
from joch_core.routing.faults import Rules, SwitchReason
from joch_core.routing.flow import Account, Call, Ends, Totals, model_call
from joch_core.routing.judge import Judge, Judgement, allow_all, judge, model_facts
from joch_core.routing.steps import Flow, Prepared
from joch_core.stores.owners import is_dead, owner_id

if TYPE_CHECKING:
    from joch_core.app.joch import Joch


@dataclass(frozen=True, slots=True)
class Assembly:
    """A flow and the ports that its driver needs."""

    flow: Flow
    ports: CallPorts


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, within what: the parts of a call that are not its content. Times are seconds."""

    conversation: Conversation | None = None
    execution: str | None = None
    timeout_s: float | None = None
    framework: str | None = None
    agent: str | None = None
    streaming: bool = False
    on_interrupt: str = "error"


def assemble(joch: Joch, route: ModelRoute, request: ModelRequest, caller: Caller) -> Assembly:
    """Read the situation once and make the flow.

    Raises:
        InvalidArgument: nothing is asked, or a name is wrong.
    """
    if caller.on_interrupt not in ("error", "restart"):
        raise InvalidArgument(f"on_interrupt is {caller.on_interrupt!r}; it must be error or restart")
    timeout_s = caller.timeout_s
    if timeout_s is not None and (isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or timeout_s <= 0):
        raise InvalidArgument(f"timeout_s is {timeout_s!r}; it must be a number of seconds above 0")
    now = datetime.now(UTC)
    # A graph keeps its own state and passes all of it: a node that asks about something else must see that alone.
    whole = caller.framework == "langgraph"
    intake = None if caller.conversation is None else take_in(caller.conversation.history(), request, whole=whole)
    if intake is None and not request.messages and not (request.native and request.native.data.get("prompt")):
        raise InvalidArgument("there is nothing to ask: pass at least one message, or name a conversation")
    if intake is not None and not intake.messages:
        raise InvalidArgument(f"conversation {intake.history.name!r} is empty, and no message was passed")
    if intake is not None:
        _alone(joch, intake.history)
    route, pinned = (route, None) if intake is None else _with_choice(route, intake.history)
    execution, opens, ends = _execution(caller, intake, now)
    account = None if execution is None else f"execution/{execution}"
    spent = _spent(joch, route, account)
    situation = _situation(joch, route, intake, execution, spent)
    demand = _demand(route, request, intake, streaming=caller.streaming)
    selection = select(route, demand, situation, _judge(joch, caller.agent, spent))
    timeouts = route.spec.timeouts
    total_s = caller.timeout_s or timeouts.total_seconds or DEFAULT_TOTAL_S
    attempt_s = min(total_s, timeouts.attempt_seconds or DEFAULT_TOTAL_S)
    span = uuid.uuid4().hex[:16]
    call = Call(
        route=route,
        selection=selection,
        rules=_rules(route),
        log="execution/" if caller.conversation is None else caller.conversation.log,
        before=_before(intake, route, opens),
        decided=_decided(joch, route, selection.verdicts, demand, pinned),
        prepare=_preparer(joch, route, request, intake),
        seed=uuid.uuid4().hex[:16],
        clock=lambda: datetime.now(UTC),
        monotonic_s=time.monotonic,
        jitter=random.random,
        deadline_s=time.monotonic() + total_s,
        attempt_s=attempt_s,
        turn=None if intake is None else intake.history.turn,
        previous=None if intake is None else intake.history.backend,
        execution=execution,
        open_execution=opens,
        ends=ends,
        so_far=Totals() if intake is None or execution is None else _so_far(intake.history),
        on_interrupt=caller.on_interrupt,
        # What a bare call opens nobody can join: its cap is the bound of the call itself.
        account=None if ends == "always" else _account(route, account or "execution/"),
        span_id=span,
        owner="" if intake is None else owner_id(),
        # Nobody can join a bare call, and no cap counts it: one write at its end says all of it.
        lazy=ends == "always",
        framework=caller.framework,
        agent=caller.agent,
    )
    ports = CallPorts(
        joch.store, joch.namespace, joch.pool, joch.health, route, _secret_variable(joch), joch.keep_raw, span, joch.running
    )
    return Assembly(model_call(call), ports)


def _alone(joch: Joch, history: History) -> None:
    """One writer at a time: a call that is on its way keeps others out, before they send or write anything.

    Raises:
        ConversationConflict: another call of this conversation is running.
    """
    now = time.time()
    for span, (owner, lease_until) in history.running.items():
        mine = owner == owner_id()
        if span in joch.running if mine else not is_dead(owner, lease_until, now):
            raise ConversationConflict(
                f"another call of conversation {history.name!r} is on its way; wait for its end, and repeat this one"
            )


def _spent(joch: Joch, route: ModelRoute, account: str | None) -> int:
    """What the execution has spent and set aside, in micro-USD; 0 where neither a cap nor a policy asks."""
    asked = route.spec.constraints.max_cost_usd_per_execution is not None or bool(joch.catalog.all(Policy))
    return 0 if account is None or not asked else sum(joch.store.spent(joch.namespace, account))


def standing(joch: Joch, route: ModelRoute) -> Sequence[Verdict]:
    """What the route says to a request that demands nothing: who is eligible at all, now."""
    situation = _situation(joch, route, None, None, 0)
    return select(route, Demand(), situation, _judge(joch, None, 0)).verdicts


def _execution(caller: Caller, intake: Intake | None, now: datetime) -> tuple[str | None, str | None, Ends]:
    """(the execution that the call belongs to, the day of one that it opens, when the call ends it)."""
    day = now.strftime("%Y%m%d")
    if caller.execution is not None:
        return caller.execution, None, "never"
    if intake is None:
        return None, day, "always"
    running = intake.history.execution
    if running is None or intake.new_turn:
        return None, day, "answered"
    return running, None, "answered"


def _so_far(history: History) -> Totals:
    return Totals(history.execution_cost, history.execution_requests, history.execution_tools)


def _before(intake: Intake | None, route: ModelRoute, opens: str | None) -> tuple[Draft, ...]:
    created = (Draft("ExecutionCreated", {"route": route.name}), Draft("ExecutionStarted")) if opens is not None else ()
    return (*created, *(() if intake is None else intake.drafts))


def _situation(
    joch: Joch, route: ModelRoute, intake: Intake | None, execution: str | None, spent_micro_usd: int
) -> Situation:
    models: dict[str, Model] = {}
    problems: dict[str, str] = {}
    for backend in route.candidates:
        try:
            models[backend] = joch.catalog.model(backend)
        except JochError as error:
            problems[backend] = error.message
    origins = {backend: model.target(backend).origin for backend, model in models.items()}
    breakers = joch.health.snapshot(origins.values())
    now_s = time.monotonic()
    quiet_s = route.spec.health.open_seconds or OPEN_S
    ill = {backend for backend, origin in origins.items() if not breakers[origin].is_well(now_s, quiet_s)}
    return Situation(
        models=models,
        problems=problems,
        breakers=breakers,
        now_s=now_s,
        spent_micro_usd=spent_micro_usd,
        first=None if intake is None else _stays_on(route, intake, execution, ill),
    )


def _with_choice(route: ModelRoute, history: History) -> tuple[ModelRoute, str | None]:
    """(the route with the operator's choice as a candidate of it, that choice where the route itself does not name it).

    The choice holds until the next one, or until the route's own candidates are others than they were.
    """
    switch = history.switch
    if switch is None or switch.reason != "operator" or switch.to in route.candidates or _edited(route, switch):
        return route, None
    strategy = route.spec.strategy
    chosen = strategy.model_copy(update={"primary": switch.to, "fallback": route.candidates})
    return route.model_copy(update={"spec": route.spec.model_copy(update={"strategy": chosen})}), switch.to


def _edited(route: ModelRoute, switch: Switch) -> bool:
    return bool(switch.candidates) and set(switch.candidates) - {switch.to} != set(route.candidates) - {switch.to}


def _stays_on(route: ModelRoute, intake: Intake, execution: str | None, ill: Collection[str]) -> str | None:
    """The backend that is asked first, against the route's own order.

    An operator's choice holds until the next one or a route edit. After a failover the conversation stays while its
    execution runs, and as long as every better candidate has failed lately (`failback: next_execution`), for good
    (`never`), or not at all (`immediate`).
    """
    switch = intake.history.switch
    if switch is None or switch.to not in route.candidates:
        return None
    if switch.reason == "operator":
        return None if _edited(route, switch) else switch.to
    match route.spec.strategy.failback:
        case "never":
            return switch.to
        case "immediate":
            return None
        case "next_execution":
            better = route.candidates[: route.candidates.index(switch.to)]
            running = execution is not None and switch.execution == execution
            return switch.to if running or all(backend in ill for backend in better) else None


def _demand(route: ModelRoute, request: ModelRequest, intake: Intake | None, *, streaming: bool) -> Demand:
    whole = request if intake is None else replace(request, messages=intake.messages)
    needs, removable = demanded(whole, streaming=streaming)
    tokens = estimate_tokens(whole)
    if intake is not None:
        # A conversation that is longer than a target's window goes over as checkpoint and recent window.
        migration = route.spec.migration
        tokens = min(
            tokens, migration.recent_window_tokens + migration.memory_tokens + estimate_tokens(replace(request, messages=()))
        )
    return Demand(needs, removable, tokens, request.max_tokens)


def _judge(joch: Joch, agent: str | None, spent_micro_usd: int) -> Judge:
    labels = {"name": agent} if agent else {}
    policies = [policy for policy in joch.catalog.all(Policy) if policy.applies_to(labels)]
    if not policies:
        return allow_all

    def judged(target: Target, _model: Model) -> Judgement:
        return judge(
            policies, {**model_facts(target), "cost.runUsd": spent_micro_usd / 1_000_000, "agent.name": agent or ""}
        )

    return judged


def _rules(route: ModelRoute) -> Rules:
    failover = route.spec.strategy.failover
    return Rules(
        on_error=failover.on_error,
        on_capability_mismatch=failover.on_capability_mismatch,
        on_auth_error=failover.on_auth_error,
        max_retry_after_s=route.spec.strategy.max_retry_after_seconds,
    )


def _account(route: ModelRoute, name: str) -> Account:
    cap = route.spec.constraints.max_cost_usd_per_execution
    return Account(name, None if cap is None else round(cap * 1_000_000))


def _decided(joch: Joch, route: ModelRoute, verdicts: Sequence[Verdict], demand: Demand, pinned: str | None) -> Json:
    return {
        **({} if pinned is None else {"pinned": pinned}),
        "route": route.name,
        "candidates": [verdict.as_json() for verdict in verdicts],
        "demand": sorted(demand.capabilities | demand.removable),
        "estimateTokens": demand.input_tokens,
        "catalogHash": joch.catalog.hash[:16],
    }


def _preparer(
    joch: Joch, route: ModelRoute, request: ModelRequest, intake: Intake | None
) -> Callable[[Verdict, SwitchReason | None], Prepared]:
    def prepare(verdict: Verdict, reason: SwitchReason | None) -> Prepared:
        assert verdict.target is not None  # only eligible verdicts are prepared
        limit = verdict.bound.max_tokens if verdict.bound is not None else None
        wanted = request if limit is None else replace(request, max_tokens=limit)
        if intake is None:
            projected = project(wanted, verdict.target)
            return Prepared(
                projected.request, projected.gaps, projected.blocking, projected.tool_names, projected.argument_names
            )
        source = target_of(joch, intake.history.backend)
        return prepare_in_conversation(
            intake, wanted, verdict.target, source, route.spec.migration, switching=reason is not None
        )

    return prepare


def target_of(joch: Joch, backend: str | None) -> Target | None:
    """The backend that a conversation is on, if it is still known."""
    try:
        return None if backend is None else joch.catalog.model(backend).target(backend)
    except JochError:
        return None


def _secret_variable(joch: Joch) -> Callable[[str], str | None]:
    def variable(name: str) -> str | None:
        secret: Any = joch.catalog.find(Secret, name)
        return None if secret is None else str(secret.spec.source.name)

    return variable
