"""`joch doctor`: what it finds, what it says to do, and that a key is never shown."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Joch = Callable[..., Any]
_KEY = "sk-canary-7f3a91c2d4e5f60718293a4b5c6d7e8f"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def _findings(outcome: Any, area: str) -> list[tuple[str, str, str]]:
    return [(row["level"], row["text"], row["todo"]) for row in outcome.data if row["area"] == area]


def test_a_missing_key_is_named_with_its_variable_and_a_present_one_is_not_shown(
    joch: Joch, route_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", _KEY)
    joch("apply", "-f", route_file)
    outcome = joch("doctor", "-o", "json")
    assert outcome.code == 1
    keys = _findings(outcome, "keys")
    assert ("ok", "openai has a key in OPENAI_API_KEY", "") in keys
    assert ("fail", "anthropic has no key", "set ANTHROPIC_API_KEY") in keys
    assert _findings(outcome, "store")[0][0] == "ok"
    assert _findings(outcome, "clock")[0][0] == "ok"
    people = joch("doctor")
    assert "✗ keys" in people.out
    assert "→ set ANTHROPIC_API_KEY" in people.out
    assert _KEY not in outcome.out + outcome.err + people.out + people.err


def test_a_broken_chain_fails_the_store(joch: Joch, tmp_path: Path) -> None:
    name = joch("demo", "-o", "json").data["conversation"]
    assert _findings(joch("doctor", "-o", "json"), "store")[0][0] == "ok"
    assert joch("store", "check").code == 0
    with sqlite3.connect(tmp_path / "home" / "joch.db") as database:
        database.execute(
            "UPDATE joch_event SET hash = ? WHERE log = ? AND sequence = 3", (b"\0" * 32, f"conversation/{name}")
        )
    checked = joch("store", "check", "-o", "json")
    assert (checked.code, len(checked.data["problems"])) == (1, 1)
    assert joch("store", "check").out.startswith("✗ ")
    outcome = joch("doctor", "-o", "json")
    assert outcome.code == 1
    [(level, text, todo)] = _findings(outcome, "store")
    assert (level, name in text, "hash chain breaks" in text, bool(todo)) == ("fail", True, True, True)


def test_ping_opens_a_connection_and_sends_nothing(joch: Joch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", _KEY)
    (tmp_path / "one.yaml").write_text(
        "apiVersion: joch.dev/v1alpha1\nkind: ModelRoute\nmetadata: {name: one}\n"
        "spec: {strategy: {primary: openai:gpt-5-mini}}\n"
    )
    joch("apply", "-f", tmp_path / "one.yaml")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("JOCH_PROVIDER_OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
        outcome = joch("doctor", "--ping", "-o", "json")
        server.settimeout(5)
        peer, _ = server.accept()
        with peer:
            assert peer.recv(100) == b""
    assert outcome.code == 0
    assert _findings(outcome, "ping")[0][0] == "ok"
    refused = joch("doctor", "--ping", "-o", "json")  # the server is gone
    assert refused.code == 1
    assert "cannot be reached" in _findings(refused, "ping")[0][1]
