"""Canonical request → the body of `POST /responses`. Spells what the projection has let through; decides nothing."""

from __future__ import annotations

from typing import Any

from joch_core.capabilities import Target
from joch_core.messages import Json, ModelRequest, Text, ToolSpec
from joch_core.messages.encoding import merge_fields
from joch_core.wire.openai_responses.items import own
from joch_core.wire.openai_responses.turns import spell_turns

#: What makes a body rely on what the provider has stored; such a body is left as its author wrote it.
_STATEFUL = ("previous_response_id", "conversation", "background", "store")
_ENCRYPTED = "reasoning.encrypted_content"


def render(request: ModelRequest, target: Target, *, stream: bool) -> Json:
    """The request body."""
    native = own(request.native)
    messages = request.messages
    body: Json = {"model": target.model}
    first = messages[0] if messages and messages[0].role == "system" and messages[0].native is None else None
    if first is not None and all(isinstance(part, Text) for part in first.parts):
        body["instructions"] = first.text
        messages = messages[1:]
    items = spell_turns(messages)
    # A reference to a stored item cannot be followed where nothing is stored.
    stateful = any(name in native for name in _STATEFUL) or any(item.get("type") == "item_reference" for item in items)
    if not stateful:
        body["store"] = False
        items = [item for item in items if not _empty_thought(item)]
    body["input"] = items
    _options(body, request, target, native)
    for name, value in native.items():
        if name not in ("text", "reasoning"):
            body.setdefault(name, value)
    if body.get("store") is False and target.can("reasoning"):
        # Models that do not reason refuse the field: "Encrypted content is not supported with this model".
        body["include"] = [
            *(body.get("include") or ()),
            *([] if _ENCRYPTED in (body.get("include") or ()) else [_ENCRYPTED]),
        ]
    if stream:
        body["stream"] = True
    for name in (target.provider, target.api):
        if fields := request.extra.get(name):
            merge_fields(body, fields)
    return body


def _empty_thought(item: Json) -> bool:
    """A reasoning item that is only an id means nothing to a server that has not stored it, and is refused.

    Source: https://platform.openai.com/docs/guides/reasoning#encrypted-reasoning-items
    """
    return item.get("type") == "reasoning" and not item.get("encrypted_content") and not item.get("content")


def _options(body: Json, request: ModelRequest, target: Target, native: Json) -> None:
    _tools(body, request, target)
    for name in ("temperature", "top_p"):
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.max_tokens is not None:
        body["max_output_tokens"] = request.max_tokens
    reasoning = {**native.get("reasoning", {}), **({"effort": request.reasoning} if request.reasoning is not None else {})}
    if reasoning:
        body["reasoning"] = reasoning
    text = dict(native.get("text", {}))
    if request.output_mode in ("json_schema", "json"):
        text["format"] = _format(request, text.pop("format", {}))
    if text:
        body["text"] = text
    if request.metadata:
        body["metadata"] = dict(request.metadata)


def _format(request: ModelRequest, raw: Json) -> Json:
    if request.output_mode == "json" and not request.output_schema:
        return {"type": "json_object"}
    schema = request.output_schema or {"type": "object"}
    out: Json = {"type": "json_schema", **raw, "name": request.output_name or "answer", "schema": schema}
    if request.output_strict is not None:
        out["strict"] = request.output_strict
    return out


def _tools(body: Json, request: ModelRequest, target: Target) -> None:
    tools, choice = list(request.tools), request.tool_choice
    if request.output_mode == "tool":
        answer = request.output_tool
        choice = (answer.name if not tools else "required") if target.dialect.forced_tool_choice else "auto"
        tools.append(answer)
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
    elif choice is None or not own(request.native):
        return
    if choice in ("auto", "none", "required"):
        body["tool_choice"] = choice
    elif choice is not None:
        kind = next((tool.kind for tool in tools if tool.name == choice), "function")
        body["tool_choice"] = {"type": choice} if kind == "server" else {"type": kind, "name": choice}
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _tool(tool: ToolSpec) -> Json:
    hints = dict(own(tool.native))
    if tool.kind == "server":
        return {"type": tool.name, **tool.options}
    out: Json = {"type": tool.kind, "name": tool.name}
    if tool.description:
        out["description"] = tool.description
    if tool.kind == "custom":
        return {**out, **_grammar(tool.options), **hints}
    out["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    if tool.strict is not None:
        out["strict"] = tool.strict
    elif not hints.pop("strict_by_default", False):
        out["strict"] = False  # left out it means true here, and everywhere else false
    return {**out, **hints}


def _grammar(options: Any) -> Json:
    """The options of a free-text tool. Chat Completions nests a grammar one level deeper."""
    out = dict(options)
    form = out.get("format")
    if isinstance(form, dict) and isinstance(form.get("grammar"), dict):
        out["format"] = {"type": "grammar", **form["grammar"]}
    return out
