"""`joch langgraph import`: take over the threads of LangGraph's own checkpointers. The work is the plug's; here it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from joch_core.cli.langgraph_threads import load_plug, open_saver
from joch_core.cli.output import MARKS, Report
from joch_core.cli.session import current
from joch_core.errors import InvalidArgument


def import_(
    source: Annotated[
        str, typer.Option("--from", help="sqlite:///file.db or postgresql://…, as LangGraph's savers wrote it.")
    ],
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="A type of yours in the state, as module:Name; may be repeated.")
    ] = None,
    encrypt: Annotated[
        str | None, typer.Option("--encrypt", help="Encrypt what is taken over: env:NAME or secret:NAME.")
    ] = None,
) -> Report:
    """Take over every thread of another checkpointer, oldest first. May be interrupted and repeated."""
    plug = load_plug()
    allowed = [_named_type(one) for one in allow or ()]
    with plug.open_source(source, allowed) as opened, open_saver(plug, allow=allowed, encrypt=encrypt or ()) as saver:
        try:
            with _progress() as tell:
                report = plug.import_threads(opened, saver, progress=tell)
        except plug.TypeNotAllowed as error:
            raise InvalidArgument(
                f"the state holds a {error.module}.{error.name}, and loading that would run its code;"
                f" if you trust it: --allow {error.module}:{error.name}"
            ) from None
    data = report.as_json()
    good = data["verified"]
    text = (
        f"{MARKS['ok' if good else 'fail']} {data['threads']} threads, {data['checkpoints']} checkpoints,"
        f" {data['writes']} pending writes: {data['imported']} checkpoints taken over, {data['alreadyThere']} were there already"
    )
    return Report(data, "\n".join([text, *(f"  {MARKS['fail']} {one}" for one in data["differences"])]), 0 if good else 1)


def _named_type(text: str) -> tuple[str, str]:
    module, _, name = text.partition(":")
    if not module or not name:
        raise InvalidArgument(f"--allow takes module:Name, as in my_agent.state:Invoice, not {text!r}")
    return module, name


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error, if that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal or current().output != "table":
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("checkpoints"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("checkpoints", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
