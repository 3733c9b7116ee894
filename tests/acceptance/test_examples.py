"""Each example runs offline, as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SAYS = {
    "01_swap_chat_openai.py": ["answered by anthropic:claude-sonnet", "because of outage"],
    "02_route_with_residency_and_budget.py": [
        "answered by anthropic:eu-sonnet",
        "requests outside the EU: 0",
        "refused: route",
    ],
    "03_checkpointer.py": ["['begin', 'step 1', 'again', 'step 3']"],
    "04_switch_by_the_operator.py": ["✓ Text conversation supported", "now on anthropic:claude-sonnet"],
    "05_side_effect_guard.py": ["sent 1 e-mail; the repeat was already done True", "send_email Succeeded"],
    "06_failover_is_seen.py": [
        "joch.provider_switched from openai:gpt-5-mini to anthropic:claude-sonnet because of outage",
        "traced as anthropic after 2 requests",
    ],
}


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_an_example_runs_offline(name: str, tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY") and not key.startswith("JOCH_")}

    run = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=tmp_path,
        env={**clean, "HOME": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert [words for words in SAYS[name] if words not in run.stdout] == []
