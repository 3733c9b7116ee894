"""`kill -9` right after a side effect: whatever the agent does next, the effect is there once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from joch_core import Joch
from joch_core.testing import Simulator

AGENT = Path(__file__).with_name("agent_with_ticket.py")
CALL = {"tool_calls": [{"name": "create_ticket", "args": {"subject": "prices"}}]}


def run(simulator: Simulator, folder: Path, how: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(AGENT), f"sqlite:///{folder / 'joch.db'}", str(folder / "world"), how],
        capture_output=True,
        text=True,
        env={**os.environ, **simulator.env(), **env},
        timeout=110,
        check=False,
    )


def tickets(folder: Path) -> list[str]:
    return (folder / "world").read_text().splitlines()


@pytest.mark.parametrize("how", ["resume", "ask again"])
def test_an_agent_that_is_killed_after_the_ticket_creates_no_second_one(tmp_path: Path, how: str) -> None:
    with Simulator() as simulator:
        simulator.script([CALL, CALL, "The ticket may exist already; please check."], provider="openai")
        killed = run(simulator, tmp_path, "ask", KILL_AFTER_TICKET="1")
        assert killed.returncode == -9
        assert tickets(tmp_path) == ["prices"]

        resumed = run(simulator, tmp_path, how)

        assert resumed.returncode == 0, resumed.stderr
        assert tickets(tmp_path) == ["prices"]
        with Joch(store=f"sqlite:///{tmp_path / 'joch.db'}") as joch:
            (call,) = joch.calls(in_doubt=True)
        assert call["status"]["phase"] == "Unknown"
        assert "unknown" in json.dumps(simulator.calls("openai")[-1].body).lower()


def test_an_agent_that_is_killed_finishes_on_another_provider_and_the_ticket_is_there_once(tmp_path: Path) -> None:
    with Simulator() as simulator:
        simulator.script([CALL], provider="openai")
        simulator.script(["Somebody should check the tracker."], provider="anthropic")
        run(simulator, tmp_path, "ask", KILL_AFTER_TICKET="1")
        simulator.fail("openai", status=503)

        resumed = run(simulator, tmp_path, "resume")

        assert resumed.returncode == 0, resumed.stderr
        assert json.loads(resumed.stdout)["answer"] == "Somebody should check the tracker."
        assert tickets(tmp_path) == ["prices"]


def test_without_the_ledger_the_ticket_is_there_more_than_once(tmp_path: Path) -> None:
    """The negative control: if this one ticket were enough to pass the tests above, they would prove nothing."""
    with Simulator() as simulator:
        simulator.script([CALL, CALL, "done"], provider="openai")
        run(simulator, tmp_path, "ask", KILL_AFTER_TICKET="1", WITHOUT_LEDGER="1")

        run(simulator, tmp_path, "resume", WITHOUT_LEDGER="1")

        assert len(tickets(tmp_path)) > 1
