"""Whole messages, both ways: LlamaIndex's to canonical ones, and back. Pure, and the caller's messages stay as they are.

A message travels with its canonical form under `additional_kwargs["joch"]["message"]` where its blocks do not say everything
(provider tokens, the name of a tool result, an upload's id), so that the next turn finds it. A message that somebody has
changed since is read as it stands now; parts that still stand as they were keep what the provider said beside them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ToolCallBlock
from llama_index.llms.joch.blocks import Losses, blocks_of, loss, parts_of
from llama_index.llms.joch.react import is_observation, observation

from joch_core import Json, Message, Part, Text, ToolCall, call_id, is_call_id, message_from_json, message_to_json

#: Where Joch keeps its own in `additional_kwargs` and `raw`.
KEY = "joch"
_ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


class Calls:
    """Canonical ids for the calls of one history, and which result answers which call.

    The same history gives the same ids. Foreign ids may be missing, be the tool's name, or stand on several calls: then
    results answer in the order in which the calls were made.
    """

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._open: list[tuple[str, ToolCall]] = []
        self._closed: dict[str, ToolCall] = {}

    def turn(self) -> None:
        """Another assistant turn begins: calls that are still open can be answered by their id only."""
        self._closed.update(self._open)
        self._open.clear()

    def made(self, foreign: str, name: str, args: Json) -> ToolCall:
        """The call with an id of Joch's."""
        known = foreign or f"{name}\x1f{json.dumps(args, sort_keys=True, default=str)}"
        times = self._times[known]
        self._times[known] += 1
        minted = call_id(known, times) if times else call_id(known)
        identity = foreign if is_call_id(foreign) and not times else minted
        return self.kept(foreign, ToolCall(identity, name, args))

    def kept(self, foreign: str, call: ToolCall) -> ToolCall:
        """The call, which has its id already."""
        self._open.append((foreign, call))
        return call

    def answered(self, foreign: str) -> tuple[str, str | None]:
        """(id, tool) of the call that a result with this foreign id belongs to."""
        for wanted in ("id", "name"):
            for place, (known, call) in enumerate(self._open):
                if foreign == (known if wanted == "id" else call.name):
                    return self._close(place)
        if not foreign and self._open:
            return self._close(0)
        if (closed := self._closed.get(foreign)) is not None:
            return closed.id, closed.name
        return (foreign if is_call_id(foreign) else call_id(foreign)), None

    def _close(self, place: int) -> tuple[str, str]:
        known, call = self._open.pop(place)
        self._closed[known] = call
        return call.id, call.name


def arguments(given: Any) -> Json:
    """A call's arguments as an object; text that is none stays as it came, under `invalid_json`."""
    if isinstance(given, Mapping):
        return dict(given)
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}
    try:
        read = json.loads(given)
    except (TypeError, ValueError):
        return {"invalid_json": str(given)}
    return read if isinstance(read, dict) else {"invalid_json": str(given)}


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _legacy(message: ChatMessage) -> list[tuple[str, str, Json]]:
    """The calls that older integrations keep in `additional_kwargs["tool_calls"]`, as dicts or as objects of an SDK."""
    found = message.additional_kwargs.get("tool_calls")
    out = []
    for call in found if isinstance(found, list | tuple) else ():
        inner = _field(call, "function") or call
        name = _field(inner, "name")
        args = next((value for key in ("arguments", "args", "input") if (value := _field(inner, key)) is not None), None)
        if name:
            out.append((str(_field(call, "id") or _field(call, "call_id") or ""), str(name), arguments(args)))
    return out


def calls_of(message: ChatMessage) -> list[tuple[str, str, Json]]:
    """(id, tool, arguments) of the calls of a message, as they stand there."""
    made = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if made:
        return [(block.tool_call_id or "", block.tool_name, arguments(block.tool_kwargs)) for block in made]
    return _legacy(message)


def seen(message: ChatMessage) -> str:
    """A digest of what a reader of the message sees: its texts, its calls, and how many other blocks there are."""
    texts = [block.text for block in message.blocks if isinstance(block, TextBlock)]
    shown = json.dumps([texts, [list(call) for call in calls_of(message)], len(message.blocks)], sort_keys=True, default=str)
    return hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _kept(message: ChatMessage) -> tuple[Message | None, bool]:
    """The canonical form that travels with a message, and whether the message still stands as it was."""
    own = message.additional_kwargs.get(KEY)
    if not isinstance(own, Mapping) or not isinstance(own.get("message"), Mapping):
        return None, False
    return message_from_json(dict(own["message"])), own.get("seen") == seen(message)


def _like(one: Part, two: Part) -> bool:
    match one, two:
        case ToolCall(), ToolCall():
            return (one.id, one.name, one.args) == (two.id, two.name, two.args)
        case Text(), Text():
            return one.text == two.text
    return type(one) is type(two) and getattr(one, "text", None) == getattr(two, "text", "")


def _reconciled(visible: Iterable[Part], kept: Iterable[Part]) -> tuple[Part, ...]:
    rest, out = list(kept), []
    for part in visible:
        match = next((old for old in rest if _like(part, old)), None)
        if match is not None:
            rest.remove(match)
        out.append(part if match is None else match)
    return tuple(out)


def _assistant(message: ChatMessage, calls: Calls, losses: Losses | None) -> Message:
    whole, stands = _kept(message)
    calls.turn()
    if whole is not None and stands:
        shown = calls_of(message)
        for place, call in enumerate(whole.tool_calls):
            calls.kept(shown[place][0] if place < len(shown) else call.id, call)
        return whole
    made = iter([calls.made(*call) for call in calls_of(message)])
    visible: list[Part] = []
    run: list[Any] = []
    for block in message.blocks:
        if isinstance(block, ToolCallBlock):
            visible += [*parts_of(run, losses), next(made)]
            run.clear()
        else:
            run.append(block)
    visible += [*parts_of(run, losses), *made]
    # What was changed since (an edit, a redaction) is no longer the provider's as a whole, so its own id goes.
    return Message("assistant", tuple(visible) if whole is None else _reconciled(visible, whole.parts))


def _result(message: ChatMessage, calls: Calls, losses: Losses | None) -> Message:
    whole, stands = _kept(message)
    given = message.additional_kwargs
    foreign = str(given.get("tool_call_id") or given.get("name") or "")
    identity, name = calls.answered(foreign)
    if whole is not None and stands:
        return whole
    own = given.get(KEY)
    error = bool(own.get("error") if isinstance(own, Mapping) else given.get("is_error"))
    parts = parts_of(message.blocks, losses) or [Text("")]
    return Message.tool(identity, parts, name=name or given.get("name"), error=error)


def to_joch(messages: Sequence[ChatMessage], losses: Losses | None = None) -> list[Message]:
    """A history of LlamaIndex in canonical form. What no provider can be told is added to `losses`, `{code, text}` each.

    Raises:
        InvalidArgument: a block that no model can be sent, or one that names a file that cannot be read.
    """
    calls, out = Calls(), list[Message]()
    for message in messages:
        match _ROLES[MessageRole(message.role)]:
            case "assistant":
                out.append(_assistant(message, calls, losses))
            case "tool" | "user" if is_observation(message.content or "", out[-1] if out else None):
                out.append(observation(Message.user(parts_of(message.blocks, losses))))
            case "tool":
                out.append(_result(message, calls, losses))
            case role:
                whole, stands = _kept(message)
                parts = parts_of(message.blocks, losses) or [Text("")]
                plain = Message.system(parts) if role == "system" else Message.user(parts)
                out.append(whole if whole is not None and stands else plain)
    return out


def one_prompt(messages: Sequence[Message]) -> list[Message]:
    """The same messages with all system texts in one, as a conversation keeps it.

    LlamaIndex puts a system message before the history in several places (the agent's, the LLM's, a memory's), and all
    of them are meant.
    """
    prompts = list(dict.fromkeys(message.text for message in messages if message.role == "system"))
    rest = [message for message in messages if message.role != "system"]
    if len(prompts) < 2:  # noqa: PLR2004  one is kept as it is written
        return [*[message for message in messages if message.role == "system"][:1], *rest]
    return [Message.system("\n\n".join(prompts)), *rest]


# ------------------------------------------------------------------------------------------------------ back again
def with_kept(shown: ChatMessage, message: Message, facts: Json | None = None) -> ChatMessage:
    """The message with Joch's own under `additional_kwargs["joch"]`: the facts, and its canonical form where it says more."""
    own: Json = dict(facts or {})
    plain = to_joch([shown])[0]
    if (plain.parts, plain.name) != (message.parts, message.name) or message.native is not None or message.id is not None:
        own |= {"message": message_to_json(message), "seen": seen(shown)}
    if own:
        shown.additional_kwargs[KEY] = own
    return shown


def from_joch(messages: Iterable[Message], losses: Losses | None = None) -> list[ChatMessage]:
    """Canonical messages as LlamaIndex shows them; a message with several tool results becomes several.

    What LlamaIndex has no place for travels beside the blocks and comes back with `to_joch`; it is named in `losses`.
    """
    out = []
    for message in messages:
        if message.role != "tool" or not message.tool_results:
            role = MessageRole.USER if message.role == "tool" else MessageRole(message.role)
            shown = ChatMessage(role=role, blocks=blocks_of(message.parts, losses))
            out.append(with_kept(shown, message))
            continue
        for result in message.tool_results:
            if result.error:
                loss(
                    losses,
                    "tool_result.error",
                    "that a tool failed has no place in LlamaIndex; it travels beside the message",
                )
            answer = ChatMessage(
                role=MessageRole.TOOL,
                blocks=blocks_of(result.content, losses),
                additional_kwargs={"tool_call_id": result.call_id, **({"name": result.name} if result.name else {})},
            )
            out.append(with_kept(answer, Message("tool", (result,), message.name)))
    return out
