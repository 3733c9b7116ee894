"""Gemini generateContent and streamGenerateContent: canonical messages ⇄ their JSON (Gemini API and Vertex AI).

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from joch_core.capabilities import Api, Target
from joch_core.wire.google_generate.answer import parse, read_error, reader
from joch_core.wire.google_generate.render import render
from joch_core.wire.google_generate.request import read_request

__all__ = ["API", "parse", "path", "read_error", "read_request", "reader", "render"]

API: Api = "gemini-generate"


def path(target: Target, *, stream: bool) -> str:
    """The path that is POSTed, below a base URL with its API version. A model id with a slash is a path of its own."""
    model = target.model if "/" in target.model else f"models/{target.model}"
    return f"/{model}:streamGenerateContent?alt=sse" if stream else f"/{model}:generateContent"
