"""The policies that speak of tools, as one judge for the guard of side effects.

A rule speaks of tools if its condition names `tool.…`; a `redact` whose condition is `data.contains` alone speaks of
everything that is written, and so of tools, too. All other rules are about models and switches. A `Tool` resource that
says `requiresApproval` is judged here as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from joch_core.resources.policy import Policy, Rule
from joch_core.resources.tool import Tool
from joch_core.resources.tools import ToolJudge, ToolVerdict
from joch_core.routing.judge import Denied, judge

if TYPE_CHECKING:
    from joch_core.app.joch import Joch


def tool_judge(joch: Joch, agent: str | None = None) -> ToolJudge | None:
    """What judges the tool calls of this agent; None where no policy speaks of tools."""
    labels = {"name": agent} if agent else {}
    concerned = [policy for policy in joch.catalog.all(Policy) if policy.applies_to(labels)]
    policies = [about for policy in concerned if (about := _about_tools(policy)) is not None]
    gated = {one.name for one in joch.catalog.all(Tool) if one.spec.side_effects.requires_approval}
    if not policies and not gated:
        return None

    def judged(facts: Mapping[str, Any]) -> ToolVerdict:
        verdict = judge(policies, {**facts, "agent.name": agent or ""})
        if isinstance(verdict, Denied):
            return ToolVerdict(verdict.rule, verdict.reason, verdict.approval)
        if facts["tool.name"] in gated:
            return ToolVerdict(f"Tool/{facts['tool.name']}", "it needs the approval of a human", True, verdict.redact)
        return ToolVerdict(redact=verdict.redact)

    return judged


def _about_tools(policy: Policy) -> Policy | None:
    """The policy without its other rules, each named as it was; None if nothing is left."""
    rules = tuple(
        rule.model_copy(update={"name": rule.name or str(index)})
        for index, rule in enumerate(policy.spec.rules)
        if _speaks_of_tools(rule)
    )
    return policy.model_copy(update={"spec": policy.spec.model_copy(update={"rules": rules})}) if rules else None


def _speaks_of_tools(rule: Rule) -> bool:
    if isinstance(rule.when, str):
        return "tool." in rule.when
    if any(name.startswith("tool.") for name in rule.when):
        return True
    return rule.action is not None and rule.action.redact and set(rule.when) == {"data.contains"}
