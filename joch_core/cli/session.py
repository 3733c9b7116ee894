"""What every command knows: the options that may stand anywhere in the command line. Opens Joch for a command that asks."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from joch_core.errors import InvalidArgument

if TYPE_CHECKING:
    from joch_core.app.joch import Joch

Output = Literal["table", "json", "yaml"]
OUTPUTS: tuple[Output, ...] = ("table", "json", "yaml")

#: Option -> the field of `Session` that it sets. All but `--debug` take a value.
OPTIONS = {"-n": "namespace", "--namespace": "namespace", "-o": "output", "--output": "output", "--store": "store"}


@dataclass(frozen=True, slots=True)
class Session:
    """The options of one command line. None: the environment or the default speaks."""

    namespace: str | None = None
    output: Output = "table"
    store: str | None = None
    debug: bool = False

    def joch(self) -> Joch:
        """Joch on the store and namespace of this command line: `with current().joch() as joch:`."""
        from joch_core.app.joch import Joch

        return Joch(store=self.store, namespace=self.namespace)


_CURRENT: ContextVar[Session] = ContextVar("session", default=Session())  # noqa: B039  frozen


def current() -> Session:
    """The session of the command that runs."""
    return _CURRENT.get()


def begin(session: Session) -> None:
    """From here on this is the session."""
    _CURRENT.set(session)


def take_options(arguments: list[str]) -> tuple[Session, list[str]]:
    """The options that may stand at any place, and what is left. Everything after `--` is left alone.

    Raises:
        InvalidArgument: an option has no value, or `--output` an unknown one.
    """
    taken: dict[str, str] = {}
    debug = False
    rest: list[str] = []
    todo = list(arguments)
    while todo:
        word = todo.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            rest += [word, *todo]
            break
        if word == "--debug":
            debug = True
        elif name in OPTIONS:
            if not equals:
                if not todo:
                    raise InvalidArgument(f"{name} needs a value")
                value = todo.pop(0)
            taken[OPTIONS[name]] = value
        elif word[:2] in OPTIONS and word[2:] in OUTPUTS:
            taken[OPTIONS[word[:2]]] = word[2:]
        else:
            rest.append(word)
    output = taken.get("output", "table")
    if output not in OUTPUTS:
        raise InvalidArgument(f"--output must be table, json or yaml, not {output!r}")
    shape: Output = "json" if output == "json" else "yaml" if output == "yaml" else "table"
    return Session(taken.get("namespace"), shape, taken.get("store"), debug), rest
