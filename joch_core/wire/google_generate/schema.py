"""Gemini's own schema form (OpenAPI 3.0, types in capitals) ⇄ JSON Schema. Nothing is judged or dropped here.

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


def to_openapi(schema: Any, depth: int = 64) -> Any:
    """A schema that the projection has reduced, with a type or null spelled as `nullable`."""
    if not isinstance(schema, dict) or not depth:
        return schema
    out: Json = {
        name: _reduced_inner(name, value, depth)
        for name, value in schema.items()
        if not (name == "type" and isinstance(value, list))
    }
    kinds = schema.get("type")
    if isinstance(kinds, list):
        if "null" in kinds:
            out["nullable"] = True
        named = [kind for kind in kinds if kind != "null"]
        if len(named) == 1:
            out["type"] = named[0]
        elif named:
            out["anyOf"] = [{"type": kind} for kind in named]
    return out


def _reduced_inner(name: str, value: Any, depth: int) -> Any:
    if name in _NAMED and isinstance(value, dict):
        return {key: to_openapi(item, depth - 1) for key, item in value.items()}
    if name in _LISTED and isinstance(value, list):
        return [to_openapi(item, depth - 1) for item in value]
    return to_openapi(value, depth - 1) if name in _SINGLE else value
