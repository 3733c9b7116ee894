"""apply, validate, diff, delete, get, describe, models: the resources by way of the command line."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Joch = Callable[..., Any]

MODEL = "apiVersion: joch.dev/v1alpha1\nkind: Model\nmetadata: {name: fast}\nspec: {provider: openai, model: gpt-5-mini}\n"


def test_apply_says_what_it_did_and_a_second_time_nothing(joch: Joch, route_file: Path) -> None:
    assert joch("apply", "-f", route_file).out == "modelroute/research-default created\n"
    assert joch("apply", "-f", route_file).out == "modelroute/research-default unchanged\n"
    route_file.write_text(route_file.read_text().replace("200000", "100000"))
    changed = joch("apply", "-f", route_file, "-o", "json")
    assert [row["action"] for row in changed.data] == ["configured"]
    assert (
        joch("get", "modelroute", "research-default", "-o", "json").data["spec"]["requirements"]["contextWindowMin"]
        == 100000
    )


def test_an_invalid_file_changes_nothing_and_names_every_fault(joch: Joch, route_file: Path) -> None:
    route_file.write_text(
        MODEL + "---\n" + route_file.read_text().replace("toolCalling", "toolCaling").replace("openai:", "opnai:")
    )
    for command in ("apply", "validate", "diff"):
        seen = joch(command, "-f", route_file)
        assert seen.code == 1
        assert seen.out == ""
        assert seen.err.splitlines() == [
            f"{route_file}:10: spec.requirements.toolCaling: unknown field; did you mean 'toolCalling'?",
            f"{route_file}:12: spec.strategy.primary: unknown provider 'opnai'; did you mean 'openai'?",
        ]
    assert joch("get", "modelroutes", "-o", "json").data == []


def test_a_file_that_is_not_there_is_wrong_use(joch: Joch) -> None:
    seen = joch("apply", "-f", "nothing.yaml")

    assert (seen.code, seen.out) == (2, "")
    assert "nothing.yaml" in seen.err


def test_a_file_without_a_resource_is_an_invalid_one(joch: Joch, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n---\n")
    seen = joch("apply", "-f", "empty.yaml")

    assert (seen.code, seen.err) == (1, "empty.yaml: holds no resource\n")


def test_a_file_that_is_no_text_is_an_invalid_one(joch: Joch, tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xc1\x00\xff")
    for command in ("apply", "validate", "diff"):
        outcome = joch(command, "-f", tmp_path / "binary.yaml")
        assert (outcome.code, outcome.out) == (1, "")
        assert "binary.yaml: is no text in UTF-8" in outcome.err


def test_a_folder_and_standard_input_are_read(joch: Joch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    (folder / "a.yaml").write_text(MODEL)
    (folder / "b.yml").write_text(MODEL.replace("fast", "slow"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MODEL.replace("fast", "piped").encode())))

    seen = joch("apply", "-f", folder, "-f", "-")

    assert seen.out.splitlines() == ["model/fast created", "model/slow created", "model/piped created"]


def test_diff_shows_what_would_change_and_says_so_with_its_exit_code(joch: Joch, route_file: Path) -> None:
    assert joch("diff", "-f", route_file).code == 1
    joch("apply", "-f", route_file)
    same = joch("diff", "-f", route_file)
    assert (same.code, same.out) == (0, "")
    route_file.write_text(route_file.read_text().replace("200000", "100000"))
    seen = joch("diff", "-f", route_file)
    assert seen.code == 1
    assert "-    contextWindowMin: 200000" in seen.out
    assert "+    contextWindowMin: 100000" in seen.out


def test_delete_takes_away_what_was_applied_and_nothing_else(joch: Joch, route_file: Path) -> None:
    joch("apply", "-f", route_file)

    assert joch("delete", "modelroute/research-default").out == "modelroute/research-default deleted\n"
    again = joch("delete", "modelroute", "research-default")
    assert again.code == 1
    assert "no ModelRoute 'research-default' was applied" in again.err


def test_get_with_nothing_to_show_is_fine(joch: Joch) -> None:
    seen = joch("get", "policies")

    assert (seen.code, seen.out, seen.err) == (0, "", "no policy in namespace 'default'\n")
    assert joch("get", "policies", "-o", "json").out == "[]\n"
    for kind in ("conversations", "statecheckpoints", "toolcalls", "executions", "budgets", "secrets", "tools"):
        assert joch("get", kind, "-o", "json").data == []


def test_a_name_that_is_not_there_is_exit_code_1_and_the_nearest_is_named(joch: Joch, route_file: Path) -> None:
    joch("apply", "-f", route_file)
    seen = joch("get", "modelroute", "reserch-default")

    assert seen.code == 1
    assert "did you mean 'research-default'?" in seen.err
    assert joch("describe", "conversation", "nothing").code == 1


def test_get_and_describe_give_one_object_by_both_spellings(joch: Joch, route_file: Path) -> None:
    joch("apply", "-f", route_file)
    one = joch("get", "ModelRoutes/research-default", "-o", "json").data

    assert one == joch("describe", "modelroute", "research-default", "-o", "json").data
    assert one["status"]["phase"] in ("Ready", "Degraded", "NotReady")
    assert "research-default" in joch("get", "route").out


def test_what_get_prints_can_be_applied_again(joch: Joch, route_file: Path, tmp_path: Path) -> None:
    joch("apply", "-f", route_file)
    (tmp_path / "again.yaml").write_text(joch("get", "modelroutes", "-o", "yaml").out)

    assert joch("apply", "-f", "again.yaml").out == "modelroute/research-default unchanged\n"


def test_namespaces_do_not_see_each_other(joch: Joch, route_file: Path) -> None:
    joch("apply", "-f", route_file, "-n", "research")

    assert joch("get", "modelroutes", "-o", "json").data == []
    assert len(joch("-n", "research", "get", "modelroutes", "-o", "json").data) == 1


def test_the_specification_names_are_models(joch: Joch) -> None:
    found = joch("get", "model", "openai:gpt-5-thinking", "-o", "json").data

    assert found["spec"]["model"] == "gpt-5"


def test_the_matrix_shows_every_model_of_a_provider(joch: Joch) -> None:
    rows = joch("models", "--provider", "anthropic", "-o", "json").data

    assert {"anthropic:claude-sonnet"} <= {row["backend"] for row in rows}
    assert {row["provider"] for row in rows} == {"anthropic"}
    assert "anthropic:claude-sonnet" in joch("models", "--provider", "anthropic").out


def test_check_says_which_candidates_satisfy_a_route_and_why_not(joch: Joch, route_file: Path) -> None:
    joch("apply", "-f", route_file)
    fine = joch("models", "check", "--route", "research-default", "-o", "json")
    assert fine.code == 0
    assert [row["satisfies"] for row in fine.data["candidates"]] == [True, True, True]

    small = joch("models", "check", "--agent", "research-default", "--target", "ollama:qwen3:8b")
    assert small.code == 1
    assert "ollama:qwen3:8b" in small.out
    assert "input window of 200,000" in small.out


def test_under_a_residency_without_a_region_every_candidate_fails(joch: Joch, route_file: Path) -> None:
    route_file.write_text(route_file.read_text() + "  constraints: {dataResidency: EU}\n")
    joch("apply", "-f", route_file)
    seen = joch("models", "check", "--route", "research-default")

    assert seen.code == 1
    assert seen.out.count("data must stay in EU") == 3


def test_an_unknown_model_loads_with_a_warning(joch: Joch, route_file: Path) -> None:
    route_file.write_text(route_file.read_text().replace("google:gemini-pro", "google:gemini-99"))
    seen = joch("validate", "-f", route_file)

    assert seen.code == 0
    assert "google:gemini-99 is not in the catalog" in seen.out


def test_a_store_of_unknown_form_is_wrong_use_and_one_that_cannot_be_opened_is_a_failure(joch: Joch, tmp_path: Path) -> None:
    unknown = joch("get", "modelroutes", "--store", "oracle://x")
    (tmp_path / "file").write_text("this is no database, and long enough not to be taken for an empty one" * 50)
    broken = joch("get", "modelroutes", "--store", f"sqlite:///{tmp_path / 'file'}")

    assert (unknown.code, broken.code) == (2, 3)
    assert unknown.err.count("\n") == broken.err.count("\n") == 1


def test_json_is_json(joch: Joch, route_file: Path) -> None:
    joch("apply", "-f", route_file)

    assert json.loads(joch("get", "modelroutes", "-o", "json").out)[0]["kind"] == "ModelRoute"
