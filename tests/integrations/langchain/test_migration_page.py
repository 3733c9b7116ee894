"""The page that shows how to move here: what it shows as new is run, with the primary up and down."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from joch_core.testing import Simulator

PAGE = Path(__file__).parents[3] / "docs" / "migrate-to-langchain-joch.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
AFTER = [block for block in BLOCKS if "langchain_joch" in block]


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It rains in {city}."


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("block", range(len(AFTER)))
def test_what_the_page_shows_as_new_runs(
    block: int, down: bool, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if down:
        simulator.fail("openai", status=503)
    shown: dict[str, Any] = {"get_weather": get_weather}

    exec(compile(AFTER[block], PAGE.name, "exec"), shown)

    facts = shown["answer"].response_metadata["joch"]
    assert facts["backend"].startswith("anthropic:" if down else "openai:")
    assert simulator.calls("openai")
    assert down == bool(simulator.calls("anthropic"))


def test_every_block_of_the_page_is_python_and_every_before_has_its_after() -> None:
    for block in BLOCKS:
        ast.parse(block)
    assert PAGE.read_text(encoding="utf-8").count("\nBefore:\n") == 4
    assert len(BLOCKS) - len(AFTER) == 4
