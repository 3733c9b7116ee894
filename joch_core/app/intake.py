"""What a call adds to a conversation: which of the passed messages are new, and the drafts that record them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from joch_core.messages import Json, Message, ModelRequest, ToolCall, message_to_json, tool_from_json, tool_to_json
from joch_core.migration.history import Entry, History, match_messages
from joch_core.resources.events import Draft


@dataclass(frozen=True, slots=True)
class Intake:
    """A conversation as this call sees it: `history` with what is new already in it (sequences of new entries are guesses).

    `new_turn` says that the user has spoken.
    """

    history: History
    drafts: tuple[Draft, ...]
    new_turn: bool

    @property
    def messages(self) -> tuple[Message, ...]:
        """Everything, the operator's prompt first."""
        messages = tuple(entry.message for entry in self.history.entries)
        prompt = self.history.operator_prompt
        return messages if prompt is None else (prompt, *messages)


def take_in(history: History, request: ModelRequest, *, whole: bool = False) -> Intake:
    """What the passed messages add to the log. The history that comes in is not changed. `whole`: see `match_messages`."""
    prompts = [message for message in request.messages if message.role == "system"]
    passed = [message for message in request.messages if message.role != "system"]
    match = match_messages(history.entries, passed, whole=whole)
    drafts: list[Draft] = []
    taken = history.snapshot()
    if prompts and (taken.operator_prompt is None or taken.operator_prompt.parts != prompts[-1].parts):
        taken.operator_prompt = prompts[-1]
        drafts.append(_added(prompts[-1]))
    if match.rewrites:
        drafts.append(Draft("HistoryRewritten", {"keep": match.keep, "reason": "the caller passed another history"}))
        taken.entries = taken.entries[: match.keep]
    turn = taken.entries[-1].turn if taken.entries else 0
    for message in _answered(taken, match.new):
        turn += message.role == "user"
        taken.entries.append(Entry(taken.head_sequence + len(drafts) + 1, message, None, turn))
        drafts.append(_added(message))
    if request.tools and _offer(request) != taken.offer:
        taken.offer = _offer(request)
        drafts.append(Draft("ToolsOffered", taken.offer))
    new_turn = any(message.role == "user" for message in match.new)
    return Intake(taken, tuple(drafts), new_turn)


def with_offer(history: History, request: ModelRequest) -> ModelRequest:
    """A request that names no tools, with those that the conversation was offered last."""
    offer = history.offer
    if request.tools or offer is None:
        return request
    return replace(
        request,
        tools=tuple(map(tool_from_json, offer["tools"])),
        output_schema=request.output_schema or offer.get("outputSchema"),
        output_strict=request.output_strict if request.output_strict is not None else offer.get("outputStrict"),
    )


def _offer(request: ModelRequest) -> Json:
    offer: Json = {"tools": [tool_to_json(tool) for tool in request.tools]}
    if request.output_schema is not None:
        offer["outputSchema"] = request.output_schema
        if request.output_strict is not None:
            offer["outputStrict"] = request.output_strict
    return offer


def _answered(history: History, new: tuple[Message, ...]) -> Iterator[Message]:
    """The new messages, and before them the ledger's own results of calls that the caller left unanswered."""
    open_calls = _open_calls(history)
    given = {result.call_id for message in new for result in message.tool_results}
    for call in open_calls:
        if call.id not in given and (result := history.result_of(call.id)) is not None:
            yield Message.tool(call.id, result, name=call.name)
    yield from new


def _open_calls(history: History) -> list[ToolCall]:
    """The calls of the newest assistant's turn that have no result yet."""
    answered: set[str] = set()
    for entry in reversed(history.entries):
        if entry.message.role == "assistant":
            return [call for call in entry.message.tool_calls if call.id not in answered]
        answered |= {result.call_id for result in entry.message.tool_results}
    return []


def _added(message: Message) -> Draft:
    return Draft("MessageAdded", {"message": message_to_json(replace(message, metadata={}))})
