"""Canonical messages → input items of the Responses API."""

from __future__ import annotations

from joch_core.messages import (
    Audio,
    File,
    Image,
    Json,
    Message,
    Other,
    Part,
    Reasoning,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
)
from joch_core.messages.encoding import compact_json, data_url, encode_base64, json_object
from joch_core.wire.openai_responses.items import CLIENT_TOOLS, own


def spell_turns(messages: tuple[Message, ...]) -> list[Json]:
    """All items, in order. Results go back under the id that the provider gave to their call."""
    calls: dict[str, ToolCall] = {}
    items: list[Json] = []
    for message in messages:
        match message.role:
            case "assistant":
                items += _assistant(message, calls)
            case "tool":
                items += [_result(part, calls) for part in message.parts if isinstance(part, ToolResult)]
                if rest := tuple(part for part in message.parts if not isinstance(part, ToolResult)):
                    items += _spoken("user", Message("user", rest))
            case role:
                items += _spoken(role, message)
    return items


def _spoken(role: str, message: Message) -> list[Json]:
    content = _content(message.parts)
    if not content and not any(isinstance(part, Text) for part in message.parts):
        return []
    return [{"role": role, **own(message.native), "content": content}]


def _assistant(message: Message, calls: dict[str, ToolCall]) -> list[Json]:
    items: list[Json] = []
    frame: Json | None = None
    for part in message.parts:
        data = own(part.native)
        if isinstance(part, Text) or "block" in data:
            block = _said(part, data)
            if block is None:
                if isinstance(part, Text):
                    items.append({"role": "assistant", "content": part.text})
                frame = None
            elif frame is not None and items and data.get("frame", {}) == frame:
                items[-1]["content"].append(block)
            else:
                frame = data.get("frame", {})
                items.append({**frame, "role": "assistant", "content": [block]})
            continue
        frame = None
        match part:
            case ToolCall():
                calls[part.id] = part
                items.append(_call(part))
            case Reasoning() | ServerTool() | Other() if "item" in data:
                items.append(dict(data["item"]))
            case Audio(transcript=str(said)):
                items.append({"role": "assistant", "content": said})
    return items


def _said(part: Part, data: Json) -> Json | None:
    """A block of an output message; None if plain text will do."""
    if not isinstance(part, Text):
        return dict(data["block"])
    if data.get("refusal"):
        return {"type": "refusal", "refusal": part.text, **data.get("part", {})}
    if "frame" not in data:
        return None
    return {"type": "output_text", "text": part.text, **data.get("part", {})}


def native_id(call: ToolCall) -> str:
    """The id under which the provider knows a call."""
    return str(own(call.native).get("id") or call.id)


def _call(part: ToolCall) -> Json:
    data = own(part.native)
    if "item" in data:
        item = data["item"]
        field = CLIENT_TOOLS.get(item.get("type"), "")
        return {**item, field: part.args} if field in item else dict(item)
    kind = "custom_tool_call" if part.custom else "function_call"
    out: Json = {"type": kind, **data.get("rest", {}), "call_id": native_id(part), "name": part.name}
    if part.custom:
        out["input"] = part.args.get("input", "")
    else:
        out["arguments"] = _arguments(part, data)
    if "item_id" in data:
        out["id"] = data["item_id"]
    return out


def _arguments(part: ToolCall, data: Json) -> str:
    """The arguments as the model wrote them, unless somebody has changed them since."""
    raw = data.get("arguments")
    if isinstance(raw, str):
        try:
            if json_object(raw) == part.args:
                return raw
        except ValueError:
            pass
    return compact_json(part.args)


def _result(part: ToolResult, calls: dict[str, ToolCall]) -> Json:
    data = own(part.native)
    call = calls.get(part.call_id)
    identity = native_id(call) if call is not None else data.get("id") or part.call_id
    if "item" in data:
        return {**data["item"], "call_id": identity}
    kind = own(call.native).get("item", {}).get("type") if call is not None else None
    out: Json = {"call_id": identity, **data.get("rest", {})}
    match kind:
        case "computer_call":
            shot = next((_block(item) for item in part.content if isinstance(item, Image)), None)
            url = (shot or {}).get("image_url", "")
            return {**out, "type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": url}}
        case "apply_patch_call":
            status = "failed" if part.error else "completed"
            return {**out, "type": "apply_patch_call_output", "status": status, "output": part.text}
        case "local_shell_call":
            return {"id": identity, **data.get("rest", {}), "type": "local_shell_call_output", "output": part.text}
        case "shell_call":
            outcome = {"type": "exit", "exit_code": int(part.error)}
            output = [{"stdout": part.text, "stderr": "", "outcome": outcome}]
            return {**out, "type": "shell_call_output", "output": output}
    custom = call.custom if call is not None else data.get("custom")
    kind = "custom_tool_call_output" if custom else "function_call_output"
    return {**out, "type": kind, "output": _content(part.content)}


def _content(parts: tuple[Part, ...]) -> str | list[Json]:
    """One string if it is plain text, else a list of blocks."""
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], Text) and not own(parts[0].native):
        return parts[0].text
    return [block for part in parts if (block := _block(part)) is not None]


def _block(part: Part) -> Json | None:
    data = own(part.native)
    match part:
        case Text():
            return {"type": "input_text", "text": part.text, **data}
        case Image(data=bytes(raw)):
            return {"type": "input_image", **data, "image_url": data_url(part.media_type or "image/png", raw)}
        case Image(url=str(url)):
            return {"type": "input_image", **data, "image_url": url}
        case Image() if "file_id" in data:
            return {"type": "input_image", **data}
        case File():
            return _file(part, data)
        case Audio(data=bytes(raw)):
            name = (part.media_type or "audio/wav").partition("/")[2]
            form = data.get("format") or {"mpeg": "mp3", "x-wav": "wav"}.get(name, name)
            return {"type": "input_audio", "input_audio": {"data": encode_base64(raw), "format": form}}
        case Other() if "block" in data:
            return dict(data["block"])
    return None


def _file(part: File, data: Json) -> Json | None:
    out: Json = {"type": "input_file", **data}
    if part.data is not None:
        out["filename"] = part.name or "file"
        out["file_data"] = data_url(part.media_type or "application/pdf", part.data)
    elif part.url is not None:
        out["file_url"] = part.url
    elif part.file_id is not None:
        out["file_id"] = part.file_id
    else:
        return None
    if part.name:
        out["filename"] = part.name
    return out
