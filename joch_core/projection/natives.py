"""What one provider said beyond the neutral fields: where it may go. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from joch_core.capabilities import Target
from joch_core.messages import (
    Message,
    Native,
    Part,
    ToolCall,
    ToolResult,
)

#: The fields of a body that an API documents and that hold nothing of one account or one server. Others go home only:
#: compatible servers have knobs of their own, and a vendor refuses what it does not know.
_DOCUMENTED: Mapping[str, frozenset[str]] = {
    # https://platform.openai.com/docs/api-reference/chat/create
    "openai-chat": frozenset({
        "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "metadata", "modalities",
        "audio", "n", "prediction", "prompt_cache_key", "response_format", "safety_identifier", "service_tier", "store",
        "stream_options", "tool_choice", "user", "verbosity",
    }),
    # https://platform.openai.com/docs/api-reference/responses/create
    "openai-responses": frozenset({
        "background", "include", "max_tool_calls", "metadata", "prompt_cache_key", "reasoning", "safety_identifier",
        "service_tier", "store", "stream_options", "text", "tool_choice", "top_logprobs", "truncation", "user",
    }),
    # https://docs.claude.com/en/api/messages
    "anthropic-messages": frozenset({
        "cache_control", "metadata", "service_tier", "tool_choice", "top_k",
    }),
    # https://ai.google.dev/api/generate-content
    "gemini-generate": frozenset({"generationConfig", "labels", "safetySettings", "toolConfig"}),
}  # fmt: skip
#: Marks in messages and parts that only some compatible servers take.
_HABITS: Mapping[str, frozenset[str]] = {"openai-chat": frozenset({"cache_control", "partial", "prefix"})}

_Part = TypeVar("_Part", bound=Part)


def keeps(native: Native | None, target: Target) -> bool:
    """May it go to this target?"""
    return native is not None and native.api == target.api and (not native.opaque or native.origin == target.origin)


def own_native(native: Native | None, target: Target) -> Native | None:
    """What of it goes to this target."""
    if native is None or native.origin == target.origin:
        return native if native is None or native.api == target.api else None
    if not keeps(native, target):
        return None
    return _without(native, _HABITS.get(target.api, frozenset()))


def own_or_bare(part: _Part, target: Target) -> _Part:
    """The part, without native data that is not this target's. Ids of calls go home only: their form differs."""
    native = part.native
    if native is None:
        return part
    kept = own_native(native, target)
    if kept is not None and isinstance(part, ToolCall | ToolResult) and native.origin != target.origin:
        kept = _without(kept, frozenset({"id"}))
    return part if kept is native else replace(part, native=kept)


def own_message(message: Message, target: Target) -> Message:
    """The message, without native data of its own that is not this target's; its parts are left alone."""
    native = message.native
    if native is None:
        return message
    kept = own_native(native, target)
    return message if kept is native else replace(message, native=kept)


def own_fields(native: Native | None, target: Target) -> tuple[Native | None, tuple[str, ...]]:
    """The unknown top-level fields of a body that go to this target, and the names of those that are left out."""
    if native is None or native.api != target.api:
        return None, () if native is None else tuple(sorted(native.data))
    if native.origin == target.origin:
        return native, ()
    left_out = frozenset(native.data) - _DOCUMENTED[target.api]
    return _without(native, left_out), tuple(sorted(left_out))


def _without(native: Native, names: frozenset[str]) -> Native | None:
    if names.isdisjoint(native.data):
        return native
    data = {name: value for name, value in native.data.items() if name not in names}
    return replace(native, data=data) if data else None
