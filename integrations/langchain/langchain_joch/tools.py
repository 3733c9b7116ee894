"""Tools as LangChain users give them, in one portable form, and that form as canonical tools. Pure.

`bindable` is what `bind_tools` keeps (plain JSON that a tracer shows and a cache can key on), `tool_specs` what a call makes
of it. A dict that names neither a function nor a schema is a tool that the provider runs; it is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from joch_core import InvalidArgument, Json, ToolSpec

#: The parameter by which a tool gets its idempotency key.
KEY_PARAMETER = "joch_key"
Tool = Json | type | Callable[..., Any] | BaseTool | ToolSpec


def _is_function(tool: Json) -> bool:
    kind = tool.get("type")
    if kind == "custom":
        return "input_schema" in tool
    return kind in (None, "function", "object") and bool(tool.keys() & {"function", "name", "title", "input_schema"})


def bindable(tool: Tool, *, strict: bool | None = None) -> list[Any]:
    """One tool in OpenAI's form; a tool that a provider runs stays as it was written. Gemini's declarations are several.

    Raises:
        InvalidArgument: nothing that a model could call.
    """
    if isinstance(tool, ToolSpec):
        return [tool]
    if isinstance(tool, dict):
        if isinstance(declared := tool.get("function_declarations", tool.get("functionDeclarations")), list):
            return [one for entry in declared for one in bindable(entry, strict=strict)]
        if not _is_function(tool):
            if not tool:
                raise InvalidArgument("a tool is an empty mapping: give a name and parameters")
            return [tool]
        if tool.get("type") == "function":
            inner = tool.get("function", tool)
            return [{"type": "function", "function": _function(inner, strict)}]
        tool = {key: value for key, value in tool.items() if key not in {"type", "cache_control"} or value == "object"}
        if "title" not in tool and "name" in tool and "input_schema" not in tool:
            return [{"type": "function", "function": _function(tool, strict)}]
    return [_without_key(convert_to_openai_tool(tool, strict=strict))]


def _without_key(tool: Json) -> Json:
    """The ledger hands a tool its key; the model shall neither see nor invent it."""
    parameters = (tool.get("function") or {}).get("parameters") or {}
    if KEY_PARAMETER not in (parameters.get("properties") or {}):
        return tool
    kept = {name: value for name, value in parameters["properties"].items() if name != KEY_PARAMETER}
    required = [name for name in parameters.get("required") or () if name != KEY_PARAMETER]
    return {**tool, "function": {**tool["function"], "parameters": {**parameters, "properties": kept, "required": required}}}


def _function(function: Json, strict: bool | None) -> Json:
    given: Json = {name: function[name] for name in ("name", "description", "parameters", "strict") if name in function}
    return given if strict is None else {**given, "strict": strict}


def bindables(tools: Iterable[Tool], *, strict: bool | None = None) -> list[Any]:
    """All tools in the form that `bind_tools` keeps."""
    return [one for tool in tools for one in bindable(tool, strict=strict)]


def tool_name(bound: Any) -> str:
    """The name that a tool choice goes by."""
    if isinstance(bound, ToolSpec):
        return bound.name
    function = bound.get("function", bound.get("custom", bound))
    return str(function.get("name") or bound.get("type", "")) if isinstance(function, dict) else str(bound.get("type", ""))


def _spec(bound: Any) -> ToolSpec:
    match bound:
        case ToolSpec():
            return bound
        case {"type": "function", "function": dict(function)}:
            return ToolSpec(
                function["name"],
                function.get("description") or "",
                function.get("parameters") or {"type": "object", "properties": {}},
                strict=function.get("strict"),
            )
        case {"type": "custom"}:
            inner = bound.get("custom", bound)
            options = {name: inner[name] for name in ("format",) if name in inner}
            return ToolSpec.custom(inner["name"], inner.get("description") or "", **options)
        case {"type": str(kind)}:
            return ToolSpec(kind, kind="server", options={key: value for key, value in bound.items() if key != "type"})
    # Gemini names its own tools by their only key: `{"google_search": {}}`.
    ((kind, options), *_) = bound.items()
    return ToolSpec(str(kind), kind="server", options=dict(options) if isinstance(options, dict) else {})


def tool_specs(bound: Sequence[Any]) -> Iterator[ToolSpec]:
    """What `bindables` made, as canonical tools."""
    for one in bound:
        for tool in bindable(one) if isinstance(one, dict) else bindables([one]):
            yield _spec(tool)


def tool_choice(choice: Any, names: Sequence[str]) -> str | None:
    """A tool choice in any host's spelling as `auto`, `none`, `required` or a tool's name.

    `True` and `any` mean: some tool must be called, which with one tool is that tool.

    Raises:
        InvalidArgument: a choice of no known form.
    """
    match choice:
        case None | False:
            return None
        case True:
            return names[0] if len(names) == 1 else "required"
        case "any" | "required" if choice not in names:
            return "required"
        case "validated" | "VALIDATED" | "AUTO" | "NONE" | "ANY":
            return {"none": "none", "any": "required"}.get(choice.lower(), "auto")
        case str():
            return choice
        case {"type": "function", "function": {"name": str(name)}} | {"type": "custom", "custom": {"name": str(name)}}:
            return name
        case {"type": "function" | "custom" | "tool", "name": str(name)}:
            return name
        case {"type": "allowed_tools"}:
            inner = choice.get("allowed_tools", choice)
            return "required" if inner.get("mode") == "required" else "auto"
        case {"type": "any"}:
            return "required"
        case {"type": "auto" | "none" as plain}:
            return str(plain)
        case {"type": str(kind)} if kind in names:
            return kind
        case {"name": str(name)} | {"function": {"name": str(name)}}:
            return name
        case {"function_calling_config": dict(config)} | {"functionCallingConfig": dict(config)}:
            allowed = config.get("allowed_function_names") or config.get("allowedFunctionNames") or []
            return str(allowed[0]) if len(allowed) == 1 else tool_choice(str(config.get("mode", "AUTO")).upper(), names)
    raise InvalidArgument(f"tool_choice {choice!r} is of no known form: give 'auto', 'none', 'required' or a tool's name")
