"""Messages as JSON: the form of the event log and of an export (`joch.dev/conversation.v1`).

Fields that hold their default are left out, bytes are base64, and what was written is read back equal.
"""

from __future__ import annotations

import base64
from dataclasses import MISSING, fields
from typing import Any, cast

from joch_core.errors import InvalidArgument
from joch_core.messages.exchange import ToolSpec
from joch_core.messages.parts import (
    Audio,
    File,
    Image,
    Json,
    Message,
    Native,
    Other,
    Part,
    Reasoning,
    Role,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
)

CANONICAL_FORMAT = "joch.dev/conversation.v1"

_PARTS: dict[str, type[Any]] = {
    kind.type: kind for kind in (Text, Image, File, Audio, Reasoning, ToolCall, ToolResult, ServerTool, Other)
}
_FIELDS = {
    kind: tuple((spec.name, spec.default) for spec in fields(kind) if spec.name != "native") for kind in _PARTS.values()
}


def _native_to_json(native: Native) -> Json:
    out: Json = {"api": native.api, "origin": native.origin, "data": native.data}
    if not native.opaque:
        out["opaque"] = False
    return out


def _native_from_json(value: Json | None) -> Native | None:
    return None if value is None else Native(value["api"], value["origin"], value["data"], value.get("opaque", True))


def part_to_json(part: Part) -> Json:
    """One part as a JSON object with its `type`."""
    out: Json = {"type": part.type}
    for name, default in _FIELDS[type(part)]:
        value = getattr(part, name)
        if default is not MISSING and value == default:
            continue
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode()
        elif name == "content":
            value = [part_to_json(item) for item in value]
        elif isinstance(value, tuple):
            value = list(value)
        out[name] = value
    if part.native is not None:
        out["native"] = _native_to_json(part.native)
    return out


def part_from_json(value: Json) -> Part:
    """The part that `part_to_json` wrote."""
    kind = _PARTS.get(value.get("type", ""))
    if kind is None:
        raise InvalidArgument(f"unknown part type {value.get('type')!r}; known are {', '.join(_PARTS)}")
    given = {name: value[name] for name, _ in _FIELDS[kind] if name in value}
    if isinstance(given.get("data"), str):
        given["data"] = base64.b64decode(given["data"])
    if "content" in given:
        given["content"] = tuple(part_from_json(item) for item in given["content"])
    if "citations" in given:
        given["citations"] = tuple(given["citations"])
    return cast("Part", kind(**given, native=_native_from_json(value.get("native"))))


def message_to_json(message: Message) -> Json:
    """A message as a JSON object."""
    out: Json = {"role": message.role, "parts": [part_to_json(part) for part in message.parts]}
    if message.name is not None:
        out["name"] = message.name
    if message.id is not None:
        out["id"] = message.id
    if message.metadata:
        out["metadata"] = dict(message.metadata)
    if message.native is not None:
        out["native"] = _native_to_json(message.native)
    return out


def message_from_json(value: Json) -> Message:
    """The message that `message_to_json` wrote."""
    return Message(
        cast("Role", value["role"]),
        tuple(part_from_json(part) for part in value["parts"]),
        value.get("name"),
        value.get("id"),
        _native_from_json(value.get("native")),
        value.get("metadata") or {},
    )


def tool_to_json(tool: ToolSpec) -> Json:
    """A tool as a JSON object; fields that hold their default are left out."""
    out: Json = {"name": tool.name}
    for name in ("description", "parameters", "kind", "strict", "options", "mcp"):
        value = getattr(tool, name)
        if value and value != "function":
            out[name] = dict(value) if name == "options" else value
    if tool.strict is False:
        out["strict"] = False
    if tool.native is not None:
        out["native"] = _native_to_json(tool.native)
    return out


def tool_from_json(value: Json) -> ToolSpec:
    """The tool that `tool_to_json` wrote."""
    given = {
        name: value[name]
        for name in ("name", "description", "parameters", "kind", "strict", "options", "mcp")
        if name in value
    }
    return ToolSpec(**given, native=_native_from_json(value.get("native")))
