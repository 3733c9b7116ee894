"""ModelRoute: which backends may answer, in which order and within which bounds. It decides nothing; routing reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from joch_core.capabilities import CAPABILITIES, Capability
from joch_core.errors import InvalidArgument
from joch_core.resources.backends import split_backend
from joch_core.resources.base import Flag, Metadata, Positive, Resource, Seconds, Share, Spec, Usd, fault
from joch_core.resources.model import Capabilities, Health, Timeouts

Failback = Literal["next_execution", "never", "immediate"]


def _backend(value: str) -> str:
    try:
        split_backend(value)
    except InvalidArgument as error:
        raise fault(error.message) from None
    return value


class Requirements(Capabilities):
    """What a candidate must be able to do."""

    context_window_min: Positive | None = None
    """Tokens that it must accept as input."""
    max_output_min: Positive | None = None
    """Tokens that it must be able to answer."""

    @property
    def demanded(self) -> tuple[Capability, ...]:
        """The capabilities that are asked for."""
        return tuple(
            capability
            for field, capability in zip(Capabilities.model_fields, CAPABILITIES, strict=True)
            if getattr(self, field)
        )


class Failover(Spec):
    """What makes a call go to the next candidate."""

    on_error: Flag = True
    """The provider failed."""
    on_budget_exceeded: Flag = True
    """The candidate would go over a cap."""
    on_capability_mismatch: Flag = True
    """The candidate cannot do what the request demands."""
    on_region_mismatch: Flag = True
    """The candidate is outside the residency."""
    on_health_degraded: Flag = True
    """The candidate's circuit is open."""
    on_auth_error: Flag = False
    """The key was refused (401, 403)."""


class Strategy(Spec):
    """The candidates in their order."""

    primary: str
    """The backend that is preferred, `provider:name`."""
    fallback: tuple[str, ...] = ()
    """The others, best first."""
    failover: Failover = Field(default_factory=Failover)
    """What makes a call go on to the next."""
    failback: Failback = "next_execution"
    """When a conversation returns to the primary after a failover."""
    max_retry_after_seconds: Seconds = 5.0
    """A 429 is waited for if it asks for no more than this."""

    @field_validator("primary")
    @classmethod
    def _primary_is_a_backend(cls, value: str) -> str:
        return _backend(value)

    @field_validator("fallback", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("fallback")
    @classmethod
    def _fallbacks_are_backends(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_backend, value))

    @model_validator(mode="after")
    def _each_once(self) -> Strategy:
        candidates = (self.primary, *self.fallback)
        twice = next((one for index, one in enumerate(candidates) if one in candidates[:index]), None)
        if twice is not None:
            raise fault(f"{twice!r} stands there twice")
        return self


class Constraints(Spec):
    """Bounds that no call may cross."""

    max_cost_usd_per_execution: Usd | None = None
    """All calls of one execution together."""
    max_cost_usd_per_call: Usd | None = None
    """One call with all its attempts."""
    data_residency: str | None = Field(default=None, min_length=1)
    """Only models whose `routing.regions` hold this area, in any case."""


class Migration(Spec):
    """What a new provider receives of a conversation."""

    recent_window_tokens: Positive = 24_000
    """The newest turns, word for word."""
    memory_tokens: int = Field(default=4_000, ge=0)
    """Texts of linked memories."""
    checkpoint_share: Share = 0.15
    """The checkpoint's largest share of the window."""


class Observability(Spec):
    """What is told."""

    explain_on_fallback: Flag = True
    """Every fall-forward is explained in the trace."""


class Cache(Spec):
    """The optional response cache."""

    enabled: Flag = False
    """Answer an identical request from the cache."""
    ttl_seconds: Seconds = 3600.0
    """How long an answer is kept."""


class RouteSpec(Spec):
    """What a route wants."""

    description: str = ""
    """For people."""
    requirements: Requirements = Field(default_factory=Requirements)
    """What a candidate must be able to do."""
    strategy: Strategy
    """The candidates in their order."""
    constraints: Constraints = Field(default_factory=Constraints)
    """Bounds that no call may cross."""
    timeouts: Timeouts = Field(default_factory=Timeouts)
    """Seconds."""
    health: Health = Field(default_factory=Health)
    """When a candidate counts as down."""
    migration: Migration = Field(default_factory=Migration)
    """What a new provider receives of a conversation."""
    observability: Observability = Field(default_factory=Observability)
    """What is told."""
    cache: Cache = Field(default_factory=Cache)
    """The optional response cache."""

    @model_validator(mode="before")
    @classmethod
    def _failover_beside_strategy(cls, value: Any) -> Any:
        """`failover` may stand beside `strategy`; Joch writes it inside."""
        if not (isinstance(value, dict) and "failover" in value and isinstance(value.get("strategy"), dict)):
            return value
        if "failover" in value["strategy"]:
            raise fault("`failover` stands under `strategy` and beside it; keep one")
        rest = {name: part for name, part in value.items() if name != "failover"}
        return {**rest, "strategy": {**value["strategy"], "failover": value["failover"]}}


class ModelRoute(Resource[RouteSpec]):
    """A fallback policy across providers. Agents name it instead of a model."""

    kind: Literal["ModelRoute"] = "ModelRoute"

    @property
    def candidates(self) -> tuple[str, ...]:
        """The backends in their order, primary first."""
        return (self.spec.strategy.primary, *self.spec.strategy.fallback)


def route_of(backends: str | Sequence[str], *, name: str = "") -> ModelRoute:
    """A route that nobody wrote down: of one backend, or of several, first is primary.

    Raises:
        InvalidArgument: there is none, one has no such form or stands there twice, or nobody knows its provider.
    """
    candidates = (backends,) if isinstance(backends, str) else tuple(backends)
    if not candidates:
        raise InvalidArgument("a route needs at least one backend (provider:name)")
    for index, backend in enumerate(candidates):
        split_backend(backend)
        if backend in candidates[:index]:
            raise InvalidArgument(f"{backend!r} stands in the route twice")
    strategy = Strategy(primary=candidates[0], fallback=candidates[1:])
    metadata = Metadata.model_construct({"name"}, name=name or ",".join(candidates))
    return ModelRoute(metadata=metadata, spec=RouteSpec(strategy=strategy))
