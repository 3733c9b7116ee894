"""Calls and their results in an order that every API takes: each call answered once, directly after it. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from joch_core.capabilities import Target
from joch_core.messages import Message, Part, Text, ToolCall, ToolResult, call_id, is_call_id
from joch_core.projection.losses import Losses
from joch_core.projection.names import in_other_keys, sent_name
from joch_core.projection.natives import own_message, own_or_bare
from joch_core.projection.parts import project_parts, record, result_content

NOT_RECORDED = "No result is recorded for this call: it may not have run. Verify before repeating it."


def project_messages(messages: Sequence[Message], target: Target, losses: Losses, keys: Mapping[str, str]) -> list[Message]:
    """The conversation as the target takes it, arguments under the names of `keys` (own -> sent). System messages keep their place; `roles` looks after them."""
    out: list[Message] = []
    taken: set[int] = set()
    used: set[str] = set()
    turns = _whole_turns(messages)
    for place, message in enumerate(turns):
        if _plain(message):
            out.append(message)
        elif message.role == "system":
            out += _operator(message, target, losses)
        elif message.role == "assistant":
            out += _exchange(turns, place, taken, used, target, losses, keys)
        else:
            out += _other(message, taken, target, losses)
    return out


def _plain(message: Message) -> bool:
    """Nothing but visible text in Joch's own form: most messages are so, and go to every target as they are."""
    if message.native is not None or not message.parts or message.role == "tool":
        return False
    for part in message.parts:
        if type(part) is not Text or part.native is not None or not part.text or part.text.isspace():
            return False
    return True


def _whole_turns(messages: Sequence[Message]) -> Sequence[Message]:
    """Neighbouring messages of the assistant, the first of which waits for results, are one turn: results come after it."""
    if not any(one.role == two.role == "assistant" and one.tool_calls for one, two in pairwise(messages)):
        return messages
    out: list[Message] = []
    for message in messages:
        last = out[-1] if out else None
        if last is not None and message.role == last.role == "assistant" and last.tool_calls:
            out[-1] = replace(last, parts=(*last.parts, *message.parts))
        else:
            out.append(message)
    return out


def _operator(message: Message, target: Target, losses: Losses) -> list[Message]:
    """The operator's text, word for word; a blank one is none."""
    parts = project_parts(message.parts, target, losses, [])
    return [_with_parts(own_message(message, target), parts)] if parts else []


def _exchange(
    messages: Sequence[Message],
    place: int,
    taken: set[int],
    used: set[str],
    target: Target,
    losses: Losses,
    keys: Mapping[str, str],
) -> list[Message]:
    """An assistant's turn, the results of its calls, and what must follow them."""
    message = messages[place]
    records: list[str] = []
    parts = project_parts(message.parts, target, losses, records)
    calls = [part for part in parts if isinstance(part, ToolCall)]
    carriers: dict[int, Message] = {}
    results = _results(messages, place, taken, calls, carriers) if calls else {}
    following: list[Part] = []
    answers: list[Message] = []
    speaks = target.can("toolCalling")
    sent: dict[int, ToolCall] = {}
    for number, call in enumerate(calls):
        result = results.get(number)
        if result is None:
            losses.warn("outcome.unknown", f"Call of {call.name} has no recorded result; the model is told so")
            result = ToolResult(call.id, (Text(NOT_RECORDED),), call.name, error=True)
        elif result.name is None:
            result = replace(result, name=call.name)
        spelled, moved = result_content(result, target, losses)
        following += moved
        if not speaks:
            losses.warn("tool_call.flattened", "Calls of tools go over as records, since tools are not known there")
            records.append(_flat(call, spelled))
            continue
        sent[number] = own = _call(call, used, target, keys)
        name = sent_name(spelled.name or call.name, target.dialect.tool_name_chars)
        if spelled.call_id != own.id or spelled.name != name:
            spelled = replace(spelled, call_id=own.id, name=name)
        answers.append(_answer(result, spelled, carriers.get(id(result))))
    out: list[Message] = []
    if calls:
        numbers = iter(range(len(calls)))
        spelled_parts = [sent.get(next(numbers)) if isinstance(part, ToolCall) else part for part in parts]
        parts = [part for part in spelled_parts if part is not None]
    if parts:
        out.append(_with_parts(own_message(message, target), parts))
    following += [Text(text) for text in records]
    return [*out, *answers, Message("user", tuple(following))] if following else [*out, *answers]


def _with_parts(message: Message, parts: list[Part]) -> Message:
    same = len(parts) == len(message.parts) and all(a is b for a, b in zip(parts, message.parts, strict=True))
    return message if same else replace(message, parts=tuple(parts))


def _call(call: ToolCall, used: set[str], target: Target, keys: Mapping[str, str]) -> ToolCall:
    """The call under an id that is valid everywhere and stands once; a provider's own id goes back to that provider."""
    own = call.id if is_call_id(call.id) else call_id(call.id)
    repeated = own in used
    number = 1
    while own in used:
        own = call_id(call.id, number)
        number += 1
    used.add(own)
    name = sent_name(call.name, target.dialect.tool_name_chars)
    custom = call.custom and target.dialect.custom_tools
    native = None if repeated else own_or_bare(call, target).native
    if keys:
        call = replace(call, args=in_other_keys(call.args, keys))
    if native is call.native and own == call.id and name == call.name and custom == call.custom:
        return call
    return replace(call, id=own, name=name, custom=custom, native=native)


def _answer(result: ToolResult, spelled: ToolResult, carrier: Message | None) -> Message:
    """The message of one result: the very one that carried it, if nothing changed."""
    if carrier is not None and spelled is result and carrier.native is None and len(carrier.parts) == 1:
        return carrier
    return Message("tool", (spelled,), spelled.name)


def _results(
    messages: Sequence[Message], place: int, taken: set[int], calls: Sequence[ToolCall], carriers: dict[int, Message]
) -> dict[int, ToolResult]:
    """The result of each call by its number: where an id stands twice, the order pairs them."""
    waiting: dict[str, list[int]] = defaultdict(list)
    for number, call in enumerate(calls):
        waiting[call.id].append(number)
    found: dict[int, ToolResult] = {}
    for number in range(place + 1, len(messages)):
        later = messages[number]
        if later.role == "assistant" or len(found) == len(calls):
            break
        for part in later.parts:
            if isinstance(part, ToolResult) and waiting.get(part.call_id):
                found[waiting[part.call_id].pop(0)] = part
                taken.add(id(part))
                if later.role == "tool":
                    carriers[id(part)] = later
    return found


def _other(message: Message, taken: set[int], target: Target, losses: Losses) -> list[Message]:
    """A user's turn, or results. A result without its call is quoted as data in the user's turn."""
    if len(message.parts) == 1 and id(message.parts[0]) in taken:
        return []
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
    said = project_parts(rest, target, losses, records)
    parts: list[Part] = [*map(Text, records), *moved, *said]
    if not parts:
        return []
    own = own_message(message, target)
    if message.role == "user":
        return [_with_parts(own, parts)]
    return [Message("user", tuple(parts), None, message.id, own.native if said else None)]


def _flat(call: ToolCall, result: ToolResult) -> str:
    """A call and its result as data, for a model that knows no tools."""
    args = json.dumps(call.args, ensure_ascii=False, sort_keys=True)
    return f"{record(call.name, result.text)} (it was given {args})"
