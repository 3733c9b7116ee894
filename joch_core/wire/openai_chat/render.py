"""Canonical request → the body of `POST /chat/completions`. Spells what the projection has let through; decides nothing."""

from __future__ import annotations

from typing import Any

from joch_core.capabilities import Target
from joch_core.errors import InvalidArgument
from joch_core.messages import (
    Audio,
    File,
    Image,
    Json,
    Message,
    ModelRequest,
    Native,
    Other,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)
from joch_core.messages.encoding import compact_json, data_url, encode_base64, json_object, merge_fields
from joch_core.wire.openai_chat.answer import API

AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
_REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_details")


def render(request: ModelRequest, target: Target, *, stream: bool) -> Json:
    """The request body.

    Raises:
        InvalidArgument: `extra` asks for more than one choice; a `Reply` has one.
    """
    native = own(request.native)
    body: Json = {"model": target.model, "messages": _messages(request.messages, target)}
    _tools(body, request, target)
    for name in ("temperature", "top_p", "seed"):
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.max_tokens is not None:
        body[target.dialect.max_tokens_field] = request.max_tokens
    if request.stop:
        body["stop"] = list(request.stop)
    if request.reasoning is not None:
        if request.reasoning == "none" and target.dialect.thinking_switch:
            body["thinking"] = {"type": "disabled"}
        else:
            body["reasoning_effort"] = request.reasoning
    if request.output_mode in ("json_schema", "json"):
        body["response_format"] = _response_format(request, native)
    for name, value in native.items():
        if name not in ("response_format", "stream_options"):
            body.setdefault(name, value)
    if stream:
        body["stream"] = True
        if options := {
            **native.get("stream_options", {}),
            **({"include_usage": True} if target.dialect.stream_usage else {}),
        }:
            body["stream_options"] = options
    for name in (target.provider, target.api):
        if fields := request.extra.get(name):
            merge_fields(body, fields)
    _metadata(body, request)
    if isinstance(body.get("n"), int) and body["n"] > 1:
        raise InvalidArgument("n must be 1: a reply has one choice; ask again for another one")
    return body


def own(native: Native | None) -> Json:
    """What this wire format itself has written; empty for the words of another one."""
    return native.data if native is not None and native.api == API else {}


def _metadata(body: Json, request: ModelRequest) -> None:
    """`metadata` is refused unless the completion is stored: https://platform.openai.com/docs/api-reference/chat/create."""
    if not request.metadata:
        return
    if body.get("store"):
        body.setdefault("metadata", dict(request.metadata))
    elif user := request.metadata.get("user_id"):
        body.setdefault("user", user)


# ------------------------------------------------------------------------------------------------------ options
def _response_format(request: ModelRequest, native: Json) -> Json:
    if request.output_mode == "json" and not request.output_schema:
        return {"type": "json_object"}
    schema = request.output_schema or {"type": "object"}
    raw = native.get("response_format") or {}
    out: Json = {**raw, "name": request.output_name or raw.get("name") or "answer", "schema": schema}
    if request.output_strict is not None:
        out["strict"] = request.output_strict
    return {"type": "json_schema", "json_schema": out}


def _tools(body: Json, request: ModelRequest, target: Target) -> None:
    tools, choice = list(request.tools), request.tool_choice
    if request.output_mode == "tool":
        answer = request.output_tool
        choice = (answer.name if not tools else "required") if target.dialect.forced_tool_choice else "auto"
        tools.append(answer)
    if not tools:
        return
    if all(own(tool.native).get("legacy") for tool in tools):
        body["functions"] = [_function(tool) for tool in tools]
        if choice is not None:
            body["function_call"] = choice if choice in ("auto", "none") else {"name": choice}
        return
    body["tools"] = [_tool(tool) for tool in tools]
    if choice in ("auto", "none", "required"):
        body["tool_choice"] = choice
    elif choice is not None:
        custom = any(tool.name == choice and tool.kind == "custom" for tool in tools)
        kind = "custom" if custom else "function"
        body["tool_choice"] = {"type": kind, kind: {"name": choice}}
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _tool(tool: ToolSpec) -> Json:
    if tool.kind == "server":
        return {"type": tool.name, **tool.options}
    if tool.kind == "custom":
        custom: Json = {"name": tool.name, **({"description": tool.description} if tool.description else {}), **tool.options}
        return {"type": "custom", "custom": custom}
    hints = {name: value for name, value in own(tool.native).items() if name != "legacy"}
    return {"type": "function", "function": _function(tool), **hints}


def _function(tool: ToolSpec) -> Json:
    out: Json = {"name": tool.name}
    if tool.description:
        out["description"] = tool.description
    out["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    if tool.strict is not None:
        out["strict"] = tool.strict
    return out


# ----------------------------------------------------------------------------------------------------- messages
def _messages(messages: tuple[Message, ...], target: Target) -> list[Json]:
    ids: dict[str, str] = {}
    out: list[Json] = []
    for message in messages:
        match message.role:
            case "assistant":
                out += _assistant(message, ids, target)
            case "tool":
                out += [_result(part, message, ids) for part in message.parts if isinstance(part, ToolResult)]
                if rest := tuple(part for part in message.parts if not isinstance(part, ToolResult)):
                    out += _spoken("user", Message("user", rest))
            case role:
                out += _spoken(role, message)
    return out


def _spoken(role: str, message: Message) -> list[Json]:
    """A system or user message; none if nothing of it can be said here, since empty content is refused."""
    out: Json = {"role": role, "content": None, **own(message.native)}
    content = _content(message.parts)
    if not content and message.parts and not any(isinstance(part, Text) for part in message.parts):
        return []
    out["content"] = content
    if message.name:
        out["name"] = message.name
    return [out]


def _assistant(message: Message, ids: dict[str, str], target: Target) -> list[Json]:
    out: Json = {"role": "assistant", "content": None, **own(message.native)}
    visible: list[Part] = []
    calls: list[Json] = []
    for part in message.parts:
        data = own(part.native)
        match part:
            case ToolCall():
                ids[part.id] = data.get("id") or part.id
                if data.get("legacy"):
                    out["function_call"] = {"name": part.name, "arguments": _arguments(part)}
                else:
                    calls.append(_call(part))
            case Reasoning():
                if not target.dialect.reasoning_content:
                    continue
                out.update({name: data[name] for name in _REASONING_FIELDS if name in data})
                if "block" in data:
                    visible.append(part)
            case Text() if data.get("refusal") is True:
                out["refusal"] = part.text
            case Audio() if "id" in data:
                out["audio"] = {"id": data["id"]}
            case Audio(transcript=str(said)):
                visible.append(Text(said))
            case _:
                visible.append(part)
    if visible:
        content = _content(tuple(visible), assistant=True)
        out["content"] = content or (None if calls else "")
    if calls:
        out["tool_calls"] = calls
    if message.name:
        out["name"] = message.name
    spoken = out["content"] is not None or any(name in out for name in ("tool_calls", "function_call", "refusal", "audio"))
    return [out] if spoken or not message.parts or any(name in out for name in _REASONING_FIELDS) else []


def _call(part: ToolCall) -> Json:
    data = own(part.native)
    hints = {name: value for name, value in data.items() if name not in ("id", "arguments")}
    identity = data.get("id") or part.id
    if part.custom:
        return {
            **hints,
            "id": identity,
            "type": "custom",
            "custom": {"name": part.name, "input": part.args.get("input", "")},
        }
    return {**hints, "id": identity, "type": "function", "function": {"name": part.name, "arguments": _arguments(part)}}


def _arguments(part: ToolCall) -> str:
    """The arguments as the model wrote them, unless somebody has changed them since."""
    raw = own(part.native).get("arguments")
    if isinstance(raw, str):
        try:
            if json_object(raw) == part.args:
                return raw
        except ValueError:
            pass
    return compact_json(part.args)


def _result(part: ToolResult, message: Message, ids: dict[str, str]) -> Json:
    data = own(part.native)
    content = _content(part.content)
    hints = {name: value for name, value in data.items() if name not in ("id", "legacy")}
    if data.get("legacy"):
        return {"role": "function", **hints, "name": part.name or message.name or "", "content": content}
    identity = ids.get(part.call_id) or data.get("id") or part.call_id
    return {"role": "tool", "tool_call_id": identity, **hints, "content": content}


# ------------------------------------------------------------------------------------------------------- content
def _content(parts: tuple[Part, ...], *, assistant: bool = False) -> str | list[Json]:
    """One string if it is plain text, else a list of parts."""
    if len(parts) == 1 and isinstance(parts[0], Text) and not _hints(parts[0], assistant=assistant):
        return parts[0].text
    return [block for part in parts if (block := _block(part, assistant=assistant)) is not None]


def _hints(part: Text, *, assistant: bool) -> Json:
    data = own(part.native)
    return {name: value for name, value in data.items() if name != "annotations"} if assistant else data


def _block(part: Part, *, assistant: bool) -> Json | None:
    data = own(part.native)
    match part:
        case Text():
            return {"type": "text", "text": part.text, **_hints(part, assistant=assistant)}
        case Image():
            return _image(part, data)
        case File():
            return _file(part, data)
        case Audio():
            return _audio(part, data)
        case Reasoning() | Other():
            block: Any = data.get("block")
            return dict(block) if block else None
    return None


def _image(part: Image, data: Json) -> Json | None:
    url = data_url(part.media_type or "image/png", part.data) if part.data is not None else part.url
    if url is None:
        return None
    hints = {name: value for name, value in data.items() if name != "block"}
    return {"type": "image_url", **data.get("block", {}), "image_url": {"url": url, **hints}}


def _file(part: File, data: Json) -> Json | None:
    file: Json = {}
    if part.data is not None:
        file["file_data"] = data_url(part.media_type or "application/pdf", part.data)
        file["filename"] = part.name or "file"
    elif part.url is not None:
        file["file_data"] = part.url
    elif part.file_id is not None:
        file["file_id"] = part.file_id
    else:
        return None
    if part.name:
        file["filename"] = part.name
    return {"type": "file", **data.get("block", {}), "file": file}


def _audio(part: Audio, data: Json) -> Json | None:
    if part.data is None:
        return None
    media_type = part.media_type or "audio/wav"
    name = data.get("format") or AUDIO_FORMATS.get(media_type) or media_type.partition("/")[2]
    return {
        "type": "input_audio",
        **data.get("block", {}),
        "input_audio": {"data": encode_base64(part.data), "format": name},
    }
