from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool
from langchain_joch.options import call_options
from langchain_joch.tools import bindables, tool_choice, tool_specs
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from joch_core import InvalidArgument, ToolSpec


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return city


class Weather(BaseModel):
    """The weather in a city."""

    city: str = Field(description="which one")


class WeatherDict(TypedDict):
    """The weather in a city."""

    city: str


def plain(city: str) -> str:
    """The weather in a city."""
    return city


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def options(given: dict[str, Any], **more: Any) -> dict[str, Any]:
    return call_options(given, **{"stop": None, "provider": None} | more)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (weather, "weather"),
        (Weather, "Weather"),
        (WeatherDict, "WeatherDict"),
        (plain, "plain"),
        ({"type": "function", "function": {"name": "w", "description": "d", "parameters": SCHEMA}}, "w"),
        ({"type": "function", "name": "w", "description": "d", "parameters": SCHEMA}, "w"),
        ({"name": "w", "description": "d", "parameters": SCHEMA}, "w"),
        ({"name": "w", "description": "d", "input_schema": SCHEMA}, "w"),
        ({"type": "custom", "name": "w", "description": "d", "input_schema": SCHEMA}, "w"),
        ({"title": "w", "description": "d", **SCHEMA}, "w"),
        ({"function_declarations": [{"name": "w", "description": "d", "parameters": SCHEMA}]}, "w"),
        (ToolSpec("w", "d", SCHEMA), "w"),
    ],
)
def test_a_tool_is_the_same_tool_in_every_spelling(given: Any, name: str) -> None:
    (spec,) = tool_specs(bindables([given]))

    assert (spec.name, spec.kind) == (name, "function")
    assert spec.description
    assert spec.parameters["properties"]["city"]["type"] == "string"
    assert spec.parameters["required"] == ["city"]


@pytest.mark.parametrize(
    ("given", "kind", "fields"),
    [
        ({"type": "web_search"}, "web_search", {}),
        (
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
            "web_search_20250305",
            {"name": "web_search", "max_uses": 2},
        ),
        ({"google_search": {}}, "google_search", {}),
        (
            {"type": "mcp", "server_label": "a", "server_url": "https://x.test"},
            "mcp",
            {"server_label": "a", "server_url": "https://x.test"},
        ),
    ],
)
def test_a_tool_that_a_provider_runs_is_passed_on(given: dict[str, Any], kind: str, fields: dict[str, Any]) -> None:
    assert list(tool_specs(bindables([given]))) == [ToolSpec(kind, kind="server", options=fields)]


def test_a_free_text_tool_stays_one() -> None:
    given = {"type": "custom", "name": "shell", "description": "d", "format": {"type": "text"}}

    assert list(tool_specs(bindables([given]))) == [ToolSpec.custom("shell", "d", format={"type": "text"})]


def test_strictness_goes_with_the_tool() -> None:
    assert [spec.strict for spec in tool_specs(bindables([weather, Weather], strict=True))] == [True, True]


@pytest.mark.parametrize(
    ("choice", "meaning"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        ("w", "w"),
        ({"type": "function", "function": {"name": "w"}}, "w"),
        ({"type": "function", "name": "w"}, "w"),
        ({"type": "tool", "name": "w"}, "w"),
        ({"type": "any"}, "required"),
        ({"type": "auto", "disable_parallel_tool_use": True}, "auto"),
        ({"type": "none"}, "none"),
        ({"function_calling_config": {"mode": "ANY"}}, "required"),
        ({"function_calling_config": {"mode": "ANY", "allowed_function_names": ["w"]}}, "w"),
        ({"type": "allowed_tools", "mode": "required", "tools": []}, "required"),
    ],
)
def test_a_tool_choice_means_the_same_in_every_spelling(choice: Any, meaning: str | None) -> None:
    assert tool_choice(choice, ["w", "v"]) == meaning


def test_true_forces_the_only_tool_or_any_of_several() -> None:
    assert tool_choice(True, ["w"]) == "w"
    assert tool_choice(True, ["w", "v"]) == "required"


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="tool_choice"):
        tool_choice({"mode": "sometimes"}, ["w"])


@pytest.mark.parametrize(
    ("given", "meaning"),
    [
        ({"max_completion_tokens": 7}, {"max_tokens": 7}),
        ({"max_output_tokens": 7}, {"max_tokens": 7}),
        ({"stop_sequences": ["x"]}, {"stop": ("x",)}),
        ({"request_timeout": 3}, {"timeout_s": 3}),
        ({"timeout": (2.0, 9.0)}, {"timeout_s": 9.0}),
        ({"reasoning_effort": "low"}, {"reasoning": "low"}),
        ({"reasoning": {"effort": "high", "summary": "auto"}}, {"reasoning": "high"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"reasoning": "low"}),
        ({"thinking": {"type": "disabled"}}, {"reasoning": "none"}),
        ({"thinking_budget": 0}, {"reasoning": "none"}),
        ({"thinking_budget": 20000}, {"reasoning": "high"}),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        ({"seed": 1, "temperature": 0, "top_p": None}, {"seed": 1, "temperature": 0}),
        ({"response_format": {"type": "json_object"}}, {"output_mode": "json"}),
        ({"response_format": {"type": "text"}}, {}),
        ({"stream": True, "stream_options": {}, "ls_structured_output_format": {}}, {}),
    ],
)
def test_an_option_means_the_same_in_every_spelling(given: dict[str, Any], meaning: dict[str, Any]) -> None:
    assert options(given) == meaning


def test_a_schema_is_named_by_its_title() -> None:
    given = {"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA, "strict": True}}

    assert options({"response_format": given}) == {
        "output_schema": {"title": "w", **SCHEMA},
        "output_mode": "json_schema",
    }


def test_what_a_call_says_wins_over_what_the_model_was_made_with() -> None:
    assert options({"max_completion_tokens": 7}, defaults={"max_tokens": 100, "temperature": 0}) == {
        "max_tokens": 7, "temperature": 0,
    }  # fmt: skip


def test_an_option_that_only_one_provider_knows_goes_to_that_one() -> None:
    assert options({"service_tier": "flex"}, provider="openai") == {"extra": {"openai": {"service_tier": "flex"}}}
    assert options({"extra": {"google": {"x": 1}}}) == {"extra": {"google": {"x": 1}}}


def test_where_no_provider_is_named_an_unknown_option_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"service_tier.*extra="):
        options({"service_tier": "flex"})
