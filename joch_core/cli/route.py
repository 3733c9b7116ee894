"""`joch route EXECUTION --explain`: every candidate, its verdict and reason, what was called, what it cost, why it switched."""

from __future__ import annotations

from typing import Annotated

import typer

from joch_core.app.explain import Explanation
from joch_core.app.narrate import mark
from joch_core.cli.output import Report
from joch_core.cli.session import current
from joch_core.messages import Json


def route(
    execution: Annotated[str, typer.Argument(metavar="EXECUTION", help="Its name: exec-YYYYMMDD-NNN.")],
    explain: Annotated[bool, typer.Option("--explain", help="Say why, for every candidate (this is the default).")] = True,
) -> Report:
    """Why an execution went where it went, rebuilt from stored events alone."""
    del explain  # the specification writes it; there is nothing else to show
    with current().joch() as joch:
        found = joch.explain(execution)
    return Report(found.as_json(), as_text(found))


def as_text(found: Explanation) -> str:
    """An explanation for people."""
    lines = [f"Execution {found.execution}, route {found.route or '-'}"]
    for number, call in enumerate(found.calls, 1):
        lines += ["", f"Call {number} at {call['at'][11:19]} UTC", *_candidates(call), *_attempts(call), *_switches(call)]
        cost = "unknown" if call["costUsd"] is None else f"${call['costUsd']}"
        lines.append(f"  cost {cost}")
    return "\n".join(lines)


_SIGNS = {"chosen": "✓", "failed": "✗", "denied": "✗", "skipped": "⚠", "not_tried": "·"}


def _candidates(call: Json) -> list[str]:
    rows = call["candidates"]
    width = max((len(row["backend"]) for row in rows), default=0)
    return [
        f"  {_SIGNS.get(row['verdict'], '·')} {row['backend']:<{width}}  {row['verdict'].replace('_', ' '):<9}  {row['reason']}"
        for row in rows
    ]


def _attempts(call: Json) -> list[str]:
    lines = []
    for number, attempt in enumerate(call["attempts"], 1):
        how = attempt["outcome"] if attempt["outcome"] == "answered" else attempt.get("kind", "failed")
        status = f" {attempt['status']}" if attempt.get("status") else ""
        lines.append(f"  request {number}: {attempt['backend']} {how}{status} in {attempt.get('latencyMs', '?')} ms")
    return lines


def _switches(call: Json) -> list[str]:
    lines = []
    for switch in call["switches"]:
        checkpoint = f", checkpoint {switch['checkpointRef']}" if switch.get("checkpointRef") else ""
        lines.append(f"  switched {switch['fromProvider']} → {switch['toProvider']}: {switch['reason']}{checkpoint}")
        lines += [f"    {mark(delta['level'])} {delta['text']}" for delta in switch.get("capabilityDeltas", ())]
    return lines
