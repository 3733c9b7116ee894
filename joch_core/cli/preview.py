"""`joch preview`: the exact body that a target would receive. Nothing is sent, nothing is written."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from joch_core.cli.output import Report
from joch_core.cli.session import current


def preview(
    conversation: Annotated[str, typer.Argument(help="The conversation.")],
    to: Annotated[str, typer.Option("--to", metavar="PROVIDER:MODEL", help="The backend that would take over.")],
) -> Report:
    """The body that a target would receive; nothing is sent."""
    with current().joch() as joch:
        body = joch.preview(conversation=conversation, to=to)
    return Report(body, json.dumps(body, indent=2, ensure_ascii=False))
