"""The shape of a kind: which fields stand where. Read from the classes, for messages, for editors and for the loader."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from joch_core.resources.base import Spec


@dataclass(frozen=True, slots=True)
class Shape:
    """What may stand at a place: named fields, free keys, a list, or one plain value.

    `fields` are the named ones, `item` is what an element of a list or of a free mapping looks like.
    """

    form: Literal["fields", "free", "list", "plain"]
    spec: type[Spec] | None = None
    item: Shape | None = None

    @property
    def fields(self) -> Mapping[str, Shape]:
        """The named fields, in the order of the class."""
        return shapes(self.spec) if self.spec is not None else {}


PLAIN = Shape("plain")


@cache
def shapes(spec: type[Spec]) -> Mapping[str, Shape]:
    """The fields of a group by their YAML names."""
    return {alias(name, field): shape_of(field.annotation) for name, field in spec.model_fields.items()}


def alias(name: str, field: FieldInfo) -> str:
    """How a field is written in YAML."""
    return field.alias or name


def shape_of(annotation: Any) -> Shape:
    """The shape of a type. Of several, the one with the most structure."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return shape_of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        found = [shape_of(part) for part in get_args(annotation)]
        return min(found, key=lambda shape: ("fields", "list", "free", "plain").index(shape.form))
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return Shape("fields", annotation)
    parts = get_args(annotation)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Shape("free", item=shape_of(parts[1]))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return Shape("list", item=shape_of(parts[0]))
    return PLAIN


def at(shape: Shape, path: Sequence[str | int]) -> Shape:
    """The shape below another one; where the path leads nowhere, a plain value."""
    for step in path:
        below = shape.item if shape.form in ("list", "free") else shape.fields.get(str(step))
        if below is None:
            return PLAIN
        shape = below
    return shape
