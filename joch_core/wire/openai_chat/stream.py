"""Reads a streamed chat completion, chunk by chunk. The hot path of a stream: a text chunk costs little more than its JSON."""

from __future__ import annotations

import json
from typing import Any

from joch_core.capabilities import Target
from joch_core.errors import ProviderError
from joch_core.messages import Delta, Finish, Json, Part, Reply, ToolCall, call_id
from joch_core.wire.openai_chat.answer import (
    check_cut,
    finish_of,
    read_call,
    read_message,
    thinking_text,
    told,
)
from joch_core.wire.openai_chat.errors import fault, unreadable

_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
#: Text that grows from chunk to chunk inside `reasoning_details` (OpenRouter).
_GROWING = ("text", "summary", "data", "signature")


def reader(target: Target, seed: str) -> StreamReader:
    """A reader for one streamed answer."""
    return StreamReader(target, seed)


class StreamReader:
    """Folds the chunks of one stream. The finish reason of choice 0 is the terminal marker; `[DONE]` alone is none."""

    __slots__ = (
        "_audio", "_blocks", "_body", "_calls", "_details", "_ended", "_extra", "_finish", "_lists", "_raw", "_refusal",
        "_seed", "_target", "_texts", "_thinking", "_thoughts", "_thoughts_name",
    )  # fmt: skip

    def __init__(self, target: Target, seed: str) -> None:
        self._target = target
        self._seed = seed
        self._body: Json = {}
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._thoughts_name = "reasoning_content"
        self._thinking: list[str] = []
        self._details: dict[Any, Json] = {}
        self._blocks: list[Json] = []
        self._refusal: list[str] = []
        self._audio: Json = {}
        self._lists: Json = {}
        self._extra: Json = {}
        self._raw: list[Json] = []
        self._calls: list[ToolCall] = []
        self._finish: Finish | None = None
        self._ended = 0

    def feed(self, event: str | None, data: str) -> list[Delta]:
        """Take one server-sent event and give what became ready."""
        if not data:
            return []
        try:
            if data == "[DONE]":
                return self._at_done()
            chunk = json.loads(data)
            choices = chunk.get("choices")
            if not choices:
                return self._aside(event, chunk)
            choice = choices[0]
            if choice.get("index"):
                choice = next((one for one in choices if not one.get("index")), None)
                if choice is None:
                    return []
            if chunk.get("usage") or not self._body or "x_groq" in chunk:
                self._note(chunk)
            out = self._delta(choice.get("delta") or choice.get("message") or {})
            if choice.get("finish_reason") or choice.get("error"):
                reason = finish_of(choice, self._target)
                self._extra.update(
                    {name: choice[name] for name in choice.keys() - {"index", "delta", "logprobs"} if choice[name]}
                )
                if reason is not None:
                    out += self._end(reason)
            if choice.get("logprobs"):
                self._logprobs(choice["logprobs"])
            return out
        except _UNREADABLE as error:
            raise unreadable(f"a chunk of the stream is none of this format ({error!r:.200})", self._target) from None

    def _at_done(self) -> list[Delta]:
        if self._finish is None and not self._target.dialect.finish_reason_optional:
            return []
        return self._end(self._finish or "stop")

    def _delta(self, delta: Json) -> list[Delta]:
        content = delta.get("content")
        out: list[Delta] = []
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if thought:
            self._thoughts_name = "reasoning_content" if delta.get("reasoning_content") else "reasoning"
            out.append(Delta("reasoning", thought + ""))  # `+ ""` refuses what is no string, at next to no cost
            self._thoughts.append(thought)
        if content:
            if isinstance(content, str):
                self._texts.append(content)
                out.append(Delta("text", content))
            else:
                out += self._list(content)
        if details := delta.get("reasoning_details"):
            self._reasoning_details(details, out, said=bool(thought))
        if calls := delta.get("tool_calls"):
            for call in calls:
                self._call(call)
        if legacy := delta.get("function_call"):
            self._call({"type": "function_call", "function": legacy, "index": "function_call"})
        if refusal := delta.get("refusal"):
            self._refusal.append(refusal + "")
        if audio := delta.get("audio"):
            for name, value in audio.items():
                self._audio[name] = self._audio.get(name, "") + value if name in ("data", "transcript") else value
        for name in ("annotations", "executed_tools"):
            if items := delta.get(name):
                self._lists.setdefault(name, []).extend(items)
        return out

    def _list(self, content: list[Any]) -> list[Delta]:
        """Mistral streams its thoughts as parts of a content list."""
        out: list[Delta] = []
        for part in content:
            kind = "text" if isinstance(part, str) else part["type"]
            if kind == "text":
                text = (part if isinstance(part, str) else part["text"]) + ""
                self._texts.append(text)
                out.append(Delta("text", text))
            elif kind == "thinking":
                text = thinking_text(part.get("thinking"))
                self._thinking.append(text)
                out.append(Delta("reasoning", text))
            else:
                self._blocks.append(part)
        return out

    def _reasoning_details(self, details: list[Json], out: list[Delta], *, said: bool) -> None:
        for item in details:
            kept = self._details.setdefault((item.get("type"), item.get("index")), {})
            for name, value in item.items():
                if name in _GROWING and isinstance(value, str):
                    kept[name] = (kept.get(name) or "") + value
                elif value is not None or name not in kept:
                    kept[name] = value
            text = item.get("text") or item.get("summary")
            if text and not said:
                out.append(Delta("reasoning", text + ""))

    def _call(self, piece: Json) -> None:
        """Put a piece to its call: by index, else by id, else to the newest one.

        A new id under an old index is a new call: some servers number every parallel call 0.
        """
        index, identity = piece.get("index"), piece.get("id")
        body: Json = piece.get("function") or piece.get("custom") or {}
        call = None
        for known in reversed(self._raw):
            if index is not None and known["index"] != index:
                continue
            if identity and known["id"] and known["id"] != identity:
                if index is None or body.get("name"):
                    continue
            elif index is None and not identity and body.get("name"):
                continue
            call = known
            break
        if call is None:
            call = {"index": index, "id": identity or "", "type": piece.get("type"), "name": "", "pieces": [], "extra": {}}
            self._raw.append(call)
        call["id"] = call["id"] or identity or ""
        call["type"] = call["type"] or piece.get("type")
        call["name"] = call["name"] or body.get("name") or ""
        arguments = body.get("arguments") if "custom" not in piece else body.get("input")
        if arguments:
            call["pieces"].append(arguments)
        for name in piece.keys() - {"index", "id", "type", "function", "custom"}:
            call["extra"][name] = piece[name]

    def _whole_call(self, call: Json, number: int) -> ToolCall:
        pieces = call["pieces"]
        arguments = pieces[0] if len(pieces) == 1 else "".join(pieces)
        raw: Json = {**call["extra"], "id": call["id"], "type": call["type"]}
        if call["type"] == "custom":
            raw["custom"] = {"name": call["name"], "input": arguments}
        else:
            raw["function"] = {"name": call["name"], "arguments": arguments}
        if not call["name"]:
            raise ValueError("a tool call has no name")
        return read_call(raw, call_id(self._seed, number), self._target.origin)

    def _end(self, reason: Finish) -> list[Delta]:
        """Hand over the calls that this finish reason completes. Together sends one finish reason per call."""
        cut, first = None, len(self._calls)
        for number in range(self._ended, len(self._raw)):
            try:
                self._calls.append(self._whole_call(self._raw[number], number))
            except ValueError as error:
                cut = str(error)
        self._ended = len(self._raw)
        check_cut(cut, reason, self._target)
        self._finish = reason
        return [Delta("tool_call", tool_call=call) for call in self._calls[first:]]

    def _aside(self, event: str | None, chunk: Json) -> list[Delta]:
        """A chunk without a choice: usage, prompt filter results, or an error."""
        if chunk.get("error") or event == "error":
            raise fault(chunk, self._target)
        self._note(chunk)
        return []

    def _note(self, chunk: Json) -> None:
        """Keep the fields of the answer as such; Groq puts its usage into a field of its own."""
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") or self._body.get("usage")
        if error := (chunk.get("x_groq") or {}).get("error"):
            raise fault({"error": error}, self._target)
        self._body.update({name: value for name, value in chunk.items() if name not in ("choices", "usage") and value})
        if usage:
            self._body["usage"] = usage

    def _logprobs(self, logprobs: Json) -> None:
        kept = self._extra.setdefault("logprobs", {})
        for name, items in logprobs.items():
            if isinstance(items, list):
                kept[name] = [*(kept.get(name) or ()), *items]

    def reply(self) -> Reply:
        """The whole answer."""
        if self._finish is None or self._ended < len(self._raw):
            raise ProviderError(
                "stream_incomplete", "the stream ended without a finish reason", backend=self._target.backend
            )
        return self._told(self._finish)

    def partial(self) -> Reply:
        """What has arrived so far; cut tool calls are left out."""
        return self._told(self._finish or "other")

    def _told(self, reason: Finish) -> Reply:
        text = "".join(self._texts)
        message: Json = {**self._lists, "content": text, "refusal": "".join(self._refusal), "audio": self._audio}
        if self._thoughts:
            message[self._thoughts_name] = "".join(self._thoughts)
        if self._details:
            message["reasoning_details"] = list(self._details.values())
        if self._thinking or self._blocks:
            thinking = [{"type": "text", "text": "".join(self._thinking)}]
            blocks = [{"type": "thinking", "thinking": thinking}] if self._thinking else []
            message["content"] = [*blocks, *([{"type": "text", "text": text}] if text else []), *self._blocks]
        try:
            parts, refusal = read_message(message, self._target.origin)
        except _UNREADABLE as error:
            raise unreadable(f"the stream does not make an answer ({error!r:.200})", self._target) from None
        both: list[Part] = [*parts, *self._calls]
        return told(self._body, self._extra, both, refusal, reason, self._target)
