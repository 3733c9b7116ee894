"""`joch calls ls|resolve`: the ledger of side effects, and what an operator decides about a call in doubt."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from joch_core.cli.output import Report, Table, paths
from joch_core.cli.session import current
from joch_core.errors import InvalidArgument, NotFound


def ls(
    in_doubt: Annotated[bool, typer.Option("--in-doubt", help="Only calls of which nobody knows how they ended.")] = False,
) -> Report:
    """List tool calls with side effects, oldest first. Calls whose process has died are marked `Unknown` first."""
    from joch_core.stores.ledger import calls

    with current().joch() as joch:
        found = calls(joch.store, joch.namespace, datetime.now(UTC), in_doubt_only=in_doubt)
    rows = [
        (
            call["metadata"]["name"],
            paths(call, "spec", "toolRef", "name"),
            paths(call, "status", "phase"),
            paths(call, "spec", "sideEffects", "level"),
            paths(call, "spec", "conversationRef", "name"),
            paths(call, "status", "startedAt"),
        )
        for call in found
    ]
    empty = "no calls in doubt" if in_doubt else "no calls with side effects"
    return Report(list(found), Table(("KEY", "TOOL", "PHASE", "EFFECT", "CONVERSATION", "STARTED"), rows, empty))


def resolve(
    key: Annotated[str, typer.Argument(help="The key, as `joch calls ls` shows it.")],
    done: Annotated[bool, typer.Option("--done", help="It happened; it will never run again.")] = False,
    not_done: Annotated[bool, typer.Option("--not-done", help="It did not happen; it may run again.")] = False,
    result: Annotated[
        Path | None, typer.Option("--result", help="With --done: a file with the result as JSON; - reads standard input.")
    ] = None,
) -> Report:
    """Say how a call in doubt has ended."""
    from joch_core.stores import ledger

    if done == not_done:
        raise InvalidArgument("say either --done or --not-done")
    if result is not None and not done:
        raise InvalidArgument("--result goes with --done")
    value = None if result is None else _read(result)
    outcome = "done" if done else "not_done"
    with current().joch() as joch:
        try:
            call = ledger.resolve(
                joch.store, joch.namespace, key, "done" if done else "not_done", datetime.now(UTC), result=value
            )
        except InvalidArgument as error:  # a call that is not in doubt: the answer is no, the command was right
            raise NotFound(error.message) from None
    return Report(call, f"call {key} is resolved: {outcome.replace('_', ' ')}")


def _read(file: Path) -> Any:
    if str(file) != "-" and not file.is_file():
        raise InvalidArgument(f"{file}: there is no such file")
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"{file}: is no JSON ({error})") from None
