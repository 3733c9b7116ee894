"""Policy: rules that deny, redact or ask for approval. The rules are data here; judging is done elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from joch_core.resources.base import Flag, Resource, Spec, fault

#: What `data.contains` knows besides regular expressions.
DATA_CLASSES = ("pii", "secret")

Scalar = str | int | float | bool


class LabelSelector(Spec):
    """Which agents, by their labels."""

    match_labels: Mapping[str, str] = Field(default_factory=dict)
    """All of these must hold."""


class AgentSelector(Spec):
    """Which agents."""

    selector: LabelSelector = Field(default_factory=LabelSelector)
    """By labels."""


class AppliesTo(Spec):
    """Whom a policy concerns; left out: everybody."""

    agents: AgentSelector = Field(default_factory=AgentSelector)
    """Which agents."""


class Action(Spec):
    """What a rule does."""

    deny: Flag = False
    """Refuse the call; no later rule is asked."""
    reason: str = ""
    """Why, for the one who is refused."""
    redact: Flag = False
    """Replace what matched by `[redacted]`, in what is sent and in everything that is written."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """`deny`, `redact`, `deny: <reason>`."""
        if isinstance(value, str):
            if value not in ("deny", "redact"):
                raise fault(f"must be deny or redact, not {value!r}")
            return {value: True}
        if isinstance(value, dict) and isinstance(value.get("deny"), str):
            return {"reason": value["deny"], **value, "deny": True}
        if isinstance(value, dict) and isinstance(value.get("deny"), dict):
            return {**{name: part for name, part in value.items() if name != "deny"}, "deny": True, **value["deny"]}
        return value

    @model_validator(mode="after")
    def _does_something(self) -> Action:
        if self.deny == self.redact:
            raise fault("must be either deny or redact")
        return self


class Require(Spec):
    """What must be there before the call."""

    approval: Literal["human"]
    """Who must approve."""


class Rule(Spec):
    """One condition and what follows from it."""

    name: str = ""
    """For explanations; left out: the rule's number."""
    when: str | Mapping[str, Scalar | tuple[Scalar, ...] | None] = Field(default_factory=dict)
    """Dotted names with a literal, a list of literals or a comparison (`">5"`), all of which must hold; or a CEL expression."""
    action: Action | None = None
    """What is done."""
    require: Require | None = None
    """What must be there first."""

    @field_validator("when", mode="before")
    @classmethod
    def _condition(cls, value: Any) -> Any:
        if value is None:
            return {}
        if not isinstance(value, str | dict):
            raise fault(f"must be a mapping of names to values, or a CEL expression, not {value!r}")
        if isinstance(value, str):
            if not value.strip():
                raise fault("is an empty expression; leave `when` out for a rule that always holds")
            return value
        return {name: _wanted(name, part) for name, part in _dotted(value)}

    @model_validator(mode="after")
    def _one_verdict(self) -> Rule:
        if (self.action is None) == (self.require is None):
            raise fault("needs either `action` or `require`")
        return self


class PolicySpec(Spec):
    """What a policy says."""

    description: str = ""
    """For people."""
    applies_to: AppliesTo = Field(default_factory=AppliesTo)
    """Whom it concerns."""
    rules: tuple[Rule, ...]
    """Asked in order; the first that denies ends the matter."""


class Policy(Resource[PolicySpec]):
    """Rules about model calls and switches. Deny wins; a rule that cannot be judged denies."""

    kind: Literal["Policy"] = "Policy"

    def applies_to(self, labels: Mapping[str, str]) -> bool:
        """Does it concern an agent with these labels?"""
        wanted = self.spec.applies_to.agents.selector.match_labels
        return all(labels.get(name) == value for name, value in wanted.items())


def _dotted(conditions: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """`{migration: {failures: 1}}` and `{migration.failures: 1}` are the same."""
    flat: list[tuple[str, Any]] = []
    for name, value in conditions.items():
        path = f"{prefix}{name}"
        flat.extend(_dotted(value, f"{path}.") if isinstance(value, dict) else [(path, value)])
    return flat


def _wanted(name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_wanted(name, part) for part in value)
    if value is not None and not isinstance(value, str | int | float | bool):
        raise fault(f"`{name}` must be a literal, a list or a comparison, not {value!r}")
    if name == "data.contains" and isinstance(value, str) and value not in DATA_CLASSES:
        try:
            re.compile(value)
        except re.error as error:
            raise fault(f"`{name}` must be pii, secret or a regular expression, and {value!r} is none: {error}") from None
    return value
