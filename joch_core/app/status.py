"""What there is, as resources with their status: stored ones, and the kinds that are folds of events.

`status` is computed when it is asked for, and stored nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from joch_core.app.explain import execution_status
from joch_core.errors import NotFound
from joch_core.messages import Json
from joch_core.resources.base import nearest
from joch_core.resources.documents import from_json
from joch_core.resources.events import Event, instant
from joch_core.resources.kinds import FOLDS, kind_named
from joch_core.resources.model import Model
from joch_core.resources.route import ModelRoute
from joch_core.stores.base import Query

if TYPE_CHECKING:
    from joch_core.app.joch import Joch

_WEEK = timedelta(days=7)
_ILL_AFTER = 3
_PREFIX = "conversation/"


def list_resources(joch: Joch, kind: str) -> list[Json]:
    """All resources of a kind, sorted by name."""
    kind = kind_named(kind)
    rows = _found(joch, kind)
    if kind in FOLDS:
        # What was applied and has no events yet is there, too.
        seen = {row["metadata"]["name"] for row in rows}
        rows += [one.document() for one in joch.catalog if one.kind == kind and one.name not in seen]
        rows.sort(key=lambda row: str(row["metadata"]["name"]))
    return rows


def _found(joch: Joch, kind: str) -> list[Json]:
    match kind:
        case "Conversation":
            names = (log.removeprefix(_PREFIX) for log in joch.store.logs(joch.namespace, _PREFIX))
            return [_conversation(joch, name) for name in names]
        case "StateCheckpoint":
            return [_checkpoint(event, events) for event, events in _checkpoints(joch)]
        case "Execution":
            return [execution_status(name, events) for name, events in _executions(joch).items()]
        case "ToolCall":
            return list(joch.calls())
        case "Model":
            return [_with_status(joch, model) for model in joch.catalog.models()]
        case _:
            return [_with_status(joch, one) for one in sorted(joch.catalog, key=lambda one: one.name) if one.kind == kind]


def describe_resource(joch: Joch, kind: str, name: str) -> Json:
    """One resource with its status.

    Raises:
        NotFound: there is none; the message names the nearest.
    """
    kind = kind_named(kind)
    if kind == "Execution":
        events = list(joch.store.events(joch.namespace, Query(execution=name)))
        if events:
            return execution_status(name, events)
    elif kind == "Conversation":
        if joch.conversation(name).exists:
            return _conversation(joch, name)
    elif kind not in FOLDS and kind != "Model":
        stored = next((one for one in joch.catalog if one.kind == kind and one.name == name), None)
        if stored is not None:
            return _with_status(joch, stored)
    rows = list_resources(joch, kind)
    for row in rows:
        own = row["metadata"]["name"]
        if name == own or (kind == "Model" and name in (f"{row['spec']['provider']}:{own}", row["spec"]["model"])):
            return row
    near = nearest(name, [row["metadata"]["name"] for row in rows])
    raise NotFound(f"no {kind} is called {name!r} in namespace {joch.namespace!r}{near}")


def _with_status(joch: Joch, resource: Any) -> Json:
    document: Json = resource.document()
    if isinstance(resource, ModelRoute):
        document["status"] = route_status(joch, resource)
    elif isinstance(resource, Model):
        document["status"] = {"phase": "Ready", "health": _health(_recent(joch)).get(resource.backend, "Unknown")}
    return document


def route_status(joch: Joch, route: ModelRoute) -> Json:
    """`phase`, `primaryHealth`, `fallbackHealth`, `fallbackRate7d`, and a condition per candidate that cannot serve."""
    from joch_core.app.assembly import standing

    recent = [event for event in _recent(joch) if event.payload.get("route", route.name) == route.name]
    health = _health(recent)
    primary, *fallback = route.candidates
    answered = [event for event in recent if event.type == "ModelCallCompleted" and event.payload.get("route") == route.name]
    by_fallback = sum(event.payload.get("fallbackIndex", 0) > 0 for event in answered)
    verdicts = standing(joch, route)
    eligible = [verdict for verdict in verdicts if verdict.outcome == "eligible"]
    phase = "NotReady" if not eligible else "Ready" if len(eligible) == len(verdicts) else "Degraded"
    return {
        "phase": phase,
        "primaryHealth": health.get(primary, "Unknown"),
        "fallbackHealth": {backend: health.get(backend, "Unknown") for backend in fallback},
        "fallbackRate7d": round(by_fallback / len(answered), 4) if answered else 0,
        "conditions": [
            {
                "type": "Eligible",
                "candidate": verdict.backend,
                "status": "False",
                "reason": verdict.code,
                "message": verdict.reason,
            }
            for verdict in verdicts
            if verdict.outcome != "eligible"
        ],
    }


def _recent(joch: Joch) -> list[Event]:
    since = datetime.now(UTC) - _WEEK
    types = ("ModelCallCompleted", "ModelCallFailed")
    events = joch.store.events(joch.namespace, Query(types=types, since=since))
    return [event for event in events if not event.payload.get("imported")]


def _health(events: Sequence[Event]) -> dict[str, str]:
    """The health of each backend by its newest calls: the last three failed, the last one failed, or neither."""
    failures: dict[str, int] = {}
    for event in events:
        backend = event.payload["backend"]
        ill = event.type == "ModelCallFailed" and event.payload["kind"] not in ("invalid_request", "context_length")
        failures[backend] = failures.get(backend, 0) + 1 if ill else 0
    return {
        backend: "Healthy" if not count else "Degraded" if count < _ILL_AFTER else "Unhealthy"
        for backend, count in failures.items()
    }


def _conversation(joch: Joch, name: str) -> Json:
    history = joch.conversation(name).history()
    stored = next((one for one in joch.catalog if one.kind == "Conversation" and one.name == name), None)
    document: Json = (
        stored.document()
        if stored is not None
        else {"apiVersion": "joch.dev/v1alpha1", "kind": "Conversation", "metadata": {"name": name}, "spec": {}}
    )
    document["status"] = {
        "phase": "Active",
        "messageCount": len(history.entries),
        "currentBackend": history.backend,
        "lastCheckpointRef": history.checkpoint,
    }
    return document


def _checkpoints(joch: Joch) -> Iterator[tuple[Event, list[Event]]]:
    types = ("CheckpointCreated", "CheckpointApplied")
    events = list(joch.store.events(joch.namespace, Query(types=types)))
    seen: set[str] = set()
    for event in events:
        if event.type == "CheckpointCreated" and event.payload["name"] not in seen:
            seen.add(event.payload["name"])
            yield event, events


def _checkpoint(created: Event, events: Sequence[Event]) -> Json:
    name = created.payload["name"]
    applied = [event for event in events if event.type == "CheckpointApplied" and event.payload["name"] == name]
    (resource,) = from_json([checkpoint_document(name, created.payload["spec"])])
    return {
        **resource.document(),
        "status": {
            "phase": "Applied" if applied else "Created",
            "createdAt": instant(created.at),
            "appliedToBackend": applied[-1].payload["backend"] if applied else None,
            "appliedAt": instant(applied[-1].at) if applied else None,
        },
    }


def checkpoint_document(name: str, spec: Json) -> Json:
    """A checkpoint as the YAML document that the specification shows."""
    return {"apiVersion": "joch.dev/v1alpha1", "kind": "StateCheckpoint", "metadata": {"name": name}, "spec": spec}


def _executions(joch: Joch) -> dict[str, list[Event]]:
    grouped: dict[str, list[Event]] = {}
    for event in joch.store.events(joch.namespace, Query()):
        if event.execution is not None:
            grouped.setdefault(event.execution, []).append(event)
    return dict(sorted(grouped.items()))
