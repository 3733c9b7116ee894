"""Anthropic Messages as the simulator speaks it: reads a request, spells an answer whole or as stream events. Pure.

https://docs.claude.com/en/api/messages
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from joch_core.messages import Json
from joch_core.testing.behaviour import Question, text_size, tokens
from joch_core.testing.chat import Event, pieces, texts
from joch_core.testing.script import Turn
from joch_core.testing.tokens import Ids, seal

API = "anthropic-messages"


def blocks(message: Json) -> list[Json]:
    """The content of a message as a list of blocks."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _result(block: Json) -> bool:
    return bool(block["type"] == "tool_result")


def read(body: Json, model: str) -> Question:
    """The request, neutrally. The body has passed the strict check."""
    messages = body["messages"]
    said = [
        index
        for index, message in enumerate(messages)
        if message["role"] == "user" and not all(map(_result, blocks(message)))
    ]
    newest = said[-1] if said else len(messages)
    names = {block["id"]: block["name"] for message in messages for block in blocks(message) if block["type"] == "tool_use"}
    results = [
        (names.get(block["tool_use_id"], "tool"), texts(block.get("content")))
        for message in messages[newest + 1 if said else 0 :]
        for block in blocks(message)
        if _result(block)
    ]
    fresh = sum(map(_result, blocks(messages[-1])))
    lines = [texts(body.get("system"))]
    for index, message in enumerate(messages):
        lines += [_line(block) for block in blocks(message) if index != newest or _result(block)]
    choice = body.get("tool_choice") or {}
    output = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    thinking = (body.get("thinking") or {}).get("type", "disabled")
    return Question(
        API,
        model,
        "\n".join(block["text"] for block in blocks(messages[newest]) if block["type"] == "text") if said else "",
        tuple(lines),
        tuple(results),
        min(fresh, len(results)),
        {tool["name"]: tool["input_schema"] for tool in body.get("tools") or () if "input_schema" in tool},
        {"any": "required", "tool": choice.get("name", "auto")}.get(choice.get("type", "auto"), choice.get("type", "auto")),
        not choice.get("disable_parallel_tool_use"),
        output.get("schema") if output.get("type") == "json_schema" else None,
        False,
        thinking != "disabled",
        thinking != "disabled",
        body.get("max_tokens"),
        tuple(body.get("stop_sequences") or ()),
        count(body),
        body.get("stream") is True,
    )


def count(body: Json) -> int:
    """The input tokens of a request, estimated."""
    return max(1, text_size([body["messages"], body.get("system"), body.get("tools") or []]) // 4)


def _line(block: Json) -> str:
    match block["type"]:
        case "text":
            return str(block["text"])
        case "tool_use":
            return f"{block['name']}({json.dumps(block['input'])})"
        case "tool_result":
            return texts(block.get("content"))
    return ""


def _content(turn: Turn, question: Question, ids: Ids) -> list[Json]:
    out: list[Json] = []
    if question.thinks or turn.reasoning:
        thought = turn.reasoning or "Thinking about the request."
        out.append({"type": "thinking", "thinking": thought, "signature": seal("thinking", question.model, ids.nonce())})
    text = turn.text if turn.refusal is None else turn.refusal
    if text:
        out.append({"type": "text", "text": text})
    for call in turn.tool_calls:
        identifier = call.id or ids.new("toolu_01", 22)
        out.append(
            {"type": "tool_use", "id": identifier, "name": call.name, "input": call.args, "caller": {"type": "direct"}}
        )
    return out


_STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
}


def usage(turn: Turn, question: Question) -> Json:
    """The usage object of an answer. Unlike OpenAI's, `input_tokens` leaves out what was read from or written to the cache."""
    thought = turn.usage.get(
        "reasoning_tokens", tokens(turn.reasoning or "Thinking about the request.") if question.thinks else 0
    )
    said = tokens(turn.text + (turn.refusal or "") + "".join(call.name + json.dumps(call.args) for call in turn.tool_calls))
    read_tokens, written = turn.usage.get("cache_read_tokens", 0), turn.usage.get("cache_write_tokens", 0)
    return {
        "input_tokens": max(0, turn.usage.get("input_tokens", question.input_tokens) - read_tokens - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": turn.usage.get("output_tokens", said + thought),
        "output_tokens_details": {"thinking_tokens": thought},
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def _stop_sequence(turn: Turn, question: Question) -> str | None:
    return next((stop for stop in question.stop if turn.text.endswith(stop)), None)


def whole(turn: Turn, question: Question, body: Json, ids: Ids, now: int) -> Json:  # noqa: ARG001  one shape for four formats
    """The answer as one JSON object."""
    stop = _STOP[turn.ending]
    return {
        "model": question.model,
        "id": ids.new("msg_01", 22),
        "type": "message",
        "role": "assistant",
        "content": _content(turn, question, ids),
        "stop_reason": stop,
        "stop_sequence": None,
        "stop_details": {"type": "refusal", "category": None, "explanation": None} if stop == "refusal" else None,
        "usage": usage(turn, question),
    }


def events(turn: Turn, question: Question, body: Json, ids: Ids, now: int) -> Iterator[Event]:
    """The answer as stream events; the last one is `message_stop`."""
    done = whole(turn, question, body, ids, now)
    begun = done | {"content": [], "stop_reason": None, "stop_details": None}
    begun["usage"] = {name: value for name, value in done["usage"].items() if name != "output_tokens_details"} | {
        "output_tokens": 1
    }
    yield "message_start", {"type": "message_start", "message": begun}
    for index, block in enumerate(done["content"]):
        start, deltas = _deltas(block)
        yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": start}
        if index == 0:
            yield "ping", {"type": "ping"}
        for delta in deltas:
            yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}
    spent = {
        name: done["usage"][name]
        for name in (
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
            "output_tokens",
            "output_tokens_details",
        )
    }
    ending = {"stop_reason": done["stop_reason"], "stop_sequence": None, "stop_details": done["stop_details"]}
    yield "message_delta", {"type": "message_delta", "delta": ending, "usage": spent}
    yield "message_stop", {"type": "message_stop"}


def _deltas(block: Json) -> tuple[Json, list[Json]]:
    match block["type"]:
        case "thinking":
            deltas: list[Json] = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            return block | {"thinking": "", "signature": ""}, [
                *deltas,
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        case "text":
            return block | {"text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    said = ["", *pieces(json.dumps(block["input"]))] if block["input"] else [""]
    return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in said]


def counted(body: Json) -> Json:
    """The answer of `/v1/messages/count_tokens`."""
    return {"input_tokens": count(body)}


def is_content(value: Any) -> bool:
    """Is this a content field that the reader above can read?"""
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(block, dict) and isinstance(block.get("type"), str) for block in value)
    )
