"""No room is too large to live in."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
PACKAGES = ("joch_core", "integrations")


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if ".venv" not in path.parts)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_there_are_modules_to_look_at() -> None:
    assert len(modules()) > 50


def test_no_namespace_package_is_closed_by_an_init_file() -> None:
    for place in (
        "langgraph/langgraph",
        "langgraph/langgraph/checkpoint",
        "llamaindex/llama_index",
        "llamaindex/llama_index/llms",
    ):
        assert not (ROOT / "integrations" / place / "__init__.py").exists()
