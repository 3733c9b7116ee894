"""Tools, tool choice and knobs, as one target takes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from joch_core.capabilities import Capability, Target
from joch_core.messages import Json, ModelRequest, OutputMode, ToolSpec
from joch_core.projection.losses import Losses
from joch_core.projection.names import sent_name
from joch_core.projection.natives import keeps, own_native
from joch_core.projection.schemas import project_answer, project_parameters, project_strict, rename_keys

_FREE_TEXT: Json = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}

#: What each API calls the server tools that have a twin elsewhere. Sources: the providers' tool references,
#: https://platform.openai.com/docs/guides/tools, https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview,
#: https://ai.google.dev/gemini-api/docs/google-search
_TWINS: Mapping[Capability, Mapping[str, ToolSpec]] = {
    "webSearch": {
        "openai-responses": ToolSpec.server("web_search"),
        "anthropic-messages": ToolSpec.server("web_search_20250305", name="web_search"),
        "gemini-generate": ToolSpec.server("googleSearch"),
    },
    "codeExecution": {
        "openai-responses": ToolSpec.server("code_interpreter", container={"type": "auto"}),
        "anthropic-messages": ToolSpec.server("code_execution_20250825", name="code_execution"),
        "gemini-generate": ToolSpec.server("codeExecution"),
    },
}
_TITLES: Mapping[Capability, str] = {
    "webSearch": "Web-search", "codeExecution": "Code-execution", "computerUse": "Computer-use", "mcp": "MCP",
}  # fmt: skip


def server_capability(name: str) -> Capability:
    """Which capability a server tool stands for, by the providers' own type names."""
    lowered = name.lower()
    if "computer" in lowered:
        return "computerUse"
    if "mcp" in lowered:
        return "mcp"
    if "code" in lowered or "shell" in lowered or "bash" in lowered:
        return "codeExecution"
    return "webSearch"


def project_tools(tools: tuple[ToolSpec, ...], target: Target, losses: Losses, keys: dict[str, str]) -> tuple[ToolSpec, ...]:
    """The tools that the target is offered. Arguments that are called otherwise there are put into `keys`: own -> sent."""
    alone = not target.dialect.server_tools_with_functions and any(tool.kind != "server" for tool in tools)
    out = [sent for tool in tools if (sent := _tool(tool, target, losses, keys, alone=alone)) is not None]
    return tools if len(out) == len(tools) and all(a is b for a, b in zip(out, tools, strict=True)) else tuple(out)


def _tool(tool: ToolSpec, target: Target, losses: Losses, keys: dict[str, str], *, alone: bool) -> ToolSpec | None:
    native = own_native(tool.native, target)
    if native is not tool.native:
        tool = replace(tool, native=native)
    if tool.kind == "server":
        return _server_tool(tool, target, losses, alone=alone)
    if not target.can("toolCalling"):
        losses.fail("tool.removed", f"Tool {tool.name} is removed: tools are not known there")
        return None
    name = sent_name(tool.name, target.dialect.tool_name_chars)
    if name != tool.name:
        losses.warn("tool.renamed", f"Tool {tool.name} is called {name} there")
        tool = replace(tool, name=name)
    if tool.kind == "custom" and not target.dialect.custom_tools:
        losses.warn("tool.custom", f"Free-text tool {tool.name} becomes a function with one text argument")
        return ToolSpec(tool.name, tool.description, _FREE_TEXT)
    if tool.kind == "function":
        return _function(tool, target, losses, keys)
    return tool


def _function(tool: ToolSpec, target: Target, losses: Losses, keys: dict[str, str]) -> ToolSpec:
    parameters, strict = tool.parameters, tool.strict
    if strict:
        parameters, held = project_strict(parameters, f"Tool {tool.name}", target, losses)
        if not held:
            losses.warn("schema.strict", "JSON schema strict mode differs (loose-parse fallback)")
            strict = None
    elif strict is False and not target.can("jsonSchema"):
        strict = None
    parameters = project_parameters(parameters, f"Tool {tool.name}", target, losses, keys)
    same = parameters is tool.parameters and strict == tool.strict
    return tool if same else replace(tool, parameters=parameters, strict=strict)


def _server_tool(tool: ToolSpec, target: Target, losses: Losses, *, alone: bool) -> ToolSpec | None:
    capability = server_capability(tool.name)
    title = _TITLES[capability]
    if alone:
        losses.fail("tool.removed", f"{title} tool cannot stand beside functions there; it is removed for this conversation")
        return None
    if target.can(capability) and target.dialect.server_tools:
        if _speaks(tool.name, target.api):
            return tool
        twin = _TWINS.get(capability, {}).get(target.api)
        if twin is not None:
            losses.warn("tool.transformed", f"{title} tool {tool.name} becomes {twin.name} there")
            return twin
    losses.fail("tool.removed", f"{title} tool unavailable; tool will be removed for this conversation")
    return None


def _speaks(name: str, api: str) -> bool:
    """Is this type name one of this API's?"""
    dated = re.search(r"_\d{8}$", name) is not None
    match api:
        case "anthropic-messages":
            return dated or name == "mcp_toolset"
        case "gemini-generate":
            return name in ("googleSearch", "google_search", "codeExecution", "code_execution", "urlContext", "url_context",
                            "googleMaps", "google_maps", "fileSearch", "computerUse", "computer_use")  # fmt: skip
        case _:
            return not dated and not re.match(r"google|urlContext|codeExecution|fileSearch$", name)


def project_options(request: ModelRequest, target: Target, losses: Losses, keys: dict[str, str]) -> dict[str, Any]:
    """What must change of the knobs: field -> value."""
    dialect = target.dialect
    change: dict[str, Any] = {}
    for name in ("temperature", "top_p", "stop", "seed", "parallel_tool_calls"):
        value = getattr(request, name)
        if value not in (None, ()) and name not in dialect.parameters:
            losses.warn("parameter.dropped", f"{name} is not taken there and is left out")
            change[name] = () if name == "stop" else None
    both = request.temperature is not None and request.top_p is not None and not dialect.temperature_and_top_p
    if both and "temperature" not in change and "top_p" not in change:
        losses.warn("parameter.dropped", "top_p is not taken beside temperature and is left out")
        change["top_p"] = None
    if request.max_tokens is not None and request.max_tokens < dialect.min_output_tokens:
        losses.warn(
            "parameter.changed", f"max_tokens is raised to {dialect.min_output_tokens}, the least that is taken there"
        )
        change["max_tokens"] = dialect.min_output_tokens
    if request.reasoning is not None and not (dialect.reasoning_levels or dialect.reasoning_budget):
        if request.reasoning != "none":
            losses.warn("parameter.dropped", "reasoning has no levels there and is left out")
        change["reasoning"] = None
    elif request.reasoning is not None and dialect.reasoning_levels and request.reasoning not in dialect.reasoning_levels:
        level = _nearest_level(request.reasoning, dialect.reasoning_levels)
        if level is None or level != request.reasoning:
            losses.warn("parameter.changed", f"reasoning {request.reasoning} becomes {level or 'the default'} there")
        change["reasoning"] = level
    if change.get("reasoning", request.reasoning) not in (None, "none") and _foreign_loop(request, target):
        losses.warn(
            "parameter.changed", "reasoning rests until the tools of this turn are through: its steps were another's"
        )
        change["reasoning"] = None
    if (
        dialect.thinking_switch
        and change.get("reasoning", request.reasoning) != "none"
        and _unreasoned_calls(request, target)
    ):
        losses.warn(
            "parameter.changed", "reasoning is switched off: calls of tools stand here whose reasoning was another's"
        )
        change["reasoning"] = "none"
    choice = request.tool_choice
    if choice is not None and not request.tools:
        change["tool_choice"] = None
    elif choice == "required" and all(tool.kind == "server" for tool in request.tools):
        change["tool_choice"] = "auto"
    elif choice not in (None, "auto", "none"):
        if not dialect.forced_tool_choice:
            losses.warn("parameter.changed", "a tool cannot be forced there; tool_choice becomes auto")
            change["tool_choice"] = "auto"
        elif choice != "required" and (name := sent_name(choice, dialect.tool_name_chars)) != choice:
            change["tool_choice"] = name
    if request.output_schema is not None:
        mode = _output_mode(request.output_mode, target)
        if mode != request.output_mode:
            change["output_mode"] = mode
        if mode == "json" and request.output_mode != "json":
            losses.warn("schema.strict", "JSON schema strict mode differs (loose-parse fallback)")
    if request.output_schema is not None:
        # Where a forced tool was asked for and cannot be had, the schema is held to what the other mode takes.
        forced = request.output_mode == change.get("output_mode", request.output_mode) == "tool"
        change |= _answer(request, target, losses, forced=forced)
        if change.get("output_mode", request.output_mode) == "tool":
            schema = change.get("output_schema", request.output_schema)
            if (renamed := rename_keys(schema, "The answer", target, losses, keys)) is not schema:
                change["output_schema"] = renamed
    elif request.output_mode is not None and _beside_tools(request, target):
        change["output_mode"] = "tool"
    return change


def _output_mode(wanted: OutputMode | None, target: Target) -> OutputMode:
    """How structured output is asked for: the caller's way where the target has it, else the strictest that it has."""
    forced = target.can("toolCalling") and target.dialect.forced_tool_choice
    schema = target.can("structuredOutput") or target.can("jsonSchema")
    if wanted == "json" or (wanted == "json_schema" and schema) or (wanted == "tool" and forced):
        return wanted
    return "json_schema" if schema else "tool" if forced else "json"


def _foreign_loop(request: ModelRequest, target: Target) -> bool:
    """Is the model to go on after calls that somebody else made?

    Claude with a thinking budget then demands the thinking blocks that only their maker could have signed:
    https://docs.claude.com/en/docs/build-with-claude/extended-thinking#preserving-thinking-blocks
    """
    if target.api != "anthropic-messages" or not target.dialect.reasoning_budget:
        return False
    for message in reversed(request.messages):
        if message.role == "assistant":
            return bool(message.tool_calls) and not any(
                part.type == "reasoning" and keeps(part.native, target) for part in message.parts
            )
        if message.role == "user" and any(part.type != "tool_result" for part in message.parts):
            return False
    return False


def _unreasoned_calls(request: ModelRequest, target: Target) -> bool:
    """Does a turn call tools without reasoning that this target gave?"""
    return any(
        message.tool_calls and not any(part.type == "reasoning" and keeps(part.native, target) for part in message.parts)
        for message in request.messages
        if message.role == "assistant"
    )


def _beside_tools(request: ModelRequest, target: Target) -> bool:
    """A structured answer that may not stand beside functions is given by calling one more function."""
    functions = any(tool.kind != "server" for tool in request.tools)
    return functions and request.output_mode in ("json", "json_schema") and not target.dialect.schema_with_tools


def _answer(request: ModelRequest, target: Target, losses: Losses, *, forced: bool) -> dict[str, Any]:
    change: dict[str, Any] = {}
    schema = request.output_schema or {}
    if request.output_strict:
        schema, held = project_strict(schema, "The answer", target, losses)
        if not held:
            losses.warn("schema.strict", "JSON schema strict mode differs (loose-parse fallback)")
            change["output_strict"] = None
    if _beside_tools(request, target):
        losses.warn("schema.mode", "A structured answer cannot stand beside functions there; it is given by calling one")
        change["output_mode"] = "tool"
    elif not forced:
        schema = project_answer(schema, target, losses)
    if schema is not request.output_schema:
        change["output_schema"] = schema
    return change


_LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def _nearest_level(level: str, known: tuple[str, ...]) -> str | None:
    if level == "none":
        return None
    place = _LEVELS.index(level) if level in _LEVELS else _LEVELS.index("medium")
    ranked = sorted((name for name in known if name in _LEVELS), key=lambda name: abs(_LEVELS.index(name) - place))
    return ranked[0] if ranked else None
