"""`joch demo`: the main job end to end, told as it happens, and proven afterwards from what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from joch_core.cli.demo_run import FALLBACK, PRIMARY, Outcome, run_demo
from joch_core.cli.output import Report, as_yaml, line
from joch_core.cli.route import as_text
from joch_core.cli.session import Session, current
from joch_core.cli.trace import timeline, write_page


def demo(
    live: Annotated[bool, typer.Option("--live", help="Use the real providers; needs their keys, costs money.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the trace as one self-contained page.")] = None,
) -> Report | None:
    """An agent loses its provider in mid-conversation, after it has created a ticket, and finishes on another one."""
    session = current()
    outcome = run_demo(live=live, store=session.store, namespace=session.namespace, quiet=session.output != "table")
    if html is not None:
        with session.joch() as joch:
            write_page(outcome.conversation, joch.trace(outcome.conversation), html)
    if session.output == "table":
        _show(session, outcome)
        return Report(None, "", 0 if outcome.proven else 1)
    return Report(outcome.as_json(), "", 0 if outcome.proven else 1)


def _show(session: Session, outcome: Outcome) -> None:
    """What the three commands of the specification say, and the proof."""
    flags = f" --store {session.store}" if session.store else ""
    flags += f" -n {session.namespace}" if session.namespace else ""
    commands = (
        f"joch trace {outcome.conversation} --since 1h{flags}",
        f"joch route {outcome.execution} --explain{flags}",
        f"joch describe statecheckpoint {outcome.checkpoint}{flags}",
    )
    with session.joch() as joch:
        trace = "\n".join(timeline(event) for event in joch.trace(outcome.conversation, since="1h"))
        texts = (
            trace,
            as_text(joch.explain(outcome.execution)),
            _checkpoint(joch.describe("StateCheckpoint", outcome.checkpoint)),
        )
    for command, text in zip(commands, texts, strict=True):
        line(f"\n$ {command}\n{text}")
    line(_proof(outcome))
    line("Look for yourself:\n" + "\n".join(f"  {command}" for command in commands))


def _checkpoint(resource: object) -> str:
    return as_yaml(resource).rstrip("\n")


def _proof(outcome: Outcome) -> str:
    calls = outcome.calls
    tickets = "\n".join(f"    {json.loads(text)['subject']}" for text in outcome.ticket_lines)
    sent = {False: "no", True: "YES", None: "not measured with real providers"}[outcome.raw_transcript_sent]
    good = "✓" if outcome.proven else "✗"
    return (
        f"\n{good} Measured\n"
        f"  requests to {PRIMARY}: {calls[PRIMARY]}, to {FALLBACK}: {calls[FALLBACK]}\n"
        f"  tickets in the outside world: {outcome.tickets}\n{tickets}\n"
        f"  switched {outcome.switched['from']} → {outcome.switched['to']} ({outcome.switched['reason']})\n"
        f"  raw transcript of the old part sent to the new provider: {sent}\n"
    )
