"""`joch doctor`: is this set-up sound, and what is to be done where it is not."""

from __future__ import annotations

from typing import Annotated

import typer

from joch_core.cli.output import MARKS, Report, line
from joch_core.cli.session import current


def doctor(
    ping: Annotated[
        bool, typer.Option("--ping", help="Also open a connection to each provider; nothing is sent, no key is used.")
    ] = False,
) -> Report | None:
    """Check store, clock, routes, keys and versions, and say what to do. Exit code 1 if anything is wrong."""
    from joch_core.app.doctor import examine

    session = current()
    told = session.output == "table"
    findings = []
    with session.joch() as joch:
        for finding in examine(joch, ping=ping):
            findings.append(finding)
            if told:
                todo = f"\n             → {finding.todo}" if finding.todo else ""
                line(f"{MARKS[finding.level]} {finding.area:<9}  {finding.text}{todo}")
    wrong = any(finding.level == "fail" for finding in findings)
    return Report(None if told else [finding.as_json() for finding in findings], "", 1 if wrong else 0)
