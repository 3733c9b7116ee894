"""`joch agents switch`: the compatibility check of a conversation, then (with `--apply`) the switch itself."""

from __future__ import annotations

from typing import Annotated

import typer

from joch_core.app.narrate import mark
from joch_core.cli.output import Report
from joch_core.cli.session import current
from joch_core.errors import InvalidArgument


def switch(
    to: Annotated[str, typer.Option("--to", metavar="PROVIDER:MODEL", help="The backend that takes over.")],
    conversation: Annotated[str, typer.Option("--conversation", metavar="NAME", help="The conversation that moves.")],
    agent: Annotated[str | None, typer.Argument(help="The agent, for the trace.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check only; nothing changes.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Check, then switch.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the trace.")] = "operator",
) -> Report:
    """Check whether a conversation can move to another backend, and move it.

    Exit code 1: something is lost (✗) in a dry run, or the switch is denied.
    """
    if dry_run == apply:
        raise InvalidArgument("joch agents switch needs exactly one of --dry-run and --apply")
    if to.count(":") < 1 or to.startswith(":") or to.endswith(":"):
        raise InvalidArgument(f"--to is {to!r}; it must be PROVIDER:MODEL, such as anthropic:claude-sonnet")
    with current().joch() as joch:
        report = joch.check_switch(conversation=conversation, to=to)
        lines = [{"level": line.level, "code": line.code, "text": line.text} for line in report.lines]
        text = ["Compatibility check:", *(f"{mark(line.level)} {line.text}" for line in report.lines)]
        if dry_run:
            lost = any(line.level == "fail" for line in report.lines)
            data = {"lines": lines, "allowed": report.allowed}
            return Report(data, "\n".join(text), int(lost or not report.allowed))
        checkpoint = joch.switch(conversation=conversation, to=to, reason=reason, agent=agent)
    name = checkpoint.metadata.name
    text += ["", f"Switched {conversation} to {to}; checkpoint {name}", f"See: joch describe statecheckpoint {name}"]
    return Report({"lines": lines, "allowed": True, "checkpoint": name}, "\n".join(text))
