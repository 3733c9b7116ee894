"""`joch get`, `describe` and `schema`: what there is, and what may be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from joch_core.cli.output import Report, Table, as_yaml, paths
from joch_core.cli.resources import kind_and_name
from joch_core.cli.session import current
from joch_core.errors import InvalidArgument
from joch_core.messages import Json
from joch_core.resources.kinds import kind_named

What = Annotated[
    str, typer.Argument(help="modelroute, model, conversation, statecheckpoint, toolcall, policy, …", metavar="KIND")
]
Name = Annotated[str | None, typer.Argument(help="The name; it may also stand behind a slash: KIND/NAME.")]


def get(what: What, name: Name = None) -> Report:
    """List resources of a kind, or show one."""
    kind, wanted = kind_and_name(what, name)
    with current().joch() as joch:
        if wanted is not None:
            found: Json = joch.describe(kind, wanted)
            return Report(found, _table(kind, [found]))
        rows: Sequence[Json] = joch.list(kind)
    empty = f"no {kind.lower()} in namespace {joch.namespace!r}"
    return Report(list(rows), _table(kind, rows, empty=empty))


def describe(what: What, name: Name = None) -> Report:
    """Show everything about one resource."""
    kind, wanted = kind_and_name(what, name)
    if wanted is None:
        raise InvalidArgument(f"joch describe needs a name: joch describe {what} NAME")
    with current().joch() as joch:
        found: Json = joch.describe(kind, wanted)
    return Report(found, as_yaml(found).rstrip("\n"))


def schema(kind: Annotated[str, typer.Argument(help="The kind, in any case.", metavar="KIND")]) -> Report:
    """The JSON Schema of a kind, for editors."""
    import json

    from joch_core.resources.json_schema import json_schema

    found = json_schema(kind_named(kind))
    return Report(found, json.dumps(found, indent=2))


def _spec(*names: str) -> Callable[[Json], Any]:
    return lambda body: paths(body, "spec", *names)


def _status(*names: str) -> Callable[[Json], Any]:
    return lambda body: paths(body, "status", *names)


def _rules(body: Json) -> int:
    return len(paths(body, "spec", "rules") or ())


def _candidates(body: Json) -> Any:
    return paths(body, "spec", "strategy", "fallback") or None


#: Columns behind the name, by kind.
_COLUMNS: Mapping[str, Mapping[str, Callable[[Json], Any]]] = {
    "Model": {
        "PROVIDER": _spec("provider"),
        "MODEL": _spec("model"),
        "REGIONS": _spec("routing", "regions"),
        "HEALTH": _status("health"),
    },
    "ModelRoute": {
        "PRIMARY": _spec("strategy", "primary"),
        "FALLBACK": _candidates,
        "PHASE": _status("phase"),
        "PRIMARY HEALTH": _status("primaryHealth"),
        "FALLBACK RATE 7D": _status("fallbackRate7d"),
    },
    "Conversation": {
        "BACKEND": _status("currentBackend"),
        "MESSAGES": _status("messageCount"),
        "CHECKPOINT": _status("lastCheckpointRef"),
        "PHASE": _status("phase"),
    },
    "StateCheckpoint": {
        "CONVERSATION": _spec("conversationRef", "name"),
        "FROM": _spec("fromBackend"),
        "TO": _spec("toBackend"),
        "PHASE": _status("phase"),
        "CREATED": _status("createdAt"),
    },
    "ToolCall": {
        "TOOL": _spec("toolRef", "name"),
        "EFFECT": _spec("sideEffects", "level"),
        "CONVERSATION": _spec("conversationRef", "name"),
        "PHASE": _status("phase"),
    },
    "Tool": {"TYPE": _spec("type"), "EFFECT": _spec("sideEffects", "level"), "DESCRIPTION": _spec("description")},
    "Policy": {"RULES": _rules, "PHASE": _status("phase"), "DENIALS 7D": _status("denials7d")},
    "Execution": {
        "CONVERSATION": _spec("conversationRef", "name"),
        "PHASE": _status("phase"),
        "COST USD": _status("costUsd"),
        "MODEL CALLS": _status("modelCalls"),
        "TOOL CALLS": _status("toolCalls"),
        "STARTED": _status("startedAt"),
    },
    "Budget": {
        "DAILY USD": _spec("limits", "dailyUsd"),
        "MONTHLY USD": _spec("limits", "monthlyUsd"),
        "SPENT TODAY": _status("spentTodayUsd"),
        "SPENT THIS MONTH": _status("spentThisMonthUsd"),
    },
    "Secret": {"SOURCE": _spec("source", "type"), "VARIABLE": _spec("source", "name")},
}


def _table(kind: str, rows: Sequence[Json], *, empty: str = "") -> Table:
    columns = _COLUMNS[kind]
    cells = [[paths(row, "metadata", "name"), *(read(row) for read in columns.values())] for row in rows]
    return Table(["NAME", *columns], cells, empty)
