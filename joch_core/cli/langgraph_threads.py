"""`joch langgraph threads` and `joch langgraph prune`: what LangGraph keeps in the store, and shortening it.

The work is the plug's (`langgraph-checkpoint-joch`), which is loaded by its name; the core depends on no framework.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Annotated, Any

import typer

from joch_core.app.moments import moment
from joch_core.cli.output import Report, Table
from joch_core.cli.session import current
from joch_core.errors import InvalidArgument, NotFound
from joch_core.resources.events import instant

_PLUG = "langgraph.checkpoint.joch"
_INSTALL = "this needs the checkpointer for LangGraph: pip install 'joch[langgraph]'"


def threads() -> Report:
    """The threads of LangGraph in the store."""
    plug = load_plug()
    with open_saver(plug) as saver:
        found = saver.threads()
    data = [
        {
            "thread": one.thread,
            "checkpoints": one.checkpoints,
            "namespaces": one.lanes,
            "newest": one.newest,
            "updated": None if one.updated is None else instant(one.updated),
        }
        for one in found
    ]
    rows = [(row["thread"], row["checkpoints"], row["namespaces"], row["updated"]) for row in data]
    return Report(data, Table(("THREAD", "CHECKPOINTS", "NAMESPACES", "UPDATED"), rows, "there are no threads of LangGraph"))


def prune(
    names: Annotated[list[str] | None, typer.Argument(metavar="THREAD", help="Which threads.")] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Every thread that was last written before: 90d, 12h, a date.")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the threads away; else the newest state stays.")] = False,
    encrypt: Annotated[
        str | None, typer.Option("--encrypt", help="Where the key of encrypted threads is: env:NAME or secret:NAME.")
    ] = None,
) -> Report:
    """Shorten threads to their newest state, or take them away; a thread is never cut in the middle."""
    if bool(names) == bool(older_than):
        raise InvalidArgument("name the threads, or say --older-than 90d")
    strategy = "delete" if delete else "keep_latest"
    plug = load_plug()
    with open_saver(plug, encrypt=encrypt or ()) as saver:
        if names:
            there = {one.thread for one in saver.threads()}
            missing = [one for one in names if one not in there]
            if missing:
                raise NotFound(f"there is no thread {missing[0]!r}; see: joch langgraph threads")
            saver.prune(names, strategy=strategy)
        else:
            names = list(saver.expire(_age(older_than), strategy=strategy))
    done = "deleted" if delete else "cut to the newest state"
    count = "1 thread" if len(names) == 1 else f"{len(names)} threads"
    return Report({"threads": names, "strategy": strategy}, f"{count} {done}")


def load_plug() -> Any:
    """The plug.

    Raises:
        InvalidArgument: it is not installed.
    """
    try:
        return import_module(_PLUG)
    except ImportError:
        raise InvalidArgument(_INSTALL) from None


def open_saver(plug: Any, **options: Any) -> Any:
    """A saver on the store of this command line."""
    session = current()
    return plug.JochSaver(session.store, namespace=session.namespace, **options)


def _age(text: str | None) -> timedelta:
    bound = moment(text)
    assert bound is not None
    return datetime.now(UTC) - bound
