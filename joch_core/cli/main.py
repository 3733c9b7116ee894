"""`joch …`: finds the command, imports only its module, and turns what happens into one sentence and an exit code.

A command is a row of `COMMANDS`: its words, its module, its function (with typer's signature) and one line of help. It returns
a `Report`, or None if it has printed by itself.

Exit codes: 0 fine, 1 the answer is no, 2 wrong use, 3 Joch failed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from joch_core.cli.output import Report, complain, line, show
from joch_core.cli.session import Session, begin, take_options
from joch_core.errors import InvalidArgument, JochError, ProviderError, RouteExhausted, StoreError, StreamInterrupted
from joch_core.redaction import redact


@dataclass(frozen=True, slots=True)
class Row:
    """One command: `words` as they are typed, the function `function` of `joch_core.cli.<module>`."""

    words: str
    module: str
    function: str
    help: str


COMMANDS = (
    Row("demo", "demo", "demo", "An agent loses its provider in mid-conversation and finishes on another"),
    Row("apply", "resources", "apply", "Write resources from YAML to the store"),
    Row("validate", "resources", "validate", "Check YAML without writing anything"),
    Row("diff", "resources", "diff", "Show what `apply` would change"),
    Row("delete", "resources", "delete", "Take a resource away"),
    Row("get", "inspect", "get", "List resources, or show one"),
    Row("describe", "inspect", "describe", "Show everything about one resource"),
    Row("schema", "inspect", "schema", "The JSON Schema of a kind, for editors"),
    Row("models", "models", "models", "The capability matrix"),
    Row("models check", "models", "check", "Which candidates satisfy a route, and why not"),
    Row("agents switch", "switch", "switch", "Check, then move a conversation to another backend"),
    Row("route", "route", "route", "Every candidate of an execution, its verdict and reason"),
    Row("trace", "trace", "trace", "The events of a conversation or an execution"),
    Row("calls ls", "calls", "ls", "The ledger of tool calls"),
    Row("calls resolve", "calls", "resolve", "Say how a call in doubt has ended"),
    Row("cost", "cost", "cost", "What was spent"),
    Row("top models", "cost", "top_models", "The models that cost the most"),
    Row("preview", "preview", "preview", "The body that a target would receive; nothing is sent"),
    Row("conversations export", "conversations", "export", "A conversation as portable JSON"),
    Row("conversations import", "conversations", "import_", "Take in an exported conversation"),
    Row("langgraph import", "langgraph_import", "import_", "Take over the threads of another checkpointer of LangGraph"),
    Row("langgraph threads", "langgraph_threads", "threads", "The threads of LangGraph in the store"),
    Row("langgraph prune", "langgraph_threads", "prune", "Shorten threads of LangGraph, or take old ones away"),
    Row("simulate", "simulate", "simulate", "A local double of the providers"),
    Row("store check", "store", "check", "Do the database and every hash chain hold"),
    Row("doctor", "doctor", "doctor", "Is this set-up sound, and what is to be done"),
    Row("completion", "about", "completion", "The completion script of bash, zsh or fish"),
    Row("version", "about", "version", "The version of Joch"),
)

EVERYWHERE = "At any place: -n/--namespace NAME, -o/--output table|json|yaml, --store URL, --debug."


def main() -> None:
    """The script `joch`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """One command line; the exit code."""
    # Looking for plugins of pydantic costs more than most commands, and none has a business here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    session = Session(debug="--debug" in arguments)
    try:
        session, rest = take_options(list(arguments))
        begin(session)
        return _dispatch(session, rest)
    except BrokenPipeError:
        _quiet_end()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # the rim: nothing but one sentence may leave
        if session.debug:
            traceback.print_exc()
        with contextlib.suppress(BrokenPipeError):
            complain(_sentence(error))
        return exit_code(error)


def exit_code(error: Exception) -> int:
    """1: the answer is no, 2: wrong use, 3: Joch or a provider failed."""
    match error:
        case InvalidArgument():
            return 2
        case StoreError() | ProviderError() | RouteExhausted() | StreamInterrupted():
            return 3
        case JochError():
            return 1
    return 2 if _is_usage(error) else 3


def _dispatch(session: Session, arguments: list[str]) -> int:
    row, rest = find(arguments)
    if row is None:
        return _help(arguments)
    command = _command(row)
    result: Any = command.main(args=rest, prog_name=f"joch {row.words}", standalone_mode=False)
    if isinstance(result, Report):
        show(result, session.output)
        return result.code
    return result if isinstance(result, int) else 0


def find(arguments: Sequence[str]) -> tuple[Row | None, list[str]]:
    """The command that the leading words name, the longest first, and the arguments after it."""
    for count in (2, 1):
        words = " ".join(arguments[:count])
        row = next((row for row in COMMANDS if row.words == words), None)
        if row is not None:
            return row, list(arguments[count:])
    return None, list(arguments)


def _command(row: Row) -> Any:
    import typer

    module = import_module(f"joch_core.cli.{row.module}")
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
    app.command(help=None, epilog=EVERYWHERE, context_settings=settings)(getattr(module, row.function))
    return typer.main.get_command(app)


def _help(arguments: list[str]) -> int:
    """The list of commands; or that there is no such command."""
    if arguments[:1] == ["--version"]:
        from joch_core import __version__

        line(f"joch {__version__}")
        return 0
    words = [word for word in arguments if word not in ("-h", "--help", "help")]
    rows = [row for row in COMMANDS if not words or row.words.split()[0] == words[0]]
    asked = len(words) < len(arguments)
    if not rows or len(words) > 1 or (words and not asked):
        raise InvalidArgument(_unknown(words, rows))
    width = max(len(row.words) for row in rows)
    usage = f"joch {words[0]} COMMAND" if words else "joch COMMAND"
    line("\n".join((f"Usage: {usage} …", "", *(f"  {row.words.ljust(width)}   {row.help}" for row in rows), "", EVERYWHERE)))
    return 0


def _unknown(words: list[str], rows: list[Row]) -> str:
    given = " ".join(words)
    if rows and len(words) == 1:
        return f"joch {given} needs one of: {', '.join(row.words.split()[1] for row in rows)}"
    # A group that is known is asked for its commands; else only the first word can have been misspelt.
    asked, known = (
        (given, [row.words for row in rows]) if rows else (words[0], list({row.words.split()[0] for row in COMMANDS}))
    )
    close = get_close_matches(asked, known, n=1, cutoff=0.5)
    hint = f"; did you mean 'joch {close[0]}'?" if close else "; see joch --help"
    return f"joch has no command {given!r}{hint}"


def _is_usage(error: Exception) -> bool:
    return callable(getattr(error, "format_message", None)) and getattr(error, "exit_code", None) == 2  # noqa: PLR2004


def _sentence(error: Exception) -> str:
    """The error in one sentence, without anything that looks like a key."""
    if isinstance(error, JochError):
        return redact(error.message)
    if callable(message := getattr(error, "format_message", None)):
        ctx = getattr(error, "ctx", None)
        hint = f"; see {ctx.command_path} --help" if ctx is not None else ""
        return redact(" ".join(str(message()).split()).rstrip(".") + hint)
    if isinstance(error, ImportError):
        return redact(f"this command cannot be loaded: {error}")
    return redact(f"Joch failed: {type(error).__name__}: {' '.join(str(error).split())} (--debug shows where)")


def _quiet_end() -> None:
    """Nobody reads any more: let the interpreter's last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
