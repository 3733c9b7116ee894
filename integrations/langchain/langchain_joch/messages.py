"""Whole messages, both ways: LangChain's to canonical ones, and replies to an `AIMessage`. Pure.

An answer travels with its canonical form under `additional_kwargs["joch"]`, so that the next turn finds provider tokens and
call ids where it left them. A message that somebody has changed since (other text, other calls) is read as it stands now;
parts that still stand as they were keep what the provider said beside them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCall as LangChainToolCall

from joch_core import (
    InvalidArgument,
    Json,
    Message,
    Part,
    Reasoning,
    Reply,
    Text,
    ToolCall,
    Usage,
    call_id,
    is_call_id,
    message_from_json,
    message_to_json,
)
from langchain_joch.blocks import blocks_of, content_of, parts_of, results_of
from langchain_joch.errors import BY_KIND
from langchain_joch.remembered import recall, remember, state

#: Where Joch keeps its own in `additional_kwargs` and `response_metadata`.
KEY = "joch"
#: LangChain's names of the vendors, which its own block translators and accounting go by.
_VENDORS = {
    "google": "google_genai",
    "vertex": "google_genai",
    "azure-openai": "openai",
    "openai-compatible": "openai",
    "bedrock": "anthropic",
}
#: An attempt of such a kind was a request; any other kind is a reason why a candidate was passed over.
_REQUESTS = frozenset({"ok", *BY_KIND})


class CallIds:
    """Canonical ids for the calls of one history. The same history gives the same ids; repeated foreign ids stay apart."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def call(self, foreign: str) -> str:
        """The id of a call that is made here."""
        if is_call_id(foreign):
            return foreign
        self._seen[foreign] = self._seen.get(foreign, -1) + 1
        return self.result(foreign)

    def result(self, foreign: str) -> str:
        """The id of the newest call with this foreign id."""
        if is_call_id(foreign):
            return foreign
        return _own_id(foreign, self._seen.get(foreign, 0))

    def again(self, foreign: Sequence[str], known: Sequence[str]) -> bool:
        """Would these calls get the ids here that they got before? If so, they are made."""
        if all(map(is_call_id, foreign)):
            return True
        seen = dict(self._seen)
        if [self.call(one) for one in foreign] == list(known):
            return True
        self._seen = seen
        return False


@lru_cache(maxsize=4096)
def _own_id(foreign: str, repeated: int) -> str:
    return call_id(foreign, repeated) if repeated else call_id(foreign)


def vendor(backend: str) -> str:
    """The vendor of a backend as LangChain's `model_provider` has it: `openai`, `anthropic`, `google_genai`, …"""
    provider = backend.partition(":")[0]
    return _VENDORS.get(provider, provider)


def calls_in_content(backend: str) -> bool:
    """Does LangChain look for the calls of this vendor's answers among their content blocks only?"""
    return vendor(backend) == "anthropic"


def _seen(text: str, calls: Iterable[tuple[str, str, Json]]) -> str:
    """A digest of what a reader of the message sees: its text and its calls."""
    shown = json.dumps([text, [list(call) for call in calls]], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


def _calls(message: AIMessage) -> list[tuple[str, str, Json]]:
    return [(call["id"] or "", call["name"], call["args"]) for call in message.tool_calls]


def _invalid(message: AIMessage, ids: CallIds) -> list[ToolCall]:
    """Calls whose arguments were no JSON object: they were made and answered, so they stay, with the text as it came."""
    found = []
    for call in message.invalid_tool_calls:
        raw = call.get("args") or ""
        found.append(ToolCall(ids.call(call.get("id") or ""), call.get("name") or "unknown", {"invalid_json": raw}))
    return found


def _visible(message: AIMessage, ids: CallIds) -> tuple[Part, ...]:
    """The parts of an answer as it stands, without anything that Joch keeps beside it."""
    content: Any = message.content
    if isinstance(content, list) and message.response_metadata.get("model_provider"):
        # The host's own translators know each vendor's blocks best; they copy before they change.
        content = message.content_blocks
    spoken = [part for part in parts_of(content) if part.type != "other"]
    made = [ToolCall(ids.call(call_id), name, args) for call_id, name, args in _calls(message)]
    return (*spoken, *made, *_invalid(message, ids))


def _like(one: Part, two: Part) -> bool:
    match one, two:
        case ToolCall(), ToolCall():
            return (one.id, one.name, one.args) == (two.id, two.name, two.args)
        case Text(), Text():
            return one.text == two.text
    return type(one) is type(two) and getattr(one, "text", None) == getattr(two, "text", "")


def _reconciled(visible: Sequence[Part], kept: Sequence[Part]) -> tuple[Part, ...]:
    rest = list(kept)
    out = []
    for part in visible:
        match = next((old for old in rest if _like(part, old)), None)
        if match is not None:
            rest.remove(match)
        out.append(part if match is None else match)
    return tuple(out)


def _assistant(message: AIMessage, ids: CallIds) -> Message:
    kept = message.additional_kwargs.get(KEY)
    if not isinstance(kept, dict) or "message" not in kept:
        own = kept.get("id") if isinstance(kept, dict) else None
        return Message("assistant", _visible(message, ids), message.name if own is None else None, own)
    whole = message_from_json(kept["message"])
    if kept.get("seen") == _seen(str(message.text), _calls(message)):
        return whole
    # Something was changed since (an edit, a redaction): what stands now counts, and the answer as a whole is no longer
    # the provider's, so its own id goes.
    return Message("assistant", _reconciled(_visible(message, ids), whole.parts), message.name)


def _user(message: BaseMessage, ids: CallIds) -> list[Message]:
    results = [
        Message.tool(ids.result(foreign), parts, error=error) for foreign, parts, error in results_of(message.content)
    ]
    parts = tuple(parts_of(message.content))
    if results and not parts:
        return results
    return [*results, Message.user(parts or (Text(""),), name=message.name)]


def _tool(message: ToolMessage, ids: CallIds) -> Message:
    parts = tuple(parts_of(message.content)) or (Text(""),)
    return Message.tool(ids.result(message.tool_call_id), parts, name=message.name, error=message.status == "error")


def _other(message: ChatMessage, ids: CallIds) -> list[Message]:
    match message.role:
        case "system" | "developer":
            return [Message.system(tuple(parts_of(message.content)))]
        case "assistant" | "ai" | "model":
            return [Message.assistant(tuple(parts_of(message.content)))]
        case _:
            return _user(message, ids)


def to_joch(messages: Sequence[BaseMessage]) -> list[Message]:
    """A LangChain history in canonical form.

    Raises:
        InvalidArgument: a message of a kind that no model can be sent, or a block with data that is not base64.
    """
    ids, out = CallIds(), list[Message]()
    for message in messages:
        now = state(message)
        old = recall(message, now)
        if old is not None and _same_ids(message, old, ids):
            out.append(old)
            continue
        new = _translated(message, ids)
        out += new if len(new) != 1 else [remember(message, now, new[0])]
    return out


def _same_ids(message: BaseMessage, old: Message, ids: CallIds) -> bool:
    """Do the calls and results of a message that was translated before have the same ids in this history?

    A foreign id that is used again gets another one, so that this depends on the messages before it.
    """
    if isinstance(message, AIMessage):
        calls = (*message.tool_calls, *message.invalid_tool_calls)
        return ids.again([call["id"] or "" for call in calls], [call.id for call in old.tool_calls])
    if isinstance(message, ToolMessage):
        return ids.result(message.tool_call_id) == old.tool_results[0].call_id
    return not isinstance(message, FunctionMessage)


def _translated(message: BaseMessage, ids: CallIds) -> list[Message]:
    match message:
        case AIMessage():
            return [_assistant(message, ids)]
        case ToolMessage():
            return [_tool(message, ids)]
        case SystemMessage():
            return [Message.system(tuple(parts_of(message.content)))]
        case HumanMessage():
            return _user(message, ids)
        case ChatMessage():
            return _other(message, ids)
        case FunctionMessage():
            return [Message.tool(ids.result(message.name), tuple(parts_of(message.content)), name=message.name)]
    raise InvalidArgument(f"a message of type {message.type!r} cannot be sent to a model: leave it out")


def usage_metadata(usage: Usage) -> UsageMetadata | None:
    """Tokens in LangChain's form; None if the provider reported nothing."""
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    tokens_in, tokens_out = usage.input_tokens or 0, usage.output_tokens or 0
    out = UsageMetadata(input_tokens=tokens_in, output_tokens=tokens_out, total_tokens=tokens_in + tokens_out)
    details = {"cache_read": usage.cache_read_tokens, "cache_creation": usage.cache_write_tokens}
    if given := {name: count for name, count in details.items() if count is not None}:
        out["input_token_details"] = cast("Any", given)
    if usage.reasoning_tokens is not None:
        out["output_token_details"] = {"reasoning": usage.reasoning_tokens}
    return out


class Call(NamedTuple):
    """What is known about a call beside its reply."""

    route: str
    conversation: str | None = None
    tools: frozenset[str] = frozenset()


def _read(part: Part, tools: frozenset[str] | None) -> Part:
    if tools is not None and isinstance(part, ToolCall) and part.name not in tools:
        return Text(json.dumps(part.args, ensure_ascii=False))
    return part


def shown_parts(reply: Reply, tools: frozenset[str]) -> list[Part]:
    """The parts of an answer as a caller reads them.

    Reasoning that only its issuer can read is not shown. A call of no tool of the caller's is how a backend without JSON
    Schema gives the structured answer; it reads as its JSON text.
    """
    own = None if reply.output is None else tools
    return [_read(part, own) for part in reply.message.parts if not (isinstance(part, Reasoning) and not part.text)]


def response_metadata(reply: Reply, call: Call) -> Json:
    """`model_name`, `model_provider` (the real vendor), `finish_reason`, and Joch's facts under `joch`."""
    facts: Json = {
        "route": call.route,
        "backend": reply.backend,
        "execution": reply.execution,
        "conversation": call.conversation,
        "attempts": sum(attempt.kind in _REQUESTS for attempt in reply.attempts),
        "switched_from": reply.switched_from,
        "reason": reply.switch_reason,
        "cost_usd": None if reply.cost_usd is None else str(reply.cost_usd),
        "checkpoint": reply.checkpoint,
        "losses": [{"code": loss.get("code"), "text": loss.get("text")} for loss in reply.losses],
    }
    out: Json = {
        "model_name": reply.model,
        "model_provider": vendor(reply.backend),
        "finish_reason": reply.finish,
        KEY: facts,
    }
    if isinstance(reply.native.get("id"), str):
        out["id"] = reply.native["id"]
    return out


def kept_of(message: Message, shown: AIMessage) -> Json:
    """What goes under `additional_kwargs["joch"]`; empty if the message says everything by itself."""
    if _visible(shown, CallIds()) == message.parts and message.native is None:
        return {} if message.id is None else {KEY: {"id": message.id}}
    return {KEY: {"message": message_to_json(message), "seen": _seen(str(shown.text), _calls(shown))}}


def tool_calls_of(parts: Iterable[Part]) -> list[LangChainToolCall]:
    """The client calls among the parts, in LangChain's form."""
    return [
        LangChainToolCall(name=part.name, args=part.args, id=part.id, type="tool_call")
        for part in parts
        if isinstance(part, ToolCall)
    ]


def from_reply(reply: Reply, call: Call) -> AIMessage:
    """A reply as the message that LangChain's chat models give."""
    metadata, extra = response_metadata(reply, call), Json()
    shown = shown_parts(reply, call.tools)
    calls = tool_calls_of(shown)
    content = blocks_of(shown) if calls and calls_in_content(reply.backend) else content_of(shown)
    if reply.refusal is not None:
        content, extra = [{"type": "refusal", "refusal": reply.refusal}], {"refusal": reply.refusal}
    if isinstance(content, list):
        metadata["output_version"] = "v1"
    out = AIMessage(
        content=content,
        tool_calls=calls,
        usage_metadata=usage_metadata(reply.usage),
        response_metadata=metadata,
        additional_kwargs=extra,
    )
    out.additional_kwargs |= kept_of(reply.message, out)
    return out


def from_message(message: Message) -> list[BaseMessage]:
    """A canonical message as LangChain messages; a tool message with several results becomes several."""
    match message.role:
        case "system":
            return [SystemMessage(content_of(message.parts))]
        case "user":
            return [HumanMessage(content_of(message.parts), name=message.name)]
        case "tool":
            return [
                ToolMessage(
                    content_of(result.content),
                    tool_call_id=result.call_id,
                    name=result.name,
                    status="error" if result.error else "success",
                )
                for result in message.tool_results
            ]
        case "assistant":
            content = content_of(message.parts)
            metadata: Mapping[str, Any] = {"output_version": "v1"} if isinstance(content, list) else {}
            out = AIMessage(content, tool_calls=tool_calls_of(message.parts), response_metadata=dict(metadata))
            out.additional_kwargs |= kept_of(message, out)
            return [out]
