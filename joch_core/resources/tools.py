"""What a tool declares about its side effects, and the decorator that says it. Pure; who guards them is `stores.ledger`."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, overload
from weakref import WeakKeyDictionary

from joch_core.errors import InvalidArgument
from joch_core.messages import Json
from joch_core.resources.effect_keys import check_key

if TYPE_CHECKING:
    from joch_core.resources.tool import Tool

#: Levels of a side effect, from harmless to grave.
EffectLevel = Literal[
    "read_only", "local_write", "external_write", "communication", "code_execution", "financial", "privileged"
]
EFFECT_LEVELS: tuple[EffectLevel, ...] = get_args(EffectLevel)

Repeat = Literal["per_epoch", "across_boundary", "always", "once_per_conversation"]
REPEATS: tuple[Repeat, ...] = get_args(Repeat)
Function = TypeVar("Function", bound=Callable[..., Any])

#: The parameter through which a tool learns its idempotency key. It is no part of the arguments.
KEY_PARAMETER = "joch_key"
_MARK = "__joch_tool__"


@dataclass(frozen=True, slots=True)
class ToolDeclaration:
    """What is known of a tool. A tool that says nothing counts as `external_write`, not idempotent.

    `repeat` says when the same call is done again: in a new turn of the user (`per_epoch`), always but across a switch, a
    crash or a retry (`across_boundary`), `always`, or never (`once_per_conversation`). `key` is a template that takes the
    place of the arguments in the effect key. `verify` is asked about a call in doubt: None cannot tell, False it was not
    done, True it was done, anything else is its result. `redact` names fields that are not stored, `ignore` arguments that
    do not make a call another one.
    """

    name: str
    effect: EffectLevel = "external_write"
    idempotent: bool = False
    repeat: Repeat = "across_boundary"
    key: str | None = None
    errors_before_effect: tuple[type[BaseException], ...] = ()
    verify: Callable[..., Any] | None = None
    redact: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    version: str | None = None

    @property
    def reads_only(self) -> bool:
        """Has it no side effect?"""
        return self.effect == "read_only"


@dataclass(frozen=True, slots=True)
class ToolVerdict:
    """What the policies say about a tool call.

    `rule` is `POLICY/RULE` of the one that objects, "" if none does; `approval` says that a human could allow it. `redact`
    are patterns that must be replaced in everything that is written.
    """

    rule: str = ""
    reason: str = ""
    approval: bool = False
    redact: tuple[str, ...] = ()


#: Judges a call by its facts: `tool.name`, `tool.sideEffect`, `tool.idempotent`, `tool.forced`, `tool.nearDuplicate`, and the
#: text of its arguments as `data.contains`. A fact may be a function, called only when a rule asks.
ToolJudge = Callable[[Mapping[str, Any]], ToolVerdict]


@overload
def tool(function: Function, /) -> Function: ...
@overload
def tool(
    *,
    name: str | None = None,
    effect: str | None = None,
    idempotent: bool = False,
    repeat: str | None = None,
    key: str | None = None,
    errors_before_effect: Sequence[type[BaseException]] | type[BaseException] = (),
    verify: Callable[..., Any] | None = None,
    redact: Sequence[str] = (),
    ignore: Sequence[str] = (),
    version: str | None = None,
) -> Callable[[Function], Function]: ...
def tool(function: Function | None = None, /, **declared: Any) -> Function | Callable[[Function], Function]:
    """Declare the side effects of a function, which stays callable as it is: `@tool` or `@tool(effect="financial", …)`.

    Raises:
        InvalidArgument: an unknown effect or repeat.
    """

    def mark(target: Function) -> Function:
        setattr(
            getattr(target, "__func__", target),
            _MARK,
            declaration(declared.get("name") or _name(target), **{**declared, "name": None}),
        )
        return target

    return mark if function is None else mark(function)


def declaration(
    tool_name: str,
    /,
    *,
    name: str | None = None,
    effect: str | None = None,
    idempotent: bool = False,
    repeat: str | None = None,
    key: str | None = None,
    errors_before_effect: Sequence[type[BaseException]] | type[BaseException] = (),
    verify: Callable[..., Any] | None = None,
    redact: Sequence[str] = (),
    ignore: Sequence[str] = (),
    version: str | None = None,
) -> ToolDeclaration:
    """A checked declaration. `read` is short for `read_only`; whoever names an effect gets `per_epoch`.

    Raises:
        InvalidArgument: an unknown effect or repeat, or a key template that cannot make a key.
    """
    level = "read_only" if effect == "read" else effect or "external_write"
    if level not in EFFECT_LEVELS:
        raise InvalidArgument(f"tool {tool_name}: effect {effect!r} is unknown; give one of {', '.join(EFFECT_LEVELS)}")
    kind = repeat or ("across_boundary" if effect is None else "per_epoch")
    if kind not in REPEATS:
        raise InvalidArgument(f"tool {tool_name}: repeat {repeat!r} is unknown; give one of {', '.join(REPEATS)}")
    if key is not None:
        check_key(key, f"tool {tool_name}")
    errors = (errors_before_effect,) if isinstance(errors_before_effect, type) else tuple(errors_before_effect)
    return ToolDeclaration(
        name or tool_name,
        level,
        idempotent,
        kind,
        key,
        errors,
        verify,
        _words(redact),
        _words(ignore),
        version,
    )


def _words(given: Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def declared_by(resource: Tool) -> ToolDeclaration:
    """What a `Tool` resource declares."""
    effects = resource.spec.side_effects
    effect = effects.level if "level" in effects.model_fields_set else None
    return declaration(resource.name, effect=effect, idempotent=effects.idempotent, key=effects.idempotency_key_template)


def declaration_of(
    function: Callable[..., Any], name: str | None = None, declarations: Mapping[str, ToolDeclaration] | None = None
) -> ToolDeclaration:
    """What a function declares by `@tool`; else what is declared under its name; else the safe reading."""
    own: ToolDeclaration | None = getattr(function, _MARK, None)
    called = name or (own.name if own is not None else _name(function))
    if own is not None:
        return own if own.name == called else replace(own, name=called)
    known = (declarations or {}).get(called)
    return ToolDeclaration(called) if known is None else known


def _name(function: Callable[..., Any]) -> str:
    found = getattr(function, "__name__", None) or getattr(function, "name", None)
    return str(found or type(function).__name__)


_SIGNATURES: WeakKeyDictionary[Callable[..., Any], tuple[bool, inspect.Signature] | None] = WeakKeyDictionary()


def _signature(function: Callable[..., Any]) -> tuple[bool, inspect.Signature] | None:
    """Does it want its key, and what else does it take; None if that cannot be known. Read once for each function."""
    with contextlib.suppress(KeyError, TypeError):  # what cannot be hashed or referred to weakly is read each time
        return _SIGNATURES[function]
    try:
        whole = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    others = [entry for name, entry in whole.parameters.items() if name != KEY_PARAMETER]
    found = (KEY_PARAMETER in whole.parameters, whole.replace(parameters=others))
    with contextlib.suppress(TypeError):
        _SIGNATURES[function] = found
    return found


def takes_key(function: Callable[..., Any]) -> bool:
    """Does the function want its idempotency key?"""
    known = _signature(function)
    return known is not None and known[0]


def with_defaults(function: Callable[..., Any], args: Mapping[str, Any]) -> Json:
    """The arguments as the function will see them, defaults filled in, without the key.

    Raises:
        InvalidArgument: they do not fit the function.
    """
    given = {name: value for name, value in args.items() if name != KEY_PARAMETER}
    signature = _signature(function)
    if signature is None:
        return given
    known = signature[1]
    try:
        bound = known.bind(**given)
    except TypeError as error:
        raise InvalidArgument(f"tool {_name(function)}: {error}") from None
    bound.apply_defaults()
    full = dict(bound.arguments)
    for name, entry in known.parameters.items():
        if entry.kind is entry.VAR_KEYWORD:
            full.update(full.pop(name, {}))
        elif entry.kind is entry.VAR_POSITIONAL:
            full.pop(name, None)
    return full
