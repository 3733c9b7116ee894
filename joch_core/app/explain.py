"""What happened, rebuilt from stored events alone: the decision of every call of an execution, its cost, its end. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from joch_core.messages import Json
from joch_core.resources.events import Event, instant

#: Attempts are events of these types.
_ATTEMPT = {"ModelCallFailed", "ModelCallCompleted"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an execution went where it went. `calls` holds one object for each model call, refused ones too."""

    execution: str
    route: str | None
    calls: tuple[Json, ...]

    def as_json(self) -> Json:
        """`{execution, route, calls: [{candidates, attempts, costUsd, …}]}`."""
        return {"execution": self.execution, "route": self.route, "calls": list(self.calls)}

    def __str__(self) -> str:
        lines = [f"execution {self.execution}, route {self.route or '-'}"]
        for number, call in enumerate(self.calls, 1):
            lines.append(f"call {number}: {call['costUsd'] or 'cost unknown'}")
            lines += [f"  {row['backend']}: {row['verdict']} ({row['code']}) {row['reason']}" for row in call["candidates"]]
        return "\n".join(lines)


@dataclass(slots=True)
class _CallFold:
    """One model call while its events are read."""

    decided: Event
    candidates: list[Json]
    attempts: list[Json] = field(default_factory=list)
    started: set[str] = field(default_factory=set)
    switches: list[Json] = field(default_factory=list)
    cost: Decimal | None = None
    answered: str | None = None
    interrupted: Json | None = None

    def add(self, event: Event) -> None:
        payload = event.payload
        match event.type:
            case "ModelCallStarted":
                self.started.add(payload["backend"])
            case "ModelCallFailed":
                self.attempts.append({**payload, "at": instant(event.at), "outcome": "failed"})
                self._mark(payload["backend"], "failed", payload["kind"], payload.get("message", ""))
            case "CandidateSkipped":
                self._mark(payload["backend"], "skipped", payload["code"], payload["reason"])
            case "ModelCallCompleted":
                self.answered = payload["backend"]
                self.attempts.append({**payload, "at": instant(event.at), "outcome": "answered"})
                self._mark(payload["backend"], "chosen", "ok", "answered")
                if payload.get("costUsd") is not None:
                    self.cost = (self.cost or Decimal(0)) + Decimal(payload["costUsd"])
            case "ProviderSwitched":
                self.switches.append(payload)
            case "StreamInterrupted":
                self.interrupted = payload
                self._mark(payload["backend"], "failed", "stream_interrupted", payload["reason"])

    def _mark(self, backend: str, verdict: str, code: str, reason: str) -> None:
        for row in self.candidates:
            if row["backend"] == backend:
                row.update(verdict=verdict, code=code, reason=reason)

    def as_json(self) -> Json:
        for row in self.candidates:
            if row["verdict"] == "eligible":
                called = row["backend"] in self.started
                row["verdict"] = "failed" if called else "not_tried"
                row["code"] = "abandoned" if called else "ok"
                row["reason"] = "the call never ended" if called else "it was not needed"
        out: Json = {
            "at": instant(self.decided.at),
            "candidates": self.candidates,
            "answeredBy": self.answered,
            "attempts": self.attempts,
            "costUsd": None if self.cost is None else str(self.cost),
            "switches": self.switches,
        }
        for name in ("demand", "estimateTokens", "catalogHash"):
            if name in self.decided.payload:
                out[name] = self.decided.payload[name]
        if self.interrupted is not None:
            out["interrupted"] = self.interrupted
        return out


def explain(execution: str, events: Iterable[Event]) -> Explanation:
    """The decisions of one execution. Calls that ran side by side are told apart by their span."""
    calls: dict[str, _CallFold] = {}
    route: str | None = None
    for event in events:
        span = event.span_id or ""
        if event.type == "RouteDecided":
            route = event.payload.get("route") or route
            calls[span] = _CallFold(event, [dict(row) for row in event.payload.get("candidates", ())])
        elif span in calls:
            calls[span].add(event)
    return Explanation(execution, route, tuple(call.as_json() for call in calls.values()))


def execution_status(execution: str, events: Iterable[Event]) -> Json:
    """The `Execution` resource of this name, with the status that its events add up to."""
    phase, started, ended, route, conversation = "Running", None, None, None, None
    cost, model_calls, tool_calls = Decimal(0), 0, 0
    last = None
    for event in events:
        started = started or event.at
        last = event.at
        conversation = conversation or event.conversation
        match event.type:
            case "ExecutionSucceeded" | "ExecutionFailed":
                phase = event.type.removeprefix("Execution")
                ended = event.at
            case "RouteDecided":
                route = event.payload.get("route") or route
            case "ModelCallCompleted":
                model_calls += 1
                cost += Decimal(event.payload.get("costUsd") or 0)
            case "ModelCallFailed":
                model_calls += 1
            case "ToolCallRequested":
                tool_calls += 1
    spec: Json = {}
    if conversation is not None:
        spec["conversationRef"] = {"name": conversation}
    if route is not None:
        spec["modelRouteRef"] = {"name": route}
    until = ended or last
    status: Json = {
        "phase": phase,
        "startedAt": None if started is None else instant(started),
        "completedAt": None if ended is None else instant(ended),
        "costUsd": str(cost),
        "durationMs": 0 if started is None or until is None else int((until - started).total_seconds() * 1000),
        "modelCalls": model_calls,
        "toolCalls": tool_calls,
    }
    return {
        "apiVersion": "joch.dev/v1alpha1",
        "kind": "Execution",
        "metadata": {"name": execution},
        "spec": spec,
        "status": status,
    }


def cost_by(events: Iterable[Event], by: str) -> list[Json]:
    """What was spent, by `model`, `agent`, `conversation` or `execution`; the dearest first."""
    rows: dict[str, Json] = {}
    for event in events:
        if event.type != "ModelCallCompleted" or event.payload.get("imported"):
            continue
        payload = event.payload
        name = {
            "model": payload["backend"],
            "agent": event.agent,
            "conversation": event.conversation,
            "execution": event.execution,
        }[by]
        row = rows.setdefault(
            name or "-", {"name": name or "-", "calls": 0, "tokens": 0, "costUsd": Decimal(0), "unpriced": 0}
        )
        row["calls"] += 1
        row["tokens"] += (payload.get("inputTokens") or 0) + (payload.get("outputTokens") or 0)
        if payload.get("costUsd") is None:
            row["unpriced"] += 1
        else:
            row["costUsd"] += Decimal(payload["costUsd"])
    ordered = sorted(rows.values(), key=lambda row: (-row["costUsd"], row["name"]))
    return [{**row, "costUsd": str(row["costUsd"])} for row in ordered]
