"""How hard the model thinks: neutral levels ⇄ `thinking` and `output_config.effort`.

Models since Claude 4.6 decide the amount themselves and take an effort; older ones take a budget of tokens.
Source: https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking
"""

from __future__ import annotations

from typing import Any

from joch_core.capabilities import Target
from joch_core.messages import Json, ModelRequest

#: Budgets in tokens per level. 1,024 is the smallest that the API takes.
_BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384}
_SMALLEST_BUDGET = 1_024
_LARGEST_BUDGET = 32_000


def level_of(thinking: Any, effort: Any) -> str | None:
    """The neutral level of what a body asks; an effort is said in the same words."""
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind == "disabled":
        return "none"
    if isinstance(effort, str):
        return effort
    if kind == "adaptive":
        return "medium"
    if kind != "enabled":
        return None
    budget = thinking.get("budget_tokens")
    if isinstance(budget, int):
        return next((level for level, tokens in _BUDGETS.items() if budget <= tokens), "high")
    return "medium"


def spell_reasoning(body: Json, config: Json, request: ModelRequest, target: Target) -> None:
    """Put the level of the request into a body and its `output_config`."""
    level = request.reasoning or "none"
    if level == "none":
        body["thinking"] = {"type": "disabled"}
    elif not target.dialect.reasoning_budget:
        body["thinking"] = {"type": "adaptive"}
        config["effort"] = "low" if level == "minimal" else level
    else:
        # The budget is part of max_tokens and must be smaller; half is left for the answer.
        budget = min(_BUDGETS.get(level, _LARGEST_BUDGET), body["max_tokens"] // 2)
        if budget < _SMALLEST_BUDGET:
            budget = min(_SMALLEST_BUDGET, body["max_tokens"] - 1)
        if budget >= _SMALLEST_BUDGET:
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}
