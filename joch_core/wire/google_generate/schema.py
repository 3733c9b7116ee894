"""Gemini's own schema form (OpenAPI 3.0, types in capitals) ⇄ JSON Schema. What is lost on the way is the projection's to say.

Source: https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

from typing import Any

from joch_core.messages import Json

#: Fields whose values are schemas by name, lists of schemas, and one schema.
_NAMED = {"properties", "$defs", "defs", "definitions", "patternProperties"}
_LISTED = {"anyOf", "oneOf", "allOf", "prefixItems"}
_SINGLE = {"items", "additionalProperties", "not"}


def to_json_schema(schema: Any, depth: int = 64) -> Any:
    """The JSON Schema of a schema in either form."""
    if not isinstance(schema, dict) or not depth:
        return schema
    out: Json = {}
    for name, value in schema.items():
        match name:
            case "type" if isinstance(value, str):
                out["type"] = value.lower()
            case "nullable" | "propertyOrdering" | "property_ordering":
                continue
            case _:
                out[_spelling(name)] = _inner(_spelling(name), value, depth)
    if schema.get("nullable") is True and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    return out


def _spelling(name: str) -> str:
    return "anyOf" if name == "any_of" else name


def _inner(name: str, value: Any, depth: int) -> Any:
    if name in _NAMED and isinstance(value, dict):
        return {key: to_json_schema(item, depth - 1) for key, item in value.items()}
    if name in _LISTED and isinstance(value, list):
        return [to_json_schema(item, depth - 1) for item in value]
    if name in _SINGLE:
        return to_json_schema(value, depth - 1)
    return value


#: What the own form knows; any other name is refused (`Unknown name "additionalProperties"`).
_KNOWN = {
    "type", "format", "title", "description", "nullable", "enum", "items", "minItems", "maxItems", "properties", "required",
    "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf", "propertyOrdering", "default",
    "minimum", "maximum",
}  # fmt: skip


def to_openapi(schema: Any, depth: int = 64) -> Any:
    """A JSON Schema in the own form: a type or null is `nullable`, a constant is an enum of one, enums are strings."""
    if not isinstance(schema, dict) or not depth:
        return schema
    schema = dict(schema)
    if "const" in schema:
        schema.setdefault("enum", [schema["const"]])
    for union in ("oneOf", "allOf"):
        if union in schema:
            schema.setdefault("anyOf", schema[union])
    out: Json = {name: _own_form(name, value, depth) for name, value in schema.items() if name in _KNOWN}
    kinds = out.get("type")
    if isinstance(kinds, list):
        del out["type"]
        named = [kind for kind in kinds if kind != "null"]
        if "null" in kinds:
            out["nullable"] = True
        if len(named) == 1:
            out["type"] = named[0]
        elif named:
            out["anyOf"] = [{"type": kind} for kind in named]
    if isinstance(out.get("enum"), list):
        out["enum"] = [item if isinstance(item, str) else str(item) for item in out["enum"] if item is not None]
        out["type"] = "string"
    return out


def _own_form(name: str, value: Any, depth: int) -> Any:
    if name == "properties" and isinstance(value, dict):
        return {key: to_openapi(item, depth - 1) for key, item in value.items()}
    if name == "anyOf" and isinstance(value, list):
        return [to_openapi(item, depth - 1) for item in value]
    return to_openapi(value, depth - 1) if name == "items" else value
