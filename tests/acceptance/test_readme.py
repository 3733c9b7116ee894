"""The README's quickstart, block by block, as a stranger pastes it into an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def blocks() -> list[str]:
    section = README.read_text().split("## Quickstart", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```bash\n(.*?)```", section, re.DOTALL)


def test_the_quickstart_runs_line_by_line_without_network_keys_or_repository(tmp_path: Path) -> None:
    tools = str(Path(sys.executable).parent)
    clean = {
        name: value for name, value in os.environ.items() if not name.endswith("_API_KEY") and not name.startswith("JOCH_")
    }
    script = "set -eu\ntrap 'kill $(jobs -p)' EXIT\n" + "\n".join(blocks())
    script = script.replace("--port 8642", "--port 0")  # the tests of two machines may run side by side

    run = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**clean, "PATH": f"{tools}:{clean['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "anthropic:claude-sonnet - switched from openai:gpt-5-thinking because of outage" in run.stdout
    assert "ProviderSwitched" in run.stdout
    assert "Five competitors in scope" in run.stdout
    assert "NotReady" in run.stdout
    assert "as expected" in run.stdout


def test_there_is_something_to_paste() -> None:
    assert len(blocks()) >= 5
