"""Pictures, sound and documents: from the spellings that LangChain users write to canonical parts. Pure.

The same picture is written in five ways: as a standard block (`url`, `base64`, `file_id`), in the older form with
`source_type`, and in the spellings of OpenAI, Anthropic and Gemini. A reader gives None for what it does not know.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote_to_bytes

from joch_core import Audio, File, Image, InvalidArgument, Json, Part


def decode(data: str | bytes) -> bytes:
    """Base64 text as bytes; bytes stay as they are.

    Raises:
        InvalidArgument: the text is no base64.
    """
    if isinstance(data, bytes):
        return data
    try:
        return base64.b64decode(data, altchars=b"-_" if "-" in data or "_" in data else None)
    except (binascii.Error, ValueError):
        raise InvalidArgument("a content block holds data that is not base64: encode the bytes with base64 first") from None


def _data_url(url: str) -> tuple[bytes, str | None] | None:
    """Bytes and media type of a `data:` URL; None for any other URL."""
    if not url.startswith("data:"):
        return None
    head, _, body = url[5:].partition(",")
    media_type, *flags = head.split(";")
    return (decode(body) if "base64" in flags else unquote_to_bytes(body)), media_type or None


def media(
    kind: str,
    *,
    url: str | None = None,
    data: str | bytes | None = None,
    media_type: str | None = None,
    file_id: str | None = None,
    name: str | None = None,
) -> Part:
    """A part of this kind (`image`, `audio`, `video`, `file`); a `data:` URL becomes bytes."""
    if url is not None and (inline := _data_url(url)) is not None:
        data, media_type, url = inline[0], inline[1] or media_type, None
    content = None if data is None else decode(data)
    if file_id is not None and content is None and url is None:
        return File(file_id=file_id, media_type=media_type, name=name)
    match kind:
        case "image":
            return Image(url, content, media_type)
        case "audio":
            return Audio(content, media_type, url)
        case _:
            return File(url, content, media_type, name, file_id)


def _kind(media_type: str | None, fallback: str = "file") -> str:
    kind = (media_type or "").partition("/")[0]
    return kind if kind in ("image", "audio", "video") else fallback


def _name(block: Json) -> str | None:
    extras = block.get("extras") or {}
    for place in (block, extras, block.get("metadata") or {}):
        for key in ("filename", "name", "title"):
            if isinstance(place.get(key), str):
                return str(place[key])
    return None


def _standard(block: Json) -> Part | None:
    """`url`, `base64` (or `data`), `file_id` (or `id`) beside `mime_type`; the older form says which in `source_type`."""
    kind, media_type = block["type"], block.get("mime_type")
    if kind == "text-plain":
        kind, media_type = "file", media_type or "text/plain"
    match block.get("source_type"):
        case "text":
            return media(
                kind, data=str(block.get("text", "")).encode(), media_type=media_type or "text/plain", name=_name(block)
            )
        case "id":
            return media(kind, file_id=block.get("id"), media_type=media_type, name=_name(block))
    data = block.get("base64", block.get("data"))
    if data is None and isinstance(block.get("text"), str):
        data = block["text"].encode()
    url, file_id = block.get("url"), block.get("file_id")
    if data is None and url is None and file_id is None:
        return None
    return media(kind, url=url, data=data, media_type=media_type, file_id=file_id, name=_name(block))


def _anthropic(kind: str, source: Json, block: Json) -> Part | None:
    name, media_type = block.get("title"), source.get("media_type")
    match source.get("type"):
        case "base64":
            return media(kind, data=source.get("data"), media_type=media_type, name=name)
        case "url":
            return media(kind, url=source.get("url"), media_type=media_type, name=name)
        case "file":
            return media(kind, file_id=source.get("file_id"), media_type=media_type, name=name)
        case "text":
            return media(kind, data=str(source.get("data", "")).encode(), media_type=media_type or "text/plain", name=name)
    return None


def _openai_file(file: Json) -> Part | None:
    data, name = file.get("file_data"), file.get("filename")
    if isinstance(data, str) and data.startswith("data:"):
        return media("file", url=data, name=name)
    if data is None and file.get("file_url") is None and file.get("file_id") is None:
        return None
    return media(
        "file",
        url=file.get("file_url"),
        data=data,
        media_type="application/pdf" if data else None,
        file_id=file.get("file_id"),
        name=name,
    )


def _openai_image(value: Any) -> Part | None:
    url = value.get("url") if isinstance(value, dict) else value
    return media("image", url=url) if isinstance(url, str) else None


def media_part(block: Json) -> Part | None:
    """The picture, sound or document in a content block of any spelling; None if it is something else.

    Raises:
        InvalidArgument: the block holds data that is not base64.
    """
    match block:
        case {"type": "image" | "document" | "file" as kind, "source": dict(source)}:
            return _anthropic("image" if kind == "image" else "file", source, block)
        case {"type": "file", "file": dict(file)}:
            return _openai_file(file)
        case {"type": "image_url", "image_url": value}:
            return _openai_image(value)
        case {"type": "input_image"}:
            return _openai_image(block.get("image_url")) or (
                media("image", file_id=block["file_id"]) if isinstance(block.get("file_id"), str) else None
            )
        case {"type": "input_file"}:
            return _openai_file(block)
        case {"type": "input_audio", "input_audio": dict(audio)}:
            return media("audio", data=audio.get("data"), media_type=f"audio/{audio.get('format', 'wav')}")
        case {"type": "media"}:
            media_type = block.get("mime_type")
            return media(_kind(media_type), url=block.get("file_uri"), data=block.get("data"), media_type=media_type)
        case {"type": "image" | "audio" | "video" | "file" | "text-plain"}:
            return _standard(block)
    return None
