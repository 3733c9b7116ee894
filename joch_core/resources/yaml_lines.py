"""YAML with line numbers, kept to what a resource needs: plain data, no tags, no duplicate keys, no bombs.

Words are read as in YAML 1.2: only `true` and `false` are flags (`no` and `on` are words), and dates stay text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from joch_core.errors import Problem

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 20_000

Path = tuple[str | int, ...]


@dataclass(slots=True)
class Lines:
    """Where each field of a document stands: path -> line, counted from 1."""

    by_path: dict[Path, int] = field(default_factory=dict)

    def of(self, path: Path) -> int | None:
        """The line of a field; of one that is not there, the line of what it would stand in."""
        while path and path not in self.by_path:
            path = path[:-1]
        return self.by_path.get(path)


@dataclass(slots=True)
class Document:
    """One YAML document as plain data."""

    data: Any
    lines: Lines


class _Loader(yaml.SafeLoader):
    """The safe loader with the words of YAML 1.2, and a bound on the depth that is checked before anything recurses."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own way
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"is nested deeper than {MAX_DEPTH} levels", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _tag, _pattern, _first in (
    ("null", r"^(~|null|Null|NULL|)$", [*"~nN", ""]),
    ("bool", r"^(true|True|TRUE|false|False|FALSE)$", [*"tTfF"]),
    ("int", r"^([-+]?[0-9][0-9_]*|0x[0-9a-fA-F]+)$", [*"-+0123456789"]),
    ("float", r"^[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?$", [*"-+0123456789."]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def read(text: str, *, first_line: int = 1) -> tuple[Document | None, list[Problem]]:
    """One YAML document and what is wrong with it as YAML. `first_line` is its first line in the file.

    A document that is empty gives None.
    """
    if len(text.encode()) > MAX_BYTES:
        return None, [Problem(f"is larger than {MAX_BYTES} bytes", line=first_line)]
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(part for part in (error.context, error.problem) if part)
        return None, [Problem(_plain(reason), line=first_line + (mark.line if mark else 0))]
    except yaml.YAMLError as error:
        return None, [Problem(_plain(str(error)), line=first_line)]
    if node is None:
        return None, []
    reader = _Reader(first_line)
    try:
        data = reader.value(node, ())
    except _Refused as refused:
        return None, [refused.problem]
    return Document(data, reader.lines), reader.problems


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class _Reader:
    """Nodes to plain data. Every node counts each time an alias brings it back, so a bomb is seen before it goes off."""

    def __init__(self, first_line: int) -> None:
        self.first_line = first_line
        self.lines = Lines()
        self.problems: list[Problem] = []
        self.nodes = 0
        self.open: set[int] = set()

    def value(self, node: yaml.Node, path: Path) -> Any:
        line = self.first_line + node.start_mark.line
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _Refused(Problem(f"has more than {MAX_NODES} values once its aliases are followed", line=line))
        if id(node) in self.open:
            raise _Refused(Problem("an alias stands inside what it names", line=line))
        self.lines.by_path.setdefault(path, line)
        self.open.add(id(node))
        try:
            match node:
                case yaml.MappingNode() if _sort(node) == "map":
                    return self._mapping(node, path)
                case yaml.SequenceNode() if _sort(node) == "seq":
                    return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
                case _:
                    return self._scalar(node, line, path)
        finally:
            self.open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = self.first_line + key_node.start_mark.line
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Refused(Problem("a field's name must be a word", line=line, field=dotted(path)))
            key = str(key_node.value)
            if key in out:
                first = self.lines.by_path.get((*path, key))
                self.problems.append(
                    Problem(f"stands there twice, first in line {first}", line=line, field=dotted((*path, key)))
                )
                continue
            self.lines.by_path[*path, key] = line
            out[key] = self.value(value_node, (*path, key))
        return out

    def _scalar(self, node: yaml.Node, line: int, path: Path) -> Any:
        sort, text = _sort(node), str(node.value)
        try:
            match sort:
                case "str":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    return int(text.replace("_", ""), 16 if "x" in text else 10)
                case "float":
                    return float(text.replace("_", ""))
        except (ValueError, KeyError):
            raise _Refused(Problem(f"{text!r} is not what its tag says", line=line, field=dotted(path))) from None
        raise _Refused(Problem(f"tags such as {node.tag!r} are not allowed", line=line, field=dotted(path)))


def _sort(node: yaml.Node) -> str:
    prefix, _, sort = str(node.tag).rpartition("tag:yaml.org,2002:")
    return "" if prefix else sort


def dotted(path: Path) -> str:
    """A path as a person writes it: `spec.rules[0].when`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _plain(reason: str) -> str:
    """PyYAML's reason in one line that says it is about YAML."""
    reason = " ".join(reason.split())
    return reason if reason.startswith("is nested") else f"is no YAML: {reason}"
