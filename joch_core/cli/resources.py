"""`joch apply`, `validate`, `diff`, `delete`: resources from YAML into the store and out of it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from joch_core.cli.output import Report, as_yaml
from joch_core.cli.session import current
from joch_core.errors import InvalidArgument, InvalidResource, NotFound, Problem
from joch_core.messages import Json
from joch_core.resources.base import Resource
from joch_core.resources.kinds import kind_named

if TYPE_CHECKING:
    from joch_core.app.joch import Joch
    from joch_core.stores.base import Record

Files = Annotated[list[str], typer.Option("--filename", "-f", help="A YAML file, a folder, or - for standard input.")]


def apply(filename: Files) -> Report:
    """Write resources from YAML to the store. All of them are valid, or none is written."""
    from joch_core.stores.base import Commit, Record

    with current().joch() as joch:
        resources = _load(filename, joch)
        changes: list[Json] = []
        for namespace in dict.fromkeys(resource.namespace for resource in resources):
            records = []
            for resource in resources:
                if resource.namespace == namespace:
                    kept = joch.store.record(namespace, resource.kind, resource.name)
                    action = _action(resource, kept)
                    changes.append(_change(resource, action))
                    if action != "unchanged":
                        generation = (
                            1 if kept is None else kept.generation + (kept.body["spec"] != resource.document()["spec"])
                        )
                        records.append(Record(resource.kind, resource.name, resource.document(), generation))
            if records:
                joch.store.commit(namespace, Commit("resources", records=tuple(records)), datetime.now(UTC))
    text = "\n".join(f"{change['kind'].lower()}/{change['name']} {change['action']}" for change in changes)
    return Report(changes, text)


def validate(filename: Files) -> Report:
    """Check YAML without writing anything; every fault is named with file and line."""
    with current().joch() as joch:
        resources = _load(filename, joch)
        warnings = [warning for resource in resources for warning in _warnings(resource, joch)]
    rows = [{"kind": one.kind, "name": one.name, "namespace": one.namespace, "valid": True} for one in resources]
    lines = [*warnings, *(f"✓ {one.kind.lower()}/{one.name}" for one in resources)]
    return Report(rows, "\n".join(lines))


def diff(filename: Files) -> Report:
    """Show what `apply` would change. Exit code 1 if anything would."""
    texts: list[str] = []
    changes: list[Json] = []
    with current().joch() as joch:
        for resource in _load(filename, joch):
            kept = joch.store.record(resource.namespace, resource.kind, resource.name)
            action = _action(resource, kept)
            lines = _lines(resource, kept)
            changes.append(_change(resource, action) | {"diff": lines})
            texts += lines
    different = any(change["action"] != "unchanged" for change in changes)
    return Report(changes, "\n".join(texts), 1 if different else 0)


def delete(
    what: Annotated[str, typer.Argument(help="KIND/NAME, or KIND with the name after it.", metavar="KIND/NAME")],
    name: Annotated[str | None, typer.Argument(help="The name, if it does not stand behind a slash.")] = None,
) -> Report:
    """Take a resource away. Logs of conversations stay."""
    kind, found = kind_and_name(what, name)
    if found is None:
        raise InvalidArgument(f"joch delete needs a name: {what.lower()}/NAME")
    with current().joch() as joch:
        if not joch.store.delete(joch.namespace, kind, found):
            raise NotFound(f"no {kind} {found!r} was applied in namespace {joch.namespace!r}")
    return Report({"kind": kind, "name": found, "action": "deleted"}, f"{kind.lower()}/{found} deleted")


def kind_and_name(what: str, name: str | None) -> tuple[str, str | None]:
    """`KIND NAME`, `KIND/NAME` or `KIND`: the kind as it is written, and the name. A name may hold slashes itself."""
    kind, slash, rest = what.partition("/")
    if slash and name is not None:
        raise InvalidArgument(f"{what} names one already; leave {name!r} out")
    return kind_named(kind), (rest if slash else name) or None


def _load(places: Sequence[str], joch: Joch) -> Sequence[Resource[Any]]:
    from joch_core.app.loading import read_texts
    from joch_core.resources.documents import load

    texts: dict[str, str] = {}
    for place in places:
        if place == "-":
            texts["standard input"] = sys.stdin.buffer.read().decode("utf-8", "replace")
        else:
            texts |= read_texts([Path(place)])
    resources = load(texts, namespace=joch.namespace, catalog=joch.catalog)
    if not resources:
        raise InvalidResource([Problem("holds no resource", file) for file in texts])
    return resources


def _action(resource: Resource[Any], kept: Record | None) -> str:
    if kept is None:
        return "created"
    return "unchanged" if kept.body == resource.document() else "configured"


def _change(resource: Resource[Any], action: str) -> Json:
    return {"kind": resource.kind, "name": resource.name, "namespace": resource.namespace, "action": action}


def _lines(resource: Resource[Any], kept: Record | None) -> list[str]:
    from joch_core.resources.documents import from_json

    name = f"{resource.kind.lower()}/{resource.name}"
    # Read back as a resource: stores order the fields of a body in their own way.
    old = as_yaml(from_json([kept.body])[0].document()).splitlines() if kept is not None else []
    new = as_yaml(resource.document()).splitlines()
    return list(difflib.unified_diff(old, new, f"{name} (in the store)", f"{name} (in the file)", lineterm=""))


def _warnings(resource: Resource[Any], joch: Joch) -> list[str]:
    """What is allowed and yet worth a look: candidates that nobody has described."""
    from joch_core.resources.catalog import Catalog
    from joch_core.resources.route import ModelRoute

    if not isinstance(resource, ModelRoute):
        return []
    catalog: Catalog = joch.catalog
    return [
        f"⚠ modelroute/{resource.name}: {backend} is not in the catalog; its abilities and limits are assumed"
        for backend in resource.candidates
        if catalog.assumed(backend)
    ]
