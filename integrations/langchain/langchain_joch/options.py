"""Call options as LangChain users and hosts write them, as the options of Joch's verbs. Pure.

The same option has another name and another form in each partner package; here each gets one meaning before a provider is
chosen, so that a fallback never fails over a spelling. What is not known goes to the provider that the model names first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import SecretStr

from joch_core import InvalidArgument, Json
from langchain_joch.tools import tool_choice, tool_name, tool_specs

_RENAMED = {
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_tokens_to_sample": "max_tokens",
    "stop_sequences": "stop",
    "request_timeout": "timeout_s",
    "timeout": "timeout_s",
    "default_request_timeout": "timeout_s",
    "reasoning_effort": "reasoning",
    "effort": "reasoning",
    "thinking_level": "reasoning",
    "response_schema": "response_format",
    "conversation_id": "conversation",
}
_PLAIN = frozenset({
    "parallel_tool_calls", "output_schema", "output_mode", "temperature", "top_p", "max_tokens", "seed", "conversation",
    "execution",
})  # fmt: skip
#: What hosts set for tracing or streaming and what has no meaning at a route.
_IGNORED = frozenset(
    {"stream", "stream_options", "stream_usage", "strict", "ls_structured_output_format", "n", "model_name"}
)
#: Tokens of thought that stand for a level where a caller gives a budget (Anthropic's and Gemini's older knob).
_BUDGETS = ((0, "none"), (2048, "low"), (8192, "medium"))


def _seconds(value: Any) -> float | None:
    """A timeout in seconds; httpx's `(connect, read)` means the whole request's larger one."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, tuple | list):
        return max((float(part) for part in value if part is not None), default=None)
    read = getattr(value, "read", None)
    return float(read) if isinstance(read, int | float) else None


def _level(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case {"effort": effort}:
            return None if effort is None else str(effort)
        case {"type": "disabled"} | False:
            return "none"
        case {"budget_tokens": int(budget)} | {"thinking_budget": int(budget)}:
            return next((level for most, level in _BUDGETS if 0 <= budget <= most), "high")
        case {"type": "enabled" | "adaptive"} | True:
            return "medium"
    return None


def output_options(response_format: Any) -> Json:
    """`response_format` in OpenAI's form (or a schema, or a class) as `output_schema` and `output_mode`.

    Raises:
        InvalidArgument: a format of no known form.
    """
    match response_format:
        case None | {"type": "text"}:
            return {}
        case {"type": "json_object"}:
            return {"output_mode": "json"}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)} as named}:
            title = {"title": named["name"]} if "name" in named and "title" not in schema else {}
            return {"output_schema": {**title, **schema}, "output_mode": "json_schema"}
        case {"type": "json_schema", "schema": dict(schema)}:
            return {"output_schema": schema, "output_mode": "json_schema"}
        case dict() if "properties" in response_format or "$ref" in response_format:
            return {"output_schema": response_format, "output_mode": "json_schema"}
        case type() if is_basemodel_subclass(response_format):
            function = convert_to_openai_tool(response_format)["function"]
            return {"output_schema": {"title": function["name"], **function["parameters"]}, "output_mode": "json_schema"}
    raise InvalidArgument(f"response_format {response_format!r} is of no known form: give {{'type': 'json_schema', …}}")


def _named(kwargs: Mapping[str, Any]) -> Json:
    out: Json = {}
    for name, value in kwargs.items():
        name = _RENAMED.get(name, name)
        if name not in out or out[name] is None:
            out[name] = value
    return out


def _reasoning(given: Json) -> Json:
    for name in ("reasoning", "thinking", "thinking_config"):
        if name in given and (level := _level(given[name])) is not None:
            return {"reasoning": level}
    budget = given.get("thinking_budget")
    return {"reasoning": _level({"thinking_budget": budget})} if isinstance(budget, int) else {}


_THINKING = frozenset({"reasoning", "thinking", "thinking_config", "thinking_budget", "include_thoughts"})


def _extra(given: Json, unknown: Json, provider: str | None) -> Json:
    extra = {name: dict(fields) for name, fields in (given.get("extra") or {}).items()}
    body = {**unknown, **(given.get("extra_body") or {})}
    if not body:
        return extra
    if provider is None:
        raise InvalidArgument(
            f"{', '.join(sorted(body))}: no option that every provider knows; say for which one it is, as in "
            f"extra={{'openai': {{{min(body)!r}: …}}}}"
        )
    extra[provider] = {**extra.get(provider, {}), **body}
    return extra


def call_options(
    kwargs: Mapping[str, Any],
    *,
    stop: Sequence[str] | None,
    provider: str | None,
    defaults: Mapping[str, Any] | None = None,
) -> Json:
    """Keyword arguments of a LangChain call as those of `Joch.call`; options without a value are left out.

    `provider` is the one that the model names first, if it names one: unknown options are meant for it. `defaults` are
    what the model was made with.

    Raises:
        InvalidArgument: an option of no known form, or an unknown one where no provider is named.
    """
    given = _named(defaults or {}) | {name: value for name, value in _named(kwargs).items() if value is not None}
    out: Json = {name: given[name] for name in _PLAIN if given.get(name) is not None}
    tools = tuple(tool_specs(given.get("tools") or ()))
    if tools:
        out["tools"] = tools
        names = [tool_name(tool) for tool in tools]
        if (chosen := tool_choice(given.get("tool_choice"), names)) is not None:
            out["tool_choice"] = chosen
        if (choice := given.get("tool_choice")) and isinstance(choice, dict) and choice.get("disable_parallel_tool_use"):
            out["parallel_tool_calls"] = False
    out |= {name: value for name, value in output_options(given.get("response_format")).items() if name not in out}
    out |= _reasoning(given)
    words = given.get("stop") if stop is None else stop
    if words:
        out["stop"] = (words,) if isinstance(words, str) else tuple(words)
    if (timeout_s := _seconds(given.get("timeout_s"))) is not None:
        out["timeout_s"] = timeout_s
    if isinstance(metadata := given.get("metadata"), dict):
        out["metadata"] = {str(name): str(value) for name, value in metadata.items()}
    read = _PLAIN | _IGNORED | _THINKING | {
        "tools", "tool_choice", "response_format", "stop", "timeout_s", "metadata", "extra", "extra_body", "model",
    }  # fmt: skip
    unknown = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in given.items()
        if name not in read and value is not None
    }
    if extra := _extra(given, unknown, provider):
        out["extra"] = extra
    return out
