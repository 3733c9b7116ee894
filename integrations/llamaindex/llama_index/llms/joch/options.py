"""The keyword arguments of a call, in LlamaIndex's spellings and those of the providers, as the options of `Joch.call`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from llama_index.llms.joch.tools import tool_choice, tool_specs

from joch_core import InvalidArgument, Json

#: Options that mean the same at every provider and are handed on as they are.
_PLAIN = (
    "temperature", "top_p", "max_tokens", "seed", "reasoning", "output_schema", "output_mode", "parallel_tool_calls",
    "timeout_s", "execution", "agent",
)  # fmt: skip
#: Other spellings of the same.
_SPELLINGS = {
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "reasoning_effort": "reasoning",
    "stop_sequences": "stop",
    "timeout": "timeout_s",
    "request_timeout": "timeout_s",
    "allow_parallel_tool_calls": "parallel_tool_calls",
}
#: Read elsewhere, or LlamaIndex's own and of no meaning to a model.
_OTHERS = (
    "tools",
    "tool_choice",
    "tool_required",
    "stop",
    "response_format",
    "metadata",
    "extra",
    "conversation",
    "on_interrupt",
)
_IGNORED = ("formatted", "verbose", "stream")
#: Joch reads each provider's own variable; what is given here would be written down with the LLM.
_SECRETS = ("api_key", "token", "secret", "password", "default_headers", "headers")


def known_options() -> frozenset[str]:
    """Every name that a call understands."""
    return frozenset((*_PLAIN, *_SPELLINGS, *_OTHERS, *_IGNORED))


def refuse_secrets(names: Mapping[str, Any]) -> None:
    """Raises InvalidArgument where a key is handed over."""
    for name in names:
        if any(name == secret or name.endswith(f"_{secret}") for secret in _SECRETS):
            raise InvalidArgument(f"{name} is not taken: Joch reads each provider's own variable, such as OPENAI_API_KEY")


def call_options(given: Mapping[str, Any], *, provider: str | None) -> Json:
    """Keyword arguments as the options of `Joch.call`; those without a value are left out.

    `provider` is the one that the LLM names first, if it names one: unknown options are meant for it.

    Raises:
        InvalidArgument: an option of no known form, or an unknown one where no provider is named.
    """
    named: Json = {}
    for name, value in given.items():
        if value is not None and name not in _IGNORED:
            named[_SPELLINGS.get(name, name)] = value
    out: Json = {name: named.pop(name) for name in _PLAIN if name in named}
    tools = tool_specs(named.pop("tools", ()))
    choice, required = named.pop("tool_choice", None), bool(named.pop("tool_required", False))
    if tools:
        out["tools"] = tools
        if (chosen := tool_choice(choice, [tool.name for tool in tools], required=required)) is not None:
            out["tool_choice"] = chosen
    if not tools or out.get("parallel_tool_calls"):
        out.pop("parallel_tool_calls", None)  # to allow it is every provider's default, and some models refuse the word
    if words := named.pop("stop", None):
        out["stop"] = (words,) if isinstance(words, str) else tuple(words)
    out |= {name: value for name, value in _output(named.pop("response_format", None)).items() if name not in out}
    if isinstance(metadata := named.pop("metadata", None), Mapping):
        out["metadata"] = {str(name): str(value) for name, value in metadata.items()}
    if (timeout_s := out.get("timeout_s")) is not None and not isinstance(timeout_s, int | float):
        raise InvalidArgument(f"timeout is {timeout_s!r}; it must be a number of seconds for the whole call")
    for name in ("conversation", "on_interrupt"):
        named.pop(name, None)
    extra = {name: dict(fields) for name, fields in dict(named.pop("extra", None) or {}).items()}
    if named:
        if provider is None:
            raise InvalidArgument(_unknown(next(iter(named))))
        extra[provider] = {**extra.get(provider, {}), **named}
    if extra:
        out["extra"] = extra
    return out


def _unknown(name: str) -> str:
    near = get_close_matches(name, known_options(), n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no option {name!r}{meant} What only one provider knows goes into extra={{'openai': {{…}}}}"


def _output(response_format: Any) -> Json:
    match response_format:
        case None | {"type": "text"}:
            return {}
        case {"type": "json_object"}:
            return {"output_mode": "json"}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}} | {
            "type": "json_schema",
            "schema": dict(schema),
        }:
            return {"output_schema": schema}
        case type():
            return {"output_schema": response_format}
    raise InvalidArgument(f"response_format {response_format!r} is of no known form: give output_schema= a pydantic class")
