"""JSON Schema of a kind, for editors: camelCase names, each with the sentence that stands below the field in the class."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from joch_core.messages import Json
from joch_core.resources.base import API_VERSIONS, Spec
from joch_core.resources.kinds import kind_class
from joch_core.resources.shape import Shape, alias, shape_of, shapes

_WORD: Json = {"type": "string"}
_LIST: Json = {"type": "array", "items": _WORD}

#: Short forms that the loader takes: a group may also be a word, and some fields may stand in a second place.
_ALSO_WORD = frozenset({"Ref", "Action", "Scope"})
_ALSO_FIELDS: dict[str, Json] = {
    "RouteSpec": {"failover": {"$ref": "#/$defs/Failover"}},
    "CheckpointSpec": {"activeArtifacts": _LIST, "relevantMemoryRefs": _LIST},
}


def json_schema(kind: str) -> Json:
    """The JSON Schema (draft 2020-12) of one kind, `Model` or `ModelRoute` or …

    Raises:
        KeyError: there is no such kind.
    """
    resource = kind_class(kind)
    schema = resource.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    for spec in _groups(resource):
        place = schema if spec is resource else definitions.get(spec.__name__)
        if place is not None:
            _describe(place, spec)
    for name, definition in definitions.items():
        definition.get("properties", {}).update(_ALSO_FIELDS.get(name, {}))
        if name in _ALSO_WORD:
            definitions[name] = {"anyOf": [_WORD, definition], "description": definition.get("description", "")}
        if "dialect" in definition.get("properties", {}):
            definition["properties"]["dialect"]["type"] = ["string", "object"]
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = kind
    schema["properties"]["apiVersion"] = {"enum": list(API_VERSIONS), "description": "The version of the format."}
    schema["properties"]["status"] = {"type": "object", "description": "Written by Joch; ignored in a file."}
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return schema


def _describe(schema: Json, spec: type[Spec]) -> None:
    sentences = _sentences(spec)
    for name, field in spec.model_fields.items():
        written = schema.get("properties", {}).get(alias(name, field))
        if written is not None:
            written.pop("title", None)
            written["description"] = (
                sentences.get(name) or _inherited(field.annotation) or name.replace("_", " ").capitalize() + "."
            )


def _groups(root: type[Spec]) -> Iterator[type[Spec]]:
    """A group of fields and all groups below it."""
    todo, seen = [root], set[type[Spec]]()
    while todo:
        spec = todo.pop()
        if spec not in seen:
            seen.add(spec)
            yield spec
            todo += [inner for shape in shapes(spec).values() if (inner := _inner(shape)) is not None]


def _inner(shape: Shape | None) -> type[Spec] | None:
    while shape is not None and shape.spec is None:
        shape = shape.item
    return shape.spec if shape is not None else None


def _sentences(spec: type[Spec]) -> dict[str, str]:
    """The sentence below each field, also of the classes that it builds on."""
    found: dict[str, str] = {}
    for base in reversed(spec.__mro__):
        if not (issubclass(base, Spec) and base is not Spec) or "[" in base.__name__:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, following in pairwise(body.body):
            match field, following:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(sentence))):
                    found[name] = sentence
    return found


def _inherited(annotation: Any) -> str:
    """The first sentence of a group's own docstring."""
    spec = shape_of(annotation).spec
    return (spec.__doc__ or "").split("\n")[0] if spec is not None else ""
