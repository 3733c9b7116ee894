"""Canonical request → the body of `POST /v1/messages`. Spells what the projection has let through; decides nothing."""

from __future__ import annotations

import re
from typing import Any

from joch_core.capabilities import Target
from joch_core.messages import (
    File,
    Image,
    Json,
    Message,
    ModelRequest,
    Native,
    Other,
    Part,
    Reasoning,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)
from joch_core.messages.encoding import encode_base64, merge_fields, read_data_url
from joch_core.wire.anthropic_messages.blocks import API, encode_text, gist
from joch_core.wire.anthropic_messages.thinking import level_of, spell_reasoning

#: What the oldest models that still answer can give, for a model of unknown size.
_SMALLEST_OUTPUT = 4096
#: Above this an answer that is not streamed may outlast the ten minutes that Anthropic keeps a quiet connection open:
#: https://platform.claude.com/docs/en/api/errors#long-requests
_LONGEST_UNSTREAMED = 21_333
#: Server tools by their undated names: the newest version that all current models accept.
_SERVER_TOOLS = {
    "web_search": "web_search_20250305",
    "web_fetch": "web_fetch_20250910",
    "code_execution": "code_execution_20250825",
}
_DATED = re.compile(r"(.+)_\d{8}$")


def render(request: ModelRequest, target: Target, *, stream: bool) -> Json:
    """The request body."""
    head = 0
    while head < len(request.messages) and request.messages[head].role == "system":
        head += 1
    system, messages = list(request.messages[:head]), request.messages[head:]
    if not target.dialect.system_anywhere:
        system += [message for message in messages if message.role == "system"]
        messages = tuple(message for message in messages if message.role != "system")
    body: Json = {"model": target.model, "max_tokens": _max_tokens(request, target, stream=stream)}
    if prompt := _collapse(_blocks(tuple(part for message in system for part in message.parts), {})):
        body["system"] = prompt
    body["messages"] = _turns(messages)
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if user := request.metadata.get("user_id"):
        body["metadata"] = {"user_id": user}
    if stream:
        body["stream"] = True
    _options(body, request, target)
    for name in (target.provider, target.api):
        if fields := request.extra.get(name):
            merge_fields(body, fields)
    return body


def _max_tokens(request: ModelRequest, target: Target, *, stream: bool) -> int:
    """The API demands a limit. Whoever names none wants all the model can give, not a short answer."""
    if request.max_tokens is not None:
        return request.max_tokens
    most = target.dialect.default_max_tokens or target.max_output or _SMALLEST_OUTPUT
    return most if stream else min(most, _LONGEST_UNSTREAMED)


def _container(messages: tuple[Message, ...], target: Target) -> str | None:
    """Where code that the provider runs waits for the result of a tool; named only then, since containers expire.

    Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/programmatic-tool-calling
    """
    last = next((message for message in reversed(messages) if message.role == "assistant"), None)
    if last is None or last.native is None or last.native.origin != target.origin:
        return None
    callers = [_own(call.native).get("caller") for call in last.tool_calls]
    container = _own(last.native).get("container")
    waits = any(isinstance(caller, dict) and caller.get("type") not in (None, "direct") for caller in callers)
    return container.get("id") if waits and isinstance(container, dict) else None


# ------------------------------------------------------------------------------------------------------ options
def _options(body: Json, request: ModelRequest, target: Target) -> None:
    native = dict(_own(request.native))
    if request.native is not None and request.native.origin != target.origin:
        native.pop("container", None)  # it lives at one account only
    config: Json = {}
    raw_config, raw_thinking = native.get("output_config") or {}, native.get("thinking")
    if (raw_config or raw_thinking) and level_of(raw_thinking, raw_config.get("effort")) == request.reasoning:
        config.update(raw_config)
        if raw_thinking:
            body["thinking"] = raw_thinking
    elif request.reasoning is not None:
        spell_reasoning(body, config, request, target)
    tools = list(request.tools)
    choice = request.tool_choice
    if request.output_mode == "json_schema" or (request.output_mode == "json" and request.output_schema):
        config["format"] = {"type": "json_schema", "schema": request.output_schema or {"type": "object"}}
    elif request.output_mode is not None:
        # JSON without a schema has no switch of its own here: a forced tool that takes any object is the nearest.
        answer = request.output_tool
        choice = (answer.name if not tools else "required") if target.dialect.forced_tool_choice else "auto"
        tools.append(answer)
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
        if spelled := _tool_choice(choice, request.parallel_tool_calls):
            body["tool_choice"] = spelled
    if config:
        body["output_config"] = config
    for name, value in native.items():
        body.setdefault(name, value)
    if "container" not in body and (container := _container(request.messages, target)):
        body["container"] = container


def _tool(tool: ToolSpec) -> Json:
    hints = tool.native.data if tool.native is not None and tool.native.api == API else {}
    if tool.kind == "server":
        kind = _SERVER_TOOLS.get(tool.name, tool.name)
        out: Json = {"type": kind, **tool.options}
        if "name" not in out and (dated := _DATED.match(kind)):
            out["name"] = dated[1]
        return {**out, **hints}
    schema = tool.parameters or {"type": "object", "properties": {}}
    if tool.kind == "custom":
        # No free-text tools here: one string is the nearest, and reads back as the same `args`.
        schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    out = {"name": tool.name, "input_schema": schema}
    if tool.description:
        out["description"] = tool.description
    if tool.strict is not None:
        out["strict"] = tool.strict
    return {**out, **hints}


def _tool_choice(choice: str | None, parallel: bool | None) -> Json | None:
    match choice:
        case None if parallel is False:
            out: Json = {"type": "auto"}
        case None:
            return None
        case "none":
            return {"type": "none"}
        case "auto":
            out = {"type": "auto"}
        case "required":
            out = {"type": "any"}
        case name:
            out = {"type": "tool", "name": name}
    if parallel is not None:
        out["disable_parallel_tool_use"] = not parallel
    return out


# ----------------------------------------------------------------------------------------------------- messages
def _turns(messages: tuple[Message, ...]) -> list[Json]:
    """Speaking turns: neighbours of one role are one turn, and in the user's turn the tool results stand first."""
    ids = {
        part.id: _native_id(part)
        for message in messages
        if message.role == "assistant"
        for part in message.parts
        if isinstance(part, ToolCall)
    }
    turns: list[tuple[str, list[Json], list[Json]]] = []
    for message in messages:
        role = "user" if message.role == "tool" else message.role
        blocks = _blocks(message.parts, ids)
        if not blocks:
            continue
        if not turns or turns[-1][0] != role:
            turns.append((role, [], []))
        _, results, others = turns[-1]
        for block in blocks:
            (results if block.get("type") == "tool_result" else others).append(block)
    return [{"role": role, "content": _collapse(results + others)} for role, results, others in turns]


def _native_id(call: ToolCall) -> str:
    native = call.native
    return (native.data.get("id") or call.id) if native is not None and native.api == API else call.id


def _collapse(blocks: list[Json]) -> str | list[Json]:
    """One plain text is a string."""
    if len(blocks) == 1 and _plain(blocks[0]):
        return str(blocks[0]["text"])
    return blocks


def _blocks(parts: tuple[Part, ...], ids: dict[str, str]) -> list[Json]:
    """The blocks of some parts. A blank text block is refused: blanks between two plain texts join them, others go."""
    out: list[Json] = []
    joining = False
    for part in parts:
        block = _block(part, ids)
        if block is None:
            continue
        if _plain(block):
            text = block["text"]
            blank = not text.strip()
            if out and _plain(out[-1]) and (joining or blank):
                out[-1]["text"] += text
                joining = blank
                continue
            if blank:
                continue
        joining = False
        out.append(block)
    return out


def _plain(block: Json) -> bool:
    return len(block) == 2 and block.get("type") == "text"  # noqa: PLR2004  type and text


def _own(native: Native | None) -> Json:
    return native.data if native is not None and native.api == API else {}


def _block(part: Part, ids: dict[str, str]) -> Json | None:
    match part:
        case Text(text=text):
            own = _own(part.native)
            if raw := own.get("block"):
                return dict(raw) if gist(raw) == text else {"type": "text", "text": text}
            # An empty text block is refused: https://platform.claude.com/docs/en/api/errors
            return {"type": "text", "text": text, **own} if text else None
        case ToolCall():
            return {"type": "tool_use", "name": part.name, "input": part.args, **_own(part.native), "id": _native_id(part)}
        case ToolResult():
            return _result(part, ids)
        case Reasoning() | ServerTool() | Other():
            return dict(_own(part.native)) or None
        case Image():
            return _image(part)
        case File():
            return _document(part)
    return None  # sound: no such block here


def _result(part: ToolResult, ids: dict[str, str]) -> Json:
    own = _own(part.native)
    out: Json = {"type": "tool_result", **own}
    out.pop("id", None)
    out["tool_use_id"] = ids.get(part.call_id) or own.get("id") or part.call_id
    if content := _blocks(part.content, ids):
        out["content"] = _collapse(content)
    elif part.content:
        out["content"] = ""
    if part.error:
        out["is_error"] = True
    return out


def _image(part: Image) -> Json | None:
    own = _own(part.native)
    if part.data is not None:
        source = _base64(part.data, part.media_type or "image/png")
    elif part.url is not None:
        source = _url(part.url)
    elif "source" in own:
        return {"type": "image", **own}
    else:
        return None
    return {"type": "image", **own, "source": source}


def _document(part: File) -> Json | None:
    own = dict(_own(part.native))
    raw = own.pop("source", None)
    if raw is not None and (part.data is None or encode_text(gist(raw)) == part.data):
        source = raw
    elif part.data is not None and (part.media_type or "").startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": part.data.decode("utf-8", "replace")}
    elif part.data is not None:
        source = _base64(part.data, part.media_type or "application/pdf")
    elif part.url is not None:
        source = _url(part.url)
    elif part.file_id is not None:
        source = {"type": "file", "file_id": part.file_id}
    else:
        return None
    out: Json = {"type": "document", "source": source, **own}
    if part.name:
        out["title"] = part.name
    return out


def _base64(data: bytes, media_type: str) -> Json:
    return {"type": "base64", "media_type": media_type, "data": encode_base64(data)}


def _url(url: str) -> Json:
    inline: Any = None
    try:
        inline = read_data_url(url)
    except ValueError:
        inline = None
    if inline is None:
        return {"type": "url", "url": url}
    media_type, data = inline
    return _base64(data, media_type)
