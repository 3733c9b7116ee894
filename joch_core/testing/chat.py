"""OpenAI Chat Completions as the simulator speaks it: reads a request, spells an answer whole or as stream events. Pure.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from joch_core.messages import Json
from joch_core.testing.behaviour import Question, text_size, tokens
from joch_core.testing.models import effort, gpt, reasons, shows_reasoning
from joch_core.testing.script import Turn
from joch_core.testing.tokens import Ids

API = "openai-chat"
Event = tuple[str | None, Json | str]


def texts(content: Any) -> str:
    """The text of a content field: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or () if isinstance(part, dict) and isinstance(part.get("text"), str))


def read(body: Json, model: str) -> Question:
    """The request, neutrally. The body has passed the strict check."""
    messages = body["messages"]
    users = [index for index, message in enumerate(messages) if message["role"] == "user"]
    newest = users[-1] if users else len(messages)
    names = {call["id"]: _called(call) for message in messages for call in message.get("tool_calls") or ()}
    results = [
        (names.get(message["tool_call_id"], "tool"), texts(message.get("content")))
        for message in messages[newest + 1 :]
        if message["role"] == "tool"
    ]
    fresh = 0
    while fresh < len(messages) and messages[-1 - fresh]["role"] == "tool":
        fresh += 1
    lines = [
        line
        for index, message in enumerate(messages)
        if index != newest
        for line in (texts(message.get("content")), *(_spelled(call) for call in message.get("tool_calls") or ()))
    ]
    form = body.get("response_format") or {}
    choice = body.get("tool_choice") or "auto"
    stop = body.get("stop") or ()
    return Question(
        API,
        model,
        texts(messages[newest].get("content")) if users else "",
        tuple(lines),
        tuple(results),
        min(fresh, len(results)),
        dict(map(_tool, body.get("tools") or ())),
        choice if isinstance(choice, str) else _forced(choice),
        body.get("parallel_tool_calls", True) is not False,
        form["json_schema"].get("schema", {}) if form.get("type") == "json_schema" else None,
        form.get("type") == "json_object",
        effort(model, body.get("reasoning_effort")) not in (None, "none"),
        shows_reasoning(model, body.get("thinking")),
        body.get("max_completion_tokens") or body.get("max_tokens"),
        (stop,) if isinstance(stop, str) else tuple(stop),
        max(1, text_size([messages, body.get("tools") or []]) // 4),
        body.get("stream") is True,
        bool((body.get("stream_options") or {}).get("include_usage")),
    )


def _called(call: Json) -> str:
    return str((call.get("function") or call.get("custom") or {}).get("name", "tool"))


def _spelled(call: Json) -> str:
    inner = call.get("function") or call.get("custom") or {}
    return f"{inner.get('name')}({inner.get('arguments', inner.get('input', ''))})"


def _tool(tool: Json) -> tuple[str, Json | None]:
    if tool.get("type") == "custom":
        return tool["custom"]["name"], None
    return tool["function"]["name"], tool["function"].get("parameters") or {"type": "object", "properties": {}}


def _forced(choice: Json) -> str:
    if choice.get("type") == "allowed_tools":
        return str(choice["allowed_tools"].get("mode", "auto"))
    return str((choice.get("function") or choice.get("custom") or {}).get("name", "auto"))


_FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "stop",
}


def usage(turn: Turn, question: Question) -> Json:
    """The usage object of an answer."""
    reasoning = turn.usage.get("reasoning_tokens", 64 if question.thinks else 0)
    said = tokens(turn.text + (turn.refusal or "") + "".join(call.name + json.dumps(call.args) for call in turn.tool_calls))
    prompt = turn.usage.get("input_tokens", question.input_tokens)
    completion = turn.usage.get("output_tokens", said + reasoning)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": turn.usage.get("cache_read_tokens", 0), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _calls(turn: Turn, question: Question, ids: Ids) -> list[Json]:
    out: list[Json] = []
    for call in turn.tool_calls:
        identifier = call.id or (ids.new("", 9) if "mistral" in question.model else ids.new("call_"))
        if question.tools.get(call.name, {}) is None:
            custom = {"name": call.name, "input": str(call.args.get("input", ""))}
            out.append({"id": identifier, "type": "custom", "custom": custom})
        else:
            function = {"name": call.name, "arguments": json.dumps(call.args, separators=(",", ":"))}
            out.append({"id": identifier, "type": "function", "function": function})
    return out


def whole(turn: Turn, question: Question, body: Json, ids: Ids, now: int) -> Json:
    """The answer as one JSON object."""
    content = turn.text if turn.text or not (turn.tool_calls or turn.refusal) else None
    message: Json = {"role": "assistant", "content": content, "refusal": turn.refusal, "annotations": []}
    if turn.tool_calls:
        message["tool_calls"] = _calls(turn, question, ids)
    reasoning = _reasoning(turn, question)
    if reasoning:
        message["reasoning_content"] = reasoning
    return {
        "id": ids.new("chatcmpl-", 29),
        "object": "chat.completion",
        "created": now,
        "model": question.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[turn.ending]}],
        "usage": usage(turn, question),
        "service_tier": body.get("service_tier") or "default",
        "system_fingerprint": "fp_simulator",
    }


def _reasoning(turn: Turn, question: Question) -> str:
    """The reasoning that the answer shows: OpenAI's own models show none here."""
    if gpt(question.model) != (0, 0) or reasons(question.model):
        return ""
    return turn.reasoning or ("Thinking about the request." if question.shows_thinking else "")


def events(turn: Turn, question: Question, body: Json, ids: Ids, now: int) -> Iterator[Event]:
    """The answer as stream events; the last one is the terminal marker."""
    head: Json = {
        "id": ids.new("chatcmpl-", 29),
        "object": "chat.completion.chunk",
        "created": now,
        "model": question.model,
        "service_tier": body.get("service_tier") or "default",
        "system_fingerprint": "fp_simulator",
    }

    def chunk(delta: Json, finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return None, {**head, "choices": [choice], **({"usage": None} if question.include_usage else {})}

    yield chunk({"role": "assistant", "content": "" if not turn.tool_calls else None, "refusal": None})
    for piece in pieces(_reasoning(turn, question)):
        yield chunk({"reasoning_content": piece})
    for piece in pieces(turn.text):
        yield chunk({"content": piece})
    for piece in pieces(turn.refusal or ""):
        yield chunk({"refusal": piece})
    for index, call in enumerate(_calls(turn, question, ids)):
        field, said = ("function", "arguments") if call["type"] == "function" else ("custom", "input")
        yield chunk({"tool_calls": [{"index": index, **call, field: {**call[field], said: ""}}]})
        for piece in pieces(call[field][said]):
            yield chunk({"tool_calls": [{"index": index, field: {said: piece}}]})
    yield chunk({}, _FINISH[turn.ending])
    if question.include_usage:
        yield None, {**head, "choices": [], "usage": usage(turn, question)}
    yield None, "[DONE]"


def pieces(text: str, size: int = 24) -> list[str]:
    """A text as a model streams it: in pieces of this many characters."""
    return [text[at : at + size] for at in range(0, len(text), size)]
