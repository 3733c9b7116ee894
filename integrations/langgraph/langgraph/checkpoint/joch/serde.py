"""The serialiser that `JochSaver` uses unless it is given another one: msgpack only, and only types that were allowed.

LangGraph's own serialiser imports and calls whatever type a stored row names, unless it runs in strict mode; in strict mode it
hands a blocked value back as bare data, with a warning. Here both ends are strict: a type that may not be loaded again is
refused when it is written, and a row that names one is refused when it is read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde._msgpack import SAFE_MSGPACK_TYPES
from langgraph.checkpoint.serde.event_hooks import SerdeEvent, register_serde_event_listener
from langgraph.checkpoint.serde.jsonplus import EXT_DELTA_SNAPSHOT, EXT_NUMPY_ARRAY, JsonPlusSerializer

#: A type, or its module and name.
Allowed = type | tuple[str, str]

_reading = threading.local()


class TypeNotAllowed(TypeError):
    """A value of a type that the saver may not load again. The message says how to allow it."""

    def __init__(self, module: str, name: str, *, stored: bool) -> None:
        self.module = module
        self.name = name
        super().__init__(
            f"{module}.{name} {'in a stored checkpoint' if stored else 'in the graph state'} is not allowed: loading a"
            " checkpoint imports and calls the types that it names. If you trust this one, pass it to the saver:"
            f" JochSaver(allow=[{name}]) or JochSaver(allow=[({module!r}, {name!r})])"
        )


def _note_blocked(event: SerdeEvent) -> None:
    blocked = getattr(_reading, "blocked", None)
    if blocked is not None and event["kind"] in {"msgpack_blocked", "msgpack_method_blocked"}:
        blocked.append((event["module"], event["name"]))


register_serde_event_listener(_note_blocked)


def _named_types(data: bytes) -> list[tuple[str, str]]:
    """The types that packed bytes would import on load, found without loading any."""
    found: list[tuple[str, str]] = []

    def look(code: int, inside: bytes) -> None:
        if code != EXT_NUMPY_ARRAY:  # its bytes name a dtype, and no type
            value = ormsgpack.unpackb(inside, ext_hook=look, option=ormsgpack.OPT_NON_STR_KEYS)
            if code != EXT_DELTA_SNAPSHOT:
                found.append((value[0], value[1]))

    ormsgpack.unpackb(data, ext_hook=look, option=ormsgpack.OPT_NON_STR_KEYS)
    return found


class StrictSerializer(JsonPlusSerializer):
    """`JsonPlusSerializer` without pickle, where a type that is not allowed is an error and never half a value."""

    def __init__(self, allow: Iterable[Allowed] = ()) -> None:
        super().__init__(allowed_msgpack_modules=tuple(allow) or None)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Serialise a value.

        Raises:
            TypeNotAllowed: it holds a type that could not be loaded again.
        """
        kind, data = super().dumps_typed(obj)
        if kind == "msgpack" and not isinstance(obj, str | int | float):
            for module, name in _named_types(data):
                if not self._may_load(module, name):
                    raise TypeNotAllowed(module, name, stored=False)
        return kind, data

    def _may_load(self, module: str, name: str) -> bool:
        allowed = self._allowed_msgpack_modules
        return (module, name) in SAFE_MSGPACK_TYPES or allowed is True or (module, name) in (allowed or ())

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Load a value.

        Raises:
            TypeNotAllowed: the row names a type that was not allowed.
        """
        outer = getattr(_reading, "blocked", None)
        _reading.blocked = blocked = []
        try:
            value = super().loads_typed(data)
        finally:
            _reading.blocked = outer
        if blocked:
            raise TypeNotAllowed(*blocked[0], stored=True)
        return value
