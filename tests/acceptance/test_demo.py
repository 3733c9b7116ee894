"""`joch demo`, as a newcomer runs it: no key, no network, and the proof at its end."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

JOCH = [str(Path(sys.executable).with_name("joch"))]


def joch(home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.endswith("_API_KEY") and not name.startswith("JOCH_")
    }
    return subprocess.run(
        [*JOCH, *words],
        capture_output=True,
        text=True,
        env={**clean, "JOCH_HOME": str(home), **env},
        timeout=110,
        check=False,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    home = tmp_path_factory.mktemp("home")
    run = joch(home, "demo")
    assert run.returncode == 0, run.stderr
    return home, run.stdout


def test_the_demo_says_what_it_has_measured(tmp_path: Path) -> None:
    run = joch(tmp_path, "demo", "-o", "json")

    assert run.returncode == 0, run.stderr
    outcome = json.loads(run.stdout)
    assert outcome["switched"] == {"from": "openai:gpt-5-thinking", "to": "anthropic:claude-sonnet", "reason": "outage"}
    assert outcome["calls"] == {"openai:gpt-5-thinking": 5, "anthropic:claude-sonnet": 1}
    assert outcome["tickets"] == 1
    assert outcome["rawTranscriptSent"] is False
    assert re.fullmatch(r"chk-[0-9a-f]{12}", outcome["checkpoint"])
    assert re.fullmatch(r"exec-\d{8}-\d{3}", outcome["execution"])


def test_the_demo_tells_the_story_and_its_proof(told: tuple[Path, str]) -> None:
    _, text = told

    assert "create_ticket" in text
    assert "tickets in the outside world: 1" in text
    assert "raw transcript of the old part sent to the new provider: no" in text
    assert "Traceback" not in text


def test_its_three_commands_work_when_pasted(told: tuple[Path, str]) -> None:
    home, text = told
    commands = [line.strip() for line in text.splitlines() if line.startswith("  joch ")]
    assert [command.split()[1] for command in commands] == ["trace", "route", "describe"]

    trace, route, checkpoint = (joch(home, *shlex.split(command)[1:]) for command in commands)

    assert [run.returncode for run in (trace, route, checkpoint)] == [0, 0, 0]
    assert "ProviderSwitched" in trace.stdout
    assert "openai:gpt-5-thinking → anthropic:claude-sonnet" in trace.stdout
    assert "failed" in route.stdout
    assert "chosen" in route.stdout
    for line in ("kind: StateCheckpoint", "userGoal: Analyze competitive landscape for agent ops tools",
                 "- Five competitors in scope", "- Excluded SDK-only entrants", "fromBackend: openai:gpt-5-thinking"):  # fmt: skip
        assert line in checkpoint.stdout


def test_the_switch_in_the_trace_has_from_to_checkpoint_deltas_and_reason(told: tuple[Path, str]) -> None:
    home, text = told
    conversation = re.search(r"joch trace (\S+)", text)
    assert conversation is not None

    run = joch(home, "trace", conversation[1], "-o", "json")

    (switch,) = [event["payload"] for event in json.loads(run.stdout) if event["type"] == "ProviderSwitched"]
    assert switch["fromProvider"] == "openai:gpt-5-thinking"
    assert switch["toProvider"] == "anthropic:claude-sonnet"
    assert switch["reason"] == "outage"
    assert switch["checkpointRef"].startswith("chk-")
    assert {"level", "code", "text"} == set(switch["capabilityDeltas"][0])


def test_live_without_keys_says_what_is_missing(tmp_path: Path) -> None:
    run = joch(tmp_path, "demo", "--live")

    assert run.returncode == 2
    assert "OPENAI_API_KEY" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_nothing_but_text_goes_into_a_pipe(told: tuple[Path, str], encoding: str) -> None:
    home, text = told
    conversation = re.search(r"joch trace (\S+)", text)
    assert conversation is not None

    run = joch(home, "trace", conversation[1], PYTHONIOENCODING=encoding)

    assert run.returncode == 0
    assert "\033[" not in run.stdout
    assert ("[warn]" if encoding == "ascii" else "⚠") in run.stdout
