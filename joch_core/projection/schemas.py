"""JSON Schemas of tools and answers, as one target takes them; what a model is no longer held to is named. Pure.

Sources: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas,
https://docs.claude.com/en/docs/build-with-claude/structured-outputs#json-schema-limitations,
https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from joch_core.capabilities import Target
from joch_core.messages import Json
from joch_core.projection.losses import Losses
from joch_core.projection.names import sent_key

_UNIONS = ("oneOf", "anyOf", "allOf")
_NAMED = ("properties", "$defs", "definitions")
_SINGLE = ("items", "additionalProperties", "not")
#: What strict mode of OpenAI does not know.
_NOT_STRICT = frozenset({
    "allOf", "oneOf", "not", "if", "then", "else", "patternProperties", "dependentRequired", "dependentSchemas",
})  # fmt: skip
#: What a grammar of Anthropic does not hold the model to.
_NOT_CLOSED = frozenset({
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems",
    "uniqueItems",
})  # fmt: skip
#: What the reduced form of Gemini knows, and what it says in other words.
_REDUCED = frozenset({
    "type", "format", "title", "description", "nullable", "enum", "items", "minItems", "maxItems", "properties", "required",
    "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf", "propertyOrdering", "default",
    "minimum", "maximum", "const", "oneOf", "allOf", "$schema", "$defs", "definitions",
})  # fmt: skip


def project_parameters(schema: Json, name: str, target: Target, losses: Losses, keys: dict[str, str]) -> Json:
    """The parameters of a function. Properties that are called otherwise there are put into `keys`: own -> sent."""
    schema = rename_keys(_plain_top(schema, name, losses), name, target, losses, keys)
    if any(_is(node, "array") and "items" not in node and "prefixItems" not in node for node in nodes(schema)):
        schema = _walk(schema, _with_items)
    _name_reduced(schema, name, target, losses)
    return schema


def rename_keys(schema: Json, name: str, target: Target, losses: Losses, keys: dict[str, str]) -> Json:
    """Properties under names that the target takes; `keys` gets what was renamed: own -> sent."""
    longest = target.dialect.property_name_chars
    if longest is None:
        return schema
    given = (key for node in nodes(schema) if isinstance(node.get("properties"), dict) for key in node["properties"])
    odd = {key: sent for key in given if (sent := sent_key(key, longest)) != key}
    if not odd:
        return schema
    shown = ", ".join(f"{own} is called {sent}" for own, sent in odd.items())
    losses.warn("schema.renamed", f"{name}: {shown} there")
    keys |= odd

    def renamed(node: Json) -> Json:
        out = dict(node)
        if isinstance(out.get("properties"), dict):
            out["properties"] = {odd.get(key, key): value for key, value in out["properties"].items()}
        if isinstance(out.get("required"), list):
            out["required"] = [odd.get(key, key) for key in out["required"]]
        return out

    spelled: Json = _walk(schema, renamed)
    return spelled


def project_strict(schema: Json, name: str, target: Target, losses: Losses) -> tuple[Json, bool]:
    """A schema that the model is to be held to, and whether it can be."""
    if not target.can("jsonSchema") or not _closed(schema, all_required=target.api.startswith("openai")):
        return schema, False
    if target.api.startswith("openai") and any(not _NOT_STRICT.isdisjoint(node) for node in nodes(schema)):
        return schema, False
    return (_without_limits(schema, name, losses) if target.api == "anthropic-messages" else schema), True


def project_answer(schema: Json, target: Target, losses: Losses) -> Json:
    """The schema of a structured answer."""
    if target.api != "anthropic-messages":
        _name_reduced(schema, "The answer", target, losses)
        return schema
    open_ = [node for node in nodes(schema) if _is(node, "object") and node.get("additionalProperties") is not False]
    if any(node.get("additionalProperties") not in (None, True) for node in open_):
        losses.warn("schema.keyword", "The answer: additionalProperties is not taken there; only named properties are given")
    if open_:
        schema = _walk(schema, _close)
    return _without_limits(schema, "The answer", losses)


def nodes(schema: Any) -> list[Json]:
    """Every schema inside a schema, the outer ones first."""
    found = [schema] if isinstance(schema, dict) else []
    inner: Iterable[Any]
    for node in found:  # grows while it is read
        for key, value in node.items():
            if key in _NAMED:
                inner = value.values() if isinstance(value, dict) else ()
            elif key in _UNIONS:
                inner = value or ()
            elif key in _SINGLE:
                inner = (value,)
            else:
                continue
            found.extend(one for one in inner if isinstance(one, dict))
    return found


def _walk(schema: Any, change: Callable[[Json], Json]) -> Any:
    """The schema with every schema inside it changed; the one that is given stays as it is."""
    if not isinstance(schema, dict):
        return schema
    out = dict(schema)
    for key in _NAMED:
        if isinstance(out.get(key), dict):
            out[key] = {name: _walk(value, change) for name, value in out[key].items()}
    for key in _UNIONS:
        if isinstance(out.get(key), list):
            out[key] = [_walk(value, change) for value in out[key]]
    for key in _SINGLE:
        if key in out:
            out[key] = _walk(out[key], change)
    return change(out)


def _is(node: Json, kind: str) -> bool:
    given = node.get("type")
    return given == kind or (isinstance(given, list) and kind in given)


def _close(node: Json) -> Json:
    return {**node, "additionalProperties": False} if _is(node, "object") or "properties" in node else node


def _with_items(node: Json) -> Json:
    return {**node, "items": {}} if _is(node, "array") and "items" not in node and "prefixItems" not in node else node


def _closed(schema: Json, *, all_required: bool) -> bool:
    """Strict mode: every object closed; at OpenAI also every property required."""
    for node in nodes(schema):
        if not (_is(node, "object") or "properties" in node):
            continue
        if node.get("additionalProperties") is not False:
            return False
        if all_required and set(node.get("required") or ()) != set(node.get("properties") or ()):
            return False
    return True


def _without_limits(schema: Json, name: str, losses: Losses) -> Json:
    found = sorted({key for node in nodes(schema) for key in _NOT_CLOSED & node.keys()})
    if not found:
        return schema
    losses.warn("schema.keyword", f"{name}: {', '.join(found)} not taken there; the model is not held to it")
    cut: Json = _walk(schema, lambda node: {key: value for key, value in node.items() if key not in _NOT_CLOSED})
    return cut


def _name_reduced(schema: Json, name: str, target: Target, losses: Losses) -> None:
    if target.dialect.full_json_schema:
        return
    found = sorted({key for node in nodes(schema) for key in node if key not in _REDUCED})
    if found:
        losses.warn("schema.keyword", f"{name}: {', '.join(found)} not taken there; the model is not held to it")


def _plain_top(schema: Json, name: str, losses: Losses) -> Json:
    """No provider takes oneOf, anyOf or allOf at the top of a tool's schema: their properties are offered side by side."""
    found = [key for key in (*_UNIONS, "not", "enum") if key in schema]
    if not found:
        return schema if not schema or schema.get("type") == "object" else {**schema, "type": "object"}
    out = {key: value for key, value in schema.items() if key not in found}
    properties: Json = dict(out.get("properties") or {})
    for key in found:
        losses.warn("schema.keyword", f"{name}: {key} at the top of its schema is not taken; the model is not held to it")
        for branch in schema[key] if key in _UNIONS else ():
            if isinstance(branch, dict):
                properties |= branch.get("properties") or {}
    return {**out, "type": "object", "properties": properties}
