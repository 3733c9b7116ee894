"""Who serves models, one row per provider, and the spelling of a candidate (`provider:name`). No clients, no keys.

A server that speaks OpenAI's format needs no row: it is `openai-compatible` with a `baseUrl`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from joch_core.capabilities import Api
from joch_core.errors import InvalidArgument
from joch_core.resources.base import nearest


@dataclass(frozen=True, slots=True)
class Provider:
    """The facts of a provider. `catalog` names whose models it serves, so that their abilities are known."""

    name: str
    api: Api
    #: Rows of (pattern of the model id, api); the first that matches wins over `api`.
    apis: tuple[tuple[str, Api], ...] = ()
    place: Literal["hosted", "local"] = "hosted"
    #: Where it listens when nobody says anything else; None: its SDK knows, or it must be said.
    base_url: str | None = None
    catalog: tuple[str, ...] = ()


#: Reasoning with function tools is refused on Chat Completions from gpt-5.4 on, and encrypted reasoning exists on Responses
#: only: https://platform.openai.com/docs/guides/migrate-to-responses
_RESPONSES = r"(o[1-9]|gpt-([5-9]|\d\d)|gpt-chat|codex|computer-use)"

PROVIDERS: Mapping[str, Provider] = {
    row.name: row
    for row in (
        Provider("openai", "openai-chat", ((_RESPONSES, "openai-responses"),), catalog=("openai",)),
        Provider("azure-openai", "openai-chat", ((_RESPONSES, "openai-responses"),), catalog=("openai",)),
        Provider("anthropic", "anthropic-messages", catalog=("anthropic",)),
        Provider(
            "bedrock",
            "openai-chat",
            ((r"([a-z-]+\.)?anthropic\.|claude", "anthropic-messages"),),
            catalog=("anthropic", "openai"),
        ),
        Provider("vertex", "gemini-generate", ((r"claude", "anthropic-messages"),), catalog=("google", "anthropic")),
        Provider("google", "gemini-generate", catalog=("google",)),
        Provider("ollama", "openai-chat", place="local", base_url="http://localhost:11434/v1"),
        Provider("vllm", "openai-chat", place="local", base_url="http://localhost:8000/v1"),
        Provider("llama-cpp", "openai-chat", place="local", base_url="http://localhost:8080/v1"),
        Provider("openai-compatible", "openai-chat"),
    )
}


@cache
def _strangers() -> frozenset[str]:
    """Providers that other packages bring. Asked only when a name is not in the table, for the question is slow."""
    from importlib.metadata import entry_points

    return frozenset(point.name for point in entry_points(group="joch.providers"))


def provider(name: str) -> Provider | None:
    """The row of a provider; one that another package brings speaks OpenAI Chat unless its Models say otherwise."""
    return PROVIDERS.get(name) or (Provider(name, "openai-chat") if name in _strangers() else None)


def unknown_provider(name: str) -> str:
    """What to say about a provider that nobody knows."""
    return f"unknown provider {name!r}{nearest(name, {*PROVIDERS, *_strangers()})}"


def split_backend(backend: str) -> tuple[str, str]:
    """`provider:name` in two. The name may hold further colons (`ollama:qwen3:8b`).

    Raises:
        InvalidArgument: it has no such form, or nobody knows the provider; the message names the nearest.
    """
    name, colon, model = backend.partition(":")
    if not (name and colon and model) or any(sign.isspace() for sign in backend):
        raise InvalidArgument(f"{backend!r} is no backend: write provider:name, for example openai:gpt-5-mini")
    if provider(name) is None:
        raise InvalidArgument(unknown_provider(name))
    return name, model


def default_api(name: str, model: str) -> Api:
    """Which format a provider is spoken to for this model id."""
    row = provider(name) or Provider(name, "openai-chat")
    return next((api for pattern, api in row.apis if re.match(pattern, model)), row.api)


#: Regions of the clouds that lie in the European Union. The United Kingdom, Norway and Switzerland do not.
_EU_REGIONS = re.compile(
    r"eu$|eu\.|eu-(central-1|west-1|west-3|north-1|south-1|south-2)$|europe-(west1|west3|west4|west8|west9|west10|west12|north1|north2"
    r"|central2|southwest1)$|(westeurope|northeurope|swedencentral|francecentral|germanywestcentral|polandcentral|italynorth"
    r"|spaincentral|austriaeast|belgiumcentral|denmarkeast|greececentral)$"
)
_US_REGIONS = re.compile(r"us$|us[-.]|(east|west|central|northcentral|southcentral|westcentral)us[23]?$")


def areas(region: str) -> tuple[str, ...]:
    """A cloud's region and the area it lies in: `eu-west-1` gives `("eu-west-1", "eu")`."""
    region = region.lower()
    if _EU_REGIONS.match(region):
        return tuple(dict.fromkeys((region, "eu")))
    if _US_REGIONS.match(region):
        return tuple(dict.fromkeys((region, "us")))
    return (region,)
