"""Content blocks: LangChain's to canonical parts, and parts to standard blocks. Pure; media are read in `media`.

What comes out is always the standard form of langchain-core (`langchain_core.messages.content`). What goes in may be any
form that one of the hosts' chat models has ever written.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from joch_core import (
    Audio,
    File,
    Image,
    Json,
    Native,
    Other,
    Part,
    Reasoning,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
)
from langchain_joch.media import media_part

Content = str | list[str | dict[Any, Any]]

_SERVER_CALLS = frozenset({
    "server_tool_use", "mcp_tool_use", "web_search_call", "file_search_call", "code_interpreter_call", "computer_call",
    "image_generation_call", "mcp_call", "mcp_list_tools", "mcp_approval_request", "local_shell_call", "executable_code",
    "code_execution_result", "tool_search_call", "tool_search_output",
})  # fmt: skip
#: Client calls inside the content repeat what stands in `tool_calls`; chunks are the same while a stream runs.
_CLIENT_CALLS = frozenset(
    {"tool_call", "tool_use", "function_call", "custom_tool_call", "tool_call_chunk", "input_json_delta"}
)
#: Reasoning that nobody but its issuer can read says nothing in the neutral form.
_SEALED = frozenset({"redacted_thinking"})


def _citations(block: Json) -> tuple[Json, ...]:
    found = []
    for note in block.get("annotations") or block.get("citations") or ():
        if not isinstance(note, dict):
            continue
        neutral = {
            "url": note.get("url"),
            "title": note.get("title") or note.get("document_title"),
            "quote": note.get("cited_text"),
            "start": note.get("start_index"),
            "end": note.get("end_index"),
        }
        found.append({name: value for name, value in neutral.items() if value is not None})
    return tuple(citation for citation in found if citation)


def _reasoning(block: Json) -> str:
    match block:
        case {"reasoning": str(text)} | {"thinking": str(text)}:
            return text
        case {"summary": list(summary)}:
            return "\n\n".join(str(piece.get("text", "")) for piece in summary if isinstance(piece, dict))
    return ""


def _readable(value: Any) -> Any:
    """A value without what only its issuer can read."""
    match value:
        case dict():
            return {
                name: _readable(part)
                for name, part in value.items()
                if not str(name).startswith("encrypted_") and name not in ("signature", "thought_signature")
            }
        case list():
            return [_readable(part) for part in value]
    return value


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_readable(value), ensure_ascii=False, default=str)


def _server_tool(block: Json) -> ServerTool:
    match block:
        case {"type": "server_tool_call"}:
            return ServerTool(str(block.get("name") or "server_tool"), _plain(block.get("args") or {}))
        case {"type": "server_tool_result"}:
            return ServerTool("server_tool_result", _plain(block.get("output", "")))
        case {"name": str(name), "input": given}:
            return ServerTool(name, _plain(given))
    return ServerTool(
        str(block["type"]), _plain({key: value for key, value in block.items() if key not in {"type", "index"}})
    )


def _part(block: Json) -> Part | None:
    """One block as a part; None for what repeats something that stands elsewhere in the message."""
    kind = block.get("type")
    if kind is None and isinstance(block.get("text"), str):
        kind = "text"
    match kind:
        case "text" | "input_text" | "output_text":
            return Text(str(block.get("text") or ""), _citations(block))
        case "refusal":
            return Text(str(block.get("refusal") or ""))
        case "reasoning" | "thinking":
            return Reasoning(_reasoning(block))
        case "non_standard":
            value = block.get("value")
            return _part(value) if isinstance(value, dict) else None
    if kind in _CLIENT_CALLS or kind in _SEALED or kind in ("invalid_tool_call", "tool_result"):
        return None
    if kind in ("server_tool_call", "server_tool_result") or kind in _SERVER_CALLS or str(kind).endswith("_tool_result"):
        return _server_tool(block)
    return media_part(block) or Other(str(kind or "unknown"))


def _marked(part: Part, block: Json) -> Part:
    """Anthropic's cache mark, which users set on a block or in its `extras`, kept for whoever understands it."""
    mark = block.get("cache_control") or (block.get("extras") or {}).get("cache_control")
    if mark is None or not isinstance(part, Text | Image | File):
        return part
    return replace(part, native=Native("anthropic-messages", "", {"cache_control": mark}, opaque=False))


def parts_of(content: Content) -> Iterator[Part]:
    """The parts in the content of a message, client tool calls and their results left out.

    Raises:
        InvalidArgument: a block holds data that is not base64.
    """
    if isinstance(content, str):
        if content:
            yield Text(content)
        return
    for block in content:
        if isinstance(block, str):
            if block:
                yield Text(block)
        elif (part := _part(block)) is not None and part not in (Text(""), Reasoning("")):
            yield _marked(part, block)


def results_of(content: Content) -> Iterator[tuple[str, tuple[Part, ...], bool]]:
    """Anthropic's `tool_result` blocks in a user turn: call id, content, whether it is an error."""
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == "tool_result":
            inner = block.get("content") or ""
            yield str(block.get("tool_use_id", "")), tuple(parts_of(inner)), bool(block.get("is_error"))


def _annotation(citation: Json) -> Json:
    names = {"url": "url", "title": "title", "quote": "cited_text", "start": "start_index", "end": "end_index"}
    return {"type": "citation", **{names[name]: value for name, value in citation.items() if name in names}}


def _source(part: Image | File | Audio) -> Json:
    out: Json = {}
    if part.url is not None:
        out["url"] = part.url
    if part.data is not None:
        out["base64"] = base64.b64encode(part.data).decode()
    if part.media_type is not None:
        out["mime_type"] = part.media_type
    return out


def _identity(part: ServerTool) -> str:
    data = part.native.data if part.native is not None else {}
    return str(data.get("id") or data.get("tool_use_id") or "")


def block_of(part: Part) -> Json:
    """A part as a standard content block."""
    match part:
        case Text():
            notes = [_annotation(citation) for citation in part.citations]
            return {"type": "text", "text": part.text} | ({"annotations": notes} if notes else {})
        case Reasoning():
            return {"type": "reasoning", "reasoning": part.text}
        case ToolCall():
            return {"type": "tool_call", "id": part.id, "name": part.name, "args": part.args}
        case Image() | Audio():
            return {"type": part.type, **_source(part)}
        case File():
            kind = "video" if (part.media_type or "").startswith("video/") else "file"
            extra = {"file_id": part.file_id} if part.file_id is not None else {}
            return {"type": kind, **_source(part), **extra} | ({"extras": {"filename": part.name}} if part.name else {})
        case ServerTool():
            if part.kind.endswith(("result", "output")):
                return {
                    "type": "server_tool_result",
                    "tool_call_id": _identity(part),
                    "status": "success",
                    "output": part.text,
                }
            args = _object(part.text)
            return {"type": "server_tool_call", "id": _identity(part), "name": part.kind, "args": args}
        case ToolResult():
            return {"type": "text", "text": part.text}
        case Other():
            return {"type": "non_standard", "value": {"type": part.kind}}


def _object(text: str) -> Json:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"input": value}


def blocks_of(parts: Iterable[Part]) -> list[str | dict[Any, Any]]:
    """Parts as standard content blocks, in order."""
    return [block_of(part) for part in parts]


def content_of(parts: Iterable[Part]) -> Content:
    """Parts as the content of a message: one string where text is all there is, else standard blocks."""
    parts = tuple(parts)
    if all(isinstance(part, ToolCall) or (isinstance(part, Text) and not part.citations) for part in parts):
        return "".join(part.text for part in parts if isinstance(part, Text))
    return blocks_of(parts)
