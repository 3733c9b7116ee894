"""Reads a streamed response, event by event. Events that it does not know change nothing."""

from __future__ import annotations

import json
from typing import Any

from joch_core.capabilities import Target
from joch_core.errors import ProviderError
from joch_core.messages import Delta, Json, Native, Part, Reasoning, Reply, Text, ToolCall
from joch_core.wire.openai_responses.answer import (
    UNREADABLE,
    client_or_server,
    numbered,
    read_body,
    told,
)
from joch_core.wire.openai_responses.errors import fault, unreadable
from joch_core.wire.openai_responses.items import API, CALLS

_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")


def reader(target: Target, seed: str) -> StreamReader:
    """A reader for one streamed answer."""
    return StreamReader(target, seed)


class StreamReader:
    """Folds the events of one stream. `response.completed`, `.incomplete` and `.failed` are the terminal markers."""

    __slots__ = ("_body", "_calls", "_identity", "_items", "_open", "_reply", "_target")

    def __init__(self, target: Target, seed: str) -> None:
        self._target = target
        self._identity = numbered({}, seed)
        self._body: Json = {}
        self._items: dict[int, Json] = {}
        self._open: dict[int, tuple[str, list[str]]] = {}
        self._calls: set[str] = set()
        self._reply: Reply | None = None

    def feed(self, event: str | None, data: str) -> list[Delta]:
        """Take one server-sent event and give what became ready."""
        if not data or data == "[DONE]" or self._reply is not None:
            return []
        try:
            body = json.loads(data)
            kind = body.get("type") or event
            if kind == "response.output_text.delta":
                return self._grow("text", body["output_index"], body["delta"])
            if kind in _THOUGHTS:
                return self._grow("reasoning", body["output_index"], body["delta"])
            return self._other(kind, body)
        except UNREADABLE as error:
            raise unreadable(f"an event of the stream is none of this format ({error!r:.200})", self._target) from None

    def _grow(self, kind: Any, index: int, text: str) -> list[Delta]:
        known = self._open.get(index)
        if known is None:
            known = self._open[index + 0] = (kind, [])  # `+ 0` refuses what is no number
        known[1].append(text + "")  # `+ ""` refuses what is no string, at next to no cost
        return [Delta(kind, text)] if text else []

    def _other(self, kind: Any, body: Json) -> list[Delta]:
        match kind:
            case "response.refusal.delta":
                self._grow("refusal", body["output_index"], body["delta"])
            case "response.output_item.done":
                return self._item(int(body["output_index"]), body["item"])
            case "response.created" | "response.in_progress" | "response.queued":
                if isinstance(body.get("response"), dict):
                    self._body = body["response"]
            case "response.completed" | "response.incomplete" | "response.failed":
                return self._finish(body["response"], kind)
            case "error" | "response.error":
                raise fault(body, self._target)
            case None if body.get("error"):
                raise fault(body, self._target)
        return []

    def _item(self, index: int, item: Json) -> list[Delta]:
        kind = item.get("type")
        self._items[index] = item
        # A shell call may be run by the provider: only the end tells.
        if kind not in CALLS or kind == "shell_call" or item.get("status") == "incomplete":
            return []
        try:
            parts = client_or_server(item, [], self._target, self._identity, "stop")
        except ProviderError:
            return []  # cut at the output limit, or broken: the end tells
        return self._hand_over(parts)

    def _hand_over(self, parts: list[Part]) -> list[Delta]:
        calls = [part for part in parts if isinstance(part, ToolCall) and part.id not in self._calls]
        self._calls.update(call.id for call in calls)
        return [Delta("tool_call", tool_call=call) for call in calls]

    def _finish(self, response: Json, kind: str) -> list[Delta]:
        if kind == "response.failed":
            raise fault(response, self._target)
        items = [self._items[index] for index in sorted(self._items)]
        body = {**response, "output": response.get("output") or items}
        body.setdefault("status", kind.removeprefix("response."))
        self._reply = read_body(body, self._target, self._identity)
        return self._hand_over(list(self._reply.parts))

    def reply(self) -> Reply:
        """The whole answer."""
        if self._reply is None:
            raise ProviderError(
                "stream_incomplete", "the stream ended without response.completed", backend=self._target.backend
            )
        return self._reply

    def partial(self) -> Reply:
        """What has arrived so far; cut tool calls are left out."""
        if self._reply is not None:
            return self._reply
        parts: list[Part] = []
        for index in sorted({*self._items, *self._open}):
            if index in self._items:
                try:
                    parts += client_or_server(self._items[index], [], self._target, self._identity, "length")
                except UNREADABLE:
                    continue
            else:
                kind, pieces = self._open[index]
                text = "".join(pieces)
                refused = Native(API, self._target.origin, {"refusal": True}) if kind == "refusal" else None
                parts.append(Reasoning(text) if kind == "reasoning" else Text(text, native=refused))
        return told(self._body, parts, "other", self._target)
