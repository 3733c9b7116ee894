"""A reply as LlamaIndex reads it: blocks, `raw`, tokens, and Joch's facts. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ContentBlock, MessageRole, TextBlock
from llama_index.llms.joch.blocks import blocks_of
from llama_index.llms.joch.messages import KEY, with_kept

from joch_core import Json, Part, Reply, Text, ToolCall, Usage

#: An attempt of such a kind was a request; any other kind is a reason why a candidate was passed over.
_REQUESTS = frozenset(
    {
        "ok", "invalid_request", "context_length", "authentication", "permission", "not_found", "rate_limit", "quota",
        "overloaded", "server_error", "timeout", "content_filter", "connection", "stream_incomplete", "other",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a call beside its reply. `losses` happened between LlamaIndex's messages and canonical ones."""

    route: str
    conversation: str | None = None
    structured: bool = False
    tools: frozenset[str] = frozenset()
    losses: tuple[Json, ...] = ()


def facts_of(reply: Reply, asked: Asked) -> Json:
    """Joch's facts about a call, as plain JSON."""
    return {
        "route": asked.route,
        "backend": reply.backend,
        "execution": reply.execution,
        "conversation": asked.conversation,
        "attempts": sum(attempt.kind in _REQUESTS for attempt in reply.attempts),
        "switched_from": reply.switched_from,
        "reason": reply.switch_reason,
        "cost_usd": None if reply.cost_usd is None else str(reply.cost_usd),
        "checkpoint": reply.checkpoint,
        "losses": [{"code": loss.get("code"), "text": loss.get("text")} for loss in (*asked.losses, *reply.losses)],
    }


def usage_of(usage: Usage) -> Json:
    """Tokens in the spelling that LlamaIndex's token counters read; what the provider did not report is left out."""
    counted = {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}
    out: Json = {name: count for name, count in counted.items() if count is not None}
    if out:
        out["total_tokens"] = sum(out.values())
    details = {
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
    return out | {name: count for name, count in details.items() if count is not None}


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _shown(reply: Reply, asked: Asked) -> Sequence[Part]:
    """The parts of an answer as a caller reads them; a structured answer reads as its JSON, however it was given."""
    if reply.refusal is not None:
        return [part for part in reply.parts if part.type not in ("text", "tool_call")] + [Text(reply.refusal)]
    if not asked.structured or reply.output is None:
        return reply.parts
    own = [part for part in reply.tool_calls if part.name in asked.tools]
    if own or (_is_json(reply.text) and not reply.tool_calls):
        return reply.parts
    dump = getattr(reply.output, "model_dump", None)
    value: Any = reply.output if dump is None else dump(mode="json")
    spoken: list[Part] = [part for part in reply.parts if not isinstance(part, Text | ToolCall)]
    return [*spoken, Text(json.dumps(value, ensure_ascii=False))]


def message_of(reply: Reply, asked: Asked) -> ChatMessage:
    """The assistant message of a reply."""
    blocks: list[ContentBlock] = blocks_of(_shown(reply, asked), reasoning_tokens=reply.usage.reasoning_tokens)
    extra = {} if reply.refusal is None else {"refusal": reply.refusal}
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks or [TextBlock(text="")], additional_kwargs=extra)
    return with_kept(message, reply.message, facts_of(reply, asked))


def response_of(reply: Reply, asked: Asked, *, delta: str | None = None) -> ChatResponse:
    """A reply as the response that LlamaIndex's LLMs give."""
    tokens = usage_of(reply.usage)
    raw: Json = {"model": reply.model, "finish_reason": reply.finish, KEY: facts_of(reply, asked)}
    if isinstance(reply.native.get("id"), str):
        raw["id"] = reply.native["id"]
    if tokens:
        raw["usage"] = tokens
    spent = {name: tokens[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens") if name in tokens}
    return ChatResponse(message=message_of(reply, asked), raw=raw, delta=delta, additional_kwargs=spent)
