"""What generateContent answers, whole or streamed, as a `Reply`; and what its errors mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
    Reasoning,
    Reply,
    ServerTool,
    Text,
    ToolCall,
    Usage,
    call_id,
)
from joch_core.messages.encoding import expect_list, expect_object, expect_text
from joch_core.wire.google_generate.citations import cited
from joch_core.wire.google_generate.parts import API, read_call, read_part

#: Some gateways send the numbers of the enum: https://ai.google.dev/api/generate-content#FinishReason
_NUMBERS = {
    1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER", 6: "BLOCKLIST", 7: "PROHIBITED_CONTENT",
    8: "SPII", 9: "MALFORMED_FUNCTION_CALL",
}  # fmt: skip
_FILTERED = {
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
}  # fmt: skip
#: The model failed at its own format: an answer of it can be used only if there is one.
_FAILED = {
    "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
}  # fmt: skip
#: What a candidate says of tools that Google ran beside the parts.
_SERVER_FIELDS = ("groundingMetadata", "urlContextMetadata")
#: What `Reply` says in fields of its own.
_TOLD = {"candidates", "usageMetadata", "modelVersion"}


def parse(body: Json, target: Target, seed: str) -> Reply:
    """A whole answer."""
    fold = _Fold(target, seed)
    for _ in fold.take(body):
        pass
    return fold.reply()


def reader(target: Target, seed: str) -> StreamReader:
    """A reader for one streamed answer."""
    return StreamReader(target, seed)


class StreamReader:
    """Reads a stream of chunks, each of which is an answer in small. A finish reason is the terminal marker."""

    __slots__ = ("_fold", "_target")

    def __init__(self, target: Target, seed: str) -> None:
        self._target = target
        self._fold = _Fold(target, seed, streamed=True)

    def feed(self, event: str | None, data: str) -> list[Delta]:  # noqa: ARG002  Gemini names no events
        """Take one server-sent event and give what became ready."""
        if not data or data == "[DONE]":
            return []
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _unreadable(f"an event of the stream is no JSON ({error})", self._target) from None
        return list(self._fold.take(chunk))

    def reply(self) -> Reply:
        """The whole answer."""
        if not self._fold.finished:
            raise ProviderError(
                "stream_incomplete", "the stream ended without a finish reason", backend=self._target.backend
            )
        return self._fold.reply()

    def partial(self) -> Reply:
        """What has arrived so far."""
        return self._fold.told()


class _Fold:
    """Puts chunks together. Neighbouring pieces of one text are one part, but a signed piece stays as it came."""

    __slots__ = (
        "_candidate",
        "_ids",
        "_parts",
        "_pieces",
        "_rest",
        "_streamed",
        "_target",
        "_usage",
        "model",
        "reason",
    )

    def __init__(self, target: Target, seed: str, *, streamed: bool = False) -> None:
        self._target = target
        self._streamed = streamed
        self._ids = (call_id(seed, number) for number in count())
        self._parts: list[Part] = []
        self._pieces: list[str] = []
        self._candidate: Json = {}
        self._rest: Json = {}
        self._usage: Json = {}
        self.model = target.model
        self.reason: str | None = None

    @property
    def finished(self) -> bool:
        return self.reason is not None or self._blocked is not None

    @property
    def _blocked(self) -> str | None:
        feedback = self._rest.get("promptFeedback")
        reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
        return None if reason is None else str(reason)

    def take(self, chunk: Any) -> Iterator[Delta]:
        """One chunk, or a list of them as streams without `alt=sse` give."""
        try:
            for item in chunk if isinstance(chunk, list) else (chunk,):
                yield from self._chunk(expect_object(item, "the answer"))
        except (InvalidArgument, RecursionError) as error:
            raise _unreadable(str(error), self._target) from None

    def _chunk(self, chunk: Json) -> Iterator[Delta]:
        if "error" in chunk:
            kind, code, message = read_error(0, chunk)
            raise ProviderError(kind, message or "the provider reports an error", backend=self._target.backend, code=code)
        if isinstance(usage := chunk.get("usageMetadata"), dict):
            self._usage.update(usage)
        if isinstance(model := chunk.get("modelVersion"), str) and model:
            self.model = model
        self._rest.update({name: value for name, value in chunk.items() if name not in _TOLD and value is not None})
        if not (candidates := chunk.get("candidates")):
            return
        candidate = expect_object(expect_list(candidates, "candidates")[0], "candidates[0]")
        reason = candidate.get("finishReason")
        if reason is not None and reason != "FINISH_REASON_UNSPECIFIED":
            self.reason = _NUMBERS.get(reason, str(reason)) if isinstance(reason, int) else str(reason)
        self._candidate.update(
            {name: value for name, value in candidate.items() if name not in ("content", "finishReason", "index") and value}
        )
        content = candidate.get("content")
        parts = expect_object(content, "content").get("parts") if content else None
        for index, raw in enumerate(expect_list(parts, "content.parts") if parts else ()):
            yield from self._part(expect_object(raw, f"content.parts[{index}]"), f"content.parts[{index}]")

    def _part(self, raw: Json, place: str) -> Iterator[Delta]:
        thought = raw.get("thought") is True
        if self._streamed and "text" in raw and len(raw) == 1 + thought:
            text = expect_text(raw["text"], f"{place}.text")
            self._grow(raw, text, thought=thought)
            if text:
                yield Delta("reasoning" if thought else "text", text)
            return
        self._settle()
        if "functionCall" in raw:
            call = read_call(raw, place, self._target.origin, next(self._ids))
            self._parts.append(call)
            yield Delta("tool_call", tool_call=call)
            return
        part = read_part(raw, place, self._target.origin)
        self._parts.append(part)
        if isinstance(part, Text | Reasoning) and part.text:
            yield Delta("reasoning" if isinstance(part, Reasoning) else "text", part.text)

    def _grow(self, raw: Json, text: str, *, thought: bool) -> None:
        if not self._pieces or isinstance(self._parts[-1], Reasoning) is not thought:
            self._settle()
            self._parts.append(read_part(raw, "text", self._target.origin))
        self._pieces.append(text)

    def _settle(self) -> None:
        """Write the pieces of the growing text into its part."""
        if len(self._pieces) > 1:
            text = "".join(self._pieces)
            if isinstance(self._parts[-1], Reasoning):
                self._parts[-1] = Reasoning(text, Native(API, self._target.origin, {"text": text, "thought": True}))
            else:
                self._parts[-1] = Text(text)
        self._pieces = []

    def reply(self) -> Reply:
        if not self._candidate and not self._parts and not self.finished:
            raise _unreadable("there is no candidate in it", self._target)
        if self.reason in _FAILED and not any(isinstance(part, ToolCall) or _says(part) for part in self._parts):
            message = self._candidate.get("finishMessage")
            raise ProviderError(
                "server_error",
                message if isinstance(message, str) else f"the model failed to answer: {self.reason}",
                backend=self._target.backend,
                code=self.reason,
            )
        return self.told()

    def told(self) -> Reply:
        """What has arrived, as a reply."""
        pieces, last = self._pieces, self._parts[-1:]
        self._settle()
        parts = list(self._parts)
        if pieces:  # more may come: the growing text goes on
            self._pieces, self._parts[-1:] = pieces, last
        grounding = self._candidate.get("groundingMetadata")
        if isinstance(grounding, dict):
            parts = cited(parts, grounding)
        rest = {**self._rest, **self._candidate}
        return Reply(
            Message("assistant", tuple(parts), native=Native(API, self._target.origin, rest) if rest else None),
            self._finish(),
            _usage(self._usage),
            self.model,
            None,
            (*self._server_fields(), *(part.kind for part in parts if isinstance(part, ServerTool))),
            {**rest, "finishReason": self.reason},
        )

    def _server_fields(self) -> list[str]:
        """Tools whose work shows only in metadata; an empty object says that they were offered and not used."""
        return [name for name in self._candidate if name in _SERVER_FIELDS]

    def _finish(self) -> Finish:
        match self.reason:
            case "STOP":
                return "tool_calls" if any(isinstance(part, ToolCall) for part in self._parts) else "stop"
            case "MAX_TOKENS":
                return "length"
            case None if self._blocked is not None:
                return "content_filter"
            case reason if reason in _FILTERED:
                return "content_filter"
        return "other"


def _says(part: Part) -> bool:
    return isinstance(part, Text) and bool(part.text)


def _usage(raw: Json) -> Usage:
    """Prompt tokens include the cached ones; those of Google's own tools and the thoughts are counted apart.

    Source: https://ai.google.dev/api/generate-content#UsageMetadata
    """

    def number(name: str) -> int | None:
        value = raw.get(name)
        return value if isinstance(value, int) else None

    def total(one: int | None, two: int | None) -> int | None:
        return two if one is None else one if two is None else one + two

    thoughts = number("thoughtsTokenCount")
    return Usage(
        total(number("promptTokenCount"), number("toolUsePromptTokenCount")),
        total(number("candidatesTokenCount"), thoughts),
        number("cachedContentTokenCount"),
        None,
        thoughts,
    )


# ------------------------------------------------------------------------------------------------------- errors
_KINDS: dict[str, FaultKind] = {
    "INVALID_ARGUMENT": "invalid_request", "FAILED_PRECONDITION": "invalid_request", "OUT_OF_RANGE": "invalid_request",
    "UNAUTHENTICATED": "authentication", "PERMISSION_DENIED": "permission", "NOT_FOUND": "not_found",
    "RESOURCE_EXHAUSTED": "rate_limit", "INTERNAL": "server_error", "UNKNOWN": "server_error", "UNAVAILABLE": "overloaded",
    "DEADLINE_EXCEEDED": "timeout",
}  # fmt: skip
_STATUSES: dict[int, FaultKind] = {
    400: "invalid_request", 401: "authentication", 402: "quota", 403: "permission", 404: "not_found", 408: "timeout",
    413: "context_length", 422: "invalid_request", 429: "rate_limit", 503: "overloaded", 504: "timeout",
}  # fmt: skip
_SERVER_ERROR = 500
_TOO_LONG = ("input token count", "maximum number of tokens", "context length", "context window")


def read_error(status: int, body: object) -> tuple[FaultKind, str | None, str]:
    """What an error body means: kind, vendor code, message. Status 0: it came inside a stream.

    Source: https://ai.google.dev/gemini-api/docs/troubleshooting
    """
    first: Any = body[0] if isinstance(body, list) and body else body
    error: Any = first.get("error") if isinstance(first, dict) else None
    if not isinstance(error, dict):
        error = {"message": error if isinstance(error, str) else first if isinstance(first, str) else ""}
    code, message, number = error.get("status"), error.get("message"), error.get("code")
    code = code if isinstance(code, str) else None
    message = message if isinstance(message, str) else ""
    status = status or (number if isinstance(number, int) else 0)
    by_status = _STATUSES.get(status, "server_error" if status >= _SERVER_ERROR else "other")
    kind = _KINDS.get(code or "", by_status)
    lower = message.lower()
    if kind == "invalid_request":
        if "api key" in lower or "API_KEY_INVALID" in _detail(error, "reason"):
            kind = "authentication"
        elif any(sign in lower for sign in _TOO_LONG):
            kind = "context_length"
        elif "location is not supported" in lower:
            kind = "permission"
    elif kind == "rate_limit" and _exhausted(error, lower):
        kind = "quota"
    return kind, code, message


def _exhausted(error: Json, message: str) -> bool:
    """Waiting a minute does not help: a daily quota, none at all, or no money.

    https://ai.google.dev/gemini-api/docs/rate-limits
    """
    daily = any("PerDay" in text for text in _detail(error, "quotaId"))
    return daily or "limit: 0" in message or "prepayment" in message or "spending cap" in message


def _detail(error: Json, name: str) -> list[str]:
    """The values of one field in the details and in their violations."""
    details = error.get("details")
    rows = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    for violations in [row.get("violations") for row in rows]:
        rows += [row for row in violations if isinstance(row, dict)] if isinstance(violations, list) else []
    return [row[name] for row in rows if isinstance(row.get(name), str)]


def _unreadable(message: str, target: Target) -> ProviderError:
    return ProviderError("server_error", f"unreadable answer: {message}", backend=target.backend, code="unreadable")
