"""Calls and their results in an order that every API takes: each call answered once, directly after it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from joch_core.capabilities import Target
from joch_core.messages import Message, Part, Text, ToolCall, ToolResult, call_id, is_call_id
from joch_core.projection.losses import Losses
from joch_core.projection.parts import own_or_bare, project_parts, record, result_content
from joch_core.projection.tools import sent_name

NOT_RECORDED = "No result is recorded for this call: it may not have run. Verify before repeating it."


def project_messages(messages: Sequence[Message], target: Target, losses: Losses) -> list[Message]:
    """The conversation as the target takes it. System messages keep their place; `roles` looks after them."""
    out: list[Message] = []
    taken: set[int] = set()
    used: set[str] = set()
    for place, message in enumerate(messages):
        if message.role == "system":
            out.append(message)
        elif message.role == "assistant":
            out += _exchange(messages, place, taken, used, target, losses)
        else:
            out += _other(message, place, taken, target, losses)
    return out


def _exchange(
    messages: Sequence[Message], place: int, taken: set[int], used: set[str], target: Target, losses: Losses
) -> list[Message]:
    """An assistant's turn, the results of its calls, and what must follow them."""
    message = messages[place]
    records: list[str] = []
    parts = project_parts(message.parts, target, losses, records)
    calls = [part for part in parts if isinstance(part, ToolCall)]
    ids = {call.id: _sent_id(call, used) for call in calls}
    parts = [_call(part, ids, target) if isinstance(part, ToolCall) else part for part in parts]
    out: list[Message] = []
    if parts:
        same = len(parts) == len(message.parts) and all(a is b for a, b in zip(parts, message.parts, strict=True))
        native = message.native if message.native is None or message.native.api == target.api else None
        out.append(message if same and native is message.native else replace(message, parts=tuple(parts), native=native))
    following: list[Part] = []
    results = _results(messages, place, taken, ids)
    for call in calls:
        result = results.get(call.id)
        if result is None:
            losses.warn("outcome.unknown", f"Call of {call.name} has no recorded result; the model is told so")
            result = ToolResult(call.id, (Text(NOT_RECORDED),), call.name, error=True)
        sent, moved = result_content(replace(result, name=result.name or call.name), target, losses)
        name = sent_name(sent.name or call.name, target.dialect.tool_name_chars)
        out.append(Message("tool", (replace(sent, call_id=ids[call.id], name=name),), name))
        following += moved
    following += [Text(text) for text in records]
    if following:
        out.append(Message("user", tuple(following)))
    return out


def _sent_id(call: ToolCall, used: set[str]) -> str:
    """Its own id where that is valid everywhere and not used before; else one that is derived from it."""
    own = call.id if is_call_id(call.id) else call_id(call.id)
    number = 1
    while own in used:
        own = call_id(call.id, number)
        number += 1
    used.add(own)
    return own


def _call(call: ToolCall, ids: dict[str, str], target: Target) -> ToolCall:
    name = sent_name(call.name, target.dialect.tool_name_chars)
    custom = call.custom and target.dialect.custom_tools
    bare = own_or_bare(call, target)
    if bare is call and ids[call.id] == call.id and name == call.name and custom == call.custom:
        return call
    return replace(call, id=ids[call.id], name=name, custom=custom, native=bare.native)


def _results(messages: Sequence[Message], place: int, taken: set[int], ids: dict[str, str]) -> dict[str, ToolResult]:
    """The first result of each call, from the messages up to the next turn of the assistant."""
    found: dict[str, ToolResult] = {}
    for later in messages[place + 1 :]:
        if later.role == "assistant":
            break
        for part in later.parts:
            if isinstance(part, ToolResult) and part.call_id in ids and part.call_id not in found:
                found[part.call_id] = part
                taken.add(id(part))
    return found


def _other(message: Message, place: int, taken: set[int], target: Target, losses: Losses) -> list[Message]:
    """A user's turn, or results. A result without its call is quoted as data in the user's turn."""
    del place
    records: list[str] = []
    rest: list[Part] = []
    moved: list[Part] = []
    for part in message.parts:
        if not isinstance(part, ToolResult):
            rest.append(part)
        elif id(part) not in taken:
            losses.warn("result.orphaned", "A tool's result whose call is missing goes over as a record")
            sent, pictures = result_content(part, target, losses)
            records.append(record(part.name or "unknown", sent.text))
            moved += pictures
    parts: list[Part] = [*map(Text, records), *moved, *project_parts(rest, target, losses, records)]
    if not parts:
        return []
    same = (
        not records and len(parts) == len(message.parts) and all(a is b for a, b in zip(parts, message.parts, strict=True))
    )
    if same and message.role == "user" and (message.native is None or message.native.api == target.api):
        return [message]
    native = message.native if message.native is not None and message.native.api == target.api else None
    return [Message("user", tuple(parts), message.name if message.role == "user" else None, message.id, native)]
