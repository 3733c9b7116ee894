"""Check, preview and switch: a conversation (or a list of messages) seen as another backend would receive it."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from joch_core.app.assembly import target_of
from joch_core.app.intake import Intake, take_in, with_offer
from joch_core.app.status import checkpoint_document
from joch_core.app.stretch import Moved, move, report_lines
from joch_core.capabilities import Gap, Target
from joch_core.errors import ContextTooSmall, InvalidArgument, MigrationRefused, NotFound, PolicyDenied
from joch_core.messages import Json, ModelRequest, message_from_json
from joch_core.migration.check import COLD, CheckReport
from joch_core.migration.history import History
from joch_core.projection import project
from joch_core.resources.base import nearest
from joch_core.resources.commits import Commit
from joch_core.resources.documents import from_json
from joch_core.resources.events import (
    GENESIS,
    Draft,
    Event,
    canonical_json,
    conversation_log,
    instant,
    link,
    parse_instant,
    payload_hash,
)
from joch_core.resources.policy import Policy
from joch_core.resources.route import Migration, ModelRoute
from joch_core.resources.state import StateCheckpoint
from joch_core.routing import facts
from joch_core.routing.judge import Denied, judge, model_facts
from joch_core.wire import wire

if TYPE_CHECKING:
    from joch_core.app.joch import Joch


def check_switch(joch: Joch, request: ModelRequest, conversation: str | None, to: str) -> CheckReport:
    """What the switch would change or lose, and whether it is allowed. Nothing is written.

    Raises:
        NotFound: the conversation has no events.
    """
    target = _target(joch, to)
    intake = _intake(joch, conversation, request)
    request = with_offer(intake.history, request)
    source = target_of(joch, intake.history.backend)
    try:
        moved = _moved(joch, intake, request, target, source)
    except ContextTooSmall as error:
        return CheckReport((Gap("fail", "context.window", error.message),), allowed=False, reason=error.message)
    lines = tuple(report_lines(intake, request, target, source, moved, _required_window(joch, intake)))
    denied = _denied(joch, target, lines)
    return CheckReport(lines, denied is None, "" if denied is None else denied.reason)


def preview(joch: Joch, request: ModelRequest, conversation: str | None, to: str) -> Json:
    """The exact body that the target would receive; nothing is sent, nothing is written."""
    target = _target(joch, to)
    if conversation is None:
        sent = project(request, target).request
    else:
        intake = _intake(joch, conversation, request)
        request = with_offer(intake.history, request)
        source = target_of(joch, intake.history.backend)
        sent = move(intake, request, target, source, _migration(joch, intake)).projected.request
    return wire(target.api).render(sent, target, stream=False)


def switch(joch: Joch, request: ModelRequest, conversation: str, to: str, reason: str, agent: str | None) -> StateCheckpoint:
    """Move the conversation. The next call renders from the checkpoint that comes back.

    Raises:
        NotFound: the conversation has no events.
        PolicyDenied: a policy gates the switch.
        MigrationRefused: the conversation is there already.
        ConversationConflict: another writer was faster.
    """
    target = _target(joch, to)
    intake = _intake(joch, conversation, request)
    history = intake.history
    request = with_offer(history, request)
    if history.backend == to:
        raise MigrationRefused(f"conversation {conversation!r} is on {to} already")
    source = target_of(joch, history.backend)
    moved = _moved(joch, intake, request, target, source)
    denied = _denied(
        joch, target, tuple(report_lines(intake, request, target, source, moved, _required_window(joch, intake)))
    )
    if denied is not None:
        now = datetime.now(UTC)
        policy, _, rule = denied.rule.partition("/")
        payload = {"backend": to, "policy": policy, "rule": rule, "reason": denied.reason}
        joch.store.commit(joch.namespace, Commit(conversation_log(conversation), (Draft("PolicyDenied", payload),)), now)
        raise PolicyDenied(f"policy {denied.rule} denies the switch to {to}: {denied.reason}")
    name, spec = moved.checkpoint.name, moved.checkpoint.spec
    drafts = (
        Draft("CheckpointCreated", {"name": name, "spec": spec}),
        facts.switched(history.backend, to, _reason(reason), name, moved.gaps),
        facts.applied(name, to),
    )
    span = uuid.uuid4().hex[:16]
    marked = tuple(replace(draft, execution=history.execution, span_id=span, agent=agent) for draft in drafts)
    commit = Commit(conversation_log(conversation), marked, turn=history.turn)
    joch.store.commit(joch.namespace, commit, datetime.now(UTC))
    (checkpoint,) = from_json([checkpoint_document(name, spec)])
    assert isinstance(checkpoint, StateCheckpoint)
    return checkpoint


def _moved(joch: Joch, intake: Intake, request: ModelRequest, target: Target, source: Target | None) -> Moved:
    """What the switch would send; a target that nobody has described is one of its gaps."""
    moved = move(intake, request, target, source, _migration(joch, intake))
    if not joch.catalog.assumed(target.backend):
        return moved
    provider = target.backend.partition(":")[0]
    near = nearest(target.backend, [model.backend for model in joch.catalog.models(provider)])
    text = f"Nothing is known of {target.backend}, its abilities and limits are guesses{near}"
    return replace(moved, gaps=(Gap("warn", "model.unknown", text), *moved.gaps))


def import_conversation(joch: Joch, data: Any, name: str | None) -> str:
    """Take in what `Conversation.export` wrote; the name under which it is kept.

    Raises:
        InvalidArgument: it is no export.
        MigrationRefused: it has been edited since, or a conversation of that name exists.
    """
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("events"), list)
        or not isinstance(data.get("conversation"), str)
    ):
        raise InvalidArgument("this is no exported conversation; it must be what joch conversations export has written")
    log = conversation_log(data["conversation"])
    try:
        events = [_event(log, row) for row in data["events"]]
        broken = _broken(log, events, data.get("head"))
        for event in events:
            if event.type == "MessageAdded":
                message_from_json(event.payload["message"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidArgument(f"this exported conversation cannot be read ({type(error).__name__}: {error})") from None
    if broken is not None:
        raise MigrationRefused(
            f"the log has been edited: the hash of event {broken} does not fit; import the file as it was exported"
        )
    own = name or data["conversation"]
    if joch.conversation(own).exists:
        raise MigrationRefused(f"a conversation {own!r} exists already; choose another name with --as")
    drafts = tuple(map(_imported, events))
    joch.store.commit(joch.namespace, Commit(conversation_log(own), drafts, turn=0), datetime.now(UTC))
    return own


#: Events that add up to costs, rates and health.
_COUNTED = frozenset({"ModelCallCompleted", "ModelCallFailed"})


def _imported(event: Event) -> Draft:
    """An event of another log. What it cost was spent there, and its execution is none of this store's."""
    payload = {**event.payload, "imported": True} if event.type in _COUNTED else event.payload
    return Draft(
        event.type,
        payload,
        span_id=event.span_id,
        agent=event.agent,
        framework=event.framework,
        model=event.model,
        at=instant(event.at),
    )


def _event(log: str, row: Json) -> Event:
    return Event(
        log, row["sequence"], row["type"], row["payload"], parse_instant(row["at"]), row["hash"], row.get("executionId"),
        row.get("traceId"), row.get("spanId"), row.get("agentRef"), row.get("framework"), row.get("model"),
    )  # fmt: skip


def _broken(log: str, events: list[Event], head: Any) -> int | None:
    previous = GENESIS
    for number, event in enumerate(events, 1):
        digest = payload_hash(canonical_json(event.payload))
        previous = link(previous, log, number, event.type, instant(event.at), event.envelope, digest)
        if event.sequence != number or event.hash != previous:
            return number
    return None if isinstance(head, dict) and head.get("hash") == previous else len(events)


_REASONS = ("outage", "rate_limit", "budget", "capability", "region", "policy", "health", "operator", "route_edit")


def _reason(reason: str) -> str:
    if reason not in _REASONS:
        raise InvalidArgument(f"reason is {reason!r}; it must be one of {', '.join(_REASONS)}")
    return reason


def _target(joch: Joch, to: str) -> Target:
    if not isinstance(to, str) or ":" not in to:
        raise InvalidArgument(f"{to!r} is no backend; write provider:model, such as anthropic:claude-sonnet")
    return joch.catalog.model(to).target(to)


def _intake(joch: Joch, conversation: str | None, request: ModelRequest) -> Intake:
    if conversation is None:
        return take_in(History("messages"), request)
    own = joch.conversation(conversation)
    if not own.exists:
        raise NotFound(
            f"no conversation is called {conversation!r} in namespace {joch.namespace!r}; see: joch get conversations"
        )
    return take_in(own.history(), request)


def _route(joch: Joch, intake: Intake) -> ModelRoute | None:
    """The route that the conversation runs on, where that is known."""
    return None if intake.history.route is None else joch.catalog.find(ModelRoute, intake.history.route)


def _migration(joch: Joch, intake: Intake) -> Migration:
    route = _route(joch, intake)
    return Migration() if route is None else route.spec.migration


def _required_window(joch: Joch, intake: Intake) -> int | None:
    route = _route(joch, intake)
    return None if route is None else route.spec.requirements.context_window_min


def _denied(joch: Joch, target: Target, lines: tuple[Any, ...]) -> Denied | None:
    """Do the policies gate this switch?"""
    counts = {
        "migration.warnings": sum(line.level == "warn" and line.code != COLD for line in lines),
        "migration.failures": sum(line.level == "fail" for line in lines),
    }
    verdict = judge(joch.catalog.all(Policy), {**model_facts(target), **counts})
    return verdict if isinstance(verdict, Denied) else None
