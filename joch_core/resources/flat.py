"""Documents that have lost their indentation, as happens when a page is copied as plain text, get it back.

The rule. It is used only where every line of a document begins in the first column, a line `kind:` names a known kind, and a
bare `spec:` is followed by one of that kind's spec fields. Then each line goes to its place by the shape of the kind:

1. A line `name: value` belongs to the innermost open group that knows `name`; groups further in are closed by it.
2. If no open group knows the name, it belongs to the innermost open group with free keys (`labels`), else to the innermost one.
3. A line `- item` belongs to the list that was opened last.
4. After `name: >` or `name: |`, lines are text up to the next line whose name an open group knows.
5. `status` takes whatever the document itself does not know, since it is ignored.

No line is added, removed or moved, so that line numbers stay true.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from joch_core.resources.kinds import KINDS, kind_class
from joch_core.resources.shape import PLAIN, Shape, shapes

_FIELD = re.compile(r"^(?P<name>[A-Za-z_][\w.@/:-]*?):(?:\s+(?P<value>.*))?$")
_KIND = re.compile(r"^kind:\s*[\"']?(\w+)[\"']?\s*(#.*)?$", re.MULTILINE)
_STATUS = Shape("free", item=PLAIN)


@dataclass(frozen=True, slots=True)
class _Open:
    """A group that lines may still belong to, and how far its lines are indented."""

    shape: Shape
    indent: int


def restore(text: str) -> str:
    """The document with its indentation, if it is one that has lost it; else as it is."""
    lines = text.split("\n")
    kind = _flat_kind(text, lines)
    return text if kind is None else "\n".join(_indented(lines, kind))


def _flat_kind(text: str, lines: list[str]) -> str | None:
    found = _KIND.search(text)
    if found is None or found[1] not in KINDS or any(line[:1] in (" ", "\t") and line.strip() for line in lines):
        return None
    content = [line for line in lines if line.strip() and not line.startswith("#")]
    fields = shapes(kind_class(found[1]))["spec"].fields
    for line, following in pairwise(content):
        if re.match(r"^spec:\s*(#.*)?$", line):
            field = _FIELD.match(following)
            return found[1] if field and field["name"] in fields else None
    return None


def _indented(lines: list[str], kind: str) -> list[str]:
    root = Shape("fields", kind_class(kind))
    opened = [_Open(root, 0)]
    text_indent: int | None = None
    out: list[str] = []
    for line in lines:
        if not line.strip() or line.startswith("#"):
            out.append(line)
        elif line.startswith("- ") and text_indent is None and any(group.shape.form == "list" for group in opened):
            while opened[-1].shape.form != "list":
                opened.pop()
            out.append(" " * opened[-1].indent + line)
            _open_item(opened, opened[-1].shape.item or PLAIN, line[2:])
        elif text_indent is not None and not _known(opened, line):
            out.append(" " * text_indent + line)
        else:
            out.append(_placed(opened, line))
            text_indent = opened[-1].indent + 2 if re.search(r":\s+[>|][+-]?\d?\s*$", line) else None
    return out


def _known(opened: list[_Open], line: str) -> bool:
    field = _FIELD.match(line)
    return field is not None and any(_knows(group, field["name"]) for group in opened)


def _knows(group: _Open, name: str) -> bool:
    return name in group.shape.fields or (group.indent == 0 and name == "status")


def _placed(opened: list[_Open], line: str) -> str:
    """The line at its place; the groups that it closes or opens are closed and opened."""
    field = _FIELD.match(line)
    name = field["name"] if field else ""
    depth = next((index for index in range(len(opened) - 1, -1, -1) if _knows(opened[index], name)), None)
    if depth is None:
        forms = [group.shape.form for group in opened]
        depth = len(forms) - 1 - forms[::-1].index("free") if "free" in forms else len(forms) - 1
        while opened[depth].shape.form == "list" and depth > 0:
            depth -= 1
    del opened[depth + 1 :]
    group = opened[-1]
    below = _STATUS if name == "status" and group.indent == 0 else group.shape.fields.get(name, PLAIN)
    bare = field is not None and not re.sub(r"#.*", "", field["value"] or "").strip()
    if bare and below.form != "plain":
        opened.append(_Open(below, group.indent + 2))
    return " " * group.indent + line


def _open_item(opened: list[_Open], item: Shape, rest: str) -> None:
    """A list's element that is a group itself (`- when:`) stays open for the lines that follow it."""
    field = _FIELD.match(rest)
    if item.form != "fields" or field is None:
        return
    indent = opened[-1].indent + 2
    opened.append(_Open(item, indent))
    below = item.fields.get(field["name"], PLAIN)
    if not (field["value"] or "").strip() and below.form != "plain":
        opened.append(_Open(below, indent + 2))
