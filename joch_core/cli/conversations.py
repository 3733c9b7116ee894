"""`joch conversations export|import`: portable logs, whose running hash shows any edit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from joch_core.cli.output import Report
from joch_core.cli.session import current
from joch_core.errors import InvalidArgument


def export(name: Annotated[str, typer.Argument(help="The conversation.")]) -> Report:
    """Print a conversation as portable JSON (`joch.dev/conversation.v1`)."""
    with current().joch() as joch:
        found = joch.conversation(name).export()
    return Report(found, json.dumps(found, indent=2, ensure_ascii=False))


def import_(
    file: Annotated[Path, typer.Argument(help="What `export` has written; - reads standard input.")],
    name: Annotated[str | None, typer.Option("--as", help="A new name for it.")] = None,
) -> Report:
    """Take in an exported conversation. An edited log is refused by its hash."""
    if str(file) != "-" and not file.is_file():
        raise InvalidArgument(f"{file}: there is no such file")
    try:
        data = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{file}: is no JSON ({error})") from None
    with current().joch() as joch:
        conversation = joch.import_conversation(data, name=name)
    return Report({"conversation": conversation.name}, f"conversation {conversation.name} imported")
