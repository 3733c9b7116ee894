"""The models that Joch knows by itself: `models.json`, generated with its sources, date and hash in the header.

The file is read at the first question, not at import, and only the model that is asked for becomes a `Model`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from joch_core.messages import Json
from joch_core.resources.backends import PROVIDERS

#: What a model that nobody has described is taken to be able to do.
UNKNOWN_HOSTED: Json = {
    "capabilities": {
        "text": True,
        "streaming": True,
        "toolCalling": True,
        "parallelToolCalls": True,
        "structuredOutput": True,
    },
    "limits": {"contextWindowTokens": 128_000, "maxOutputTokens": 16_384},
}
UNKNOWN_SERVER: Json = {
    "capabilities": {"text": True, "streaming": True, "toolCalling": True},
    "limits": {"contextWindowTokens": 32_768, "maxOutputTokens": 4_096},
}

#: `-2025-08-07`, `-20251001`, `@20251001`, `-v1:0`, `-latest` at the end, and `eu.anthropic.` or `anthropic/` in front.
_VERSION = re.compile(r"([-@](\d{4}-\d{2}-\d{2}|\d{8}))?(-v\d+(:\d+)?)?(-latest)?$")
_OWNER = re.compile(r"^([a-z]+(-[a-z]+)?\.)?(anthropic|openai|google)[./]|^publishers/[a-z]+/models/|^models/")


@cache
def table() -> Mapping[str, Any]:
    """The whole file: `header` and `models`."""
    data: Mapping[str, Any] = json.loads(files(__name__).joinpath("models.json").read_text("utf-8"))
    return data


def names() -> tuple[str, ...]:
    """All backends of the catalog, sorted."""
    return tuple(table()["models"])


def described(backend: str) -> Json | None:
    """The spec of a backend that is named in the catalog, without its provider."""
    spec: Json | None = table()["models"].get(backend)
    return spec


def by_id(provider: str, model: str) -> tuple[Json, bool] | None:
    """The spec of a provider's own model id, dated or not, also where a cloud serves it.

    The flag says that the provider itself sells it, so that its list price holds.
    """
    row = PROVIDERS.get(provider)
    models = table()["models"]
    bare = _OWNER.sub("", model)
    for vendor in row.catalog if row else (provider,):
        for spelling in (model, bare, _VERSION.sub("", bare)):
            if (found := models.get(f"{vendor}:{spelling}")) is not None:
                return found, vendor == provider
    return None


def conservative(provider: str) -> Json:
    """What is assumed of a model that nobody has described."""
    row = PROVIDERS.get(provider)
    return UNKNOWN_HOSTED if row is not None and row.catalog else UNKNOWN_SERVER
