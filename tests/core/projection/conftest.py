"""Targets as the projection sees them."""

from __future__ import annotations

import pytest

from joch_core.capabilities import CAPABILITIES, Target
from joch_core.resources.dialects import dialect_of

ROWS = {
    "chat": ("openai", "openai-chat", "gpt-4o", ("computerUse", "webSearch", "codeExecution", "mcp", "audio"), None),
    "responses": ("openai", "openai-responses", "gpt-5", (), None),
    "claude": ("anthropic", "anthropic-messages", "claude-sonnet-4-5", ("audio",), None),
    "opus": ("anthropic", "anthropic-messages", "claude-opus-4-8", ("audio",), None),
    "gemini": ("google", "gemini-generate", "gemini-2.5-pro", ("computerUse", "mcp"), None),
    "gemini-3": ("google", "gemini-generate", "gemini-3-pro-preview", ("computerUse", "mcp"), None),
    "mistral": (
        "openai-compatible", "openai-chat", "mistral-large",
        ("computerUse", "webSearch", "codeExecution", "mcp", "jsonSchema", "audio", "files"), "mistral",
    ),
    "portable": (
        "openai-compatible", "openai-chat", "some-model",
        ("computerUse", "webSearch", "codeExecution", "mcp", "jsonSchema", "audio", "files", "vision"), "portable",
    ),
}  # fmt: skip


def target_of(name: str, *, without: tuple[str, ...] = ()) -> Target:
    provider, api, model, lacks, dialect = ROWS[name]
    can = frozenset(CAPABILITIES) - set(lacks) - set(without)
    return Target(
        f"{provider}:{model}", provider, api, model, f"{provider}|there|{model}", can,
        dialect=dialect_of(provider, api, model, name=dialect),
    )  # fmt: skip


@pytest.fixture
def make_target():
    """Name → target; `without` takes capabilities away."""
    return target_of


@pytest.fixture(params=list(ROWS))
def target(request):
    """Every kind of target, one after the other."""
    return target_of(request.param)


@pytest.fixture
def targets():
    return {name: target_of(name) for name in ROWS}
