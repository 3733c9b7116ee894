"""The lines of a compatibility check: the specification's own words, in a stable order."""

from __future__ import annotations

from dataclasses import replace

from joch_core.capabilities import CAPABILITIES, Target
from joch_core.messages import Image, Message, ModelRequest, Text, ToolSpec
from joch_core.migration.check import check_lines, outcome_gaps, switch_gaps
from joch_core.projection import project
from joch_core.resources.dialects import dialect_of

CLAUDE = Target(
    "anthropic:claude-sonnet", "anthropic", "anthropic-messages", "claude-sonnet-4-5", "anthropic||claude-sonnet-4-5",
    frozenset(CAPABILITIES) - {"computerUse", "audio"}, input_window=200_000,
    dialect=dialect_of("anthropic", "anthropic-messages", "claude-sonnet-4-5"),
)  # fmt: skip
GPT = Target(
    "openai:gpt-5-thinking", "openai", "openai-responses", "gpt-5", "openai||gpt-5", frozenset(CAPABILITIES), 400_000
)
SCREEN = ToolSpec.server("computer_use_preview")
LOOSE = {"type": "object", "properties": {"q": {"type": "string"}}}
TALK = ModelRequest(
    (Message.user([Text("see"), Image(data=b"x", media_type="image/png")]), Message.assistant("yes"), Message.user("go on")),
    (ToolSpec("find", parameters=LOOSE, strict=True, mcp=True), SCREEN),
)


def lines(request, target, source=GPT, **options):
    return check_lines(request, project(request, target), target, source, **options)


def test_the_check_speaks_the_words_of_the_specification_in_its_order():
    assert [(line.level, line.text) for line in lines(TALK, CLAUDE) if line.code != "cache.cold"] == [
        ("ok", "Text conversation supported"),
        ("ok", "MCP tools supported"),
        ("ok", "200k context sufficient"),
        ("warn", "JSON schema strict mode differs (loose-parse fallback)"),
        ("warn", "Previous turn used image input; image format will be transformed"),
        ("fail", "Computer-use tool unavailable; tool will be removed for this conversation"),
    ]


def test_the_cold_cache_is_named_with_its_size():
    (line,) = [line for line in lines(TALK, CLAUDE) if line.code == "cache.cold"]
    assert line.text.startswith("The prompt cache is cold: about 1,6")


def test_what_goes_over_as_a_summary_only_is_counted():
    (line,) = [line for line in lines(TALK, CLAUDE, summarised=7) if line.code == "history.summarised"]
    assert line.text.startswith("7 earlier messages")


def test_a_window_that_is_too_small_or_not_known_is_said():
    small, unknown = (lines(TALK, replace(CLAUDE, input_window=window)) for window in (100, None))
    assert [line.level for line in small if line.code == "context.window"] == ["fail"]
    assert [line.level for line in unknown if line.code == "context.window"] == ["warn"]


def test_a_target_without_tools_fails_the_check():
    found = lines(TALK, replace(CLAUDE, capabilities=CLAUDE.capabilities - {"toolCalling"}))
    assert ("fail", "tools") in [(line.level, line.code) for line in found]


def test_the_event_of_a_switch_has_the_changes_of_the_dry_run():
    projected = project(TALK, CLAUDE)
    event = switch_gaps(TALK.messages, projected, CLAUDE, GPT)
    dry_run = lines(TALK, CLAUDE)
    assert set(projected.gaps) <= set(event) <= set(dry_run)
    assert {line.code for line in set(dry_run) - set(event) if line.level != "ok"} == {"cache.cold"}


def test_pictures_within_one_format_are_not_called_transformed():
    twin = replace(GPT, backend="openai:other", model="other", origin="openai||other")
    assert "image.transformed" not in {gap.code for gap in switch_gaps(TALK.messages, project(TALK, twin), twin, GPT)}


def test_no_line_stands_twice_when_the_gaps_of_a_switch_come_in_again():
    projected = project(TALK, CLAUDE)
    again = replace(projected, gaps=switch_gaps(TALK.messages, projected, CLAUDE, GPT))
    found = check_lines(TALK, again, CLAUDE, GPT)
    assert len(found) == len(set(found))
    assert found == lines(TALK, CLAUDE)


def test_a_call_that_nobody_knows_the_end_of_is_a_line(log):
    log.act("k1", "send", "Running").act("k2", "pay", "Unknown").act("k3", "ok").act("k4", "look", "Running", "read_only")
    assert [(gap.code, gap.text.split()[2]) for gap in outcome_gaps(log.history)] == [
        ("outcome.unknown", "send"),
        ("outcome.unknown", "pay"),
    ]


def test_the_window_that_the_route_asks_for_is_the_one_that_is_named():
    (wide,) = [
        line
        for line in lines(TALK, replace(CLAUDE, input_window=872_000), required_window=200_000)
        if "context" in line.code
    ]
    (tight,) = [line for line in lines(TALK, CLAUDE, required_window=500_000) if "context" in line.code]
    assert (wide.level, wide.text) == ("ok", "200k context sufficient")
    assert tight.level == "fail"
