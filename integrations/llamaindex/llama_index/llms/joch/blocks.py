"""Content blocks of LlamaIndex as canonical parts, and parts as blocks. Pure but for files that a block names by path.

Nothing is fetched from a URL here: a provider that can fetch does, for the others Joch decides.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import IOBase
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from joch_core import Audio, File, Image, InvalidArgument, Json, Native, Part, Reasoning, Text, ToolCall

#: What a reader of LlamaIndex has no block for.
Losses = list[Json]
_ANTHROPIC = "anthropic-messages"


def loss(losses: Losses | None, code: str, text: str) -> None:
    """Note a loss, each one once."""
    entry: Json = {"code": code, "text": text}
    if losses is not None and entry not in losses:
        losses.append(entry)


# --------------------------------------------------------------------------------------------------- blocks to parts
def parts_of(blocks: Iterable[ContentBlock], losses: Losses | None = None) -> list[Part]:
    """The parts of some blocks. Tool calls are not among them: whose they are needs the whole history.

    Raises:
        InvalidArgument: a block names a file that cannot be read, or holds data that is not base64.
    """
    out: list[Part] = []
    for block in blocks:
        match block:
            case TextBlock():
                out.append(Text(block.text))
            case ThinkingBlock():
                if block.content:
                    out.append(Reasoning(block.content))
            case CitationBlock():
                _cite(out, block)
            case CitableBlock():
                out.append(Text(f"{block.title} ({block.source}):\n"))
                out.extend(parts_of(cast("list[ContentBlock]", block.content), losses))
                loss(losses, "citable.flattened", "a citable block is sent as its text; nobody is asked to cite it")
            case CachePoint():
                _mark(out, block, losses)
            case ToolCallBlock():
                continue
            case _:
                out.append(_media(block, losses))
    return out


def _cite(out: list[Part], block: CitationBlock) -> None:
    """What was quoted goes to the text that it supports, which stands before it."""
    quote = block.cited_content.text if isinstance(block.cited_content, TextBlock) else ""
    given = {"url": block.source, "title": block.title, "quote": quote, **block.additional_location_info}
    citation: Json = {name: value for name, value in given.items() if value != ""}
    if out and isinstance(last := out[-1], Text):
        out[-1] = replace(last, citations=(*last.citations, citation))
    elif quote:
        out.append(Text(quote, (citation,)))


def _mark(out: list[Part], block: CachePoint, losses: Losses | None) -> None:
    """A cache point is a mark on the part before it; only Anthropic's API has such marks."""
    if not out or out[-1].native is not None:
        loss(losses, "cache.dropped", "a cache point that follows no content is left out")
        return
    control = {"type": block.cache_control.type, "ttl": block.cache_control.ttl}
    out[-1] = replace(out[-1], native=Native(_ANTHROPIC, "", {"cache_control": control}, opaque=False))


def _media(block: ImageBlock | AudioBlock | VideoBlock | DocumentBlock, losses: Losses | None) -> Part:
    match block:
        case ImageBlock():
            if block.detail is not None:
                loss(losses, "image.transformed", "the detail of a picture is left to the provider")
            data, url, media_type = _content(block.image, block.path, block.url, block.image_mimetype)
            return Image(url, data, media_type)
        case AudioBlock():
            given = f"audio/{block.format}" if block.format else None
            data, url, media_type = _content(block.audio, block.path, block.url, given)
            return Audio(data, media_type, url)
        case VideoBlock():
            if block.detail is not None or block.fps is not None:
                loss(losses, "file.transformed", "detail and frame rate of a video are left to the provider")
            data, url, media_type = _content(block.video, block.path, block.url, block.video_mimetype)
            return File(url, data, media_type or "video/mp4")
        case DocumentBlock():
            data, url, media_type = _content(block.data, block.path, block.url, block.document_mimetype)
            name = None if block.title == "input_document" else block.title
            return File(url, data, media_type, name or _file_name(block.path))
    raise InvalidArgument(
        f"a block of type {getattr(block, 'block_type', type(block).__name__)!r} cannot be sent: leave it out"
    )


def _file_name(path: Any) -> str | None:
    return Path(str(path)).name if path else None


def _content(
    held: bytes | IOBase | None, path: Any, url: Any, media_type: str | None
) -> tuple[bytes | None, str | None, str | None]:
    """(bytes, URL, media type) of a block; a `data:` URL and a file become bytes."""
    if held:
        return _held(held), None, media_type
    if path:
        try:
            return Path(str(path)).read_bytes(), None, media_type
        except OSError:
            raise InvalidArgument(f"a content block names the file {path}, which cannot be read: check the path") from None
    text = str(url) if url else ""
    if text.startswith("data:"):
        head, _, body = text[5:].partition(",")
        named, *flags = head.split(";")
        return (_unbase64(body) if "base64" in flags else unquote_to_bytes(body)), None, named or media_type
    return None, text or None, media_type


def _held(held: bytes | IOBase) -> bytes:
    if isinstance(held, bytes):
        return _unbase64(held)
    place = held.tell()
    held.seek(0)
    data: bytes = held.read()
    held.seek(place)  # the buffer is the caller's
    return data


def _unbase64(data: str | bytes) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument("a content block holds data that is not base64: give the bytes themselves") from None


# --------------------------------------------------------------------------------------------------- parts to blocks
def blocks_of(
    parts: Iterable[Part], losses: Losses | None = None, *, reasoning_tokens: int | None = None
) -> list[ContentBlock]:
    """The blocks that show some parts.

    Texts that follow each other are one block, because LlamaIndex puts a line break between two; their citations come
    after them.
    """
    out: list[ContentBlock] = []
    texts: list[Text] = []
    for part in parts:
        if isinstance(part, Text):
            texts.append(part)
            continue
        out.extend(_spoken(texts))
        texts.clear()
        if (block := _block(part, losses, reasoning_tokens)) is not None:
            out.append(block)
    out.extend(_spoken(texts))
    return out


def _spoken(texts: list[Text]) -> Iterator[ContentBlock]:
    if texts:
        yield TextBlock(text="".join(text.text for text in texts))
    for citation in (citation for text in texts for citation in text.citations):
        places = {name: citation[name] for name in ("start", "end") if isinstance(citation.get(name), int)}
        yield CitationBlock(
            cited_content=TextBlock(text=str(citation.get("quote") or "")),
            source=str(citation.get("url") or ""),
            title=str(citation.get("title") or ""),
            additional_location_info=places,
        )


def _block(part: Part, losses: Losses | None, reasoning_tokens: int | None) -> ContentBlock | None:
    match part:
        case Reasoning():
            return ThinkingBlock(content=part.text, num_tokens=reasoning_tokens) if part.text else None
        case ToolCall():
            return ToolCallBlock(tool_call_id=part.id, tool_name=part.name, tool_kwargs=part.args)
        case Image(data=None, url=None) | File(data=None, url=None) | Audio(data=None, url=None):
            loss(
                losses,
                "file.hidden",
                f"{part.type} known by a provider's own id has no block in LlamaIndex; it travels beside",
            )
            return None
        case Image():
            return ImageBlock(image=part.data, url=part.url, image_mimetype=part.media_type)
        case Audio():
            return AudioBlock(audio=part.data, url=part.url, format=(part.media_type or "").removeprefix("audio/") or None)
        case File(media_type=str(kind)) if kind.startswith("video/"):
            return VideoBlock(video=part.data, url=part.url, video_mimetype=kind)
        case File():
            return DocumentBlock(data=part.data, url=part.url, title=part.name, document_mimetype=part.media_type)
    loss(losses, "part.hidden", f"{part.type} has no block in LlamaIndex; it travels beside the message")
    return None
