"""JSON Schemas as each API takes them: the walks that the strict rules share. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from joch_core.messages import Json

Path = tuple[str, ...]
_BRANCHES = ("anyOf", "oneOf", "allOf")


def nodes(schema: Any, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    """Every schema inside a schema, with the way to it."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for key in ("properties", "$defs", "definitions"):
        inner = schema.get(key)
        if isinstance(inner, dict):
            for name, value in inner.items():
                yield from nodes(value, (*path, key, name))
    for key in _BRANCHES:
        for index, value in enumerate(schema.get(key) or ()):
            yield from nodes(value, (*path, key, str(index)))
    for key in ("items", "additionalProperties"):
        yield from nodes(schema.get(key), (*path, key))


def _is(schema: Json, kind: str) -> bool:
    given = schema.get("type")
    return given == kind or (isinstance(given, list) and kind in given)


def _context(path: Path) -> str:
    return f"In context=({', '.join(map(repr, path))}{',' if len(path) == 1 else ''})"


def openai_parameters(schema: Json) -> str | None:
    """What OpenAI says about the parameters of a function that is not strict."""
    if not schema:
        return None
    if schema.get("type") != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    if any(key in schema for key in (*_BRANCHES, "enum", "not")):
        return "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level."
    for path, node in nodes(schema):
        if _is(node, "array") and "items" not in node and "prefixItems" not in node:
            return f"{_context(path)}, array schema missing items."
    return None


_NOT_STRICT = ("allOf", "oneOf", "not", "if", "then", "else", "patternProperties", "dependentRequired", "dependentSchemas")


def openai_strict(schema: Json) -> str | None:
    """What OpenAI says about a schema in strict mode.

    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    if schema.get("type") != "object" and "$ref" not in schema:
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    for path, node in nodes(schema):
        for key in _NOT_STRICT:
            if key in node:
                return f"{_context(path)}, '{key}' is not permitted."
        if _is(node, "array") and "items" not in node:
            return f"{_context(path)}, array schema missing items."
        if not (_is(node, "object") or "properties" in node):
            continue
        if node.get("additionalProperties") is not False:
            return f"{_context(path)}, 'additionalProperties' is required to be supplied and to be false."
        required = node.get("required") or ()
        for name in node.get("properties") or ():
            if name not in required:
                return (
                    f"{_context(path)}, 'required' is required to be supplied and to be an array including every key in "
                    f"properties. Missing '{name}'."
                )
    return None


_LIMITS = {
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength"),
    "array": ("maxItems", "uniqueItems"),
}


def anthropic_strict(schema: Json) -> str | None:
    """What Anthropic says about the schema of a structured output or a strict tool.

    https://docs.claude.com/en/docs/build-with-claude/structured-outputs#json-schema-limitations
    """
    for _, node in nodes(schema):
        if _is(node, "object") and node.get("additionalProperties") is not False:
            return "For 'object' type, 'additionalProperties' must be explicitly set to false"
        for kind, keys in _LIMITS.items():
            present = [key for key in keys if key in node]
            if present and _is(node, kind):
                return f"For '{kind}' type, {'property' if len(present) == 1 else 'properties'} {', '.join(present)} are not supported"
    return None


#: https://ai.google.dev/api/caching#Schema
_GEMINI_FIELDS = {
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties", "required",
    "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf", "propertyOrdering", "default",
    "items", "minimum", "maximum",
}  # fmt: skip
_GEMINI_TYPES = ("TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")


def gemini_schema(schema: Json, place: str) -> str | None:
    """What Gemini says about a schema in its own reduced form; `place` names it in the sentence."""
    payload = "Invalid JSON payload received."
    unknown = [
        f"{payload} Unknown name \"{name}\" at '{_dotted(place, path)}': Cannot find field."
        for path, node in nodes(schema)
        for name in node
        if name not in _GEMINI_FIELDS and _snake_known(name) not in _GEMINI_FIELDS
    ]
    if unknown:
        return "\n".join(unknown)
    for path, node in nodes(schema):
        at = _dotted(place, path)
        kind = node.get("type")
        if isinstance(kind, list):
            return f"{payload} Unknown name \"type\" at '{at}': Proto field is not repeating, cannot start list."
        if isinstance(kind, str) and kind.upper() not in _GEMINI_TYPES:
            return f"Invalid value at '{at}.type' (type.googleapis.com/google.ai.generativelanguage.v1beta.Type), \"{kind}\""
        for index, value in enumerate(node.get("enum") or ()):
            if not isinstance(value, str):
                return f"Invalid value at '{at}.enum[{index}]' (TYPE_STRING), {value}"
        if isinstance(kind, int) and 0 <= kind < len(_GEMINI_TYPES):
            kind = _GEMINI_TYPES[kind]
        where = f"* GenerateContentRequest.{at}"
        if str(kind).upper() == "ARRAY" and "items" not in node:
            return f"{where}.items: missing field.\n"
        if node.get("enum") and str(kind).upper() not in ("STRING", "NONE"):
            return f"{where}.enum: only allowed for STRING type\n"
        for index, name in enumerate(node.get("required") or ()):
            if name not in (node.get("properties") or {}):
                return f"{where}.required[{index}]: property is not defined\n"
    return None


def _snake_known(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _dotted(place: str, path: Path) -> str:
    out = place
    steps = iter(path)
    for step in steps:
        if step == "properties":
            out += f".properties[{next(steps)}]"
        elif step in ("anyOf", "oneOf", "allOf"):
            out += f".{step}[{next(steps)}]"
        else:
            out += f".{step}"
    return out
