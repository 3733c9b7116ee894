"""The front door: every public name is there, and opening it loads nothing heavy."""

import subprocess
import sys

import joch_core

HEAVY = (
    "openai", "anthropic", "google.genai", "httpx", "httpx2", "langchain_core", "langgraph", "llama_index", "pydantic",
    "yaml", "typer", "rich", "sqlite3", "psycopg",
)  # fmt: skip


def test_every_public_name_can_be_imported() -> None:
    missing = [name for name in joch_core.__all__ if not hasattr(joch_core, name)]

    assert missing == []


def test_the_public_names_are_sorted_and_stand_once() -> None:
    assert list(joch_core.__all__) == sorted(set(joch_core.__all__))


def test_importing_joch_core_loads_no_sdk_and_no_framework() -> None:
    code = f"import sys, joch_core; print([name for name in {HEAVY!r} if name in sys.modules])"

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "[]"


def test_using_the_application_loads_no_sdk_until_a_call_is_made() -> None:
    sdks = ("openai", "anthropic", "google.genai", "httpx", "httpx2", "langchain_core", "langgraph", "llama_index")
    code = f"import sys; from joch_core import Joch; Joch(store='sqlite:///:memory:').close(); print([name for name in {sdks!r} if name in sys.modules])"

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "[]"
