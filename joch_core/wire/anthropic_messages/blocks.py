"""Content blocks of the Messages format as canonical parts; the same for answers and for histories. Reads only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from joch_core.messages import File, Image, Json, Native, Other, Part, Reasoning, ServerTool, Text, ToolCall
from joch_core.messages.encoding import compact_json, expect_bytes, expect_object, expect_text

API = "anthropic-messages"

#: Fields that are mere hints: they may go to any server of this format.
_HINTS = {"cache_control", "title", "context", "type", "defer_loading", "strict", "is_error", "id"}


def native_of(data: Json, origin: str) -> Native | None:
    """The fields beside the neutral ones; nulls say nothing. Opaque, unless all of them are hints."""
    data = {name: value for name, value in data.items() if value is not None}
    return Native(API, origin, data, opaque=not data.keys() <= _HINTS) if data else None


def without(block: Json, *names: str) -> Json:
    """A block without the fields that the neutral part holds."""
    return {name: value for name, value in block.items() if name not in names}


def read_block(block: Any, place: str, origin: str, new_id: Callable[[str], str]) -> Part:
    """One block of content. `new_id` turns the native id of a tool call into a canonical one.

    Raises:
        InvalidArgument: a known block lacks what makes it one; names the place. Unknown blocks are kept.
    """
    block = expect_object(block, place)
    kind = expect_text(block.get("type"), f"{place}.type")
    match kind:
        case "text":
            return _text(block, place, origin)
        case "tool_use":
            native_id = expect_text(block.get("id"), f"{place}.id")
            name = expect_text(block.get("name"), f"{place}.name")
            args = expect_object(block.get("input") or {}, f"{place}.input")  # none at all is an empty object
            data = {"id": native_id, **without(block, "type", "id", "name", "input")}
            return ToolCall(new_id(native_id), name, args, native=Native(API, origin, data))
        case "thinking":
            text = block.get("thinking")
            return Reasoning(text if isinstance(text, str) else "", Native(API, origin, block))
        case "redacted_thinking":
            return Reasoning("", Native(API, origin, block))
        case "image":
            return _image(block, place, origin)
        case "document":
            return _document(block, place, origin)
        case "search_result":
            # Readable everywhere as text; here it goes back as the block it was, so that citations keep working.
            return Text(gist(block), native=Native(API, origin, {"block": block}, opaque=False))
        case _ if kind.endswith(("_tool_use", "_tool_result")):
            return ServerTool(kind, gist(block), Native(API, origin, block))
    return Other(kind, Native(API, origin, block))


def _text(block: Json, place: str, origin: str) -> Text:
    text = expect_text(block.get("text"), f"{place}.text")
    if len(block) == 2:  # noqa: PLR2004  type and text: the usual case
        return Text(text)
    given = block.get("citations")
    citations = tuple(_citation(item) for item in given if isinstance(item, dict)) if isinstance(given, list) else ()
    return Text(text, citations, native_of(without(block, "type", "text"), origin))


def _citation(raw: Json) -> Json:
    # `start` and `end` of the neutral form are places in the answer; Anthropic's indexes are places in the source.
    found = {"url": raw.get("url"), "title": raw.get("title") or raw.get("document_title"), "quote": raw.get("cited_text")}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _image(block: Json, place: str, origin: str) -> Image:
    source = expect_object(block.get("source"), f"{place}.source")
    extra = without(block, "type", "source")
    match source.get("type"):
        case "base64":
            media_type = expect_text(source.get("media_type"), f"{place}.source.media_type")
            data = expect_bytes(source.get("data"), f"{place}.source.data")
            return Image(data=data, media_type=media_type, native=native_of(extra, origin))
        case "url":
            url = expect_text(source.get("url"), f"{place}.source.url")
            return Image(url=url, native=native_of(extra, origin))
    return Image(native=native_of({**extra, "source": source}, origin))  # an upload: valid only where it was made


def _document(block: Json, place: str, origin: str) -> File:
    source = expect_object(block.get("source"), f"{place}.source")
    title = block.get("title")
    name = title if isinstance(title, str) else None
    extra = without(block, "type", "source", "title")
    native = native_of(extra, origin)
    if native is not None:
        native = Native(API, origin, native.data, opaque=False)  # cite or not, context: nothing bound to one issuer
    match source.get("type"):
        case "base64":
            data = expect_bytes(source.get("data"), f"{place}.source.data")
            return File(data=data, media_type=_media_type(source, "application/pdf"), name=name, native=native)
        case "text":
            text = expect_text(source.get("data"), f"{place}.source.data")
            return File(data=encode_text(text), media_type=_media_type(source, "text/plain"), name=name, native=native)
        case "url":
            url = expect_text(source.get("url"), f"{place}.source.url")
            return File(url=url, media_type="application/pdf", name=name, native=native)
        case "content":
            data = encode_text(gist(source))
            chunks = Native(API, origin, {**extra, "source": source}, opaque=False)
            return File(data=data, media_type="text/plain", name=name, native=chunks)
        case "file":
            file_id = expect_text(source.get("file_id"), f"{place}.source.file_id")
            return File(name=name, file_id=file_id, native=Native(API, origin, extra))
    return File(name=name, native=Native(API, origin, {**extra, "source": source}))


def _media_type(source: Json, default: str) -> str:
    value = source.get("media_type")
    return value if isinstance(value, str) else default


def encode_text(text: str) -> bytes:
    """Text as UTF-8; half a surrogate pair, which JSON can spell, becomes a replacement mark."""
    return text.encode("utf-8", "replace")


#: What of a raw block a person or another model can read, in this order. Encrypted content is not among it.
_READABLE = (
    "title", "url", "source", "text", "stdout", "stderr", "error_code", "error_message", "tool_name", "file_id", "data",
    "content", "tool_references",
)  # fmt: skip


_DEPTH = 8


def gist(value: Any, depth: int = _DEPTH) -> str:
    """What a raw block says, as text: the call that a provider ran itself, or what came of it."""
    if isinstance(value, str):
        return value
    if not depth:
        return ""
    if isinstance(value, list):
        return "\n".join(filter(None, (gist(item, depth - 1) for item in value)))
    if not isinstance(value, dict):
        return ""
    if isinstance(value.get("input"), dict) and isinstance(value.get("name"), str):
        return f"{value['name']}: {compact_json(value['input'])}"
    readable = [name for name in _READABLE if name != "data" or value.get("type") == "text"]
    return "\n".join(filter(None, (gist(value.get(name), depth - 1) for name in readable)))
