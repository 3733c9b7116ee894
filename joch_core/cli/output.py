"""The only place that prints. Commands return a `Report`; here it becomes a table, JSON or YAML on standard output.

Nothing but data goes to standard output. In a pipe and with NO_COLOR there is no escape code; a terminal that knows only
ASCII gets `[ok] [warn] [fail]` for `✓ ⚠ ✗`. Control characters in data are shown, never obeyed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from joch_core.cli.session import Output

MARKS = {"ok": "✓", "warn": "⚠", "fail": "✗"}

_ASCII = str.maketrans(
    {
        "✓": "[ok]", "⚠": "[warn]", "✗": "[fail]", "→": "->", "←": "<-", "…": "...", "–": "-", "—": "-", "·": "-", "•": "*",
        "×": "x", "│": "|", "─": "-", "└": "`", "├": "|", "‘": "'", "’": "'", "“": '"', "”": '"',
    }
)  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_COLORS = {"✓": "32", "⚠": "33", "✗": "31"}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings. A cell that is None is shown as `-`. `empty` is said on standard error if there is no row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    empty: str = ""

    def __str__(self) -> str:
        if not self.rows:
            return ""
        cells = [list(self.columns), *([_cell(value) for value in row] for row in self.rows)]
        widths = [max(len(row[index]) for row in cells) for index in range(len(self.columns))]
        return "\n".join(
            "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a command found: `data` for JSON and YAML, `text` for people, and the exit code (1: the answer is no)."""

    data: Any
    text: str | Table
    code: int = 0


def show(report: Report, output: Output) -> None:
    """Print a report in the form that was asked for."""
    match output:
        case "json":
            text = json.dumps(report.data, indent=2, ensure_ascii=not _unicode(sys.stdout), default=str)
        case "yaml":
            text = as_yaml(report.data).rstrip("\n")
        case "table":
            text = str(report.text)
            if isinstance(report.text, Table) and not report.text.rows:
                complain(report.text.empty)
    if text:
        _write(sys.stdout, text, colors=output == "table")


def line(text: str) -> None:
    """Print one line at once: for commands whose output grows while they run."""
    _write(sys.stdout, text)


def complain(text: str) -> None:
    """Print a sentence on standard error; nothing, if there is nothing to say."""
    if text:
        _write(sys.stderr, text, colors=False)


def as_yaml(data: Any) -> str:
    """Plain data as YAML, in the order of its fields."""
    import yaml

    plain = json.loads(json.dumps(data, default=str))
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=_unicode(sys.stdout), width=120)
    return text


def paths(data: Any, *names: str) -> Any:
    """The value below these names; None where the way ends."""
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _cell(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return MARKS["ok"] if value else "-"
        case str():
            return " ".join(value.split())
        case Iterable():
            return ", ".join(map(str, value)) or "-"
    return str(value)


def _unicode(stream: TextIO | None) -> bool:
    try:
        "✓⚠✗".encode((stream and stream.encoding) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _write(stream: TextIO | None, text: str, *, colors: bool = True) -> None:
    if stream is None:  # closed by the caller (`>&-`): nobody listens
        return
    text = _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)
    if not _unicode(stream):
        text = text.translate(_ASCII)
    elif colors and stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        text = re.sub("[✓⚠✗]", lambda mark: f"\033[{_COLORS[mark.group()]}m{mark.group()}\033[0m", text)
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
