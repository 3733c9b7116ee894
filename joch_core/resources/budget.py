"""Budget: how much may be spent, by whom, and what happens at the bound."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from joch_core.resources.base import Positive, Ref, Resource, Spec, Usd, fault


class Scope(Spec):
    """Whose spending counts; empty: everything in the namespace."""

    agent_ref: Ref | None = None
    """Only this agent's."""
    model_route_ref: Ref | None = None
    """Only what goes through this route."""
    conversation_ref: Ref | None = None
    """Only this conversation's."""

    @model_validator(mode="before")
    @classmethod
    def _namespace(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value != "namespace":
                raise fault(f"must be namespace or a mapping with agentRef, modelRouteRef or conversationRef, not {value!r}")
            return {}
        return value


class BudgetLimits(Spec):
    """Caps."""

    monthly_usd: Usd | None = None
    """A calendar month, UTC."""
    daily_usd: Usd | None = None
    """A day, UTC."""
    per_run_usd: Usd | None = None
    """One execution."""
    token_limit_daily: Positive | None = None
    """Input and output tokens of a day, UTC."""


class Enforcement(Spec):
    """What happens at the bound."""

    on_soft_limit: Literal["alert", "none"] = "alert"
    """At the soft limit."""
    on_hard_limit: Literal["deny", "alert"] = "deny"
    """At the cap."""
    soft_limit_pct: int = Field(default=80, strict=True, ge=1, le=100)
    """Where the soft limit lies, in per cent of the cap."""


class BudgetSpec(Spec):
    """What a budget says."""

    scope: Scope = Field(default_factory=Scope)
    """Whose spending counts; left out: everything in the namespace."""
    limits: BudgetLimits
    """Caps."""
    enforcement: Enforcement = Field(default_factory=Enforcement)
    """What happens at the bound."""


class Budget(Resource[BudgetSpec]):
    """How much may be spent. Money is set aside before a call and settled after it."""

    kind: Literal["Budget"] = "Budget"
