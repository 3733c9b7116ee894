"""Which backends may serve a call, in which order, and why the others may not. One pure function.

The live call, the dry run and `--explain` show this same object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from joch_core.capabilities import Capability, Target
from joch_core.messages import Json
from joch_core.resources.model import Model
from joch_core.resources.route import ModelRoute
from joch_core.routing.budget import Bound, TooDear, bound
from joch_core.routing.faults import SwitchReason
from joch_core.routing.health import Breaker
from joch_core.routing.judge import Allow, Denied, Judge

Outcome = Literal["eligible", "skipped", "denied", "chosen", "failed", "not_tried"]


@dataclass(frozen=True, slots=True)
class Demand:
    """What one request needs.

    `removable` names demands (server tools) without which the conversation can go on, with the loss named: a backend
    that lacks only these is a last resort. Tokens are upper estimates.
    """

    capabilities: frozenset[Capability] = frozenset()
    removable: frozenset[Capability] = frozenset()
    input_tokens: int = 0
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known at call time beyond the route: models, health, money, and where the conversation is."""

    models: Mapping[str, Model]
    problems: Mapping[str, str] = field(default_factory=dict)
    breakers: Mapping[str, Breaker] = field(default_factory=dict)
    now_s: float = 0.0
    spent_micro_usd: int = 0
    #: The backend that must be asked first: an operator's choice, or where this execution has switched to.
    first: str | None = None


@dataclass(slots=True)
class Verdict:
    """What became of one candidate, and why. `index` is its place in the route (0 = primary)."""

    backend: str
    index: int
    outcome: Outcome
    code: str
    reason: str
    trigger: SwitchReason | None = None
    model: Model | None = None
    target: Target | None = None
    bound: Bound | None = None
    last_resort: bool = False

    def as_json(self) -> Json:
        """As in the event `RouteDecided` and in `--explain`."""
        out: Json = {"backend": self.backend, "verdict": self.outcome, "code": self.code, "reason": self.reason}
        if self.bound is not None and self.bound.micro_usd is not None:
            out["worstCaseUsd"] = f"{self.bound.micro_usd / 1_000_000:.6f}"
        return out


@dataclass(frozen=True, slots=True)
class Selection:
    """Every candidate with its verdict (in the route's order), and those to ask, in the order of asking."""

    verdicts: tuple[Verdict, ...]
    order: tuple[Verdict, ...]

    def of(self, backend: str) -> Verdict | None:
        """The verdict on this backend."""
        return next((verdict for verdict in self.verdicts if verdict.backend == backend), None)


def select(route: ModelRoute, demand: Demand, situation: Situation, judge: Judge) -> Selection:
    """Judge every candidate of the route against this request and situation."""
    verdicts: list[Verdict] = []
    blocked: Verdict | None = None
    needs = _Needs.of(route, situation)
    for index, backend in enumerate(route.candidates):
        if blocked is not None:
            reason = f"failover for this reason is off, and {blocked.backend} stands before it"
            verdicts.append(Verdict(backend, index, "not_tried", "failover.off", reason, blocked.trigger))
            continue
        verdict = _verdict(needs, demand, situation, judge, backend, index)
        verdicts.append(verdict)
        if verdict.trigger is not None and not _may_go_over(route, verdict.trigger):
            blocked = verdict
    eligible = [verdict for verdict in verdicts if verdict.outcome == "eligible"]
    if not eligible:
        eligible = _nearest_to_closing(needs, demand, situation, verdicts)
    eligible.sort(key=lambda verdict: (verdict.last_resort, verdict.backend != situation.first, verdict.index))
    return Selection(tuple(verdicts), tuple(eligible))


@dataclass(frozen=True, slots=True)
class _Needs:
    """What the route asks of every candidate, read once."""

    capabilities: frozenset[Capability]
    window: int | None
    output: int | None
    residency: str | None
    caps: tuple[tuple[str, int], ...]
    on_health_degraded: bool

    @classmethod
    def of(cls, route: ModelRoute, situation: Situation) -> _Needs:
        """The needs of this route."""
        wanted, constraints = route.spec.requirements, route.spec.constraints
        return cls(
            frozenset(wanted.demanded),
            wanted.context_window_min,
            wanted.max_output_min,
            constraints.data_residency,
            caps(route, situation.spent_micro_usd),
            route.spec.strategy.failover.on_health_degraded,
        )

    def missing(self, target: Target) -> str:
        """What of it this target does not have, in words; "" if nothing."""
        missing: list[str] = [*sorted(self.capabilities - target.capabilities)]
        if self.window is not None:
            if target.input_window is None:
                missing.append(f"an input window of {self.window:,} tokens (its own is not known)")
            elif target.input_window < self.window:
                missing.append(f"an input window of {self.window:,} tokens (it has {target.input_window:,})")
        if self.output is not None and (target.max_output is None or target.max_output < self.output):
            missing.append(f"answers of {self.output:,} tokens")
        return ", ".join(missing)


def _nearest_to_closing(needs: _Needs, demand: Demand, situation: Situation, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Where nothing but open circuits is left: asking the one that closes first is better than asking nobody."""
    shut = [verdict for verdict in verdicts if verdict.code == "health"]
    shut.sort(key=lambda verdict: situation.breakers[verdict.target.origin].open_until_s if verdict.target else 0.0)
    for verdict in shut:
        if verdict.model is None or verdict.target is None:
            continue
        fits = _price(needs, demand, verdict.model, verdict.target)
        if isinstance(fits, TooDear):
            verdict.outcome, verdict.code, verdict.reason, verdict.trigger = "denied", fits.code, fits.reason, "budget"
            continue
        verdict.outcome, verdict.code, verdict.bound, verdict.trigger = "eligible", "ok", fits, None
        verdict.reason = "it failed lately, as every other candidate; it is the first that may be asked again"
        return [verdict]
    return []


def _may_go_over(route: ModelRoute, trigger: SwitchReason) -> bool:
    """Does the route go on to the next candidate for this reason? Policy has no flag: a denial is never the end."""
    failover = route.spec.strategy.failover
    match trigger:
        case "budget":
            return failover.on_budget_exceeded
        case "capability":
            return failover.on_capability_mismatch
        case "region":
            return failover.on_region_mismatch
        case "health":
            return failover.on_health_degraded
        case "outage" | "rate_limit":
            return failover.on_error
        case _:
            return True


def _verdict(needs: _Needs, demand: Demand, situation: Situation, judge: Judge, backend: str, index: int) -> Verdict:
    model = situation.models.get(backend)
    if model is None:
        return Verdict(
            backend, index, "skipped", "model.unknown", situation.problems.get(backend, "no such model"), "outage"
        )
    target = model.target(backend)

    def out(outcome: Outcome, code: str, reason: str, trigger: SwitchReason | None = None) -> Verdict:
        return Verdict(backend, index, outcome, code, reason, trigger, model, target)

    if problem := situation.problems.get(backend):
        return out("skipped", "credentials", problem, "outage")
    if missing := needs.missing(target):
        return out("skipped", "capability", f"the route requires {missing}", "capability")
    residency = needs.residency
    if residency and residency.lower() not in {region.lower() for region in target.regions}:
        where = ", ".join(target.regions) or "not known; set routing.regions in its Model"
        return out("skipped", "region", f"data must stay in {residency}, and its region is {where}", "region")
    if not demand.capabilities <= target.capabilities:
        lacking = ", ".join(sorted(demand.capabilities - target.capabilities))
        return out("skipped", "capability", f"the request needs {lacking}", "capability")
    if target.input_window is not None and demand.input_tokens > target.input_window:
        reason = f"about {demand.input_tokens:,} tokens do not fit its input window of {target.input_window:,}"
        return out("skipped", "context.window", reason, "capability")
    match judge(target, model):
        case Denied(reason=reason, rule=rule):
            return out("denied", f"policy:{rule}", reason, "policy")
        case Allow():
            pass
    breaker = situation.breakers.get(target.origin)
    if breaker is not None and needs.on_health_degraded and breaker.is_open(situation.now_s):
        left_s = breaker.open_until_s - situation.now_s
        return out("skipped", "health", f"it failed lately; it is asked again in {left_s:.0f} s", "health")
    fits = _price(needs, demand, model, target)
    if isinstance(fits, TooDear):
        return out("denied", fits.code, fits.reason, "budget")
    verdict = out("eligible", "ok", "meets every requirement")
    verdict.bound = fits
    gone = sorted(demand.removable - target.capabilities)
    if gone:
        verdict.last_resort = True
        verdict.reason = f"serves without {', '.join(gone)}, if no other candidate can"
    return verdict


def requirements_missing(route: ModelRoute, target: Target) -> str:
    """What of the route's requirements this target does not have, in words; "" if nothing."""
    return _Needs.of(route, Situation({})).missing(target)


def caps(route: ModelRoute, spent_micro_usd: int) -> tuple[tuple[str, int], ...]:
    """What each cost cap of the route leaves, in micro-USD."""
    constraints = route.spec.constraints
    out = []
    if constraints.max_cost_usd_per_call is not None:
        out.append(("maxCostUsdPerCall", round(constraints.max_cost_usd_per_call * 1_000_000)))
    if constraints.max_cost_usd_per_execution is not None:
        out.append(("maxCostUsdPerExecution", round(constraints.max_cost_usd_per_execution * 1_000_000) - spent_micro_usd))
    return tuple(out)


def _price(needs: _Needs, demand: Demand, model: Model, target: Target) -> Bound | TooDear:
    return bound(
        model.worst_case_micro_usd,
        input_tokens=demand.input_tokens,
        max_tokens=demand.max_tokens,
        max_output=target.max_output,
        caps=needs.caps,
    )


def why_nobody(verdicts: Sequence[Verdict]) -> str:
    """One readable clause per candidate."""
    return "; ".join(f"{verdict.backend}: {verdict.reason}" for verdict in verdicts) or "the route names no candidate"
