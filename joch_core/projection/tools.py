"""Tools, tool choice and knobs, as one target takes them. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from joch_core.capabilities import Capability, Target
from joch_core.messages import Json, ModelRequest, ToolSpec
from joch_core.projection.losses import Losses

_NAME = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_-]*$")
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


def sent_name(name: str, longest: int = 64) -> str:
    """A tool's name as every provider takes it: unchanged where it fits, else cleaned, with a hash that keeps it unique."""
    if len(name) <= longest and _NAME.match(name):
        return name
    clean = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
    if not re.match(r"[a-zA-Z_]", clean):
        clean = "_" + clean
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{clean[: longest - 9]}_{digest}"


def project_tools(tools: tuple[ToolSpec, ...], target: Target, losses: Losses) -> tuple[ToolSpec, ...]:
    """The tools that the target is offered."""
    out = [sent for tool in tools if (sent := _tool(tool, target, losses)) is not None]
    return tools if len(out) == len(tools) and all(a is b for a, b in zip(out, tools, strict=True)) else tuple(out)


def _tool(tool: ToolSpec, target: Target, losses: Losses) -> ToolSpec | None:
    if tool.native is not None and tool.native.api != target.api:
        tool = replace(tool, native=None)
    if tool.kind == "server":
        return _server_tool(tool, target, losses)
    name = sent_name(tool.name, target.dialect.tool_name_chars)
    if name != tool.name:
        losses.warn("tool.renamed", f"Tool {tool.name} is called {name} there")
        tool = replace(tool, name=name)
    if tool.kind == "custom" and not target.dialect.custom_tools:
        losses.warn("tool.custom", f"Free-text tool {tool.name} becomes a function with one text argument")
        return ToolSpec(tool.name, tool.description, _FREE_TEXT)
    if tool.kind == "function":
        return _function(tool, target, losses)
    return tool


def _function(tool: ToolSpec, target: Target, losses: Losses) -> ToolSpec:
    if tool.strict and not (target.can("jsonSchema") and is_strict(tool.parameters)):
        losses.warn("schema.strict", "JSON schema strict mode differs (loose-parse fallback)")
        tool = replace(tool, strict=None)
    parameters = without_top_level_unions(tool.parameters, tool.name, losses)
    return tool if parameters is tool.parameters else replace(tool, parameters=parameters)


def without_top_level_unions(schema: Json, name: str, losses: Losses) -> Json:
    """No provider takes oneOf, anyOf or allOf at the top of a tool's schema: their properties are offered side by side."""
    unions = [key for key in ("oneOf", "anyOf", "allOf") if key in schema]
    if not unions:
        return schema
    out = {key: value for key, value in schema.items() if key not in unions}
    properties: dict[str, Any] = dict(out.get("properties") or {})
    for key in unions:
        losses.warn("schema.keyword", f"Tool {name}: {key} at the top of its schema is checked by Joch, not by the model")
        for branch in schema[key]:
            properties |= branch.get("properties") or {} if isinstance(branch, dict) else {}
    return {**out, "type": "object", "properties": properties}


def is_strict(schema: Any) -> bool:
    """Does a schema meet the rules of strict mode: every object closed, every property required?"""
    if isinstance(schema, list):
        return all(is_strict(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties") or {}
        if schema.get("additionalProperties") is not False or set(schema.get("required") or ()) != set(properties):
            return False
        if not all(is_strict(item) for item in properties.values()):
            return False
    return all(is_strict(schema[key]) for key in ("items", "anyOf", "$defs") if key in schema and key != "$defs") and all(
        is_strict(item) for item in (schema.get("$defs") or {}).values()
    )


def _server_tool(tool: ToolSpec, target: Target, losses: Losses) -> ToolSpec | None:
    capability = server_capability(tool.name)
    title = _TITLES[capability]
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


def project_options(request: ModelRequest, target: Target, losses: Losses) -> dict[str, Any]:
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
    choice = request.tool_choice
    if choice is not None and not request.tools:
        change["tool_choice"] = None
    elif choice not in (None, "auto", "none"):
        if not dialect.forced_tool_choice:
            losses.warn("parameter.changed", "a tool cannot be forced there; tool_choice becomes auto")
            change["tool_choice"] = "auto"
        elif choice != "required" and (name := sent_name(choice, dialect.tool_name_chars)) != choice:
            change["tool_choice"] = name
    if request.output_schema is not None and request.output_strict and not target.can("jsonSchema"):
        losses.warn("schema.strict", "JSON schema strict mode differs (loose-parse fallback)")
        change["output_strict"] = None
    return change


_LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def _nearest_level(level: str, known: tuple[str, ...]) -> str | None:
    if level == "none":
        return None
    place = _LEVELS.index(level)
    ranked = sorted((name for name in known if name in _LEVELS), key=lambda name: abs(_LEVELS.index(name) - place))
    return ranked[0] if ranked else None
