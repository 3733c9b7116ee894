"""A model as the rest of Joch sees it: format, habits, abilities, windows, regions, prices."""

from __future__ import annotations

from typing import Any

import pytest

from joch_core.messages import Usage
from joch_core.resources.backends import areas, default_api
from joch_core.resources.model import Model


def model(provider: str = "openai", name: str = "m", **spec: Any) -> Model:
    body = {"provider": provider, "model": name, **spec}
    return Model.model_validate({"kind": "Model", "metadata": {"name": "x"}, "spec": body})


@pytest.mark.parametrize(
    ("provider", "name", "api"),
    [
        ("openai", "gpt-5", "openai-responses"),
        ("openai", "gpt-5.5-2026-04-23", "openai-responses"),
        ("openai", "gpt-6.1-sol", "openai-responses"),
        ("openai", "o3-mini", "openai-responses"),
        ("openai", "gpt-4o-mini", "openai-chat"),
        ("openai", "gpt-4.1", "openai-chat"),
        ("azure-openai", "gpt-5", "openai-responses"),
        ("azure-openai", "my-deployment", "openai-chat"),
        ("anthropic", "claude-sonnet-5-5", "anthropic-messages"),
        ("bedrock", "eu.anthropic.claude-sonnet-4-6-v1:0", "anthropic-messages"),
        ("vertex", "claude-haiku-4-5@20251001", "anthropic-messages"),
        ("vertex", "gemini-2.5-pro", "gemini-generate"),
        ("google", "gemini-2.5-flash", "gemini-generate"),
        ("ollama", "qwen3:8b", "openai-chat"),
        ("openai-compatible", "gpt-5", "openai-chat"),
    ],
)
def test_each_model_is_spoken_to_in_its_own_format(provider: str, name: str, api: str) -> None:
    assert default_api(provider, name) == api
    assert model(provider, name).target().api == api


def test_the_resource_has_the_last_word_on_the_format() -> None:
    assert model("openai", "gpt-5", endpoint={"api": "openai-chat"}).target().api == "openai-chat"


@pytest.mark.parametrize("name", ["gpt-5", "gpt-5-mini-2025-08-07", "gpt-5.6-terra", "gpt-6-sol", "o3", "o4-mini"])
def test_reasoning_models_of_openai_take_no_sampling_on_either_format(name: str) -> None:
    for api in ("openai-responses", "openai-chat"):
        parameters = model("openai", name, endpoint={"api": api}).dialect().parameters
        assert not parameters & {"temperature", "top_p", "stop"}


def test_chat_models_of_openai_take_all_of_it() -> None:
    assert {"temperature", "top_p", "stop", "seed"} <= model("openai", "gpt-4o").dialect().parameters
    assert "temperature" in model("openai", "gpt-5-chat-latest").dialect().parameters


@pytest.mark.parametrize(
    ("name", "sampling", "both", "prefill", "force"),
    [
        ("claude-3-5-haiku-20241022", True, True, True, True),
        ("claude-sonnet-4-20250514", True, True, True, True),
        ("claude-haiku-4-5-20251001", True, False, True, True),
        ("claude-sonnet-4-6", True, False, False, True),
        ("claude-opus-4-6", True, False, False, True),
        ("claude-opus-4-8", False, False, False, True),
        ("claude-sonnet-5", False, False, False, True),
        ("claude-sonnet-5-5", False, False, False, False),
        ("claude-opus-5-5", False, False, False, False),
        ("claude-fable-5-1", False, True, False, False),
        ("anthropic.claude-opus-4-8-v1:0", False, False, False, True),
    ],
)
def test_claude_lost_its_knobs_one_after_the_other(
    name: str, sampling: bool, both: bool, prefill: bool, force: bool
) -> None:
    found = model("anthropic", name).dialect()

    assert ("temperature" in found.parameters) is sampling
    assert found.temperature_and_top_p is both or not sampling
    assert found.assistant_last is prefill
    assert found.forced_tool_choice is force
    assert ("forcedToolChoice" in model("anthropic", name, capabilities={"toolCalling": True}).capabilities) is force


def test_the_limit_that_anthropic_requires_is_never_above_the_ceiling() -> None:
    assert (
        model("anthropic", "claude-3-haiku-20240307", limits={"maxOutputTokens": 4096}).dialect().default_max_tokens == 4096
    )
    assert model("openai", "gpt-5").dialect().default_max_tokens is None


def test_gemini_3_wants_thought_signatures_and_older_ones_do_not() -> None:
    assert model("google", "gemini-3.1-pro-preview").dialect().thought_signatures
    assert not model("google", "gemini-2.5-pro").dialect().thought_signatures


@pytest.mark.parametrize(
    ("name", "fetched"), [("gemini-2.0-flash", False), ("gemini-2.5-pro", True), ("gemini-3.8-flash", True)]
)
def test_gemini_fetches_public_addresses_from_2_5_on(name: str, fetched: bool) -> None:
    dialect = model("google", name).dialect()
    assert (dialect.image_urls, dialect.file_urls) == (fetched, fetched)


def test_an_unknown_server_gets_the_most_portable_form() -> None:
    found = model("openai-compatible", "anything").dialect()

    assert found.alternating_roles
    refused = (found.system_anywhere, found.content_parts, found.image_urls, found.custom_tools, found.server_tools)
    assert refused == (False,) * 5
    assert found.max_tokens_field == "max_tokens"
    assert "seed" not in found.parameters


def test_a_dialect_is_a_name_or_habits_or_both() -> None:
    assert not model("openai-compatible", dialect="mistral").dialect().user_after_tool
    assert model("openai-compatible", dialect="reasoning-content").dialect().reasoning_content
    changed = model("vllm", dialect={"name": "text-only", "reasoningLevels": ["low"], "imageUrls": True}).dialect()
    assert (changed.content_parts, changed.reasoning_levels, changed.image_urls) == (False, ("low",), True)


def test_an_origin_is_provider_endpoint_and_model() -> None:
    one = model("openai", "gpt-5").target()
    two = model("openai", "gpt-5", endpoint={"baseUrl": "https://eu.api.openai.com/v1"}).target("openai:thinking")

    assert one.origin != two.origin
    assert two.origin == "openai|https://eu.api.openai.com/v1|gpt-5"
    assert (one.backend, two.backend) == ("openai:x", "openai:thinking")


@pytest.mark.parametrize(
    ("limits", "window"),
    [
        ({"contextWindowTokens": 200_000, "maxOutputTokens": 64_000}, 136_000),
        ({"contextWindowTokens": 400_000, "maxInputTokens": 272_000, "maxOutputTokens": 128_000}, 272_000),
        ({"contextWindowTokens": 8_000}, 8_000),
        ({"contextWindowTokens": 8_000, "maxOutputTokens": 8_000}, 4_000),
        ({}, None),
    ],
)
def test_the_input_window_is_what_a_model_accepts_as_input(limits: dict[str, int], window: int | None) -> None:
    assert model(limits=limits).input_window == window


@pytest.mark.parametrize(
    ("region", "found"),
    [
        ("eu-west-1", ("eu-west-1", "eu")),
        ("europe-west4", ("europe-west4", "eu")),
        ("westeurope", ("westeurope", "eu")),
        ("EU", ("eu",)),
        ("us-east-1", ("us-east-1", "us")),
        ("eastus2", ("eastus2", "us")),
        ("eu-west-2", ("eu-west-2",)),
        ("europe-west2", ("europe-west2",)),
        ("eu-central-2", ("eu-central-2",)),
        ("uksouth", ("uksouth",)),
        ("switzerlandnorth", ("switzerlandnorth",)),
    ],
)
def test_a_cloud_region_names_its_area_only_where_it_lies_in_it(region: str, found: tuple[str, ...]) -> None:
    assert areas(region) == found


def test_regions_come_from_the_configuration_alone() -> None:
    assert model("bedrock", "eu.anthropic.claude-sonnet-4-6-v1:0").regions == ()
    assert model("bedrock", "m", endpoint={"region": "eu-central-1"}).regions == ("eu-central-1", "eu")
    assert model("openai", routing={"regions": ["EU", "us"]}, endpoint={"region": "x"}).regions == ("eu", "us")
    assert model("ollama").regions == ("on-prem",)


PRICE = {
    "inputPerMillionTokens": 2,
    "outputPerMillionTokens": 10,
    "cacheReadPerMillionTokens": 0.2,
    "cacheWritePerMillionTokens": 2.5,
    "tiers": [{"aboveInputTokens": 200_000, "inputPerMillionTokens": 4, "outputPerMillionTokens": 15}],
}


def test_a_call_costs_its_fresh_cached_written_and_answered_tokens() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100, cache_read_tokens=400, cache_write_tokens=100)

    assert model(pricing=PRICE).cost_micro_usd(usage) == 500 * 2 + 400 * 0.2 + 100 * 2.5 + 100 * 10
    assert model(pricing=PRICE).cost_micro_usd(Usage(1, 0, 1)) == 1, "rounded up"


def test_a_long_prompt_is_priced_at_its_tier_as_a_whole() -> None:
    assert model(pricing=PRICE).cost_micro_usd(Usage(200_000, 0)) == 400_000
    assert model(pricing=PRICE).cost_micro_usd(Usage(200_001, 10)) == 200_001 * 4 + 150


def test_the_worst_case_bounds_every_real_cost() -> None:
    priced = model(pricing=PRICE)
    for tokens in (0, 10, 199_999, 200_001):
        worst = priced.worst_case_micro_usd(tokens, 50)
        assert worst is not None
        for read, written in ((0, 0), (tokens, 0), (0, tokens), (tokens // 2, tokens // 3)):
            cost = priced.cost_micro_usd(Usage(tokens, 50, read, written))
            assert cost is not None
            assert cost <= worst


def test_an_unknown_price_is_none_and_a_local_model_is_free() -> None:
    assert model("openai").worst_case_micro_usd(1, 1) is None
    assert model("openai", pricing={"inputPerMillionTokens": 1}).cost_micro_usd(Usage(1, 1)) is None
    assert model(pricing=PRICE).cost_micro_usd(Usage(None, 1)) is None
    assert model("ollama").worst_case_micro_usd(1_000, 1_000) == 0
    assert model("openai-compatible", endpoint={"type": "local"}).worst_case_micro_usd(1, 1) == 0
    assert model("ollama", endpoint={"type": "hosted"}).worst_case_micro_usd(1, 1) is None


@pytest.mark.parametrize(
    ("provider", "name", "budget"),
    [
        ("anthropic", "claude-3-5-sonnet-20241022", False),
        ("anthropic", "claude-3-7-sonnet-20250219", True),
        ("anthropic", "claude-sonnet-4-20250514", True),
        ("anthropic", "claude-sonnet-4-0", True),
        ("anthropic", "claude-opus-4-1-20250805", True),
        ("anthropic", "claude-haiku-4-5-20251001", True),
        ("anthropic", "claude-sonnet-4-6", False),
        ("anthropic", "claude-opus-5", False),
        ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("vertex", "claude-sonnet-4@20250514", True),
        ("google", "gemini-2.5-flash", True),
        ("google", "gemini-3-pro-preview", False),
    ],
)
def test_thinking_is_a_budget_of_tokens_where_the_model_knows_no_levels(provider: str, name: str, budget: bool) -> None:
    assert model(provider, name).dialect().reasoning_budget is budget
