"""The habits of APIs, model families and compatible servers, as rows of data; no code asks for a vendor's name.

A dialect is put together from left to right: the row of the API, the rows of the families that match the model id, then
what the Model itself says in `spec.dialect`. The later one wins, field by field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from joch_core.capabilities import Api, Dialect

_SAMPLING = frozenset({"temperature", "top_p"})
_CHAT = frozenset({"temperature", "top_p", "stop", "seed", "max_tokens", "parallel_tool_calls"})

#: One row per API as its own vendor serves it.
APIS: Mapping[Api, Dialect] = {
    "openai-chat": Dialect(
        images_in_tool_results=False,  # tool messages are text only: https://platform.openai.com/docs/guides/images-vision
        files_in_tool_results=False,
        file_urls=False,  # a file is bytes or an id here: https://platform.openai.com/docs/guides/pdf-files
        parameters=_CHAT,
        server_tools=False,
    ),
    "openai-responses": Dialect(
        parameters=_SAMPLING | {"max_tokens", "parallel_tool_calls"},  # the API has neither `stop` nor `seed`
        min_output_tokens=16,
        custom_tools=True,
    ),
    "anthropic-messages": Dialect(
        assistant_last=True,
        parameters=_SAMPLING | {"stop", "max_tokens", "parallel_tool_calls"},
        max_tokens_field="max_tokens",
        default_max_tokens=8192,  # the API requires a limit; the model's own ceiling lowers it
        system_anywhere=False,
        tool_name_chars=128,
        # `Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'`: https://github.com/ComposioHQ/composio/issues/3500
        property_name_chars=64,
    ),
    "gemini-generate": Dialect(
        images_in_tool_results=False,
        files_in_tool_results=False,
        parameters=_SAMPLING | {"stop", "seed", "max_tokens"},
        max_tokens_field="max_tokens",
        system_anywhere=False,
        # `Function calling with a response mime type: 'application/json' is unsupported` before Gemini 3
        server_tools_with_functions=False,
        schema_with_tools=False,
    ),
}

#: What every compatible server is known to take: one system message first, strict turns, plain strings.
PORTABLE = Dialect(
    alternating_roles=True,
    user_after_tool=False,
    images_in_tool_results=False,
    files_in_tool_results=False,
    image_urls=False,
    file_urls=False,
    content_parts=False,
    parameters=_SAMPLING | {"stop", "max_tokens"},
    max_tokens_field="max_tokens",
    forced_tool_choice=False,
    server_tools=False,
    finish_reason_optional=True,
    stream_usage=False,
    system_anywhere=False,
)

#: What servers that follow OpenAI closely take.
_CLOSE = replace(
    PORTABLE,
    alternating_roles=False,
    user_after_tool=True,
    content_parts=True,
    parameters=_SAMPLING | {"stop", "seed", "max_tokens"},
    forced_tool_choice=True,
    stream_usage=True,
)

#: The names that `spec.dialect` knows. Each is a change to what the API's row says.
DIALECTS: Mapping[str, Dialect] = {
    "openai": APIS["openai-chat"],
    "portable": PORTABLE,
    "alternating": replace(_CLOSE, alternating_roles=True, user_after_tool=False, content_parts=False),
    "text-only": replace(_CLOSE, content_parts=False),
    "reasoning-content": replace(_CLOSE, reasoning_content=True),
    # `thinking` is on by default; calls of tools go back with their reasoning: https://api-docs.deepseek.com/guides/thinking_mode
    "deepseek": replace(
        _CLOSE, reasoning_content=True, thinking_switch=True, reasoning_levels=("none", "low", "high", "max")
    ),
    # `Unexpected role 'user' after role 'tool'`; `seed` is `random_seed` there: https://docs.mistral.ai/api
    "mistral": replace(
        _CLOSE,
        user_after_tool=False,
        parameters=_SAMPLING | {"stop", "max_tokens", "parallel_tool_calls"},
        stream_usage=False,
    ),
    "vllm": replace(_CLOSE, system_anywhere=True),
    "ollama": replace(_CLOSE, system_anywhere=True, forced_tool_choice=False),
    "llama-cpp": replace(_CLOSE, forced_tool_choice=True),
}

#: The dialect of a provider whose servers are all alike; a compatible server that nobody knows is `portable`.
OF_PROVIDER: Mapping[str, str] = {"deepseek": "deepseek", "ollama": "ollama", "vllm": "vllm", "llama-cpp": "llama-cpp"}

#: Providers that serve their own API, as its row says.
_OWN_API = frozenset({"openai", "azure-openai", "anthropic", "bedrock", "vertex", "google"})


@dataclass(frozen=True, slots=True)
class Family:
    """Models that differ from their API's row: where `pattern` is found in the model id, `changes` hold."""

    api: Api
    pattern: str
    changes: Mapping[str, Any]


#: No temperature, no top_p: https://platform.openai.com/docs/guides/reasoning. `gpt-5-chat` and `-chat-latest` do not reason.
_OPENAI_REASONING = r"^(o[1-9]|gpt-([5-9]|\d\d)(?!.*chat)|codex)"
#: Anthropic's models that took the knobs away, one after the other (id, with the older `claude-3-5-sonnet` order left out).
_CLAUDE_4_PLUS = r"claude-(opus|sonnet|haiku)-(4-[1-9]|[5-9])(?!\d)"
_CLAUDE_NO_PREFILL = r"claude-((opus|sonnet)-4-[6-9](?!\d)|(opus|sonnet|haiku)-[5-9](?!\d)|fable|mythos)"
_CLAUDE_NO_SAMPLING = r"claude-(opus-4-[7-9](?!\d)|(opus|sonnet|haiku)-[5-9](?!\d)|fable|mythos)"
_CLAUDE_NO_FORCE = r"claude-(fable|mythos|(opus|sonnet)-5-[5-9])"
#: Claude 3.7 to 4.5 think within a budget of tokens: https://platform.claude.com/docs/en/build-with-claude/extended-thinking
_CLAUDE_BUDGET = r"claude-(3-7|(opus|sonnet|haiku)-4(-[0-5](?!\d)|-20\d\d|@|$))"

FAMILIES: tuple[Family, ...] = (
    Family(
        "openai-responses",
        _OPENAI_REASONING,
        {"parameters": frozenset({"max_tokens", "parallel_tool_calls"}), "reasoning_levels": ("low", "medium", "high")},
    ),
    Family(
        "openai-responses", r"^gpt-5(-mini|-nano)?(-\d{4}|$)", {"reasoning_levels": ("minimal", "low", "medium", "high")}
    ),
    Family("openai-responses", r"^gpt-(5\.[1-9]|[6-9])", {"reasoning_levels": ("none", "low", "medium", "high")}),
    Family("openai-responses", r"^o[1-9]", {"custom_tools": False}),
    Family(
        "openai-chat",
        _OPENAI_REASONING,
        {
            "parameters": frozenset({"seed", "max_tokens", "parallel_tool_calls"}),
            "reasoning_levels": ("low", "medium", "high"),
            "custom_tools": True,
        },
    ),
    Family("openai-chat", r"^gpt-5(-mini|-nano)?(-\d{4}|$)", {"reasoning_levels": ("minimal", "low", "medium", "high")}),
    Family("openai-chat", r"^o[1-9]", {"custom_tools": False}),
    Family("anthropic-messages", _CLAUDE_4_PLUS, {"temperature_and_top_p": False, "default_max_tokens": 16384}),
    Family("anthropic-messages", r"claude-(fable|mythos)", {"default_max_tokens": 16384}),
    Family(
        "anthropic-messages", _CLAUDE_NO_PREFILL, {"assistant_last": False, "reasoning_levels": ("low", "medium", "high")}
    ),
    Family(
        "anthropic-messages", _CLAUDE_NO_SAMPLING, {"parameters": frozenset({"stop", "max_tokens", "parallel_tool_calls"})}
    ),
    Family("anthropic-messages", _CLAUDE_NO_FORCE, {"forced_tool_choice": False}),
    Family("anthropic-messages", _CLAUDE_BUDGET, {"reasoning_budget": True}),
    Family(
        "gemini-generate",
        r"^gemini-([3-9]|\d\d|pro-latest|flash-latest)",
        {
            "images_in_tool_results": True,
            "files_in_tool_results": True,
            "thought_signatures": True,
            "server_tools_with_functions": True,
            "schema_with_tools": True,
            "reasoning_levels": ("low", "medium", "high"),
        },
    ),
    # A public HTTPS address as `fileUri` is for 2.5 and later: https://ai.google.dev/gemini-api/docs/file-input-methods
    Family("gemini-generate", r"^gemini-(1|2\.0)", {"image_urls": False, "file_urls": False}),
    Family("gemini-generate", r"^gemini-2\.5", {"reasoning_levels": ("low", "medium", "high"), "reasoning_budget": True}),
)


def dialect_of(
    provider: str, api: Api, model: str, *, name: str | None = None, changes: Mapping[str, Any] | None = None
) -> Dialect:
    """How this model wants to be spoken to. `name` and `changes` are what its resource says."""
    if name is not None:
        base = DIALECTS[name]
    elif provider in _OWN_API or api != "openai-chat":
        base = APIS[api]
        for family in FAMILIES:
            if family.api == api and re.search(family.pattern, model):
                base = replace(base, **family.changes)
    else:
        base = DIALECTS[OF_PROVIDER.get(provider, "portable")]
    return replace(base, **changes) if changes else base
