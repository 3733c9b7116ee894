"""Tools as LlamaIndex gives them, in one portable form, and that form as canonical tools. Nothing here runs a tool.

The portable form is OpenAI's, because callbacks and tracers of LlamaIndex know it; which provider is asked is decided later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llama_index.core.tools import BaseTool, FunctionTool

from joch_core import InvalidArgument, Json, ToolSpec

Tool = BaseTool | ToolSpec | Json | Callable[..., Any]


def portable(tool: Tool) -> Any:
    """A tool as plain JSON; a tool that a provider runs, and a `ToolSpec`, stay as they are.

    Raises:
        InvalidArgument: nothing that a model could call.
    """
    match tool:
        case ToolSpec():
            return tool
        case dict():
            if not tool:
                raise InvalidArgument("a tool is an empty mapping: give a name and parameters")
            return tool
        case BaseTool():
            metadata = tool.metadata
            function = {
                "name": metadata.get_name(),
                "description": metadata.description or "",
                "parameters": metadata.get_parameters_dict(),
            }
            return {"type": "function", "function": function}
    if callable(tool):
        return portable(FunctionTool.from_defaults(fn=tool))
    raise InvalidArgument(f"{tool!r} is no tool: give a FunctionTool, a function or a joch_core.ToolSpec")


def tool_specs(tools: Iterable[Any]) -> tuple[ToolSpec, ...]:
    """Tools of any form as canonical tools."""
    return tuple(_spec(portable(tool)) for tool in tools)


def _spec(tool: Any) -> ToolSpec:
    if isinstance(tool, ToolSpec):
        return tool
    inner: Json = tool.get("function", tool) if tool.get("type", "function") == "function" else {}
    if "name" in inner:
        parameters = inner.get("parameters") or inner.get("input_schema") or {"type": "object", "properties": {}}
        return ToolSpec(str(inner["name"]), inner.get("description") or "", parameters, strict=inner.get("strict"))
    if isinstance(kind := tool.get("type"), str):
        return ToolSpec(kind, kind="server", options={key: value for key, value in tool.items() if key != "type"})
    # Gemini names its own tools by their only key: `{"google_search": {}}`.
    (kind, options) = next(iter(tool.items()))
    return ToolSpec(str(kind), kind="server", options=dict(options) if isinstance(options, dict) else {})


def tool_choice(choice: Any, names: Sequence[str], *, required: bool = False) -> str | None:
    """A tool choice in any spelling as `auto`, `none`, `required` or a tool's name; None leaves it to the provider.

    `required` (LlamaIndex's `tool_required`) stands where no choice is given.

    Raises:
        InvalidArgument: a choice of no known form.
    """
    match choice:
        case None | "auto" | {"type": "auto"}:
            return "required" if required else "auto" if choice else None
        case "any" | "required" if choice not in names:
            return "required"
        case {"type": "any" | "required"}:
            return "required"
        case {"type": "none"}:
            return "none"
        case str():
            return choice
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return name
    raise InvalidArgument(f"tool_choice {choice!r} is of no known form: give 'auto', 'none', 'required' or a tool's name")
