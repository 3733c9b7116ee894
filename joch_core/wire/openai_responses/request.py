"""A body of `POST /responses`, as somebody else wrote it, as a canonical request. What it does not know it keeps."""

from __future__ import annotations

from typing import Any

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
    OutputMode,
    Part,
    Role,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    call_id,
    is_call_id,
)
from joch_core.messages.encoding import expect_bytes, expect_list, expect_object, expect_text, read_data_url
from joch_core.wire.openai_responses.items import API, CALLS, place_of, read_item

#: Fields that have a neutral place, or say only how the answer travels.
_READ = {
    "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "temperature", "top_p",
    "max_output_tokens", "reasoning", "metadata", "stream",
}  # fmt: skip
#: Fields that mean something only to who issued them.
_OPAQUE = ("previous_response_id", "conversation", "prompt")
_ROLES: dict[str, Role] = {"user": "user", "system": "system", "developer": "system"}


def read_request(body: Json, origin: str) -> ModelRequest:
    """A provider's own request body; `origin` issued the opaque tokens in it."""
    body = expect_object(body, "the body")
    try:
        return _read(body, origin)
    except InvalidArgument:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidArgument(f"the body is no responses request: {error!r:.200}") from None


def _read(body: Json, origin: str) -> ModelRequest:
    messages = []
    if (instructions := body.get("instructions")) is not None:
        messages.append(Message.system(expect_text(instructions, "instructions")))
    messages += _messages(body.get("input"), origin)
    rest = {name: value for name, value in body.items() if name not in _READ and value is not None}
    schema, mode, name, strict = _output(body, rest)
    expect_list(body.get("include") or [], "include")
    reasoning = dict(expect_object(body.get("reasoning") or {}, "reasoning"))
    effort = reasoning.pop("effort", None)
    if reasoning:
        rest["reasoning"] = reasoning
    limit = _number(body, "max_output_tokens")
    parallel = body.get("parallel_tool_calls")
    return ModelRequest(
        tuple(messages),
        _tools(body, origin),
        tool_choice=_choice(body, rest),
        parallel_tool_calls=parallel if isinstance(parallel, bool) else None,
        output_schema=schema,
        output_mode=mode,
        output_name=name,
        output_strict=strict,
        temperature=_number(body, "temperature"),
        top_p=_number(body, "top_p"),
        max_tokens=None if limit is None else int(limit),
        reasoning=None if effort is None else expect_text(effort, "reasoning.effort"),
        metadata=expect_object(body.get("metadata") or {}, "metadata"),
        native=Native(API, origin, rest, opaque=any(field in rest for field in _OPAQUE)) if rest else None,
    )


def _number(body: Json, name: str) -> float | None:
    value = body.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise InvalidArgument(f"{name} must be a number, not {type(value).__name__}")


# ------------------------------------------------------------------------------------------------------ options
def _output(body: Json, rest: Json) -> tuple[Json | None, OutputMode | None, str | None, bool | None]:
    text = dict(expect_object(body.get("text") or {}, "text"))
    raw = text.pop("format", None)
    if text:
        rest["text"] = text
    form = {} if raw is None else expect_object(raw, "text.format")
    match form.get("type", "text"):
        case "text":
            return None, None, None, None
        case "json_object":
            return None, "json", None, None
        case "json_schema":
            extra = {name: value for name, value in form.items() if name not in ("type", "name", "schema", "strict")}
            if extra:
                rest["text"] = {**text, "format": extra}
            strict, name = form.get("strict"), expect_text(form.get("name"), "text.format.name")
            schema = expect_object(form.get("schema"), "text.format.schema")
            return schema, "json_schema", name, strict if isinstance(strict, bool) else None
    raise InvalidArgument(f"text.format.type must be text, json_object or json_schema, not {form.get('type')!r}")


def _tools(body: Json, origin: str) -> tuple[ToolSpec, ...]:
    return tuple(
        _tool(expect_object(raw, f"tools[{index}]"), f"tools[{index}]", origin)
        for index, raw in enumerate(expect_list(body.get("tools") or [], "tools"))
    )


def _tool(tool: Json, place: str, origin: str) -> ToolSpec:
    kind = expect_text(tool.get("type"), f"{place}.type")
    if kind not in ("function", "custom"):
        return ToolSpec(
            kind, kind="server", options={key: value for key, value in tool.items() if key != "type"}, mcp=kind == "mcp"
        )
    name, description = expect_text(tool.get("name"), f"{place}.name"), tool.get("description")
    told = "" if description is None else expect_text(description, f"{place}.description")
    rest = {key: value for key, value in tool.items() if key not in ("type", "name", "description", "parameters", "strict")}
    if kind == "custom":
        return ToolSpec(name, told, kind="custom", options=rest)
    strict, parameters = tool.get("strict"), tool.get("parameters")
    if not isinstance(strict, bool):
        rest["strict_by_default"] = True
    return ToolSpec(
        name,
        told,
        {} if parameters is None else expect_object(parameters, f"{place}.parameters"),
        strict=strict if isinstance(strict, bool) else None,
        native=Native(API, origin, rest, opaque=False) if rest else None,
    )


def _choice(body: Json, rest: Json) -> str | None:
    raw = body.get("tool_choice")
    if raw is None or isinstance(raw, str):
        return raw
    choice = expect_object(raw, "tool_choice")
    if choice.get("type") in ("function", "custom") and "name" in choice:
        return expect_text(choice["name"], "tool_choice.name")
    rest["tool_choice"] = choice  # allowed_tools, mcp, a server tool
    return None


# ----------------------------------------------------------------------------------------------------- messages
class _Ids:
    """Canonical ids for the ids of a history, no two alike, and the names of the called tools."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._taken: set[str] = set()
        self.calls: dict[str, ToolCall] = {}

    def __call__(self, native: str) -> str:
        if native not in self._known:
            canonical = native if is_call_id(native) else call_id(native)
            while canonical in self._taken:
                canonical = call_id(native, canonical)
            self._known[native] = canonical
            self._taken.add(canonical)
        return self._known[native]


def _messages(raw: Any, origin: str) -> list[Message]:
    if raw is None:
        return []
    if isinstance(raw, str):
        return [Message.user(raw)]
    ids = _Ids()
    turns: list[tuple[Role, list[Part]] | Message] = []
    for index, one in enumerate(expect_list(raw, "input")):
        place = f"input[{index}]"
        item = expect_object(one, place)
        kind, role = item.get("type", "message"), item.get("role")
        if kind == "message" and role != "assistant":
            turns.append(_spoken(item, place, origin))
            continue
        if isinstance(kind, str) and kind.endswith("_output") and kind.removesuffix("_output") in _ANSWERED:
            parts: list[Part] = [_result(item, kind, place, origin, ids)]
            speaker: Role = "tool"
        else:
            parts, speaker = _said(item, place, origin, ids), "assistant"
        if turns and isinstance(turns[-1], tuple) and turns[-1][0] == speaker:
            turns[-1][1].extend(parts)
        else:
            turns.append((speaker, parts))
    return [turn if isinstance(turn, Message) else Message(turn[0], tuple(turn[1])) for turn in turns]


_ANSWERED = CALLS | {"custom_tool_call", "function_call"}


def _said(item: Json, place: str, origin: str, ids: _Ids) -> list[Part]:
    try:
        parts = read_item(item, origin, ids)
    except ValueError:
        # The history holds a call whose arguments are broken; the model may as well see what it wrote.
        name, native_id = (
            expect_text(item.get("name"), f"{place}.name"),
            expect_text(item.get("call_id"), f"{place}.call_id"),
        )
        native = Native(API, origin, {"id": native_id, "item": item})
        parts = [ToolCall(ids(native_id), name, {"input": str(item.get("arguments"))}, native=native)]
    except (KeyError, TypeError, AttributeError) as error:
        raise place_of(error, place) from None
    for part in parts:
        if isinstance(part, ToolCall):
            ids.calls[part.id] = part
    return parts


def _spoken(item: Json, place: str, origin: str) -> Message:
    role = item.get("role")
    if role not in _ROLES:
        raise InvalidArgument(f"{place}.role must be user, system, developer or assistant, not {role!r}")
    kept = {key: value for key, value in item.items() if key not in ("type", "role", "content") and value is not None}
    if role != "user":
        kept["role"] = role  # it stands among the items, and not in `instructions`
    parts = _content(item.get("content"), f"{place}.content", origin)
    return Message(_ROLES[role], parts, native=Native(API, origin, kept, opaque="id" in kept) if kept else None)


def _result(item: Json, kind: str, place: str, origin: str, ids: _Ids) -> ToolResult:
    native_id = item.get("call_id") or item.get("id")
    identity = ids(expect_text(native_id, f"{place}.call_id"))
    call = ids.calls.get(identity)
    name = call.name if call is not None else None
    output = item.get("output")
    if kind not in ("function_call_output", "custom_tool_call_output"):
        shot = output.get("image_url") if isinstance(output, dict) else None
        part: Part = _image({"image_url": shot}, place, origin) if isinstance(shot, str) else Text(_plain(output))
        return ToolResult(identity, (part,), name, native=Native(API, origin, {"id": native_id, "item": item}))
    data: Json = {"id": native_id}
    rest = {key: value for key, value in item.items() if key not in ("type", "call_id", "output") and value is not None}
    if rest:
        data["rest"] = rest
    if kind == "custom_tool_call_output":
        data["custom"] = True
    return ToolResult(identity, _content(output, f"{place}.output", origin), name, native=Native(API, origin, data))


def _plain(output: Any) -> str:
    """What a shell or a patch gave back, as text."""
    if isinstance(output, list):
        return "".join(f"{one.get('stdout') or ''}{one.get('stderr') or ''}" for one in output if isinstance(one, dict))
    return output if isinstance(output, str) else ""


def _content(raw: Any, place: str, origin: str) -> tuple[Part, ...]:
    if isinstance(raw, str):
        return (Text(raw),)
    return tuple(
        _part(expect_object(block, f"{place}[{index}]"), f"{place}[{index}]", origin)
        for index, block in enumerate(expect_list(raw, place))
    )


def _part(block: Json, place: str, origin: str) -> Part:
    kind = expect_text(block.get("type"), f"{place}.type")
    match kind:
        case "input_text" | "output_text" | "text":
            rest = {name: value for name, value in block.items() if name not in ("type", "text")}
            native = Native(API, origin, rest, opaque=False) if rest else None
            return Text(expect_text(block.get("text"), f"{place}.text"), native=native)
        case "input_image":
            return _image(block, place, origin)
        case "input_file":
            return _file(block, place, origin)
        case "input_audio":
            audio = expect_object(block.get("input_audio"), f"{place}.input_audio")
            form = expect_text(audio.get("format"), f"{place}.input_audio.format")
            sound = expect_bytes(audio.get("data"), f"{place}.input_audio.data")
            media_type = "audio/mpeg" if form == "mp3" else f"audio/{form}"
            return Audio(sound, media_type, native=Native(API, origin, {"format": form}, opaque=False))
    return Other(kind, Native(API, origin, {"block": block}, opaque=False))


def _inline(url: str, place: str) -> tuple[str, bytes] | None:
    try:
        return read_data_url(url)
    except ValueError as error:
        raise InvalidArgument(f"{place} is {error}") from None


def _image(block: Json, place: str, origin: str) -> Image:
    rest = {name: value for name, value in block.items() if name not in ("type", "image_url") and value is not None}
    native = Native(API, origin, rest, opaque="file_id" in rest) if rest else None
    if block.get("image_url") is None and "file_id" in rest:
        return Image(native=native)
    url = expect_text(block.get("image_url"), f"{place}.image_url")
    found = _inline(url, f"{place}.image_url")
    return Image(url, native=native) if found is None else Image(None, found[1], found[0], native)


def _file(block: Json, place: str, origin: str) -> File:
    told = ("type", "file_id", "file_url", "file_data", "filename")
    rest = {name: value for name, value in block.items() if name not in told and value is not None}
    native = Native(API, origin, rest, opaque=False) if rest else None
    name = block.get("filename")
    named = None if name is None else expect_text(name, f"{place}.filename")
    if block.get("file_id") is not None:
        uploaded = expect_text(block["file_id"], f"{place}.file_id")
        return File(name=named, file_id=uploaded, native=Native(API, origin, rest))
    if block.get("file_url") is not None:
        return File(url=expect_text(block["file_url"], f"{place}.file_url"), name=named, native=native)
    data = expect_text(block.get("file_data"), f"{place}.file_data")
    found = _inline(data, f"{place}.file_data")
    if found is None:
        found = ("application/pdf", expect_bytes(data, f"{place}.file_data"))
    return File(data=found[1], media_type=found[0], name=named, native=native)
