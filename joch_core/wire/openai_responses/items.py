"""One output item of the Responses API as canonical parts. The same items come back as input in the next turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from joch_core.errors import InvalidArgument
from joch_core.messages import Image, Json, Native, Other, Part, Reasoning, ServerTool, Text, ToolCall
from joch_core.messages.encoding import compact_json, decode_base64, json_object

API = "openai-responses"

#: Calls of built-in tools that the client runs, and where their arguments stand.
CLIENT_TOOLS = {
    "computer_call": "action", "local_shell_call": "action", "shell_call": "action", "apply_patch_call": "operation",
}  # fmt: skip
CALLS = {"function_call", "custom_tool_call", *CLIENT_TOOLS}
#: Items of tools that the provider runs, and of its own housekeeping.
SERVER_ITEMS = {
    "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call", "mcp_list_tools",
    "tool_search_call", "tool_search_output", "compaction", "shell_call_output",
}  # fmt: skip


def own(native: Native | None) -> Json:
    """What this wire format itself has written; empty for the words of another one."""
    return native.data if native is not None and native.api == API else {}


def read_item(item: Json, origin: str, identity: Callable[[str], str]) -> list[Part]:
    """The parts of one item. `identity` gives the canonical id for a provider's call id.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: the item is not what the format allows.
    """
    kind = item.get("type", "message")
    if kind == "message":
        return read_said(item, origin)
    if kind == "reasoning":
        return [Reasoning(_thoughts(item), Native(API, origin, {"item": item}))]
    if kind in CALLS:
        return [read_call(item, kind, origin, identity)]
    native = Native(API, origin, {"item": item})
    if kind not in SERVER_ITEMS:
        return [Other(_string(kind), native)]
    parts: list[Part] = [ServerTool(kind, _gist(item, kind), native)]
    if kind == "image_generation_call" and isinstance(item.get("result"), str):
        form = item.get("output_format") or "png"
        parts.append(Image(None, decode_base64(item["result"]), f"image/{form}", Native(API, origin, {"generated": True})))
    return parts


def read_said(item: Json, origin: str) -> list[Part]:
    """The texts of an assistant's message. Each keeps the message's own fields, so that it can be spelled back as it was."""
    content = item["content"]
    if isinstance(content, str):
        return [Text(content)] if content else []
    frame = {name: value for name, value in item.items() if name not in ("role", "content") and value is not None}
    parts: list[Part] = []
    for block in content:
        kind = block["type"]
        rest = {
            name: value for name, value in block.items() if name not in ("type", "text", "refusal") and value is not None
        }
        data: Json = {"frame": frame, "part": rest}
        if kind == "refusal":
            parts.append(Text(_string(block["refusal"]), native=Native(API, origin, {**data, "refusal": True})))
        elif kind in ("output_text", "input_text", "text"):
            cited = read_citations(block.get("annotations") or ())
            parts.append(Text(_string(block["text"]), cited, Native(API, origin, data)))
        else:
            parts.append(Other(_string(kind), Native(API, origin, {"block": block, "frame": frame})))
    return parts


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"a string is needed, not {type(value).__name__}")


def read_citations(annotations: Any) -> tuple[Json, ...]:
    """Neutral citations of annotations: cited pages and files."""
    names = {"url": "url", "title": "title", "filename": "title", "start_index": "start", "end_index": "end"}
    return tuple(
        found
        for raw in annotations
        if (found := {neutral: raw[name] for name, neutral in names.items() if raw.get(name) is not None})
    )


def _thoughts(item: Json) -> str:
    """The raw thoughts where a server shows them, else their summary."""
    return "".join(block.get("text") or "" for block in item.get("content") or item.get("summary") or ())


def read_call(item: Json, kind: str, origin: str, identity: Callable[[str], str]) -> ToolCall:
    """A call that the client must run.

    Raises:
        ValueError: the arguments are no JSON object.
    """
    native_id = item.get("call_id") or item.get("id") or ""
    data: Json = {"id": _string(native_id)}
    if kind in CLIENT_TOOLS:
        args = item.get(CLIENT_TOOLS[kind])
        if args is None and "actions" in item:
            args = {"actions": item["actions"]}
        data["item"] = item
        return ToolCall(identity(native_id), kind, args if isinstance(args, dict) else {}, native=Native(API, origin, data))
    if item.get("id"):
        data["item_id"] = item["id"]
    told = ("type", "id", "call_id", "name", "arguments", "input")
    if rest := {name: value for name, value in item.items() if name not in told and value is not None}:
        data["rest"] = rest
    name = _string(item["name"])
    if kind == "custom_tool_call":
        args = {"input": _string(item.get("input") or "")}
        return ToolCall(identity(native_id), name, args, custom=True, native=Native(API, origin, data))
    raw = item.get("arguments") or ""
    args = raw if isinstance(raw, dict) else json_object(_string(raw))
    if isinstance(raw, str) and raw != compact_json(args):
        data["arguments"] = raw  # as it was written, so that the provider's prompt cache knows it again
    return ToolCall(identity(native_id), name, args, native=Native(API, origin, data))


def _gist(item: Json, kind: str) -> str:
    """What a server tool did, as text for a model of another provider."""
    match kind:
        case "web_search_call":
            action = item.get("action") or {}
            return str(action.get("query") or action.get("url") or "")
        case "file_search_call":
            found = [f"{hit.get('filename') or ''}: {hit.get('text') or ''}" for hit in item.get("results") or ()]
            return "\n".join([*map(str, item.get("queries") or ()), *found])
        case "code_interpreter_call":
            logs = [out["logs"] for out in item.get("outputs") or () if isinstance(out.get("logs"), str)]
            return "\n".join([str(item.get("code") or ""), *logs])
        case "mcp_call":
            result = item.get("output") or item.get("error") or ""
            return f"{item.get('name')}({item.get('arguments')}): {result}"
        case "image_generation_call":
            return str(item.get("revised_prompt") or "")
    return ""


def place_of(error: Exception, place: str) -> InvalidArgument:
    """A fault of a request body, with its place."""
    return InvalidArgument(f"{place} is no item of the Responses API: {error!r:.200}")
