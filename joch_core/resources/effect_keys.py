"""Under which key a side effect happens at most once: canonical arguments, key templates, and the hash over both. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from joch_core.errors import InvalidArgument
from joch_core.messages import Json
from joch_core.redaction import MASK, redact
from joch_core.resources.commits import Artifact

#: Integers beyond this are not exact in every JSON reader (RFC 8785, section 3.2.2.3).
_EXACT = 2**53
_PLACE = re.compile(r"\{\{([^{}]*)\}\}|\{([^{}]*)\}")


def canonical_args(args: Mapping[str, Any], *, ignore: Iterable[str] = ()) -> str:
    """Arguments as text that is equal for equal arguments, in every process: in the manner of RFC 8785.

    Sorted keys, `1.0` equals `1`, `-0` equals `0`, integers beyond 2^53 as strings, no Unicode folding.

    Raises:
        InvalidArgument: a value that JSON does not have, such as NaN.
    """
    left_out = set(ignore)
    value = {name: _canonical(item) for name, item in args.items() if name not in left_out}
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _canonical(value: Any) -> Any:
    match value:
        case bool() | None | str():
            return value
        case int():
            return value if abs(value) <= _EXACT else str(value)
        case float():
            if not math.isfinite(value):
                raise InvalidArgument(f"the argument {value!r} cannot be written as JSON")
            return int(value) if value.is_integer() and abs(value) <= _EXACT else value
        case Mapping():
            return {str(name): _canonical(item) for name, item in value.items()}
        case list() | tuple():
            return [_canonical(item) for item in value]
    return _canonical(plain(value))


def plain(value: Any, depth: int = 0) -> Any:
    """Any value as JSON. What has no JSON form becomes its text: a result must not be lost because it is unusual."""
    match value:
        case bool() | None | str() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case _ if depth > 100:  # noqa: PLR2004  a value that contains itself
            return str(type(value).__name__)
        case Mapping():
            return {str(name): plain(item, depth + 1) for name, item in value.items()}
        case list() | tuple():
            return [plain(item, depth + 1) for item in value]
        case set() | frozenset():
            return sorted((plain(item, depth + 1) for item in value), key=repr)
        case Enum():
            return plain(value.value, depth + 1)
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
    if callable(dump := getattr(value, "model_dump", None)):
        return plain(dump(mode="json"), depth + 1)
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value), depth + 1)
    return str(value)


_FILTERS: dict[str, Callable[[str], str]] = {
    "hash": lambda text: _digest(text)[:16],
    "lower": str.lower,
    "trim": str.strip,
}


def render_key(template: str, args: Mapping[str, Any]) -> str:
    """A key template with its places filled: `ticket-{{ args.subject | trim | hash }}`, or in short `ticket-{subject}`.

    A place is a dotted path into the arguments and any of the filters hash, lower and trim. Nothing is evaluated.

    Raises:
        InvalidArgument: an unknown filter, or a path that leads nowhere.
    """

    def fill(found: re.Match[str]) -> str:
        path, *filters = (part.strip() for part in (found[1] if found[1] is not None else found[2]).split("|"))
        text = _as_text(_lookup(path, args, template))
        for name in filters:
            if name not in _FILTERS:
                raise InvalidArgument(f"key template {template!r}: unknown filter {name!r}; known are {', '.join(_FILTERS)}")
            text = _FILTERS[name](text)
        return text

    return _PLACE.sub(fill, template)


def check_key(template: str, where: str) -> None:
    """Refuse a template that cannot make a key, when the tool is declared and not when it first acts.

    Raises:
        InvalidArgument: nothing in it, a brace without its partner, a place without a name, or an unknown filter.
    """
    if not template.strip():
        raise InvalidArgument(f"{where}: the key is empty; write one such as ticket-{{subject}}, or leave it out")
    if set("{}") & set(_PLACE.sub("", template)):
        raise InvalidArgument(f"{where}: key template {template!r} has a brace without its partner")
    for doubled, single in _PLACE.findall(template):
        path, *filters = (part.strip() for part in (doubled or single).split("|"))
        if not path:
            raise InvalidArgument(f"{where}: key template {template!r} has a place without a name")
        unknown = next((name for name in filters if name not in _FILTERS), None)
        if unknown is not None:
            raise InvalidArgument(
                f"{where}: key template {template!r}: unknown filter {unknown!r}; known are {', '.join(_FILTERS)}"
            )


def _lookup(path: str, args: Mapping[str, Any], template: str) -> Any:
    names = path.split(".")
    if names[0] == "args" and len(names) > 1 and "args" not in args:
        names = names[1:]
    value: Any = args
    for name in names:
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, Sequence) and not isinstance(value, str) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise InvalidArgument(f"key template {template!r}: the arguments have no {path!r}")
    return value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"))


def args_digest(canonical: str) -> str:
    """The hash of canonical arguments, by which a key that comes back with other arguments is noticed."""
    return _digest(canonical)


def subject_of(tool: str, version: str | None, what: str) -> str:
    """What is done, whenever and however often: the tool and its arguments (or its own key)."""
    return _digest(json.dumps([tool, version, what]))


def effect_key(namespace: str, conversation: str, subject: str, occurrence: Sequence[Any]) -> str:
    """The key of one effect: 64 hexadecimal characters. `occurrence` tells a legitimate repeat from a re-issue."""
    return _digest(json.dumps([namespace, conversation, subject, list(occurrence)]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def masked(value: Any, names: Iterable[str], patterns: Sequence[str] = ()) -> Any:
    """JSON without the values of these fields (dotted paths), without what matches, and without what looks like a key."""
    out = _without_secrets(value, [re.compile(pattern) for pattern in patterns])
    for path in names:
        out = _mask_path(out, path.split("."))
    return out


def _mask_path(value: Any, path: Sequence[str]) -> Any:
    if not isinstance(value, dict) or path[0] not in value:
        return value
    inner = MASK if len(path) == 1 else _mask_path(value[path[0]], path[1:])
    return {**value, path[0]: inner}


def _without_secrets(value: Any, patterns: Sequence[re.Pattern[str]]) -> Any:
    match value:
        case str():
            text = redact(value)
            for pattern in patterns:
                text = pattern.sub(MASK, text)
            return text
        case dict():
            return {name: _without_secrets(item, patterns) for name, item in value.items()}
        case list():
            return [_without_secrets(item, patterns) for item in value]
    return value


def bounded(value: Any, limit: int) -> Any:
    """The value, or a note in its place if its JSON has more than `limit` characters."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= limit:
        return value
    note: Json = {
        "jochNote": "too large to be kept",
        "characters": len(text),
        "sha256": _digest(text),
        "beginning": text[:2000],
    }
    return note


def shelved(value: Any, limit: int, largest: int) -> tuple[Any, Artifact | None]:
    """A JSON value as it is kept in a row: itself, or a note that names the artifact which holds it.

    Args:
        value: The value.
        limit: Characters of JSON from which on it is an artifact.
        largest: Bytes from which on it is not kept at all, but for its beginning.
    """
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= limit:
        return value, None
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > largest:
        return bounded(value, limit), None
    artifact = Artifact(hashlib.sha256(data).hexdigest(), data)
    return {"jochNote": "kept as an artifact", "ref": artifact.ref, "bytes": len(data), "beginning": text[:2000]}, artifact


def unshelved(artifact: Artifact) -> Any:
    """The value that `shelved` made an artifact of."""
    return json.loads(artifact.data.decode("utf-8", "surrogatepass"))
