"""What is wrong with a document, in plain words: each fault of a field with its line, and the name that was probably meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from joch_core.errors import Problem
from joch_core.resources.base import Resource, nearest
from joch_core.resources.shape import Shape, at
from joch_core.resources.yaml_lines import Lines, Path, dotted


def of_validation(error: ValidationError, kind: type[Resource[Any]], lines: Lines) -> list[Problem]:
    """All faults that a validation found, in the order of their lines, each place once."""
    root = Shape("fields", kind)
    found: dict[str, Problem] = {}
    for details in error.errors(include_url=False):
        path = _real(root, details["loc"])
        if details["type"] == "missing":
            where, field = path[:-1], path
        else:
            where, field = path, path
        problem = Problem(_say(details, root, path), line=lines.of(where), field=dotted(field))
        found.setdefault(problem.field, problem)
    return sorted(found.values(), key=lambda problem: (problem.line or 0, problem.field))


def _real(root: Shape, loc: Sequence[int | str]) -> Path:
    """The place of a fault without the names of types that a choice between them puts in."""
    path: Path = ()
    shape = root
    for step in loc:
        if isinstance(step, str) and shape.form == "plain" and path:
            break
        if isinstance(step, str) and shape.form == "fields" and step not in shape.fields and not step.isidentifier():
            continue
        path = (*path, step)
        shape = at(shape, (step,))
    return path


def _say(details: ErrorDetails, root: Shape, path: Path) -> str:
    match details["type"]:
        case "extra_forbidden":
            return _unknown(root, path)
        case "missing":
            return "is missing"
        case "literal_error" | "enum":
            choices = _choices(details)
            return f"must be {_or(choices)}, not {_shown(details['input'])}{_meant(details['input'], choices)}"
        case "string_pattern_mismatch":
            return f"{_shown(details['input'])} is not a valid {_what(path)}"
        case "joch":
            return details["msg"]
    text = _WRONG_TYPE.get(details["type"])
    if text is not None:
        return f"must be {text}, not {_shown(details['input'])}"
    bound = _BOUNDS.get(details["type"])
    if bound is not None:
        word, name = bound
        return f"must be {word} {details.get('ctx', {}).get(name)}, not {_shown(details['input'])}"
    message = details["msg"]
    return message[:1].lower() + message[1:]


_WRONG_TYPE: Mapping[str, str] = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "string_type": "text",
    "model_type": "a group of fields",
    "model_attributes_type": "a group of fields",
    "dict_type": "a group of fields",
    "mapping_type": "a group of fields",
    "tuple_type": "a list",
    "list_type": "a list",
    "string_too_short": "some text",
}

_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def _unknown(root: Shape, path: Path) -> str:
    """An unknown field: the nearest known one, or where it belongs."""
    name = str(path[-1])
    known = at(root, path[:-1]).fields
    if len(path) == 1 and name in root.fields["spec"].fields:
        return "stands beside `spec`; it belongs under it"
    hint = nearest(name, known)
    return f"unknown field{hint}" if hint else "unknown field"


def _choices(details: ErrorDetails) -> list[str]:
    expected = str(details.get("ctx", {}).get("expected", ""))
    return [word.strip("'") for word in expected.replace(" or ", ", ").split(", ") if word]


def _or(choices: Sequence[str]) -> str:
    return (
        choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}" if choices else "something else"
    )


def _meant(value: Any, choices: Sequence[str]) -> str:
    hint = nearest(value, choices) if isinstance(value, str) else ""
    return hint if hint.startswith("; did you mean") else ""


def _shown(value: Any) -> str:
    """The value as it would be written in YAML, cut."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case Mapping():
            return "a group of fields"
        case list() | tuple():
            return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…'"  # noqa: PLR2004  a readable line


def _what(path: Path) -> str:
    return {"baseUrl": "URL (http://… or https://…)", "name": "name"}.get(str(path[-1]) if path else "", "value")
