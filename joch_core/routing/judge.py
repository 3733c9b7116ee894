"""What the policies say about one candidate. Deny wins; a rule that cannot be decided denies. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from joch_core.capabilities import Target
from joch_core.resources.model import Model


@dataclass(frozen=True, slots=True)
class Allow:
    """No rule objects."""


@dataclass(frozen=True, slots=True)
class Denied:
    """A rule objects. `rule` is `POLICY/INDEX`."""

    rule: str
    reason: str


Judgement = Allow | Denied
Judge = Callable[[Target, Model], Judgement]
ALLOW = Allow()


def allow_all(_target: Target, _model: Model) -> Judgement:
    """The judgement where no policy is in force."""
    return ALLOW
