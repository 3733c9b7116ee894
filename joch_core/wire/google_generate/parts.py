"""Parts of a Gemini content as canonical parts; the same for answers and for histories. Reads only.

Tool calls and results are read where their ids are known: in `answer` and in `request`.
"""

from __future__ import annotations

from typing import Any

from joch_core.messages import Audio, File, Image, Json, Native, Other, Part, Reasoning, ServerTool, Text, ToolCall
from joch_core.messages.encoding import compact_json, expect_bytes, expect_object, expect_text

API = "gemini-generate"

#: Parts by which the model uses a tool of Google's own.
_SERVER_PARTS = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
#: Fields that are bound to who issued them; all others are hints for any server of this format.
_OPAQUE = {"thoughtSignature"}
#: Where uploads live: such an address is an id, nobody else can fetch it.
_UPLOADS = ("gs://", "https://generativelanguage.googleapis.com/")


def camel(value: Json) -> Json:
    """An object with its own names in camelCase: the API takes `inline_data` for `inlineData`, and SDKs send it."""
    if not any("_" in name for name in value):
        return value
    return {_camel(name): item for name, item in value.items()}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest) if head else name


def native_of(data: Json, origin: str) -> Native | None:
    """The fields beside the neutral ones; nulls say nothing."""
    data = {name: value for name, value in data.items() if value is not None}
    return Native(API, origin, data, opaque=bool(data.keys() & _OPAQUE)) if data else None


def without(value: Json, *names: str) -> Json:
    """An object without the fields that the neutral part holds."""
    return {name: item for name, item in value.items() if name not in names}


def read_part(part: Json, place: str, origin: str) -> Part:
    """One part in camelCase, but for function calls and responses.

    Raises:
        InvalidArgument: a known part lacks what makes it one; names the place. Unknown parts are kept.
    """
    if part.get("thought") is True:
        text = part.get("text")
        return Reasoning(text if isinstance(text, str) else "", Native(API, origin, part))
    if "text" in part:
        text = expect_text(part["text"], f"{place}.text")
        return Text(text, native=native_of(without(part, "text", "thought"), origin)) if len(part) > 1 else Text(text)
    if "inlineData" in part:
        return _inline(part, place, origin)
    if "fileData" in part:
        return _by_address(part, place, origin)
    for kind in _SERVER_PARTS:
        if kind in part:
            return ServerTool(kind, gist(part[kind]), Native(API, origin, part))
    kind = next((name for name in part if name not in ("thoughtSignature", "thought")), "empty")
    return Other(kind, Native(API, origin, part))


def read_call(part: Json, place: str, origin: str, identity: str) -> ToolCall:
    """A function call; no arguments at all count as an empty object."""
    call = expect_object(part["functionCall"], f"{place}.functionCall")
    args = call.get("args")
    native_id = call.get("id")
    data: Json = {"id": native_id if isinstance(native_id, str) else "", **without(part, "functionCall")}
    if extra := without(call, "id", "name", "args"):
        data["functionCall"] = extra
    return ToolCall(
        identity,
        expect_text(call.get("name"), f"{place}.functionCall.name"),
        {} if args is None else expect_object(args, f"{place}.functionCall.args"),
        native=Native(API, origin, data),
    )


def _inline(part: Json, place: str, origin: str) -> Part:
    blob = camel(expect_object(part["inlineData"], f"{place}.inlineData"))
    media_type = expect_text(blob.get("mimeType"), f"{place}.inlineData.mimeType")
    data = expect_bytes(blob.get("data"), f"{place}.inlineData.data")
    name = blob.get("displayName")
    native = native_of(_beside(part, "inlineData", without(blob, "mimeType", "data")), origin)
    if media_type.startswith("image/"):
        return Image(data=data, media_type=media_type, native=native)
    if media_type.startswith("audio/"):
        return Audio(data=data, media_type=media_type, native=native)
    return File(data=data, media_type=media_type, name=name if isinstance(name, str) else None, native=native)


def _by_address(part: Json, place: str, origin: str) -> Part:
    given = camel(expect_object(part["fileData"], f"{place}.fileData"))
    url = expect_text(given.get("fileUri"), f"{place}.fileData.fileUri")
    media_type, name = given.get("mimeType"), given.get("displayName")
    media_type = media_type if isinstance(media_type, str) else None
    name = name if isinstance(name, str) else None
    extra = _beside(part, "fileData", without(given, "mimeType", "fileUri"))
    if url.startswith(_UPLOADS):
        return File(file_id=url, media_type=media_type, name=name, native=Native(API, origin, extra))
    native = native_of(extra, origin)
    if (media_type or "").startswith("image/"):
        return Image(url=url, media_type=media_type, native=native)
    if (media_type or "").startswith("audio/"):
        return Audio(url=url, media_type=media_type, native=native)
    return File(url=url, media_type=media_type, name=name, native=native)


def _beside(part: Json, kind: str, extra: Json) -> Json:
    rest = without(part, kind)
    return {**rest, kind: extra} if extra else rest


def gist(value: Any) -> str:
    """What a part of a server tool says, as text."""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else ""
    for name in ("code", "output"):
        if isinstance(value.get(name), str):
            return str(value[name])
    try:
        return compact_json(without(value, "id"))
    except RecursionError:
        return ""


#: The one field in which tools usually put what they return.
_PLAIN = ("output", "result", "error", "return_value", "response", "content")


def response_text(response: Json) -> str:
    """What the object that a tool gave back comes to, as text."""
    if len(response) == 1:
        (name, value) = next(iter(response.items()))
        if name in _PLAIN and isinstance(value, str):
            return value
    return compact_json(response)
