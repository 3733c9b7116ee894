"""OpenAI Responses: canonical messages ⇄ the JSON of `POST /responses`. Stateless unless a body says otherwise.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from joch_core.capabilities import Api, Target
from joch_core.wire.openai_responses.answer import parse
from joch_core.wire.openai_responses.errors import read_error
from joch_core.wire.openai_responses.render import render
from joch_core.wire.openai_responses.request import read_request
from joch_core.wire.openai_responses.stream import reader

__all__ = ["API", "parse", "path", "read_error", "read_request", "reader", "render"]

API: Api = "openai-responses"


def path(target: Target, *, stream: bool) -> str:  # noqa: ARG001  one path for all models and both ways
    """The path that is POSTed, below a base URL with its version (`…/v1`)."""
    return "/responses"
