"""What the Messages API answers, whole or streamed, as a `Reply`; and what its errors mean."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from joch_core.capabilities import Target
from joch_core.errors import FaultKind, InvalidArgument, ProviderError
from joch_core.messages import (
    Delta,
    Finish,
    Json,
    Message,
    Native,
    Part,
    Reply,
    ServerTool,
    ToolCall,
    Usage,
    call_id,
    visible_text,
)
from joch_core.messages.encoding import expect_list, expect_object, expect_text, json_object
from joch_core.wire.anthropic_messages.blocks import API, read_block

_FINISH: dict[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
}
#: What `Reply` says in fields of its own.
_TOLD = {"type", "role", "content", "model", "usage", "stop_reason"}


def parse(body: Json, target: Target, seed: str) -> Reply:
    """A whole answer."""
    if not isinstance(body, dict) or body.get("type") == "error" or ("error" in body and "content" not in body):
        raise _error(body, target)
    try:
        ids = (call_id(seed, number) for number in count())
        parts = [
            read_block(block, f"content[{index}]", target.origin, lambda _: next(ids))
            for index, block in enumerate(expect_list(body.get("content"), "content"))
        ]
        return _reply(body, parts, target)
    except (InvalidArgument, RecursionError) as error:
        raise _unreadable(str(error), target) from None


def _reply(body: Json, parts: list[Part], target: Target) -> Reply:
    reason = body.get("stop_reason")
    finish = _FINISH.get(reason, "other") if isinstance(reason, str) else "other"
    if finish == "stop" and any(isinstance(part, ToolCall) for part in parts):
        finish = "tool_calls"
    rest = {name: value for name, value in body.items() if name not in _TOLD and value is not None}
    native = Native(API, target.origin, rest) if rest else None
    model = body.get("model")
    return Reply(
        Message("assistant", tuple(parts), native=native),
        finish,
        _usage(body.get("usage")),
        model if isinstance(model, str) and model else target.model,
        _refusal(body, parts) if finish == "refusal" else None,
        tuple(part.kind for part in parts if isinstance(part, ServerTool)),
        {**rest, "stop_reason": reason},
    )


def _refusal(body: Json, parts: list[Part]) -> str:
    details = body.get("stop_details")
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return visible_text(parts) or (explanation if isinstance(explanation, str) else "")


def _usage(raw: Any) -> Usage:
    """Anthropic counts cached input apart; the neutral total includes it.

    Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching#tracking-cache-performance
    """
    if not isinstance(raw, dict):
        return Usage()
    fresh, read, written = (
        _count(raw, name) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    details = raw.get("output_tokens_details")
    return Usage(
        None if fresh is None else fresh + (read or 0) + (written or 0),
        _count(raw, "output_tokens"),
        read,
        written,
        _count(details, "thinking_tokens") if isinstance(details, dict) else None,
    )


def _count(raw: Json, name: str) -> int | None:
    value = raw.get(name)
    return value if isinstance(value, int) else None


# ------------------------------------------------------------------------------------------------------- stream
def reader(target: Target, seed: str) -> StreamReader:
    """A reader for one streamed answer."""
    return StreamReader(target, seed)


class StreamReader:
    """Folds the events of one stream. `message_stop` is the terminal marker."""

    __slots__ = ("_body", "_calls", "_cut", "_done", "_open", "_parts", "_pieces", "_seed", "_target")

    def __init__(self, target: Target, seed: str) -> None:
        self._target = target
        self._seed = seed
        self._body: Json = {}
        self._open: dict[int, Json] = {}
        self._pieces: dict[int, list[str]] = {}
        self._parts: dict[int, Part] = {}
        self._calls = 0
        self._cut: str | None = None
        self._done = False

    def feed(self, event: str | None, data: str) -> list[Delta]:
        """Take one server-sent event and give what became ready."""
        if self._done or event == "ping" or not data or data == "[DONE]":
            return []
        try:
            return self._take(expect_object(json.loads(data), "the event"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _unreadable(f"an event of the stream is none of this format ({error})", self._target) from None

    def _take(self, event: Json) -> list[Delta]:
        match event.get("type"):
            case "content_block_delta":
                return self._delta(event["index"], event["delta"])
            case "content_block_start":
                return self._start(int(event["index"]), dict(event["content_block"]))
            case "content_block_stop":
                return self._close(event["index"])
            case "message_start":
                self._body = dict(expect_object(event["message"], "message"))
            case "message_delta":
                self._body.update(event["delta"])
                usage = {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
                self._body["usage"] = {**(self._body.get("usage") or {}), **usage}
                self._body.update({name: event[name] for name in event.keys() - {"type", "delta", "usage"}})
            case "message_stop":
                self._finish()
            case "error":
                raise _error(event, self._target)
        return []  # ping, and events of tomorrow: https://platform.claude.com/docs/en/build-with-claude/streaming

    def _start(self, index: int, block: Json) -> list[Delta]:
        kind = block.get("type")
        text = ""
        if kind in ("text", "thinking"):
            text = block[kind] = expect_text(block.get(kind) or "", str(kind))
        self._open[index], self._pieces[index] = block, [text] if text else []
        return [Delta("text" if kind == "text" else "reasoning", text)] if text else []

    def _delta(self, index: int, delta: Json) -> list[Delta]:
        block = self._open[index]
        match delta["type"]:
            case "text_delta":
                text = expect_text(delta["text"], "text")
                self._pieces[index].append(text)
                return [Delta("text", text)] if text else []
            case "thinking_delta":
                text = expect_text(delta["thinking"], "thinking")
                self._pieces[index].append(text)
                return [Delta("reasoning", text)] if text else []
            case "input_json_delta":
                self._pieces[index].append(expect_text(delta["partial_json"], "partial_json"))
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or []), delta["citation"]]
            case _:  # signature_delta, and kinds of tomorrow: strings grow, everything else is set
                for name, value in delta.items():
                    if name != "type":
                        old = block.get(name)
                        block[name] = old + value if isinstance(old, str) and isinstance(value, str) else value
        return []

    def _close(self, index: int) -> list[Delta]:
        block = self._settled(index)
        del self._open[index]
        if block is None:
            return []
        part = read_block(block, f"content[{index}]", self._target.origin, lambda _: call_id(self._seed, self._calls))
        self._parts[index] = part
        if isinstance(part, ToolCall):
            self._calls += 1
            return [Delta("tool_call", tool_call=part)]
        return []

    def _settled(self, index: int) -> Json | None:
        """The block with what its deltas brought; None if the arguments of a tool call are cut or broken."""
        block, pieces = dict(self._open[index]), self._pieces[index]
        if not pieces:
            return block
        kind = block.get("type")
        if kind in ("text", "thinking"):
            block[kind] = "".join(pieces)
            return block
        try:
            block["input"] = json_object("".join(pieces))
        except ValueError as error:
            if kind != "tool_use":
                block["input"] = {}
                return block
            self._cut = str(error)
            return None
        return block

    def _finish(self) -> None:
        if self._cut and self._body.get("stop_reason") not in ("max_tokens", "model_context_window_exceeded"):
            raise ProviderError(
                "server_error", f"the arguments of a tool call are no JSON object: {self._cut}",
                backend=self._target.backend, code="tool_arguments",
            )  # fmt: skip
        self._done = True

    def reply(self) -> Reply:
        """The whole answer."""
        if not self._done or self._body.get("stop_reason") is None:
            raise ProviderError("stream_incomplete", "the stream ended without message_stop", backend=self._target.backend)
        return self._told(dict(self._parts))

    def partial(self) -> Reply:
        """What has arrived so far; cut tool calls are left out."""
        parts = dict(self._parts)
        for index, block in self._open.items():
            settled = self._settled(index) if block.get("type") in ("text", "thinking") else None
            if settled is not None:
                parts[index] = read_block(settled, f"content[{index}]", self._target.origin, str)
        return self._told(parts)

    def _told(self, parts: dict[int, Part]) -> Reply:
        return _reply(self._body, [parts[index] for index in sorted(parts)], self._target)


# ------------------------------------------------------------------------------------------------------- errors
_KINDS: dict[str, FaultKind] = {
    "invalid_request_error": "invalid_request",
    "authentication_error": "authentication",
    "billing_error": "quota",
    "permission_error": "permission",
    "not_found_error": "not_found",
    "request_too_large": "context_length",
    "rate_limit_error": "rate_limit",
    "timeout_error": "timeout",
    "api_error": "server_error",
    "overloaded_error": "overloaded",
}
_STATUSES: dict[int, FaultKind] = {
    400: "invalid_request", 401: "authentication", 402: "quota", 403: "permission", 404: "not_found", 408: "timeout",
    413: "context_length", 422: "invalid_request", 429: "rate_limit", 503: "overloaded", 504: "timeout", 529: "overloaded",
}  # fmt: skip
_SERVER_ERROR = 500
_TOO_LONG = ("prompt is too long", "exceed context limit", "context window", "too many total text bytes")
_OUT_OF_MONEY = ("credit balance", "usage limits", "spend limit", "billing")


def read_error(status: int, body: object) -> tuple[FaultKind, str | None, str]:
    """What an error body means: kind, vendor code, message. Status 0: it came inside a stream.

    Source: https://platform.claude.com/docs/en/api/errors
    """
    error: Any = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        error = {"message": error if isinstance(error, str) else body if isinstance(body, str) else ""}
    kind, message, details = error.get("type"), error.get("message"), error.get("details")
    kind = kind if isinstance(kind, str) else None
    message = message if isinstance(message, str) else ""
    detail = details.get("error_code") if isinstance(details, dict) else None
    code = detail if isinstance(detail, str) else kind
    by_status = _STATUSES.get(status, "server_error" if status >= _SERVER_ERROR else "other")
    fault = _KINDS.get(kind or "", by_status)
    if fault in ("invalid_request", "rate_limit", "permission"):
        lower = message.lower()
        if fault == "invalid_request" and any(sign in lower for sign in _TOO_LONG):
            fault = "context_length"
        elif any(sign in lower for sign in _OUT_OF_MONEY):
            fault = "quota"
    return fault, code, message


def _error(body: object, target: Target) -> ProviderError:
    if not isinstance(body, dict) or "error" not in body:
        return _unreadable("the answer is no message", target)
    kind, code, message = read_error(0, body)
    return ProviderError(kind, message or "the provider reports an error", backend=target.backend, code=code)


def _unreadable(message: str, target: Target) -> ProviderError:
    return ProviderError("server_error", f"unreadable answer: {message}", backend=target.backend, code="unreadable")
