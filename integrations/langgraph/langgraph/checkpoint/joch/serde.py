"""The serialiser that `JochSaver` uses unless it is given another one: msgpack only, and only types that were allowed.

LangGraph's own serialiser imports and calls whatever type a stored row names, unless it runs in strict mode; in strict mode it
hands a blocked value back as bare data, with a warning. Here both ends are strict: a type that may not be loaded again is
refused when it is written, and a row that names one is refused when it is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Self, cast

import ormsgpack
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde._msgpack import SAFE_MSGPACK_TYPES
from langgraph.checkpoint.serde.event_hooks import SerdeEvent, register_serde_event_listener
from langgraph.checkpoint.serde.jsonplus import EXT_DELTA_SNAPSHOT, EXT_NUMPY_ARRAY, EXT_PYDANTIC_V2, JsonPlusSerializer

#: A type, or its module and name.
Allowed = type | tuple[str, str]

Hook = Callable[[int, bytes], Any]

_reading = threading.local()
_MESSAGES: dict[tuple[str, str], tuple[type[BaseMessage], frozenset[str]]] = {
    (kind.__module__, kind.__name__): (kind, frozenset(kind.model_fields))
    for kind in (AIMessage, HumanMessage, SystemMessage, ToolMessage)
}


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


def _quick(hook: Hook) -> Hook:
    """Restore LangChain's messages from their fields as they were dumped, without validating each again.

    What was dumped had been validated, and nothing but data comes of it. Where the fields are not exactly those of the class
    (another version wrote them, or the message has more), the constructor decides, as it does for every other type.
    """

    def restore(code: int, data: bytes) -> Any:
        if code == EXT_PYDANTIC_V2:
            value = ormsgpack.unpackb(data, ext_hook=restore, option=ormsgpack.OPT_NON_STR_KEYS)
            known = _MESSAGES.get((value[0], value[1]))
            if known is not None and value[2].keys() == known[1]:
                message = known[0].__new__(known[0])
                object.__setattr__(message, "__dict__", value[2])
                object.__setattr__(message, "__pydantic_fields_set__", set(known[1]))
                object.__setattr__(message, "__pydantic_extra__", {})
                object.__setattr__(message, "__pydantic_private__", None)
                return message
        return hook(code, data)

    return restore


class StrictSerializer(JsonPlusSerializer):
    """`JsonPlusSerializer` without pickle, where a type that is not allowed is an error and never half a value."""

    def __init__(self, allow: Iterable[Allowed] = ()) -> None:
        super().__init__(allowed_msgpack_modules=tuple(allow) or None)
        self._unpack_ext_hook = _quick(self._unpack_ext_hook)

    def with_msgpack_allowlist(self, extra_allowlist: Iterable[Any]) -> Self:
        """A copy that may load more types."""
        clone = super().with_msgpack_allowlist(extra_allowlist)
        if clone is not self:
            clone._unpack_ext_hook = _quick(clone._unpack_ext_hook)  # noqa: SLF001  # our own class
        return cast("Self", clone)

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
        blocked: list[tuple[str, str]] = []
        _reading.blocked = blocked
        try:
            value = super().loads_typed(data)
        finally:
            _reading.blocked = outer
        if blocked:
            raise TypeNotAllowed(*blocked[0], stored=True)
        return value
