"""The command line as such: options at any place, one sentence on standard error, exit codes, completion, start-up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from joch_core import errors
from joch_core.cli import output
from joch_core.cli.main import COMMANDS, exit_code, find
from joch_core.cli.output import Report, Table
from joch_core.cli.session import take_options
from joch_core.errors import InvalidArgument

Joch = Callable[..., Any]


def script(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    code = "from joch_core.cli.main import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, **settings)


@pytest.mark.parametrize(
    "line",
    [
        "-n a -o json get models",
        "get -n a models -o json",
        "get models --namespace=a --output=json",
        "get models -na -ojson",
    ],
)
def test_the_common_options_stand_at_any_place(line: str) -> None:
    words = line.replace("-na ", "-n a ").split()
    session, rest = take_options(words)

    assert (session.namespace, session.output, rest) == ("a", "json", ["get", "models"])


def test_what_follows_two_dashes_is_left_alone() -> None:
    session, rest = take_options(["--store", "sqlite:///x", "get", "--", "-n", "a"])

    assert (session.store, session.namespace, rest) == ("sqlite:///x", None, ["get", "--", "-n", "a"])


@pytest.mark.parametrize("words", [["-o"], ["-o", "xml"], ["--store"]])
def test_a_common_option_without_a_good_value_is_wrong_use(words: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        take_options(words)


def test_the_longest_command_wins() -> None:
    row, rest = find(["models", "check", "--route", "x"])
    assert row is not None
    assert (row.words, rest) == ("models check", ["--route", "x"])
    row, rest = find(["models", "--provider", "check"])
    assert row is not None
    assert (row.words, rest) == ("models", ["--provider", "check"])


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        ("gett models", 2, "joch has no command 'gett models'; did you mean 'joch get'?"),
        ("agents", 2, "joch agents needs one of: switch"),
        ("models chek", 2, "chek"),
        ("version --colour", 2, "No such option: --colour; see joch version --help"),
        ("schema", 2, "Missing argument 'KIND'; see joch schema --help"),
        ("schema modelrout", 2, "unknown kind 'modelrout'; did you mean 'ModelRoute'?"),
        ("-o xml version", 2, "--output must be table, json or yaml, not 'xml'"),
        ("completion csh", 2, "'csh'"),
        ("models --provider opnai", 2, "unknown provider 'opnai'; did you mean 'openai'?"),
        ("models check", 2, "name the route to check: joch models check --route NAME"),
        ("models check --route r --target gpt-5", 2, "'gpt-5' is no backend"),
        ("describe model", 2, "joch describe needs a name: joch describe model NAME"),
        ("delete policy", 2, "joch delete needs a name: policy/NAME"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(joch: Joch, line: str, code: int, sentence: str) -> None:
    seen = joch(*line.split())

    assert seen.code == code
    assert seen.out == ""
    assert sentence in seen.err
    assert seen.err.count("\n") == 1
    assert not any(sign in seen.err for sign in "│╭╰")
    assert "Traceback" not in seen.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidArgument("x"), 2),
        (errors.InvalidResource([]), 1),
        (errors.NotFound("x"), 1),
        (errors.PolicyDenied("x"), 1),
        (errors.MigrationRefused("x"), 1),
        (errors.OutcomeUnknown("x"), 1),
        (errors.ConversationConflict("x"), 1),
        (errors.StoreError("x"), 3),
        (errors.RouteExhausted("x"), 3),
        (errors.ProviderError("timeout", "x"), 3),
        (RuntimeError("x"), 3),
    ],
)
def test_each_failure_has_its_exit_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_the_version_and_the_help_are_data(joch: Joch) -> None:
    assert joch("version").out.startswith("joch ")
    assert joch("--version").out.startswith("joch ")
    assert set(joch("version", "-o", "json").data) == {"joch", "python", "catalog"}
    everything = joch("--help").out
    assert all(row.words in everything for row in COMMANDS)
    assert "switch" in joch("agents", "--help").out
    assert "--namespace" in joch("schema", "--help").out


def test_every_command_has_a_module_and_a_line_of_help() -> None:
    for row in COMMANDS:
        assert row.help
        assert row.help[0].isupper()
    assert len({row.words for row in COMMANDS}) == len(COMMANDS)
    assert find_spec("joch_core.cli.about") is not None


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_names_every_command(joch: Joch, shell: str) -> None:
    seen = joch("completion", shell)

    assert seen.code == 0
    assert all(word in seen.out for row in COMMANDS for word in row.words.split())
    assert "modelroute" in seen.out


def test_the_bash_script_completes(joch: Joch) -> None:
    body = joch("completion", "bash").out
    ask = 'COMP_WORDS=(joch get modelr); COMP_CWORD=2; _joch; echo "${COMPREPLY[@]}"'
    found = subprocess.run(["bash", "-c", f"{body}\n{ask}"], capture_output=True, text=True, check=True)

    assert found.stdout.split() == ["modelroute"]


def test_the_schema_of_a_kind_is_json_in_every_form(joch: Joch) -> None:
    assert joch("schema", "modelroutes").data["title"] == "ModelRoute"
    assert joch("schema", "Model", "-o", "yaml").data["title"] == "Model"


def test_no_escape_code_leaves_into_a_pipe_and_control_characters_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    output.show(Report({}, "✓ fine \x1b[31mred\x07"), "table")

    assert capsys.readouterr().out == "✓ fine \\x1b[31mred\\x07\n"


def test_an_ascii_terminal_gets_words_for_marks() -> None:
    code = "from joch_core.cli.output import *; show(Report(['✓'], '✓ a → b\\n⚠ c…\\n✗ Grüße'), 'table')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)

    assert seen.stdout == "[ok] a -> b\n[warn] c...\n[fail] Gr\\xfc\\xdfe\n"


def test_a_table_lines_up_and_an_empty_cell_is_a_dash() -> None:
    table = Table(["NAME", "TOOLS"], [["a", True], ["longer", None], ["x", ["eu", "us"]]])

    assert str(table) == "NAME     TOOLS\na        ✓\nlonger   -\nx        eu, us"
    assert str(Table(["NAME"], [], "nothing here")) == ""


def test_a_closed_pipe_is_quiet() -> None:
    code = "from joch_core.cli.main import main; main()"
    line = f"{sys.executable} -c '{code}' schema model | head -1; exit ${{PIPESTATUS[0]}}"
    seen = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)

    assert (seen.returncode, seen.stderr, seen.stdout) == (0, "", "{\n")


def test_a_traceback_is_shown_only_when_it_is_asked_for() -> None:
    plain, debug = script("schema", "nothing"), script("schema", "nothing", "--debug")

    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
    assert plain.returncode == debug.returncode == 2


def test_the_command_line_starts_without_frameworks_and_sdks() -> None:
    code = """
import sys
from joch_core.cli.main import run
run(["--help"])
heavy = {"pydantic", "yaml", "typer", "rich", "sqlite3", "openai", "anthropic", "joch_core.app", "joch_core.stores"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert seen.returncode == 0, seen.stderr


def test_with_standard_output_closed_nothing_is_said_and_nothing_fails() -> None:
    code = "from joch_core.cli.main import main; main()"
    for words in ("version", "models", "models -o json", "models -o yaml"):
        closed = subprocess.run(
            ["sh", "-c", f'exec "$0" -c "$1" {words} >&-', sys.executable, code],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert (closed.returncode, closed.stderr) == (0, "")
