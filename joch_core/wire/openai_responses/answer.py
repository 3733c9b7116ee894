"""A whole response as a `Reply`, and what a streamed one shares with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from joch_core.capabilities import Target
from joch_core.errors import ProviderError
from joch_core.messages import Finish, Json, Message, Native, Part, Reply, ServerTool, Text, ToolCall, Usage, call_id
from joch_core.wire.openai_responses.errors import fault, unreadable
from joch_core.wire.openai_responses.items import API, CALLS, own, read_item

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
_INCOMPLETE: dict[str, Finish] = {
    "max_output_tokens": "length", "max_tokens": "length", "max_messages": "length", "content_filter": "content_filter",
}  # fmt: skip
#: What `Reply` says in fields of its own, and what only echoes the request.
_TOLD = {
    "output", "model", "usage", "object", "tools", "tool_choice", "instructions", "text", "temperature", "top_p", "truncation",
    "parallel_tool_calls", "max_output_tokens", "max_tool_calls", "reasoning", "presence_penalty", "frequency_penalty",
    "top_logprobs", "error",
}  # fmt: skip


def parse(body: Json, target: Target, seed: str) -> Reply:
    """A whole answer."""
    if not isinstance(body, dict):
        raise unreadable("it is no JSON object", target)
    ids: dict[str, str] = {}
    return read_body(body, target, numbered(ids, seed))


def numbered(ids: dict[str, str], seed: str) -> Callable[[str], str]:
    """Canonical ids for call ids, in the order of their first appearance."""

    def identity(native_id: str) -> str:
        key = native_id or f"\x00{len(ids)}"
        if key not in ids:
            ids[key] = call_id(seed, len(ids))
        return ids[key]

    return identity


def read_body(body: Json, target: Target, identity: Callable[[str], str]) -> Reply:
    """The Reply of a response object.

    Raises:
        ProviderError: the response failed, or is none.
    """
    status = body.get("status")
    if status == "failed" or (body.get("error") and not body.get("output")) or ("output" not in body and "detail" in body):
        raise fault(body, target)
    try:
        finish = finish_of(body)
        parts: list[Part] = []
        for item in body["output"]:
            parts += client_or_server(item, body["output"], target, identity, finish)
        return told(body, parts, finish, target)
    except UNREADABLE as error:
        raise unreadable(f"it is no response ({error!r:.200})", target) from None


def client_or_server(
    item: Json, output: list[Json], target: Target, identity: Callable[[str], str], finish: Finish
) -> list[Part]:
    """The parts of one item; none for a call that the output limit has cut.

    Raises:
        ProviderError: the arguments of a call are broken in an answer that is complete.
    """
    kind = item.get("type")
    if kind == "shell_call" and any(
        other.get("type") == "shell_call_output" and other.get("call_id") == item.get("call_id") for other in output
    ):
        # Run in the provider's own container: its output is there already.
        return [ServerTool(kind, "", Native(API, target.origin, {"item": item}))]
    if kind not in CALLS:
        return read_item(item, target.origin, identity)
    if finish == "length" and item.get("status") == "incomplete":
        return []
    try:
        return read_item(item, target.origin, identity)
    except ValueError as error:
        if finish == "length":
            return []
        raise ProviderError(
            "server_error", f"the arguments of a tool call are no JSON object: {error}", backend=target.backend,
            code="tool_arguments",
        ) from None  # fmt: skip


def finish_of(body: Json) -> Finish:
    """How the response ended, before its parts are looked at."""
    status = body.get("status")
    if status == "incomplete":
        return _INCOMPLETE.get(str((body.get("incomplete_details") or {}).get("reason")), "other")
    return "stop" if status in ("completed", None) else "other"


def told(body: Json, parts: list[Part], finish: Finish, target: Target) -> Reply:
    """The Reply of what was read. A plain end with client tool calls counts as `tool_calls`."""
    refused = [part.text for part in parts if isinstance(part, Text) and own(part.native).get("refusal")]
    refusal = "".join(refused) if refused else None
    if finish == "stop" and any(isinstance(part, ToolCall) for part in parts):
        finish = "tool_calls"
    elif finish == "stop" and refusal is not None:
        finish = "refusal"
    model = body.get("model")
    rest = {name: value for name, value in body.items() if name not in _TOLD and value is not None}
    return Reply(
        Message("assistant", tuple(parts)),
        finish,
        _usage(body.get("usage")),
        model if isinstance(model, str) and model else target.model,
        refusal,
        tuple(part.kind for part in parts if isinstance(part, ServerTool)),
        rest,
    )


def _usage(raw: Any) -> Usage:
    """Tokens; cached input and reasoning are counted in."""
    if not isinstance(raw, dict):
        return Usage()
    inputs, outputs = raw.get("input_tokens_details"), raw.get("output_tokens_details")
    given, made, thought = _count(raw, "input_tokens"), _count(raw, "output_tokens"), _count(outputs, "reasoning_tokens")
    return Usage(given, made, _count(inputs, "cached_tokens"), _count(inputs, "cache_write_tokens"), thought)


def _count(raw: Any, name: str) -> int | None:
    value = raw.get(name) if isinstance(raw, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
