"""`joch calls`: what an operator sees of the ledger and decides."""

import json

import pytest

from joch_core.cli.main import run
from joch_core.resources.tools import tool
from joch_core.stores import open_store
from joch_core.stores.ledger import Guard


@pytest.fixture
def url(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/joch.db"
    monkeypatch.setenv("JOCH_STORE", url)
    monkeypatch.setenv("JOCH_HOME", str(tmp_path))
    store = open_store(url)
    guard = Guard(store, "default", "conv")

    @tool(effect="financial", name="pay")
    def pay(amount: int):
        if amount == 0:
            raise ValueError("declined?")
        return {"paid": amount}

    guard.call(pay, {"amount": 5})
    with pytest.raises(ValueError):
        guard.call(pay, {"amount": 0})
    store.close()
    return url


def listed(capsys, *options):
    assert run(["calls", "ls", "-o", "json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_ledger_is_listed_as_tool_calls(url, capsys):
    assert [call["status"]["phase"] for call in listed(capsys)] == ["Succeeded", "Unknown"]
    assert [call["spec"]["input"] for call in listed(capsys, "--in-doubt")] == [{"amount": 0}]
    assert {call["kind"] for call in listed(capsys)} == {"ToolCall"}


def test_a_call_in_doubt_is_resolved_with_a_result(url, capsys, tmp_path):
    (key,) = (call["metadata"]["name"] for call in listed(capsys, "--in-doubt"))
    (tmp_path / "result.json").write_text('{"paid": 0}')

    assert run(["calls", "resolve", key, "--done", "--result", str(tmp_path / "result.json")]) == 0

    capsys.readouterr()
    assert listed(capsys, "--in-doubt") == []
    assert listed(capsys)[1]["status"]["output"] == {"paid": 0}
    assert run(["calls", "resolve", key, "--not-done"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nobody", "--done"], 1),
        (["nobody"], 2),
        (["nobody", "--done", "--not-done"], 2),
        (["x", "--not-done", "--result", "f"], 2),
        ([], 2),
    ],
)
def test_what_cannot_be_resolved_says_why(url, capsys, arguments, code):
    assert run(["calls", "resolve", *arguments]) == code

    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_an_empty_ledger_is_no_failure(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JOCH_HOME", str(tmp_path))

    assert run(["calls", "ls", "--store", f"sqlite:///{tmp_path}/empty.db"]) == 0
    assert "no calls" in capsys.readouterr().err
