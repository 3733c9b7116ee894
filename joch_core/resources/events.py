"""The facts of a conversation or an execution. Events are the truth; everything else is a fold of them.

Payloads, by type (field names as written):

========================  =============================================================================================
`ExecutionCreated`        `{route?, conversation?}`; `ExecutionStarted` `{}`; `ExecutionSucceeded` and `ExecutionFailed`
                          `{costUsd, modelCalls, toolCalls, error?}`
`MessageAdded`            `{message, backend?}`: one message of the conversation in the form of `message_to_json`; `backend`
                          says which one wrote it (assistant messages)
`ToolsOffered`            `{tools, outputSchema?, outputStrict?}`: what the model may call from here on, in the form of
                          `tool_to_json`, and the schema of its answers
`RouteDecided`            `{route, candidates: [{backend, verdict, code, reason, …}], demand, estimateTokens, catalogHash}`
`CandidateSkipped`        `{backend, code, reason}`: it could have been asked, but this very request does not fit it
`ModelCallStarted`        `{backend, provider, model, region, attempt, fallbackIndex, estimateTokens, reservedUsd?}`
`ModelCallCompleted`      `{backend, provider, model, inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens,
                          reasoningTokens, costUsd, latencyMs, region, finish, fallbackIndex, route}`
`ModelCallFailed`         the fields of `errors.Attempt.as_json` plus `{provider, model, latencyMs}`
`ProviderSwitched`        `{fromProvider, toProvider, checkpointRef, reason, capabilityDeltas: [{level, code, text}]}`
`CheckpointCreated`       `{name, spec}`: the whole StateCheckpoint spec; `CheckpointApplied` `{name, backend}`
`ToolCallRequested`       `{key, callId, tool, toolVersion?, args, effect, idempotent, epoch, position, occurrence, attempt,
                          subject, process, forced?, approvedBy?}`: `subject` is the hash of tool and arguments, `process` a
                          hash of who ran it
`ToolCallCompleted`       `{key, callId, tool, effect, phase: Succeeded|Failed|Unknown, output?, deduplicated?, process?, late?,
                          error?}`
`DecisionRecorded`        `{text, by: user|operator|model, supersedes?}`; `GoalSet`, `TaskSet` `{text, by}`; `Pinned` `{text, by}`
`QuestionAsked`           `{id, text, by}`; `QuestionAnswered` `{id, text, by}`
`ArtifactCreated`         `{ref, mediaType?, bytes?, sha256?, by}`; `MemoryWritten` and `MemoryRead` `{ref, text?, by}`
`HistoryRewritten`        `{keep, reason}`: of the messages so far only the first `keep` still stand
`ToolCallForced`          `{key, callId, tool, effect, repeats, approvedBy?, reason}`: the caller wants it whatever the ledger
                          says; `repeats` is the key that it would have had. Comes with its `ToolCallRequested`
`NearDuplicate`           `{key, callId, tool, like, reason}`: it resembles the call `like`, made before a switch or a crash
`PolicyDenied`            `{backend, policy, rule, reason}`, for tools `{tool, callId, effect, policy, rule, reason}`;
                          `HookDecision` `{policy, rule, action, reason}`
`BudgetExceeded`          `{backend, account, capUsd, spentUsd, neededUsd}`
`StreamInterrupted`       `{backend, text, reason}`
========================  =============================================================================================
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from joch_core.messages import Json

#: The hash before the first event of a log.
GENESIS = "0" * 64


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces and UTF-8 as it is: the same value gives the same text in every process."""
    return _CANONICAL.encode(value)


#: Execution, trace id, span id, agent, framework, model.
Envelope = tuple[str | None, str | None, str | None, str | None, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is not written yet. `at` is a moment in the form of `instant`, where it is not that of the commit."""

    type: str
    payload: Json = field(default_factory=dict)
    execution: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    agent: str | None = None
    framework: str | None = None
    model: str | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. `log` is `conversation/NAME` or `execution/NAME`; `sequence` counts from 1 within it.

    `hash` runs over the whole log: it covers the hash before it, the envelope and a hash of the payload, so that a payload
    can be taken out (a tombstone keeps its hash) without breaking the chain.
    """

    log: str
    sequence: int
    type: str
    payload: Json
    at: datetime
    hash: str = ""
    execution: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    agent: str | None = None
    framework: str | None = None
    model: str | None = None

    @property
    def envelope(self) -> Envelope:
        """What stands around the payload, in the order in which it is hashed."""
        return (self.execution, self.trace_id, self.span_id, self.agent, self.framework, self.model)

    @property
    def conversation(self) -> str | None:
        """The conversation's name, if the event belongs to one."""
        kind, _, name = self.log.partition("/")
        return name if kind == "conversation" else None

    def as_json(self) -> Json:
        """As `joch trace -o json` shows it."""
        return {
            "sequence": self.sequence, "type": self.type, "at": instant(self.at), "conversationId": self.conversation,
            "executionId": self.execution, "traceId": self.trace_id, "spanId": self.span_id, "agentRef": self.agent,
            "framework": self.framework, "model": self.model, "payload": self.payload, "hash": self.hash,
        }  # fmt: skip


def instant(at: datetime) -> str:
    """A moment as text: UTC, microseconds, `Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_instant(text: str) -> datetime:
    """The moment that `instant` wrote."""
    return datetime.fromisoformat(text)


def payload_hash(payload_text: str) -> str:
    """The hash of a payload in its canonical JSON text."""
    return hashlib.sha256(payload_text.encode()).hexdigest()


def link(previous: str, log: str, sequence: int, type_: str, at: str, envelope: Envelope, payload_digest: str) -> str:
    """The running hash of the event that follows `previous`."""
    fields = (previous, log, str(sequence), type_, at, *[field or "" for field in envelope], payload_digest)
    return hashlib.sha256("\x1f".join(fields).encode("utf-8", "surrogatepass")).hexdigest()


def conversation_log(name: str) -> str:
    """The log of a conversation."""
    return f"conversation/{name}"


def execution_log(name: str) -> str:
    """The log of an execution outside any conversation."""
    return f"execution/{name}"
