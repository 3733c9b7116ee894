"""Names of tools and of their arguments, as a target takes them: unchanged where they fit, else cleaned and unique. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]*")
_KEY = re.compile(r"[a-zA-Z0-9_.-]+")
#: Arguments are looked through this deep; a schema that names its properties deeper down is none that a provider takes.
_DEEPEST = 64


def sent_name(name: str, longest: int = 64) -> str:
    """A tool's name as every provider takes it: unchanged where it fits, else cleaned, with a hash that keeps it unique."""
    if len(name) <= longest and _NAME.fullmatch(name):
        return name
    clean = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
    if not re.match(r"[a-zA-Z_]", clean):
        clean = "_" + clean
    return _hashed(name, clean, longest)


def sent_key(key: str, longest: int) -> str:
    """An argument's name as a target takes it that knows letters, digits and `_.-` only."""
    if len(key) <= longest and _KEY.fullmatch(key):
        return key
    return _hashed(key, re.sub(r"[^a-zA-Z0-9_.-]", "_", key), longest)


def in_other_keys(value: Any, keys: Mapping[str, str], depth: int = 0) -> Any:
    """Arguments with each key that stands in `keys` spelled as it says there. What is given stays as it is."""
    if depth > _DEEPEST:
        return value
    if isinstance(value, dict):
        return {keys.get(key, key): in_other_keys(item, keys, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [in_other_keys(item, keys, depth + 1) for item in value]
    return value


def _hashed(name: str, clean: str, longest: int) -> str:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{clean[: longest - 9]}_{digest}"
