"""A provider's answer in the caller's own words: its tools by the caller's names, and a structured answer as text. Pure."""

from __future__ import annotations

import json
from dataclasses import replace

from joch_core.messages import Delta, Part, Reply, Text, ToolCall
from joch_core.projection.names import in_other_keys
from joch_core.routing.steps import Prepared, Send


def in_own_words(reply: Reply, step: Send) -> Reply:
    """The reply as the caller asked for it.

    Where a target has no JSON mode, the structured answer comes as a call of a tool that the caller knows nothing of: it is
    told as the text that it stands for.
    """
    answer = _answer_tool(step)
    calls = reply.message.tool_calls
    if not calls or not (step.prepared.tool_names or step.prepared.argument_names or answer):
        return reply
    parts = tuple(_part(part, step.prepared, answer) for part in reply.message.parts)
    reply.message = replace(reply.message, parts=parts)
    if reply.finish == "tool_calls" and not reply.message.tool_calls:
        reply.finish = "stop"
    return reply


def delta_in_own_words(delta: Delta, step: Send) -> Delta:
    """One complete tool call of a stream as the caller asked for it."""
    if delta.tool_call is None:
        return delta
    part = _part(delta.tool_call, step.prepared, _answer_tool(step))
    return Delta("tool_call", tool_call=part) if isinstance(part, ToolCall) else Delta("text", getattr(part, "text", ""))


def _answer_tool(step: Send) -> str | None:
    request = step.prepared.request
    if request.output_mode != "tool" or request.output_schema is None:
        return None
    return request.output_tool.name


def _part(part: Part, prepared: Prepared, answer: str | None) -> Part:
    if not isinstance(part, ToolCall):
        return part
    keys = prepared.argument_names
    args = in_other_keys(part.args, keys) if keys else part.args
    if part.name == answer:
        return Text(json.dumps(args, ensure_ascii=False))
    own = prepared.tool_names.get(part.name, part.name)
    return part if own == part.name and args is part.args else replace(part, name=own, args=args)
