"""Tool: what a tool takes and what it does to the world."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from joch_core.messages import Json
from joch_core.resources.base import Flag, Resource, Spec
from joch_core.resources.tools import EFFECT_LEVELS, EffectLevel

__all__ = ["EFFECT_LEVELS", "CallEffects", "EffectLevel", "Tool", "ToolEffects", "ToolSpec"]


class _Effects(Spec):
    level: EffectLevel = "external_write"
    """How grave it is; a tool that says nothing counts as `external_write`."""
    idempotent: Flag = False
    """May it be repeated without harm?"""

    @model_validator(mode="before")
    @classmethod
    def _short_level(cls, value: Any) -> Any:
        """`read` is short for `read_only`."""
        return {**value, "level": "read_only"} if isinstance(value, dict) and value.get("level") == "read" else value


class ToolEffects(_Effects):
    """What a tool does to the world."""

    requires_approval: Flag = False
    """A person must approve each call."""
    idempotency_key_template: str | None = None
    """A key made of the arguments, in place of all of them: `ticket-{subject}`."""


class CallEffects(_Effects):
    """What one call does to the world."""

    idempotency_key: str | None = None
    """Under which key it happens at most once."""


class ToolSpec(Spec):
    """What a tool is."""

    type: str = "function"
    """How it is run: function, http, mcp, …"""
    description: str = ""
    """For the model."""
    input_schema: Json = Field(default_factory=dict)
    """The JSON Schema of its arguments."""
    side_effects: ToolEffects = Field(default_factory=ToolEffects)
    """What it does to the world."""


class Tool(Resource[ToolSpec]):
    """A tool that agents may call."""

    kind: Literal["Tool"] = "Tool"
