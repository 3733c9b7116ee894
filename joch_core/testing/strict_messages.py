"""What Anthropic Messages refuses about a conversation, one rule per function, in the words of the API. Pure.

The rules about tools and options are in `strict_messages_options`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from joch_core.messages import Json
from joch_core.testing import models
from joch_core.testing.errors import Rejection
from joch_core.testing.tokens import sealed_for

Blocks = list[Json]

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_SERVER_ID = re.compile(r"srvtoolu_[a-zA-Z0-9_]+")
_USER = {"text", "image", "document", "tool_result", "search_result", "container_upload"}
_ASSISTANT = {"text", "thinking", "redacted_thinking", "tool_use"}
_SHARED = re.compile(
    r"server_tool_use|mcp_tool_(use|result)|\w+_tool_result|compaction|tool_addition|container_upload|fallback|mid_conv\w*"
)
_FIELDS = {
    "text": {"type", "text", "citations", "cache_control"},
    "tool_use": {"type", "id", "name", "input", "cache_control", "caller", "toolset_name"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
    "image": {"type", "source", "cache_control"},
}


def content(message: Json) -> Blocks:
    """The blocks of a message."""
    given = message["content"]
    return [{"type": "text", "text": given}] if isinstance(given, str) else given


def blocks(body: Json) -> Iterator[tuple[str, str, Json]]:
    """Every block with its place and the role that says it."""
    for index, message in enumerate(body["messages"]):
        for number, block in enumerate(content(message)):
            yield f"messages.{index}.content.{number}", message["role"], block


def turns(body: Json) -> list[tuple[int, str, Blocks]]:
    """The conversation as the API reads it: messages of one role in a row are one turn; with the last message's index."""
    out: list[tuple[int, str, Blocks]] = []
    for index, message in enumerate(body["messages"]):
        if message["role"] == "system":
            continue
        if out and out[-1][1] == message["role"]:
            out[-1] = (index, message["role"], [*out[-1][2], *content(message)])
        else:
            out.append((index, message["role"], list(content(message))))
    return out


def shape(body: Json) -> Rejection | None:
    """The three required fields, and messages that are objects with typed blocks."""
    for name in ("model", "max_tokens", "messages"):
        if body.get(name) is None:
            return Rejection(f"{name}: Field required")
    if not isinstance(body["messages"], list):
        return Rejection("messages: Input should be a valid list")
    if not body["messages"]:
        return Rejection("messages: at least one message is required")
    for index, message in enumerate(body["messages"]):
        if not isinstance(message, dict):
            return Rejection(f"messages.{index}: Input should be a valid dictionary or object to extract fields from")
        for name in message:
            if name not in ("role", "content"):
                return Rejection(f"messages.{index}.{name}: Extra inputs are not permitted")
        for name in ("role", "content"):
            if message.get(name) is None:
                return Rejection(f"messages.{index}.{name}: Field required")
        if not isinstance(message["content"], str | list):
            return Rejection(f"messages.{index}.content: Input should be a valid list")
        for number, block in enumerate(content(message)):
            if not isinstance(block, dict) or not isinstance(block.get("type"), str):
                return Rejection(f"messages.{index}.content.{number}.type: Field required")
    return None


def roles(body: Json) -> Rejection | None:
    """User and assistant; a system message in the middle only at the newest models, after a user turn."""
    messages = body["messages"]
    for index, message in enumerate(messages):
        role = message["role"]
        if role == "system":
            if not models.newest_claude(body["model"], (4, 8)):
                sentence = 'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an input message role.'
                return Rejection(sentence)
            before = messages[index - 1]["role"] if index else None
            after = messages[index + 1]["role"] if index + 1 < len(messages) else None
            if before not in ("user", "system") or after not in (None, "assistant", "system"):
                return Rejection(
                    f"messages.{index}: `system` messages must follow a user turn and be last or precede an assistant turn"
                )
        elif role not in ("user", "assistant"):
            return Rejection(f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant".')
    if messages[0]["role"] != "user":
        return Rejection('messages: first message must use the "user" role')
    return None


def block_kinds(body: Json) -> Rejection | None:
    """Known kinds of blocks, each in the role that may say it, without unknown fields."""
    for place, role, block in blocks(body):
        kind = block["type"]
        if role == "system":
            continue
        if kind not in _USER | _ASSISTANT and not _SHARED.fullmatch(kind):
            expected = ", ".join(
                f"'{name}'" for name in sorted(_USER | _ASSISTANT | {"server_tool_use", "web_search_tool_result"})
            )
            return Rejection(
                f"{place}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {expected}"
            )
        if role == "user" and kind in _ASSISTANT - {"text"}:
            return Rejection(f"{place.rpartition('.content')[0]}: `{kind}` blocks can only be in `assistant` messages")
        if role == "assistant" and kind in _USER - {"text", "container_upload"}:
            return Rejection(f"{place.rpartition('.content')[0]}: `{kind}` blocks can only be in `user` messages")
        for name in block:
            if name not in _FIELDS.get(kind, block):
                return Rejection(f"{place}.{kind}.{name}: Extra inputs are not permitted")
    return None


def identifiers(body: Json) -> Rejection | None:
    """Ids of tool calls and results, and names of called tools, keep to their patterns; inputs are objects."""
    for place, _, block in blocks(body):
        kind = block["type"]
        named = {"tool_use": "id", "tool_result": "tool_use_id", "server_tool_use": "id"}.get(kind)
        if named is None:
            continue
        if not isinstance(block.get(named), str):
            return Rejection(f"{place}.{kind}.{named}: Field required")
        pattern = _SERVER_ID if kind == "server_tool_use" else _ID
        if not pattern.fullmatch(block[named]):
            return Rejection(f"{place}.{kind}.{named}: String should match pattern '^{pattern.pattern}$'")
        if kind == "tool_use":
            if not _NAME.fullmatch(str(block.get("name") or "")):
                return Rejection(f"{place}.tool_use.name: String should match pattern '^{_NAME.pattern}$'")
            if not isinstance(block.get("input"), dict):
                return Rejection(f"{place}.tool_use.input: Input should be a valid dictionary")
    return None


def unanswered_calls(body: Json) -> Rejection | None:
    """The turn after tool calls begins with a result for each of them."""
    told = turns(body)
    for position, (index, role, said) in enumerate(told):
        called = [block["id"] for block in said if block["type"] == "tool_use"] if role == "assistant" else []
        if len(set(called)) != len(called):
            return Rejection(f"messages.{index}.content: `tool_use` ids must be unique")
        after = told[position + 1][2] if position + 1 < len(told) else []
        answered = []
        for block in after:
            if block["type"] != "tool_result":
                break
            answered.append(block["tool_use_id"])
        left = [identifier for identifier in called if identifier not in answered]
        if left:
            sentence = (
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(left)}. "
                "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
            )
            return Rejection(sentence)
    return None


def orphaned_results(body: Json) -> Rejection | None:
    """A result answers a call of the turn before it, once."""
    called: set[str] = set()
    for index, role, said in turns(body):
        answered: set[str] = set()
        for number, block in enumerate(said):
            if block["type"] != "tool_result" or role != "user":
                continue
            identifier = block["tool_use_id"]
            if identifier not in called:
                sentence = (
                    f"messages.{index}.content.{number}: unexpected `tool_use_id` found in `tool_result` blocks: {identifier}. Each "
                    "`tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
                return Rejection(sentence)
            if identifier in answered:
                sentence = (
                    f"messages.{index}.content.{number}: each tool_use must have a single result. Found multiple `tool_result` blocks "
                    f"with id: {identifier}"
                )
                return Rejection(sentence)
            answered.add(identifier)
        called = {block["id"] for block in said if block["type"] == "tool_use"} if role == "assistant" else set()
    return None


def empty_content(body: Json) -> Rejection | None:
    """No empty messages, no empty or blank text blocks, in messages, results and the system prompt."""
    last = len(body["messages"]) - 1
    for index, message in enumerate(body["messages"]):
        if not message["content"] and not (index == last and message["role"] == "assistant"):
            if message["role"] == "user":
                return Rejection(f"messages.{index}: user messages must have non-empty content")
            return Rejection(
                f"messages.{index}: all messages must have non-empty content except for the optional final assistant message"
            )
    for _, role, block in blocks(body):
        inner = block.get("content") if block["type"] == "tool_result" else None
        for item in (block, *(inner if isinstance(inner, list) else ())):
            found = _empty_text(item, "messages", blank_is_empty=role != "assistant")
            if found is not None:
                return found
    system = body.get("system")
    return next(filter(None, (_empty_text(item, "system") for item in (system if isinstance(system, list) else ()))), None)


def _empty_text(block: Json, place: str, *, blank_is_empty: bool = True) -> Rejection | None:
    # A blank text beside a tool call in an assistant turn was taken by claude-haiku-4-5.
    if block.get("type") != "text":
        return None
    if not block.get("text"):
        return Rejection(f"{place}: text content blocks must be non-empty")
    if blank_is_empty and not block["text"].strip():
        return Rejection(f"{place}: text content blocks must contain non-whitespace text")
    return None


def last_turn(body: Json) -> Rejection | None:
    """The newest models do not go on with a started answer; the older ones want it without trailing blanks."""
    _, role, said = turns(body)[-1]
    if role != "assistant" or not said or said[-1]["type"] != "text":
        return None
    if models.newest_claude(body["model"], (4, 6)):
        return Rejection(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    if said[-1]["text"] != said[-1]["text"].rstrip():
        return Rejection("messages: final assistant content cannot end with trailing whitespace")
    return None


def thinking_first(body: Json) -> Rejection | None:
    """With thinking enabled, an assistant turn whose tool results are being answered begins with its thinking."""
    if (body.get("thinking") or {}).get("type") != "enabled":
        return None
    told = turns(body)
    while len(told) >= 2 and any(block["type"] == "tool_result" for block in told[-1][2]):
        index, _, said = told[-2]
        if said and said[0]["type"] not in ("thinking", "redacted_thinking"):
            sentence = (
                f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{said[0]['type']}`. When "
                "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of "
                "`tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To avoid this "
                "requirement, disable `thinking`. Please consult our documentation at "
                "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
            )
            return Rejection(sentence)
        break
    return None


def thinking_blocks(body: Json) -> Rejection | None:
    """Thinking carries its signature and no cache mark."""
    for place, _, block in blocks(body):
        needed = {"thinking": "signature", "redacted_thinking": "data"}.get(block["type"])
        if needed is not None and not isinstance(block.get(needed), str):
            return Rejection(f"{place}.{block['type']}.{needed}: Field required")
    return None


_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}


def _pictures(given: Any, place: str) -> Iterator[tuple[str, Json]]:
    for number, block in enumerate(given if isinstance(given, list) else ()):
        if block.get("type") == "image":
            yield f"{place}.{number}.image.source", block.get("source") or {}
        elif block.get("type") == "tool_result":
            yield from _pictures(block.get("content"), f"{place}.{number}.tool_result.content")


def pictures(body: Json) -> Rejection | None:
    """Inline pictures are of four kinds, and of the kind that they say they are."""
    for index, message in enumerate(body["messages"]):
        for place, source in _pictures(message["content"], f"messages.{index}.content"):
            if source.get("type") != "base64":
                continue
            said = source.get("media_type")
            if said not in _KINDS.values():
                return Rejection(
                    f"{place}.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
                )
            try:
                start = base64.b64decode(str(source.get("data") or "")[:32], validate=True)
            except binascii.Error:
                return Rejection(f"{place}.base64.data: Invalid base64 data")
            true = next((kind for magic, kind in _KINDS.items() if start.startswith(magic)), said)
            if true != said and models.newest_claude(body["model"], (4, 0)):
                sentence = f"{place}.base64: The image was specified using the {said} media type, but the image appears to be a {true} image"
                return Rejection(sentence)
    return None


def foreign_thinking(body: Json) -> Rejection | None:
    """A signature is good for the model that it was issued for."""
    model = body["model"].partition("+")[0]
    for place, _, block in blocks(body):
        if block["type"] == "thinking" and sealed_for(block["signature"]) != ("thinking", model):
            return Rejection(f"{place}: Invalid `signature` in `thinking` block")
        if block["type"] == "redacted_thinking" and sealed_for(block["data"]) != ("thinking", model):
            return Rejection(f"{place}: Invalid `data` in `redacted_thinking` block")
    return None
