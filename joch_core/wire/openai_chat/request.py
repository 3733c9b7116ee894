"""A body of `POST /chat/completions`, as somebody else wrote it, as a canonical request. What it does not know it keeps."""

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
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    call_id,
    is_call_id,
)
from joch_core.messages.encoding import expect_bytes, expect_list, expect_object, expect_text, read_data_url
from joch_core.wire.openai_chat.answer import API, raw_calls, read_block, read_call, read_reasoning

#: Fields that have a neutral place, or say only how the answer travels.
_READ = {
    "model", "messages", "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls", "response_format",
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "reasoning_effort", "stream",
    "stream_options", "n",
}  # fmt: skip
_MESSAGE_READ = {
    "role", "content", "name", "tool_calls", "function_call", "tool_call_id", "refusal", "audio", "reasoning_content",
    "reasoning", "reasoning_details",
}  # fmt: skip
_MEDIA = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def read_request(body: Json, origin: str) -> ModelRequest:
    """A provider's own request body; `origin` issued the opaque tokens in it."""
    body = expect_object(body, "the body")
    try:
        return _read(body, origin)
    except InvalidArgument:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidArgument(f"the body is no chat completions request: {error!r:.200}") from None


def _read(body: Json, origin: str) -> ModelRequest:
    count = body.get("n")
    if isinstance(count, int) and count > 1:
        raise InvalidArgument(f"n must be 1, not {count}: a reply has one choice; ask again for another one")
    ids = _Ids()
    messages = [
        _message(raw, f"messages[{index}]", origin, ids)
        for index, raw in enumerate(expect_list(body.get("messages"), "messages"))
    ]
    rest = {name: value for name, value in body.items() if name not in _READ and value is not None}
    schema, mode, name, strict = _output(body.get("response_format"), rest)
    metadata = rest.get("metadata")
    stop = body.get("stop")
    if isinstance(body.get("stream_options"), dict):
        options = {key: value for key, value in body["stream_options"].items() if key != "include_usage"}
        rest.update({"stream_options": options} if options else {})
    limit = _number(body, "max_completion_tokens")
    effort = body.get("reasoning_effort")
    return ModelRequest(
        tuple(messages),
        _tools(body, origin),
        tool_choice=_choice(body, rest),
        parallel_tool_calls=_flag(body, "parallel_tool_calls"),
        output_schema=schema,
        output_mode=mode,
        output_name=name,
        output_strict=strict,
        temperature=_number(body, "temperature"),
        top_p=_number(body, "top_p"),
        max_tokens=_whole(limit if limit is not None else _number(body, "max_tokens")),
        stop=() if stop is None else (stop,) if isinstance(stop, str) else _texts(stop, "stop"),
        seed=_whole(_number(body, "seed")),
        reasoning=None if effort is None else expect_text(effort, "reasoning_effort"),
        metadata=metadata if isinstance(metadata, dict) else {},
        native=Native(API, origin, rest, opaque=False) if rest else None,
    )


def _texts(value: Any, place: str) -> tuple[str, ...]:
    return tuple(expect_text(item, place) for item in expect_list(value, place))


def _number(body: Json, name: str) -> float | None:
    value = body.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise InvalidArgument(f"{name} must be a number, not {type(value).__name__}")


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _flag(body: Json, name: str) -> bool | None:
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise InvalidArgument(f"{name} must be true or false, not {type(value).__name__}")


# ------------------------------------------------------------------------------------------------------ options
def _output(raw: Any, rest: Json) -> tuple[Json | None, OutputMode | None, str | None, bool | None]:
    if raw is None:
        return None, None, None, None
    form = expect_object(raw, "response_format")
    match form.get("type"):
        case "text":
            return None, None, None, None
        case "json_object":
            return None, "json", None, None
        case "json_schema":
            inner = expect_object(form.get("json_schema"), "response_format.json_schema")
            extra = {name: value for name, value in inner.items() if name not in ("name", "schema", "strict")}
            if extra:
                rest["response_format"] = extra
            schema = expect_object(inner.get("schema") or {}, "response_format.json_schema.schema")
            strict, name = inner.get("strict"), inner.get("name")
            named = None if name is None else expect_text(name, "response_format.json_schema.name")
            return schema, "json_schema", named, strict if isinstance(strict, bool) else None
    raise InvalidArgument(f"response_format.type must be text, json_object or json_schema, not {form.get('type')!r}")


def _tools(body: Json, origin: str) -> tuple[ToolSpec, ...]:
    found = []
    for index, raw in enumerate(expect_list(body.get("tools") or [], "tools")):
        place = f"tools[{index}]"
        tool = expect_object(raw, place)
        kind = tool.get("type") or "function"
        if kind == "function" or "function" in tool:
            hints = {name: value for name, value in tool.items() if name not in ("type", "function")}
            found.append(_function(tool.get("function"), f"{place}.function", hints, origin))
        elif kind == "custom" and isinstance(tool.get("custom"), dict):
            custom = tool["custom"]
            options = {name: value for name, value in custom.items() if name not in ("name", "description")}
            name = expect_text(custom.get("name"), f"{place}.custom.name")
            found.append(ToolSpec(name, custom.get("description") or "", kind="custom", options=options))
        else:
            options = {name: value for name, value in tool.items() if name != "type"}
            found.append(ToolSpec(expect_text(kind, f"{place}.type"), kind="server", options=options))
    for index, raw in enumerate(expect_list(body.get("functions") or [], "functions")):
        found.append(_function(raw, f"functions[{index}]", {"legacy": True}, origin))
    return tuple(found)


def _function(raw: Any, place: str, hints: Json, origin: str) -> ToolSpec:
    function = expect_object(raw, place)
    description, strict, parameters = function.get("description"), function.get("strict"), function.get("parameters")
    return ToolSpec(
        expect_text(function.get("name"), f"{place}.name"),
        "" if description is None else expect_text(description, f"{place}.description"),
        {} if parameters is None else expect_object(parameters, f"{place}.parameters"),
        strict=strict if isinstance(strict, bool) else None,
        native=Native(API, origin, hints, opaque=False) if hints else None,
    )


def _choice(body: Json, rest: Json) -> str | None:
    raw = body.get("tool_choice")
    if raw is None:
        raw = body.get("function_call")
    if raw is None:
        return None
    if isinstance(raw, str):
        return "required" if raw == "any" else raw  # Mistral says `any`
    choice = expect_object(raw, "tool_choice")
    for kind in ("function", "custom"):
        if isinstance(choice.get(kind), dict):
            return expect_text(choice[kind].get("name"), f"tool_choice.{kind}.name")
    if "name" in choice:
        return expect_text(choice["name"], "tool_choice.name")
    rest["tool_choice"] = choice  # allowed_tools
    return None


# ----------------------------------------------------------------------------------------------------- messages
class _Ids:
    """Canonical ids for the ids of a history. A repeated id is a new call; its result belongs to the oldest open one."""

    def __init__(self) -> None:
        self._uses: dict[str, int] = {}
        self._open: dict[str, list[tuple[str, str]]] = {}
        self._taken: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def call(self, native: str, name: str, prefix: str = "") -> str:
        key = prefix + native
        uses = self._uses.get(key, 0)
        self._uses[key] = uses + 1
        canonical = native if not uses and not prefix and is_call_id(native) else call_id(key, *([uses] if uses else ()))
        while canonical in self._taken:
            canonical = call_id(key, uses, canonical)
        self._taken[canonical] = key
        self._open.setdefault(key, []).append((canonical, name))
        return canonical

    def result(self, native: str, prefix: str = "") -> tuple[str, str | None]:
        """Canonical id and tool name."""
        known = self._open.get(prefix + native)
        if not known:
            return native if is_call_id(native) else call_id(prefix + native), None
        return known.pop(0) if len(known) > 1 else known[0]


def _message(raw: Any, place: str, origin: str, ids: _Ids) -> Message:
    message = expect_object(raw, place)
    name = message.get("name")
    named = None if name is None else expect_text(name, f"{place}.name")
    kept = {key: value for key, value in message.items() if key not in _MESSAGE_READ and value is not None}
    native = Native(API, origin, kept, opaque=False) if kept else None
    match message.get("role"):
        case "assistant":
            return Message("assistant", tuple(_assistant(message, place, origin, ids)), named, native=native)
        case "tool" | "function" as role:
            return _result(message, role, named, place, origin, ids, kept)
        case "developer":
            native = Native(API, origin, {**kept, "role": "developer"}, opaque=False)
            return Message("system", _content(message, place, origin), named, native=native)
        case "system":
            return Message("system", _content(message, place, origin), named, native=native)
        case "user":
            return Message("user", _content(message, place, origin), named, native=native)
    raise InvalidArgument(f"{place}.role must be system, developer, user, assistant or tool, not {message.get('role')!r}")


def _assistant(message: Json, place: str, origin: str, ids: _Ids) -> list[Part]:
    parts: list[Part] = []
    if (thought := read_reasoning(message, origin)) is not None:
        parts.append(thought)
    parts += _content(message, place, origin, assistant=True)
    if refusal := message.get("refusal"):
        native = Native(API, origin, {"refusal": True}, opaque=False)
        parts.append(Text(expect_text(refusal, f"{place}.refusal"), native=native))
    if audio := message.get("audio"):
        parts.append(Audio(native=Native(API, origin, dict(expect_object(audio, f"{place}.audio")))))
    for index, raw in enumerate(raw_calls(message)):
        where = f"{place}.tool_calls[{index}]"
        legacy = expect_object(raw, where).get("type") == "function_call"
        native_id = raw.get("id") or ""
        body = raw.get("function") or raw.get("custom")
        tool = expect_text(expect_object(body, f"{where}.function").get("name"), f"{where}.function.name")
        identity = ids.call(tool if legacy else expect_text(native_id, f"{where}.id"), tool, "function:" if legacy else "")
        try:
            parts.append(read_call(raw, identity, origin))
        except ValueError:
            # The history holds a call whose arguments are broken; the model may as well see what it wrote.
            arguments = str((raw.get("function") or {}).get("arguments"))
            native = Native(API, origin, {"id": native_id, "arguments": arguments})
            parts.append(ToolCall(identity, tool, {"input": arguments}, native=native))
    return parts


def _result(message: Json, role: str, name: str | None, place: str, origin: str, ids: _Ids, kept: Json) -> Message:
    content = _content(message, place, origin)
    if role == "function":
        identity, _ = ids.result(expect_text(name, f"{place}.name"), "function:")
        native = Native(API, origin, {**kept, "legacy": True}, opaque=False)
        return Message("tool", (ToolResult(identity, content, name, native=native),), name)
    native_id = expect_text(message.get("tool_call_id"), f"{place}.tool_call_id")
    identity, tool = ids.result(native_id)
    data = {"id": native_id, **kept, **({"name": name} if name else {})}
    return Message("tool", (ToolResult(identity, content, name or tool, native=Native(API, origin, data)),))


def _content(message: Json, place: str, origin: str, *, assistant: bool = False) -> tuple[Part, ...]:
    content = message.get("content")
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),) if content or not assistant else ()
    place = f"{place}.content"
    return tuple(
        _part(block, f"{place}[{index}]", origin, assistant=assistant)
        for index, block in enumerate(expect_list(content, place))
    )


def _part(raw: Any, place: str, origin: str, *, assistant: bool) -> Part:
    if isinstance(raw, str):
        return Text(raw)
    block = expect_object(raw, place)
    kind = expect_text(block.get("type"), f"{place}.type")
    hints = {name: value for name, value in block.items() if name not in ("type", kind)}
    outer: Json = {"block": hints} if hints else {}

    def native(data: Json) -> Native | None:
        return Native(API, origin, data, opaque=False) if data else None

    match kind:
        case "text":
            return Text(expect_text(block.get("text"), f"{place}.text"), native=native(hints))
        case "refusal":
            return Text(expect_text(block.get("refusal"), f"{place}.refusal"), native=native({"refusal": True}))
        case "image_url":
            inner = block.get("image_url")
            image = {"url": inner} if isinstance(inner, str) else expect_object(inner, f"{place}.image_url")
            url = expect_text(image.get("url"), f"{place}.image_url.url")
            data = {**{name: value for name, value in image.items() if name != "url"}, **outer}
            found = _inline(url, f"{place}.image_url.url")
            return Image(url, native=native(data)) if found is None else Image(None, found[1], found[0], native(data))
        case "file":
            file = expect_object(block.get("file"), f"{place}.file")
            return _file(file, f"{place}.file", Native(API, origin, outer, opaque="file_id" in file))
        case "input_audio":
            audio = expect_object(block.get("input_audio"), f"{place}.input_audio")
            form = expect_text(audio.get("format"), f"{place}.input_audio.format")
            sound = expect_bytes(audio.get("data"), f"{place}.input_audio.data")
            return Audio(sound, _MEDIA.get(form, f"audio/{form}"), native=native({"format": form, **outer}))
        case _ if assistant:
            return read_block(block, origin)
    return Other(kind, Native(API, origin, {"block": block}, opaque=False))


def _inline(url: str, place: str) -> tuple[str, bytes] | None:
    try:
        return read_data_url(url)
    except ValueError as error:
        raise InvalidArgument(f"{place} is {error}") from None


def _file(file: Json, place: str, native: Native) -> File:
    name = file.get("filename")
    named = None if name is None else expect_text(name, f"{place}.filename")
    kept = native if native.opaque or native.data else None
    if file.get("file_id") is not None:
        return File(name=named, file_id=expect_text(file["file_id"], f"{place}.file_id"), native=kept)
    data = expect_text(file.get("file_data"), f"{place}.file_data")
    found = _inline(data, f"{place}.file_data")
    if found is None:
        if "://" in data[:10]:
            return File(url=data, name=named, native=kept)
        return File(data=expect_bytes(data, f"{place}.file_data"), media_type="application/pdf", name=named, native=kept)
    return File(data=found[1], media_type=found[0], name=named, native=kept)
