"""Anthropic Messages: canonical messages ⇄ the JSON of `POST /v1/messages`.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from joch_core.capabilities import Api, Target
from joch_core.wire.anthropic_messages.answer import parse, read_error, reader
from joch_core.wire.anthropic_messages.render import render
from joch_core.wire.anthropic_messages.request import read_request

__all__ = ["API", "parse", "path", "read_error", "read_request", "reader", "render"]

API: Api = "anthropic-messages"


def path(target: Target, *, stream: bool) -> str:  # noqa: ARG001  one path for all models and both ways
    """The path that is POSTed, below a base URL without a version."""
    return "/v1/messages"
