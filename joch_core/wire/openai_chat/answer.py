"""A whole chat completion as a `Reply`, and the pieces that a streamed one shares with it."""

from __future__ import annotations

import json
from typing import Any

from joch_core.capabilities import Target
from joch_core.errors import FaultKind, InvalidArgument, ProviderError
from joch_core.messages import (
    Audio,
    Finish,
    Json,
    Message,
    Native,
    Other,
    Part,
    Reasoning,
    Reply,
    ServerTool,
    Text,
    ToolCall,
    Usage,
    call_id,
)
from joch_core.messages.encoding import compact_json, decode_base64, json_object
from joch_core.wire.openai_chat.errors import fault, unreadable

API = "openai-chat"

_FINISH: dict[str, Finish] = {
    "stop": "stop",
    "eos": "stop",  # Together
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "refusal",
}
#: Finish reasons that say the answer failed: OpenRouter, Mistral; DeepSeek.
_FAILED: dict[str, FaultKind] = {"error": "server_error", "insufficient_system_resource": "overloaded"}
#: What `Reply` says in fields of its own, and what only the transport needs.
_TOLD = {"choices", "model", "usage", "object"}


def parse(body: Json, target: Target, seed: str) -> Reply:
    """A whole answer; of several choices, the first one."""
    if not isinstance(body, dict) or (not body.get("choices") and (body.get("error") or body.get("detail"))):
        raise fault(body, target)
    try:
        choice = first_choice(body["choices"])
        message = choice["message"]
        reason = finish_of(choice, target)
        parts, refusal = read_message(message, target.origin)
        calls, cut = [], None
        for index, raw in enumerate(raw_calls(message)):
            try:
                calls.append(read_call(raw, call_id(seed, index), target.origin))
            except ValueError as error:
                cut = str(error)
        check_cut(cut, reason, target)
        extra = {name: choice[name] for name in choice.keys() - {"index", "message"} if choice[name] is not None}
        if reason is None:
            reason = "stop" if target.dialect.finish_reason_optional else "other"
        return told(body, extra, [*parts, *calls], refusal, reason, target)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError) as error:
        if isinstance(error, InvalidArgument):
            raise unreadable(str(error), target) from None
        raise unreadable(f"it is no chat completion ({error!r:.200})", target) from None


def first_choice(choices: list[Json]) -> Json:
    """Choice 0. Servers that answer several may send them in any order."""
    return next((choice for choice in choices if choice.get("index") == 0), choices[0])


def finish_of(choice: Json, target: Target) -> Finish | None:
    """How the answer ended; None if the server does not say.

    Raises:
        ProviderError: the choice carries an error instead of an answer.
    """
    if error := choice.get("error"):
        raise fault({"error": error}, target)
    reason = choice.get("finish_reason")
    if not reason:
        return None
    if reason in _FAILED:
        raise ProviderError(_FAILED[reason], f"the answer ended with {reason!r}", backend=target.backend, code=reason)
    return _FINISH.get(reason, "other")


def check_cut(cut: str | None, reason: Finish | None, target: Target) -> None:
    """Arguments that end in the middle are to be expected at the output limit, and a fault everywhere else."""
    if cut is not None and reason != "length":
        raise ProviderError(
            "server_error", f"the arguments of a tool call are no JSON object: {cut}", backend=target.backend,
            code="tool_arguments",
        )  # fmt: skip


def told(body: Json, extra: Json, parts: list[Part], refusal: str | None, reason: Finish, target: Target) -> Reply:
    """The Reply of what was read. A plain stop with client tool calls counts as `tool_calls`."""
    if reason == "stop" and any(isinstance(part, ToolCall) for part in parts):
        reason = "tool_calls"
    if refusal is not None and reason in ("stop", "other"):
        reason = "refusal"
    native = {name: value for name, value in body.items() if name not in _TOLD and value is not None}
    native.update(extra)
    model = body.get("model")
    return Reply(
        Message("assistant", tuple(parts)),
        reason,
        read_usage(body.get("usage")),
        model if isinstance(model, str) and model else target.model,
        refusal,
        tuple(part.kind for part in parts if isinstance(part, ServerTool)),
        native,
    )


# ------------------------------------------------------------------------------------------------------ message
def read_message(message: Json, origin: str) -> tuple[list[Part], str | None]:
    """The parts of an assistant message without its tool calls, and the refusal in it."""
    parts: list[Part] = []
    if (thought := read_reasoning(message, origin)) is not None:
        parts.append(thought)
    parts += [  # Groq's compound systems
        ServerTool(str(item.get("type")), str(item.get("output") or ""), Native(API, origin, {"executed_tool": item}))
        for item in message.get("executed_tools") or ()
    ]
    content = message.get("content")
    annotations = message.get("annotations") or []
    refusal = message.get("refusal") or None
    if isinstance(content, str):
        if content:
            parts.append(_text(content, annotations, origin))
    elif isinstance(content, dict):
        parts.append(Text(json.dumps(content, ensure_ascii=False)))  # Cloudflare: the structured answer, parsed already
    elif content is not None:
        for raw in content:
            block = {"type": "text", "text": raw} if isinstance(raw, str) else raw
            if block["type"] == "refusal":
                refusal = (refusal or "") + block["refusal"]
            else:
                parts.append(read_block(block, origin))
    if refusal is not None:
        parts.append(Text(_string(refusal), native=Native(API, origin, {"refusal": True}, opaque=False)))
    audio = message.get("audio")
    if audio and (audio.get("id") or audio.get("data")):
        parts.append(read_audio(audio, origin))
    return parts, refusal


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"a string is needed, not {type(value).__name__}")


def _text(text: str, annotations: list[Json], origin: str) -> Text:
    if not annotations:
        return Text(text)
    return Text(text, read_citations(annotations), Native(API, origin, {"annotations": annotations}))


def read_citations(annotations: list[Json]) -> tuple[Json, ...]:
    """Neutral citations of `url_citation` annotations."""
    found = []
    for raw in annotations:
        cited = raw.get("url_citation")
        if isinstance(cited, dict):
            names = {"url": "url", "title": "title", "content": "quote", "start_index": "start", "end_index": "end"}
            found.append({neutral: cited[name] for name, neutral in names.items() if cited.get(name) is not None})
    return tuple(found)


def read_block(block: Json, origin: str) -> Part:
    """One part of an assistant's content list: text, Mistral's `thinking`, or something unknown."""
    kind = block["type"]
    if kind == "text":
        text = _string(block["text"])
        extra = {name: value for name, value in block.items() if name not in ("type", "text") and value is not None}
        return Text(text, native=Native(API, origin, extra, opaque=False) if extra else None)
    if kind == "thinking":
        return Reasoning(thinking_text(block.get("thinking")), Native(API, origin, {"block": block}))
    return Other(_string(kind), Native(API, origin, {"block": block}))


def thinking_text(thinking: Any) -> str:
    """Mistral's thoughts: a list of text chunks. https://docs.mistral.ai/capabilities/reasoning"""
    if isinstance(thinking, str):
        return thinking
    return "".join(item.get("text") or "" for item in thinking or ())


def read_audio(audio: Json, origin: str) -> Audio:
    """Spoken answer. Its id stands for it in later turns, until it expires."""
    raw = audio.get("data")
    kept = {name: audio[name] for name in ("id", "expires_at") if audio.get(name)}
    return Audio(
        decode_base64(raw) if raw else None,
        transcript=audio.get("transcript") or None,
        native=Native(API, origin, kept) if kept else None,
    )


def read_reasoning(message: Json, origin: str) -> Reasoning | None:
    """The thoughts that compatible servers put beside the content, under one of three names."""
    data = {name: message[name] for name in ("reasoning_content", "reasoning", "reasoning_details") if message.get(name)}
    if not data:
        return None
    text = data.get("reasoning_content") or data.get("reasoning")
    if not isinstance(text, str):
        details = data.get("reasoning_details") or ()
        text = "".join(item.get("text") or item.get("summary") or "" for item in details)
    return Reasoning(text, Native(API, origin, data))


# --------------------------------------------------------------------------------------------------- tool calls
def raw_calls(message: Json) -> list[Json]:
    """The calls of a message. The legacy `function_call` is one without an id; some servers send an empty one."""
    calls: list[Json] = list(message.get("tool_calls") or ())
    legacy = message.get("function_call")
    if legacy and legacy.get("name"):
        calls.append({"type": "function_call", "function": legacy})
    return calls


def read_call(raw: Json, identity: str, origin: str) -> ToolCall:
    """One call. Arguments may be a string of JSON, an object already, or nothing at all.

    Raises:
        ValueError: the arguments are no JSON object.
    """
    if raw.get("type") == "custom" and isinstance(raw.get("custom"), dict):
        custom = raw["custom"]
        return ToolCall(
            identity, _string(custom["name"]), {"input": custom.get("input") or ""}, custom=True,
            native=Native(API, origin, {"id": raw.get("id") or ""}),
        )  # fmt: skip
    function = raw["function"]
    arguments = function.get("arguments")
    args = arguments if isinstance(arguments, dict) else json_object(_string(arguments)) if arguments else {}
    data: Json = {"id": raw.get("id") or ""}
    opaque = True
    if raw.get("type") == "function_call":
        data["legacy"], opaque = True, False
    else:
        data.update({name: raw[name] for name in raw.keys() - {"id", "type", "function", "index"} if raw[name] is not None})
    if isinstance(arguments, str) and arguments != compact_json(args):
        data["arguments"] = arguments  # as it was written, so that the provider's prompt cache knows it again
    return ToolCall(identity, _string(function["name"]), args, native=Native(API, origin, data, opaque))


# -------------------------------------------------------------------------------------------------------- usage
def read_usage(raw: Any) -> Usage:
    """Tokens. Most servers count cached input and reasoning in; xAI leaves reasoning out, and its total shows it."""
    if not isinstance(raw, dict):
        return Usage()
    given, made = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens")
    inputs, outputs = raw.get("prompt_tokens_details"), raw.get("completion_tokens_details")
    read = _count(inputs, "cached_tokens")
    written = _count(inputs, "cache_write_tokens")
    if read is None:
        read = _count(raw, "prompt_cache_hit_tokens")  # DeepSeek
    if read is None:
        read = _count(raw, "cached_tokens")  # Moonshot
    thought = _count(outputs, "reasoning_tokens")
    if thought is None:
        thought = _count(raw, "reasoning_tokens")
    total = _count(raw, "total_tokens")
    if thought and given is not None and made is not None and total == given + made + thought:
        made += thought
    return Usage(given, made, read, written, thought)


def _count(raw: Any, name: str) -> int | None:
    value = raw.get(name) if isinstance(raw, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
