"""What the policies say about one candidate or one switch. Deny wins; a rule that cannot be decided denies. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joch_core.capabilities import Target
from joch_core.resources.model import Model
from joch_core.resources.policy import Policy, Rule

#: What a rule may ask about, by dotted name; a value may be a function that is called only when a rule asks.
Facts = Mapping[str, Any]

#: What counts as personal data or as a secret in `data.contains`.
DATA_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "pii": re.compile(
        r"[\w.+-]+@[\w-]+\.[\w.]+"  # e-mail
        r"|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"  # IBAN
        r"|\b(?:\d[ -]?){13,16}\b"  # payment cards
        r"|\b\d{3}-\d{2}-\d{4}\b"  # US social security
        r"|(?<!\w)\+\d{1,3}[ \d()/-]{7,}\d"  # telephone, international form
    ),
    "secret": re.compile(
        r"\b(?:sk|pk|rk|gsk|xai|ghp|gho|glpat|hf)[-_][A-Za-z0-9_\-]{8,}|\bAIza[0-9A-Za-z_\-]{20,}|\bAKIA[0-9A-Z]{16}\b"
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    ),
}


@dataclass(frozen=True, slots=True)
class Allow:
    """No rule objects. `redact` are the patterns that must be replaced in what is sent and written."""

    redact: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """A rule objects. `rule` is `POLICY/RULE`; `approval` says that a human could allow it."""

    rule: str
    reason: str
    approval: bool = False


Judgement = Allow | Denied
Judge = Callable[[Target, Model], Judgement]
ALLOW = Allow()


class Undecidable(Exception):
    """A condition that the facts do not decide."""


def allow_all(_target: Target, _model: Model) -> Judgement:
    """The judgement where no policy is in force."""
    return ALLOW


def judge(policies: Sequence[Policy], facts: Facts) -> Judgement:
    """Ask every rule in order."""
    redactions: list[str] = []
    given = facts.get("model.provider")
    provider = given if isinstance(given, str) else None
    for policy in policies:
        for rule in _rules(policy, provider):
            try:
                if not rule.holds(facts):
                    continue
            except Undecidable as error:
                return Denied(rule.name, f"its condition cannot be decided ({error}), and what cannot be decided is denied")
            if rule.rule.require is not None:
                return Denied(rule.name, "it needs the approval of a human", approval=True)
            if rule.rule.action is not None and rule.rule.action.deny:
                return Denied(rule.name, rule.rule.action.reason or "a policy denies it")
            if rule.rule.action is not None and isinstance(rule.rule.when, Mapping):
                redactions += _patterns(rule.rule.when.get("data.contains"))
    return Allow(tuple(redactions)) if redactions else ALLOW


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule made ready to be asked often. `plain` are the conditions that compare with nothing but words, in lower case."""

    rule: Rule
    name: str
    plain: tuple[tuple[str, frozenset[str]], ...]
    others: tuple[tuple[str, Any], ...]

    def holds(self, facts: Facts) -> bool:
        """Do all conditions hold?"""
        for name, words in self.plain:
            value = facts.get(name)
            if isinstance(value, str):
                if value.lower() not in words:
                    return False
            elif not _condition(name, tuple(words), facts):
                return False
        if isinstance(self.rule.when, str):
            raise Undecidable("it is a CEL expression, and CEL is not installed: pip install 'joch[cel]'")
        return all(_condition(name, wanted, facts) for name, wanted in self.others)


#: The rules of the policies that were asked last, by identity and provider; the policy is kept so that its identity is.
_READY: dict[tuple[int, str | None], tuple[Policy, tuple[_Rule, ...]]] = {}
_READY_ROWS = 1_000


def _rules(policy: Policy, provider: str | None) -> tuple[_Rule, ...]:
    """The rules in their order, without those that speak of other providers only."""
    kept = _READY.get((id(policy), provider))
    if kept is None:
        rules = tuple(_ready(policy, index) for index in range(len(policy.spec.rules)))
        if provider is not None:
            word = provider.lower()
            rules = tuple(rule for rule in rules if word in dict(rule.plain).get("model.provider", (word,)))
        if len(_READY) >= _READY_ROWS:
            _READY.clear()
        kept = _READY[id(policy), provider] = (policy, rules)
    return kept[1]


def _ready(policy: Policy, index: int) -> _Rule:
    rule = policy.spec.rules[index]
    plain: list[tuple[str, frozenset[str]]] = []
    others: list[tuple[str, Any]] = []
    for name, wanted in () if isinstance(rule.when, str) else rule.when.items():
        words = wanted if isinstance(wanted, tuple) else (wanted,)
        compares = any(not isinstance(word, str) or word.startswith(("<", ">", "=", "!")) for word in words)
        if compares or name == "data.contains":
            others.append((name, wanted))
        else:
            plain.append((name, frozenset(str(word).lower() for word in words)))
    return _Rule(rule, f"{policy.metadata.name}/{rule.name or index}", tuple(plain), tuple(others))


def model_facts(target: Target) -> dict[str, Any]:
    """What the rules may ask about a candidate."""
    return {
        "model.provider": target.provider,
        "model.name": target.backend.partition(":")[2],
        "model.region": target.regions,
    }


def _condition(name: str, wanted: Any, facts: Facts) -> bool:
    if name not in facts:
        if name.startswith(("migration.", "tool.", "agent.", "cost.")):
            return False  # the rule speaks of something else than this
        raise Undecidable(f"nothing is known of {name}")
    value = facts[name]
    if callable(value):
        value = value()
    if name == "data.contains":
        return any(re.search(pattern, value) for pattern in _patterns(wanted))
    values = value if isinstance(value, tuple) else (value,)
    options = wanted if isinstance(wanted, tuple) else (wanted,)
    return any(_compares(item, option) for item in values for option in options)


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, "!=": operator.ne, "==": operator.eq, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


def _compares(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        for sign, compare in _COMPARISONS.items():
            if wanted.startswith(sign):
                text = wanted[len(sign) :].strip()
                if sign in ("!=", "==") and isinstance(value, str):
                    return compare(value.lower(), text.lower())
                try:
                    return compare(float(value), float(text))
                except (TypeError, ValueError):
                    raise Undecidable(f"{value!r} cannot be compared with {text!r}") from None
        return isinstance(value, str) and value.lower() == wanted.lower()
    return bool(value == wanted)


def _patterns(wanted: Any) -> list[str]:
    options = wanted if isinstance(wanted, tuple) else (wanted,)
    return [DATA_PATTERNS[str(one)].pattern if one in DATA_PATTERNS else str(one) for one in options if one is not None]
