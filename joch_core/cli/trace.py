"""`joch trace`: the events of a conversation or an execution, one line or more each, the first at once."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime
from heapq import merge
from pathlib import Path
from typing import Annotated

import typer

from joch_core.app.moments import moment
from joch_core.app.narrate import narrate
from joch_core.cli.output import Report, line
from joch_core.cli.session import current
from joch_core.cli.trace_graph import STEP, GraphTimeline, as_json
from joch_core.errors import InvalidArgument, NotFound
from joch_core.resources.events import Event

_POLL_S = 0.3


def trace(
    name: Annotated[str, typer.Argument(metavar="CONVERSATION|EXECUTION", help="Whose events.")],
    since: Annotated[str | None, typer.Option(help="Only the newest: 30m, 1h, 7d, or a date.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing what comes, until Ctrl-C.")] = False,
    kind: Annotated[list[str] | None, typer.Option("--type", help="Only events of this type; may be repeated.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one self-contained web page instead.")] = None,
) -> Report | None:
    """The event timeline."""
    begin = moment(since)
    session = current()
    if follow and session.output == "yaml":
        raise InvalidArgument("--follow prints lines as they come; leave -o out or take -o json")
    if follow and html is not None:
        raise InvalidArgument("--html writes what has happened so far; leave --follow out")
    with session.joch() as joch:
        graph = GraphTimeline(joch, name)
        if not any(True for _ in joch.events(name)) and not graph.exists:
            raise NotFound(f"no conversation or execution is called {name!r} in namespace {joch.namespace!r}")
        wanted = set(kind or ())
        steps = graph.fresh(begin) if not wanted or STEP in wanted else []
        every = merge(joch.events(name, since=begin), steps, key=lambda event: event.at)
        found = (event for event in every if not wanted or event.type in wanted)
        if html is not None:
            return write_page(name, list(found), html)
        if session.output != "table" and not follow:
            return Report([as_json(event) for event in found], "")
        last = 0
        for event in found:
            last = max(last, event.sequence)
            _print(event, plain=session.output == "json")
        while follow:
            time.sleep(_POLL_S)
            for event in joch.events(name, after=last):
                last = event.sequence
                if not wanted or event.type in wanted:
                    _print(event, plain=session.output == "json")
            for step in graph.fresh() if not wanted or STEP in wanted else ():
                _print(step, plain=session.output == "json")
    return None


def write_page(name: str, events: Sequence[Event], file: Path) -> Report:
    """The trace as a web page in `file`, whole or not at all."""
    from joch_core.app.page import page

    fresh = file.with_name(file.name + ".new")
    try:
        fresh.write_text(page(name, events), encoding="utf-8")
        fresh.replace(file)
    except OSError as problem:
        raise InvalidArgument(f"--html: cannot write {file}: {problem.strerror}") from problem
    return Report({"html": str(file), "events": len(events)}, f"{len(events)} events written to {file}")


def _print(event: Event, *, plain: bool) -> None:
    line(json.dumps(as_json(event), ensure_ascii=False) if plain else timeline(event))


def timeline(event: Event) -> str:
    """One event for people: when, what kind, what happened; further lines are indented."""
    first, *more = narrate(event).split("\n")
    indent = " " * 33
    return "\n".join([f"{_clock(event.at)}  {event.type:<19}  {first}", *(f"{indent}{text}" for text in more)])


def _clock(at: datetime) -> str:
    return at.strftime("%H:%M:%S.%f")[:-3]
