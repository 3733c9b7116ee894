"""All kinds, by name: how they are found from what a person types. A kind's module is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, cast

from joch_core.errors import InvalidArgument
from joch_core.resources.base import Resource, nearest

#: Kind -> the module that holds it.
KINDS: Mapping[str, str] = {
    "Model": "model",
    "ModelRoute": "route",
    "Conversation": "state",
    "StateCheckpoint": "state",
    "ToolCall": "state",
    "Tool": "tool",
    "Policy": "policy",
    "Execution": "state",
    "Budget": "budget",
    "Secret": "secret",
}

#: Kinds that are folds of events: what is shown of them comes from the log.
FOLDS = frozenset({"Conversation", "StateCheckpoint", "ToolCall", "Execution"})

_SHORT = {
    "route": "ModelRoute",
    "checkpoint": "StateCheckpoint",
    "call": "ToolCall",
    "conv": "Conversation",
    "exec": "Execution",
}


def kind_named(word: str) -> str:
    """The kind that a person means: any case, singular or plural, with or without dashes.

    Raises:
        InvalidArgument: nobody knows it; the message names the nearest.
    """
    plain = word.lower().replace("-", "").replace("_", "")
    spellings = _spellings()
    if plain not in spellings:
        raise InvalidArgument(f"unknown kind {word!r}{nearest(word, KINDS)}")
    return spellings[plain]


@cache
def _spellings() -> Mapping[str, str]:
    spellings: dict[str, str] = {}
    for word, kind in ({kind.lower(): kind for kind in KINDS} | _SHORT).items():
        plural = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
        spellings |= {word: kind, plural: kind}
    return spellings


@cache
def kind_class(kind: str) -> type[Resource[Any]]:
    """The class of a kind."""
    return cast("type[Resource[Any]]", getattr(import_module(f"joch_core.resources.{KINDS[kind]}"), kind))
