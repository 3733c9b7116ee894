"""A body of generateContent, as somebody else wrote it, as a canonical request. What it does not know it keeps.

Google's calls often have no id: such a call is named for its place, and a response without an id answers the oldest open
call of that name in the model's last turn.
"""

from __future__ import annotations

from typing import Any

from joch_core.errors import InvalidArgument
from joch_core.messages import Json, Message, ModelRequest, Native, Part, Text, ToolCall, ToolResult, ToolSpec, is_call_id
from joch_core.messages import call_id as new_id
from joch_core.messages.encoding import expect_list, expect_object, expect_text
from joch_core.wire.google_generate.options import choice_of, level_of, output_of
from joch_core.wire.google_generate.parts import API, camel, native_of, read_call, read_part, response_text, without
from joch_core.wire.google_generate.schema import to_json_schema


def read_request(body: Json, origin: str) -> ModelRequest:
    """A provider's own request body; `origin` issued the opaque tokens in it."""
    body = camel(expect_object(body, "the body"))
    history = _History(origin)
    messages = history.system(body.get("systemInstruction"))
    for index, raw in enumerate(expect_list(body.get("contents"), "contents")):
        messages += history.content(raw, f"contents[{index}]")
    config = _optional(body, "generationConfig")
    if "thinkingConfig" in config:
        config = {
            **config,
            "thinkingConfig": camel(expect_object(config["thinkingConfig"], "generationConfig.thinkingConfig")),
        }
    tool_config = _optional(body, "toolConfig")
    if "functionCallingConfig" in tool_config:
        calling = expect_object(tool_config["functionCallingConfig"], "toolConfig.functionCallingConfig")
        tool_config = {**tool_config, "functionCallingConfig": camel(calling)}
    schema, mode = output_of(config)
    return ModelRequest(
        tuple(messages),
        tuple(_tools(body.get("tools"), origin)),
        tool_choice=choice_of(tool_config),
        output_schema=schema,
        output_mode=mode,
        temperature=_number(config, "temperature"),
        top_p=_number(config, "topP"),
        max_tokens=_whole(config, "maxOutputTokens"),
        stop=tuple(
            expect_text(item, "generationConfig.stopSequences")
            for item in expect_list(config.get("stopSequences") or [], "generationConfig.stopSequences")
        ),
        seed=_whole(config, "seed"),
        reasoning=level_of(config.get("thinkingConfig")),
        native=_rest(body, config, tool_config, origin),
    )


#: Fields that have a neutral place: of the body, and of the generationConfig.
_READ = ("contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "model")
_READ_CONFIG = (
    "temperature", "topP", "maxOutputTokens", "stopSequences", "seed", "responseJsonSchema",
)  # fmt: skip


def _rest(body: Json, config: Json, tool_config: Json, origin: str) -> Native | None:
    rest = {name: value for name, value in without(body, *_READ).items() if value is not None}
    config = {name: value for name, value in without(config, *_READ_CONFIG).items() if value is not None}
    if config.get("responseMimeType") == "application/json":
        del config["responseMimeType"]
    if config:
        rest["generationConfig"] = config
    if tool_config:
        rest["toolConfig"] = tool_config
    # A cache lives at one project only; the other fields say what to do.
    return Native(API, origin, rest, opaque="cachedContent" in rest) if rest else None


def _optional(body: Json, name: str) -> Json:
    value = body.get(name)
    return {} if value is None else camel(expect_object(value, name))


def _number(config: Json, name: str) -> float | None:
    value = config.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise InvalidArgument(f"generationConfig.{name} must be a number, not {type(value).__name__}")


def _whole(config: Json, name: str) -> int | None:
    value = _number(config, name)
    if value is None or isinstance(value, int):
        return value
    if value.is_integer():  # protobuf writes 40 as 40.0
        return int(value)
    raise InvalidArgument(f"generationConfig.{name} must be a whole number, not {value}")


# ----------------------------------------------------------------------------------------------------- messages
class _History:
    """Reads contents in their order, and knows which calls are open."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._known: dict[str, str] = {}
        self._open: list[tuple[str, str]] = []
        self._role = ""

    def system(self, raw: Any) -> list[Message]:
        if raw is None:
            return []
        if isinstance(raw, str):
            return [Message.system(raw)]
        parts = self._parts(expect_object(raw, "systemInstruction"), "systemInstruction")
        return [Message("system", tuple(parts))] if parts else []

    def content(self, raw: Any, place: str) -> list[Message]:
        """One content as canonical messages: responses are a tool message of their own."""
        content = expect_object(raw, place)
        role = content.get("role") or "user"
        if role not in ("user", "model", "function"):
            raise InvalidArgument(f"{place}.role must be user or model, not {role!r}")
        if role == "model" and self._role != "model":
            self._open = []
        self._role = role
        parts = self._parts(content, place)
        if role == "model":
            return [Message("assistant", tuple(parts))]
        results = tuple(part for part in parts if isinstance(part, ToolResult))
        others = tuple(part for part in parts if not isinstance(part, ToolResult))
        both = [Message("tool", results)] if results else []
        return [*both, Message("user", others)] if others or not results else both

    def _parts(self, content: Json, place: str) -> list[Part]:
        raw = content.get("parts")
        if isinstance(raw, dict):  # the API takes one part for a list of one
            raw = [raw]
        return [
            self._part(camel(expect_object(part, f"{place}.parts[{index}]")), f"{place}.parts[{index}]")
            for index, part in enumerate(expect_list(raw, f"{place}.parts") if raw is not None else ())
        ]

    def _part(self, part: Json, place: str) -> Part:
        if "functionCall" in part:
            call = camel(expect_object(part["functionCall"], f"{place}.functionCall"))
            return self._call({**part, "functionCall": call}, place)
        if "functionResponse" in part:
            return self._response(part, place)
        return read_part(part, place, self._origin)

    def _call(self, part: Json, place: str) -> ToolCall:
        native_id = part["functionCall"].get("id")
        if isinstance(native_id, str) and native_id:
            identity = native_id if is_call_id(native_id) else new_id(native_id)
            self._known[native_id] = identity
        else:
            identity = new_id(place, part["functionCall"].get("name"))
        call = read_call(part, place, self._origin, identity)
        self._open.append((identity, call.name))
        return call

    def _response(self, part: Json, place: str) -> ToolResult:
        response = camel(expect_object(part["functionResponse"], f"{place}.functionResponse"))
        name = expect_text(response.get("name"), f"{place}.functionResponse.name")
        given = expect_object(response.get("response") or {}, f"{place}.functionResponse.response")
        native_id = response.get("id") if isinstance(response.get("id"), str) else ""
        content: list[Part] = [Text(response_text(given))]
        media = response.get("parts")
        for index, item in enumerate(expect_list(media, f"{place}.functionResponse.parts") if media is not None else ()):
            where = f"{place}.functionResponse.parts[{index}]"
            content.append(read_part(camel(expect_object(item, where)), where, self._origin))
        data: Json = {"id": native_id or None, "response": given, **without(part, "functionResponse")}
        if extra := without(response, "id", "name", "response", "parts"):
            data["functionResponse"] = extra
        return ToolResult(
            self._answered(str(native_id), name, place),
            tuple(content),
            name,
            given.keys() == {"error"},
            native_of(data, self._origin),
        )

    def _answered(self, native_id: str, name: str, place: str) -> str:
        """The canonical id of the call that a response answers."""
        identity = self._known.get(native_id)
        if identity is None:
            identity = next((known for known, called in self._open if called == name), None)
        if identity is None:
            return new_id(native_id or place, name)
        self._open = [row for row in self._open if row[0] != identity]
        return identity


# -------------------------------------------------------------------------------------------------------- tools
def _tools(raw: Any, origin: str) -> list[ToolSpec]:
    if raw is None:
        return []
    tools: list[ToolSpec] = []
    for index, item in enumerate([raw] if isinstance(raw, dict) else expect_list(raw, "tools")):
        for kind, value in camel(expect_object(item, f"tools[{index}]")).items():
            where = f"tools[{index}].{kind}"
            if kind == "functionDeclarations":
                tools += [_declared(one, f"{where}[{place}]", origin) for place, one in enumerate(expect_list(value, where))]
            elif value is not None:
                options = expect_object(value, where)
                tools.append(ToolSpec(kind, kind="server", options=options))
    return tools


def _declared(raw: Any, place: str, origin: str) -> ToolSpec:
    declared = camel(expect_object(raw, place))
    description, full, own = (declared.get(name) for name in ("description", "parametersJsonSchema", "parameters"))
    hints = without(declared, "name", "description", "parametersJsonSchema")
    parameters = full if full is not None else to_json_schema(own)
    native = native_of(hints, origin)
    return ToolSpec(
        expect_text(declared.get("name"), f"{place}.name"),
        description if isinstance(description, str) else "",
        {} if parameters is None else expect_object(parameters, f"{place}.parameters"),
        native=native,
    )
