"""The parts of one message, as one target takes them. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace

from joch_core.capabilities import Target
from joch_core.messages import Audio, File, Image, Part, ServerTool, Text, ToolResult
from joch_core.projection.losses import Losses
from joch_core.projection.natives import keeps, own_or_bare


def project_parts(parts: Iterable[Part], target: Target, losses: Losses, records: list[str]) -> list[Part]:
    """The parts that are sent. What becomes of a flattened server tool is appended to `records`."""
    out: list[Part] = []
    for part in parts:
        if part.type == "text" and not part.text.strip() and not keeps(part.native, target):
            # A blank block is refused, but between two texts it keeps them apart.
            if part.text and out and isinstance(out[-1], Text):
                out[-1] = replace(out[-1], text=out[-1].text + part.text, native=None)
            continue
        kept = _part(part, target, losses, records)
        if kept is not None:
            out.append(kept)
    return out


def _part(part: Part, target: Target, losses: Losses, records: list[str]) -> Part | None:
    match part.type:
        case "text":
            return own_or_bare(part, target)
        case "reasoning":
            if keeps(part.native, target):
                return part
            losses.warn("reasoning.dropped", "Reasoning of another model is private to it and is left out")
            return None
        case "server_tool":
            if keeps(part.native, target):
                return part
            losses.warn("server_tool.flattened", "Work of the provider's own tools goes over as a record, not as a call")
            records.append(record(part.kind, _server_text(part)))
            return None
        case "other":
            if keeps(part.native, target):
                return part
            losses.warn("other.dropped", f"A block of type {part.kind} is known to its own provider only and is left out")
            return None
        case "image":
            return _image(part, target, losses)
        case "file":
            return _file(part, target, losses)
        case "audio":
            return _audio(part, target, losses)
        case _:
            return own_or_bare(part, target)


def _server_text(part: ServerTool) -> str:
    return part.text or (json.dumps(part.native.data, ensure_ascii=False, sort_keys=True)[:2_000] if part.native else "")


def record(tool: str, text: str) -> str:
    """A result that is quoted as data: it cannot be taken for a call or an instruction."""
    return f"[record] tool {json.dumps(tool, ensure_ascii=False)} returned: {json.dumps(text, ensure_ascii=False)}"


def _image(part: Image, target: Target, losses: Losses) -> Part:
    if not target.can("vision") or not target.dialect.content_parts:
        losses.fail("image.dropped", "Pictures are not taken there; a placeholder stands in their place")
        return Text(placeholder(part))
    if part.data is None and part.url is None and not keeps(part.native, target):
        losses.fail(
            "image.dropped", "A picture that another provider stores cannot be sent; a placeholder stands in its place"
        )
        return Text(placeholder(part))
    if part.data is None and not target.dialect.image_urls and not (part.url or "").startswith("data:"):
        losses.fail("image.dropped", "Pictures by URL are not taken there; a placeholder stands in their place")
        return Text(placeholder(part))
    return own_or_bare(part, target)


def _audio(part: Audio, target: Target, losses: Losses) -> Part | None:
    known = part.data is not None or part.url is not None or keeps(part.native, target)
    if known and target.can("audio"):
        return own_or_bare(part, target)
    if part.transcript:
        losses.warn("audio.transcribed", "Sound goes over as its transcript")
        return Text(part.transcript)
    losses.block("audio.dropped", f"{target.backend} takes no audio" if known else "sound is stored at another provider")
    return None


def _file(part: File, target: Target, losses: Losses) -> Part | None:
    name = part.name or part.file_id or part.url or "a file"
    if part.data is None and part.url is None and not keeps(part.native, target):
        losses.block("file.dropped", f"{name} is stored at another provider, and its bytes are not known")
        return None
    if not target.can("files") or not target.dialect.content_parts:
        if part.data is not None and (part.media_type or "").startswith("text/"):
            losses.warn("file.transformed", f"{name} goes over as text")
            return Text(f"[file {json.dumps(name, ensure_ascii=False)}]\n{part.data.decode('utf-8', 'replace')}")
        losses.block("file.dropped", f"{target.backend} takes no files ({name})")
        return None
    if part.data is None and part.url is not None and not target.dialect.file_urls:
        losses.block("file.dropped", f"files by URL are not taken there ({name})")
        return None
    return own_or_bare(part, target)


def placeholder(part: Part) -> str:
    """What stands where a picture or a file was: its kind, size and hash, so that it can be asked for."""
    data = getattr(part, "data", None)
    kind = getattr(part, "media_type", None) or part.type
    if data is None:
        return f"[{kind}: {getattr(part, 'url', None) or 'not available'}]"
    return f"[{kind}, {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}]"


def result_content(result: ToolResult, target: Target, losses: Losses) -> tuple[ToolResult, list[Part]]:
    """A tool's result as the target takes it, and what must follow in the user's turn: pictures that may not stand in it."""
    moved: list[Part] = []
    content: list[Part] = []
    records: list[str] = []
    for kept in project_parts(result.content, target, losses, records):
        own = (kept.type == "image" and target.dialect.images_in_tool_results) or (
            kept.type == "file" and target.dialect.files_in_tool_results
        )
        if kept.type in ("image", "file", "audio") and not own:
            losses.warn("image.moved", "Pictures and files of a tool's result follow in the user's turn")
            content.append(Text(placeholder(kept) + " follows"))
            moved.append(kept)
        else:
            content.append(kept)
    content += map(Text, records)
    if not content:
        content.append(Text("(no output)"))
    bare = own_or_bare(result, target)
    same = len(content) == len(result.content) and all(a is b for a, b in zip(content, result.content, strict=True))
    return bare if same else replace(bare, content=tuple(content)), moved
