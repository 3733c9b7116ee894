"""Options of a call: tools, tool choice, output schema, thinking ⇄ `tools`, `toolConfig`, `generationConfig`.

Where the neutral form says less than the body that was read, the raw field is kept beside it and goes back as long as it
still means what the request says.
"""

from __future__ import annotations

from typing import Any

from joch_core.capabilities import Target
from joch_core.messages import Json, ModelRequest, OutputMode, ToolSpec
from joch_core.wire.google_generate.parts import API
from joch_core.wire.google_generate.schema import to_json_schema, to_openapi

#: Server tools by the names that other vendors give them.
_SERVER_TOOLS = {
    "web_search": "googleSearch",
    "google_search": "googleSearch",
    "code_execution": "codeExecution",
    "web_fetch": "urlContext",
    "url_context": "urlContext",
}
#: Budgets in tokens: https://ai.google.dev/gemini-api/docs/thinking#set-budget
_BUDGETS = {"none": 0, "minimal": 512, "low": 1_024, "medium": 8_192, "high": 24_576}


# -------------------------------------------------------------------------------------------------------- tools
def spell_tools(body: Json, request: ModelRequest, target: Target, native: Json) -> None:
    """Put tools and the choice among them into a body."""
    tools = list(request.tools)
    choice = request.tool_choice
    if request.output_mode == "tool":
        answer = request.output_tool
        choice = (answer.name if not tools else "required") if target.dialect.forced_tool_choice else "auto"
        tools.append(answer)
    functions = [_declaration(tool, target) for tool in tools if tool.kind != "server"]
    spelled: list[Json] = [{"functionDeclarations": functions}] if functions else []
    spelled += [{_SERVER_TOOLS.get(tool.name, tool.name): dict(tool.options)} for tool in tools if tool.kind == "server"]
    if spelled:
        body["tools"] = spelled
    raw = native.get("toolConfig")
    if raw and choice_of(raw) == choice:
        body["toolConfig"] = raw
    elif functions and choice is not None:
        body["toolConfig"] = {**(raw or {}), "functionCallingConfig": _calling(choice)}


def _declaration(tool: ToolSpec, target: Target) -> Json:
    hints = dict(tool.native.data) if tool.native is not None and tool.native.api == API else {}
    raw = hints.pop("parameters", None)
    out: Json = {"name": tool.name}
    if tool.description:
        out["description"] = tool.description
    schema = tool.parameters
    if tool.kind == "custom":
        # No free-text tools here: one string is the nearest, and reads back as the same `args`.
        schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    if raw is not None and to_json_schema(raw) == schema:
        out["parameters"] = raw
    elif schema and target.dialect.full_json_schema:
        out["parametersJsonSchema"] = schema
    elif schema.get("properties"):
        out["parameters"] = to_openapi(schema)  # an object without properties is refused there: nothing is sent
    return {**out, **hints}


def _calling(choice: str) -> Json:
    match choice:
        case "auto" | "none":
            return {"mode": choice.upper()}
        case "required":
            return {"mode": "ANY"}
    return {"mode": "ANY", "allowedFunctionNames": [choice]}


def choice_of(tool_config: Any) -> str | None:
    """The neutral tool choice that a `toolConfig` means."""
    calling = tool_config.get("functionCallingConfig") if isinstance(tool_config, dict) else None
    if not isinstance(calling, dict):
        return None
    names = calling.get("allowedFunctionNames")
    match calling.get("mode"):
        case "ANY" if isinstance(names, list) and len(names) == 1 and isinstance(names[0], str):
            return names[0]
        case "ANY":
            return "required"
        case "NONE":
            return "none"
        case "AUTO" | "VALIDATED":
            return "auto"
    return None


# ------------------------------------------------------------------------------------------------------- output
def spell_config(request: ModelRequest, target: Target, native: Json) -> Json:
    """The `generationConfig`."""
    raw: Json = native.get("generationConfig") or {}
    config: Json = {}
    if request.temperature is not None:
        config["temperature"] = request.temperature
    if request.top_p is not None:
        config["topP"] = request.top_p
    limit = target.dialect.default_max_tokens if request.max_tokens is None else request.max_tokens
    if limit is not None:
        config["maxOutputTokens"] = limit
    if request.stop:
        config["stopSequences"] = list(request.stop)
    if request.seed is not None:
        config["seed"] = request.seed
    kept = dict(raw)
    raw_schema, raw_thinking = kept.pop("responseSchema", None), kept.pop("thinkingConfig", None)
    if request.output_mode in ("json_schema", "json"):
        config["responseMimeType"] = "application/json"
        schema = request.output_schema
        if raw_schema is not None and to_json_schema(raw_schema) == schema:
            config["responseSchema"] = raw_schema
        elif schema and target.dialect.full_json_schema:
            config["responseJsonSchema"] = schema
        elif schema:
            config["responseSchema"] = to_openapi(schema)
    if raw_thinking and level_of(raw_thinking) == request.reasoning:
        config["thinkingConfig"] = raw_thinking
    elif request.reasoning is not None:
        config["thinkingConfig"] = _thinking(request.reasoning, target)
    return {**kept, **config}


def output_of(config: Json) -> tuple[Json | None, OutputMode | None]:
    """The schema of the answer and how it is asked for."""
    if config.get("responseMimeType") != "application/json":
        return None, None
    schema = config.get("responseJsonSchema")
    if schema is None and config.get("responseSchema") is not None:
        schema = to_json_schema(config["responseSchema"])
    return (schema, "json_schema") if isinstance(schema, dict) else (None, "json")


# ----------------------------------------------------------------------------------------------------- thinking
def _thinking(level: str, target: Target) -> Json:
    """Gemini 3 takes a level and cannot be kept from thinking at all; earlier models take a budget of tokens."""
    if target.dialect.reasoning_budget:
        spelled: Json = {"thinkingBudget": _BUDGETS.get(level, _BUDGETS["high"])}
    else:
        spelled = {"thinkingLevel": "MINIMAL" if level == "none" else level.upper()}
    return spelled if level == "none" else {**spelled, "includeThoughts": True}


def level_of(thinking: Any) -> str | None:
    """The neutral level that a `thinkingConfig` means."""
    if not isinstance(thinking, dict):
        return None
    level, budget = thinking.get("thinkingLevel"), thinking.get("thinkingBudget")
    if isinstance(level, str):
        return level.lower()
    if not isinstance(budget, int):
        return None
    if budget < 0:  # the model decides
        return "medium"
    return next((name for name, tokens in _BUDGETS.items() if budget <= tokens), "high")
