"""OpenAI Responses as the simulator speaks it: reads a request, spells an answer whole or as stream events. Pure.

https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from joch_core.messages import Json
from joch_core.testing.behaviour import Question, text_size, tokens
from joch_core.testing.chat import Event, pieces, texts
from joch_core.testing.models import effort
from joch_core.testing.script import Turn
from joch_core.testing.tokens import Ids, item_id, seal

API = "openai-responses"
CALLS = ("function_call", "custom_tool_call")
RESULTS = ("function_call_output", "custom_tool_call_output")


def items(body: Json) -> list[Json]:
    """The input as a list of items."""
    given = body.get("input") or []
    return [{"role": "user", "content": given}] if isinstance(given, str) else list(given)


def role(item: Json) -> str:
    """The speaker of an item, or its type where it is no message."""
    return str(item.get("role") if item.get("type", "message") == "message" else item["type"])


def read(body: Json, model: str) -> Question:
    """The request, neutrally. `input` already holds the items of the previous response, where one was named."""
    given = items(body)
    users = [index for index, item in enumerate(given) if role(item) == "user"]
    newest = users[-1] if users else len(given)
    names = {item["call_id"]: item.get("name", "tool") for item in given if role(item) in CALLS}
    results = [
        (names.get(item["call_id"], "tool"), texts(item.get("output")))
        for item in given[newest + 1 :]
        if role(item) in RESULTS
    ]
    fresh = 0
    while fresh < len(given) and role(given[-1 - fresh]) in RESULTS:
        fresh += 1
    lines = [str(body.get("instructions") or "")]
    lines += [_line(item) for index, item in enumerate(given) if index != newest]
    form = (body.get("text") or {}).get("format") or {}
    reasoning = body.get("reasoning") or {}
    choice = body.get("tool_choice") or "auto"
    return Question(
        API,
        model,
        texts(given[newest].get("content")) if users else "",
        tuple(lines),
        tuple(results),
        min(fresh, len(results)),
        {
            tool["name"]: None if tool["type"] == "custom" else tool.get("parameters") or {"type": "object"}
            for tool in body.get("tools") or ()
            if tool.get("type") in ("function", "custom")
        },
        choice if isinstance(choice, str) else str(choice.get("name") or choice.get("mode") or "auto"),
        body.get("parallel_tool_calls", True) is not False,
        form.get("schema", {}) if form.get("type") == "json_schema" else None,
        form.get("type") == "json_object",
        effort(model, reasoning.get("effort")) not in (None, "none"),
        reasoning.get("summary") is not None,
        body.get("max_output_tokens"),
        (),
        max(1, text_size([given, body.get("instructions"), body.get("tools") or []]) // 4),
        body.get("stream") is True,
    )


def _line(item: Json) -> str:
    if role(item) in CALLS:
        return f"{item.get('name')}({item.get('arguments', item.get('input', ''))})"
    return texts(item.get("output") if role(item) in RESULTS else item.get("content"))


def usage(turn: Turn, question: Question) -> Json:
    """The usage object of an answer."""
    reasoning = turn.usage.get("reasoning_tokens", 64 if question.thinks else 0)
    said = tokens(turn.text + (turn.refusal or "") + "".join(call.name + json.dumps(call.args) for call in turn.tool_calls))
    taken = turn.usage.get("input_tokens", question.input_tokens)
    given = turn.usage.get("output_tokens", said + reasoning)
    return {
        "input_tokens": taken,
        "input_tokens_details": {
            "cache_write_tokens": turn.usage.get("cache_write_tokens", 0),
            "cached_tokens": turn.usage.get("cache_read_tokens", 0),
        },
        "output_tokens": given,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": taken + given,
    }


def _output(turn: Turn, question: Question, body: Json, ids: Ids) -> list[Json]:
    model = question.model
    out: list[Json] = []
    if question.thinks or turn.reasoning:
        shown = turn.reasoning or "Thinking about the request."
        summary = [{"type": "summary_text", "text": shown}] if turn.reasoning or question.shows_thinking else []
        thought: Json = {"id": item_id("rs", model, ids.nonce()), "type": "reasoning", "content": [], "summary": summary}
        if "reasoning.encrypted_content" in (body.get("include") or ()):
            thought["encrypted_content"] = seal("reasoning", model, ids.nonce())
        out.append(thought)
    if turn.text or turn.refusal is not None or not turn.tool_calls:
        part: Json = {"type": "output_text", "annotations": [], "logprobs": [], "text": turn.text}
        if turn.refusal is not None:
            part = {"type": "refusal", "refusal": turn.refusal}
        out.append(
            {
                "id": item_id("msg", model, ids.nonce()),
                "type": "message",
                "status": "incomplete" if turn.ending in ("length", "content_filter") else "completed",
                "content": [part],
                "role": "assistant",
            }
        )
    for call in turn.tool_calls:
        custom = question.tools.get(call.name, {}) is None
        item: Json = {
            "id": item_id("ctc" if custom else "fc", model, ids.nonce()),
            "type": "custom_tool_call" if custom else "function_call",
            "status": "completed",
            "call_id": call.id or ids.new("call_"),
            "name": call.name,
        }
        item |= (
            {"input": str(call.args.get("input", ""))}
            if custom
            else {"arguments": json.dumps(call.args, separators=(",", ":"))}
        )
        out.append(item)
    return out


_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def whole(turn: Turn, question: Question, body: Json, ids: Ids, now: int) -> Json:
    """The answer as one JSON object."""
    reason = _INCOMPLETE.get(turn.ending)
    answer = _envelope(question, body, ids, now)
    return answer | {
        "status": "incomplete" if reason else "completed",
        "completed_at": None if reason else now,
        "incomplete_details": {"reason": reason} if reason else None,
        "output": _output(turn, question, body, ids),
        "usage": usage(turn, question),
    }


def _envelope(question: Question, body: Json, ids: Ids, now: int) -> Json:
    def given(name: str, otherwise: Any) -> Any:
        value = body.get(name)
        return otherwise if value is None else value

    force = effort(question.model, (body.get("reasoning") or {}).get("effort"))
    return {
        "id": item_id("resp", question.model, ids.nonce()),
        "object": "response",
        "created_at": now,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": question.model,
        "output": [],
        "parallel_tool_calls": question.parallel,
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"summary": None} | (body.get("reasoning") or {}) | {"effort": force},
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": given("service_tier", "default"),
        "store": given("store", True),
        "temperature": given("temperature", 1.0),
        "text": {"format": {"type": "text"}, "verbosity": "medium"} | (body.get("text") or {}),
        "tool_choice": given("tool_choice", "auto"),
        "tools": given("tools", []),
        "top_logprobs": 0,
        "top_p": given("top_p", 1.0),
        "truncation": given("truncation", "disabled"),
        "usage": None,
        "user": body.get("user"),
        "metadata": given("metadata", {}),
    }


def events(turn: Turn, question: Question, body: Json, ids: Ids, now: int) -> Iterator[Event]:
    """The answer as stream events; the last one is `response.completed` or `response.incomplete` and holds it whole."""
    done = whole(turn, question, body, ids, now)
    for number, (name, data) in enumerate(_events(done)):
        yield name, {"type": name, **data, "sequence_number": number}


def _events(done: Json) -> Iterator[tuple[str, Json]]:
    begun = done | {"status": "in_progress", "completed_at": None, "incomplete_details": None, "output": [], "usage": None}
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(done["output"]):
        match item["type"]:
            case "reasoning":
                yield "response.output_item.added", {"output_index": index, "item": item | {"summary": []}}
                yield from _summary(item, index)
            case "message":
                yield from _message(item, index)
            case _:
                yield from _call(item, index)
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield ("response.completed" if done["status"] == "completed" else "response.incomplete"), {"response": done}


def _summary(item: Json, index: int) -> Iterator[tuple[str, Json]]:
    for number, part in enumerate(item["summary"]):
        place = {"item_id": item["id"], "output_index": index, "summary_index": number}
        yield "response.reasoning_summary_part.added", {**place, "part": {"type": "summary_text", "text": ""}}
        for piece in pieces(part["text"]):
            yield "response.reasoning_summary_text.delta", {**place, "delta": piece}
        yield "response.reasoning_summary_text.done", {**place, "text": part["text"]}
        yield "response.reasoning_summary_part.done", {**place, "part": part}


def _message(item: Json, index: int) -> Iterator[tuple[str, Json]]:
    yield "response.output_item.added", {"output_index": index, "item": item | {"status": "in_progress", "content": []}}
    part = item["content"][0]
    name, field = ("output_text", "text") if part["type"] == "output_text" else ("refusal", "refusal")
    place: Json = {"item_id": item["id"], "output_index": index, "content_index": 0}
    extra: Json = {"logprobs": []} if name == "output_text" else {}
    yield "response.content_part.added", {**place, "part": part | {field: ""}}
    for piece in pieces(part[field]):
        yield f"response.{name}.delta", {**place, "delta": piece, **extra}
    yield f"response.{name}.done", {**place, field: part[field], **extra}
    yield "response.content_part.done", {**place, "part": part}


def _call(item: Json, index: int) -> Iterator[tuple[str, Json]]:
    name, field = (
        ("function_call_arguments", "arguments") if item["type"] == "function_call" else ("custom_tool_call_input", "input")
    )
    place: Json = {"item_id": item["id"], "output_index": index}
    yield "response.output_item.added", {"output_index": index, "item": item | {"status": "in_progress", field: ""}}
    for piece in pieces(item[field]):
        yield f"response.{name}.delta", {**place, "delta": piece}
    extra: Json = {"name": item["name"]} if field == "arguments" else {}
    yield f"response.{name}.done", {**place, field: item[field], **extra}
