"""OpenAI Chat Completions, and the many servers that speak it: canonical messages ⇄ the JSON of `POST /chat/completions`.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from joch_core.capabilities import Api, Target
from joch_core.wire.openai_chat.answer import parse
from joch_core.wire.openai_chat.errors import read_error
from joch_core.wire.openai_chat.render import render
from joch_core.wire.openai_chat.request import read_request
from joch_core.wire.openai_chat.stream import reader

__all__ = ["API", "parse", "path", "read_error", "read_request", "reader", "render"]

API: Api = "openai-chat"


def path(target: Target, *, stream: bool) -> str:  # noqa: ARG001  one path for all models and both ways
    """The path that is POSTed, below a base URL with its version (`…/v1`)."""
    return "/chat/completions"
