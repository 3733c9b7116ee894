"""A body of `POST /v1/messages`, as somebody else wrote it, as a canonical request. What it does not know it keeps."""

from __future__ import annotations

from typing import Any

from joch_core.errors import InvalidArgument
from joch_core.messages import (
    Json,
    Message,
    ModelRequest,
    Native,
    OutputMode,
    Part,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    call_id,
    is_call_id,
)
from joch_core.messages.encoding import expect_list, expect_object, expect_text
from joch_core.wire.anthropic_messages.blocks import API, native_of, read_block, without
from joch_core.wire.anthropic_messages.thinking import level_of

#: Fields that have a neutral place.
_READ = {
    "model", "max_tokens", "messages", "system", "temperature", "top_p", "stop_sequences", "stream", "tools", "tool_choice",
    "output_format",
}  # fmt: skip


def read_request(body: Json, origin: str) -> ModelRequest:
    """A provider's own request body; `origin` issued the opaque tokens in it."""
    body = expect_object(body, "the body")
    messages = _system(body.get("system"), origin)
    names: dict[str, str] = {}
    for index, raw in enumerate(expect_list(body.get("messages"), "messages")):
        messages += _messages(raw, f"messages[{index}]", origin, names)
    choice, parallel = _tool_choice(body.get("tool_choice"))
    schema, mode, config = _output(body)
    rest = {name: value for name, value in body.items() if name not in _READ and value is not None}
    rest.pop("output_config", None)
    if config:
        rest["output_config"] = config
    metadata = rest.pop("metadata", None)
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    return ModelRequest(
        tuple(messages),
        tuple(_tool(tool, f"tools[{index}]", origin) for index, tool in enumerate(_optional_list(body, "tools"))),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        output_schema=schema,
        output_mode=mode,
        temperature=_number(body, "temperature"),
        top_p=_number(body, "top_p"),
        max_tokens=_whole(body, "max_tokens"),
        stop=tuple(expect_text(item, "stop_sequences") for item in _optional_list(body, "stop_sequences")),
        reasoning=level_of(body.get("thinking"), config.get("effort")),
        metadata={"user_id": user} if isinstance(user, str) else {},
        # A container lives at one account only; the other fields say what to do.
        native=Native(API, origin, rest, opaque="container" in rest) if rest else None,
    )


def _optional_list(body: Json, name: str) -> list[Any]:
    value = body.get(name)
    return [] if value is None else expect_list(value, name)


def _number(body: Json, name: str) -> float | None:
    value = body.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise InvalidArgument(f"{name} must be a number, not {type(value).__name__}")


def _whole(body: Json, name: str) -> int | None:
    value = _number(body, name)
    if value is None or isinstance(value, int):
        return value
    raise InvalidArgument(f"{name} must be a whole number, not {value}")


# ----------------------------------------------------------------------------------------------------- messages
def _system(raw: Any, origin: str) -> list[Message]:
    if raw is None:
        return []
    if isinstance(raw, str):
        return [Message.system(raw)]
    return [
        Message("system", tuple(_parts(raw, "system", origin, {}))),
    ]


def _messages(raw: Any, place: str, origin: str, names: dict[str, str]) -> list[Message]:
    """One turn as canonical messages: a user's turn with tool results is a tool message and what the user added."""
    message = expect_object(raw, place)
    parts = _parts(message.get("content"), f"{place}.content", origin, names)
    match message.get("role"):
        case "assistant":
            return [Message("assistant", tuple(parts))]
        case "system":
            return [Message("system", tuple(parts))]
        case "user":
            results = tuple(part for part in parts if isinstance(part, ToolResult))
            others = tuple(part for part in parts if not isinstance(part, ToolResult))
            both = [Message("tool", results)] if results else []
            return [*both, Message("user", others)] if others or not results else both
    raise InvalidArgument(f"{place}.role must be user, assistant or system, not {message.get('role')!r}")


def _parts(raw: Any, place: str, origin: str, names: dict[str, str]) -> list[Part]:
    if isinstance(raw, str):
        return [Text(raw)]
    parts: list[Part] = []
    for index, block in enumerate(expect_list(raw, place)):
        where = f"{place}[{index}]"
        if isinstance(block, dict) and block.get("type") == "tool_result":
            part: Part = _result(block, where, origin, names)
        else:
            part = read_block(block, where, origin, _canonical)
            if isinstance(part, ToolCall):
                names[part.id] = part.name
        parts.append(part)
    return parts


def _canonical(native_id: str) -> str:
    return native_id if is_call_id(native_id) else call_id(native_id)


def _result(block: Json, place: str, origin: str, names: dict[str, str]) -> ToolResult:
    native_id = expect_text(block.get("tool_use_id"), f"{place}.tool_use_id")
    content = block.get("content")
    parts = () if content is None else tuple(_parts(content, f"{place}.content", origin, {}))
    error = block.get("is_error")
    data = {"id": native_id, **without(block, "type", "tool_use_id", "content", "is_error")}
    identity = _canonical(native_id)
    return ToolResult(identity, parts, names.get(identity), error is True, native_of(data, origin))


# ------------------------------------------------------------------------------------------------------ options
def _tool(raw: Any, place: str, origin: str) -> ToolSpec:
    tool = expect_object(raw, place)
    kind = tool.get("type")
    if isinstance(kind, str) and kind != "custom":
        return ToolSpec.server(kind, **{str(name): value for name, value in tool.items() if name != "type"})
    name = expect_text(tool.get("name"), f"{place}.name")
    description, strict = tool.get("description"), tool.get("strict")
    schema = tool.get("input_schema")
    native = native_of(without(tool, "name", "description", "input_schema", "strict"), origin)
    return ToolSpec(
        name,
        description if isinstance(description, str) else "",
        {} if schema is None else expect_object(schema, f"{place}.input_schema"),
        strict=strict if isinstance(strict, bool) else None,
        native=None if native is None else Native(API, origin, native.data, opaque=False),
    )


def _tool_choice(raw: Any) -> tuple[str | None, bool | None]:
    if raw is None:
        return None, None
    choice = expect_object(raw, "tool_choice")
    serial = choice.get("disable_parallel_tool_use")
    parallel = None if serial is None else not serial
    match choice.get("type"):
        case "auto" | "none" as same:
            return same, parallel
        case "any":
            return "required", parallel
        case "tool":
            return expect_text(choice.get("name"), "tool_choice.name"), parallel
    raise InvalidArgument(f"tool_choice.type must be auto, any, tool or none, not {choice.get('type')!r}")


def _output(body: Json) -> tuple[Json | None, OutputMode | None, Json]:
    """The schema of the answer, and what else stands in `output_config`. `output_format` is the name it had in beta."""
    raw = body.get("output_config")
    config = {} if raw is None else dict(expect_object(raw, "output_config"))
    form = config.get("format") or body.get("output_format")
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        return None, None, config
    config.pop("format", None)
    return expect_object(form.get("schema"), "output_config.format.schema"), "json_schema", config
