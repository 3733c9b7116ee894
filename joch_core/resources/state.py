"""Kinds whose truth is the event log: Conversation, StateCheckpoint, ToolCall, Execution. A document declares or shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from joch_core.errors import InvalidArgument
from joch_core.messages import Json
from joch_core.resources.backends import split_backend
from joch_core.resources.base import Flag, Positive, Ref, Resource, Spec, Usd, fault
from joch_core.resources.tool import CallEffects


class Retention(Spec):
    """How long a log is kept."""

    max_days: Positive | None = None
    """Days after the last event; left out: for good."""


class Summarization(Spec):
    """The optional summary that a model writes; the log stays the truth."""

    enabled: Flag = False
    """Off unless asked for."""
    checkpoint_every_messages: Positive | None = None
    """A checkpoint after so many messages, without a switch."""
    summarizer_model_ref: Ref | None = None
    """Who writes it."""


class Portability(Spec):
    """The form of an export."""

    canonical_format: Literal["joch.dev/conversation.v1"] = "joch.dev/conversation.v1"
    """The format."""
    preserve_vendor_metadata: Flag = True
    """Keep what only the vendor can read."""


class ConversationSpec(Spec):
    """What is wanted of a conversation."""

    agent_ref: Ref | None = None
    """Whose conversation it is."""
    retention: Retention = Field(default_factory=Retention)
    """How long it is kept."""
    summarization: Summarization = Field(default_factory=Summarization)
    """The optional summary."""
    portability: Portability = Field(default_factory=Portability)
    """The form of an export."""


class Conversation(Resource[ConversationSpec]):
    """A conversation that can change its provider."""

    kind: Literal["Conversation"] = "Conversation"


class Summary(Spec):
    """What the next provider must know."""

    user_goal: str | None = None
    """What the user wants."""
    current_task: str | None = None
    """What is being done."""
    decisions: tuple[str, ...] = ()
    """What has been decided."""
    open_questions: tuple[str, ...] = ()
    """What has not."""
    active_artifacts: tuple[str, ...] = ()
    """References of artifacts in use."""
    relevant_memory_refs: tuple[str, ...] = ()
    """References of memories in use."""


class ProviderOrigin(Spec):
    """Where a state comes from."""

    provider: str
    """The provider."""
    model: str
    """Its model id."""
    vendor_metadata: Json = Field(default_factory=dict)
    """What only the vendor can read."""


class ProviderState(Spec):
    """What the old provider leaves."""

    origin: ProviderOrigin | None = Field(default=None, alias="from")
    """Where it comes from."""
    portable: Flag = True
    """Can another provider use it?"""


class CheckpointSpec(Spec):
    """What a checkpoint holds."""

    conversation_ref: Ref
    """The conversation."""
    execution_ref: Ref | None = None
    """The execution in which it was made."""
    from_backend: str | None = None
    """The backend that the conversation leaves."""
    to_backend: str | None = None
    """The backend that takes it over."""
    summary: Summary = Field(default_factory=Summary)
    """What the next provider must know."""
    provider_state: ProviderState | None = None
    """What the old provider leaves."""
    pinned: tuple[str, ...] = ()
    """Rules that the operator or the user pinned."""
    ledger: tuple[Json, ...] = ()
    """What has been done: one row per effectful tool call."""
    capability_deltas: tuple[Json, ...] = ()
    """What the switch changed or lost."""
    truncated: Json = Field(default_factory=dict)
    """What was left out for want of room."""
    head_seq: int | None = None
    """The last event that went in."""
    head_hash: str | None = None
    """The running hash of the log there."""
    window_from: int | None = None
    """The first event that goes over word for word."""
    question_at: int | None = None
    """The user's turn before the window, where that begins in the middle of an agent's work."""
    algorithm: str | None = None
    """How it was made."""
    model_summary: Json | None = None
    """A model's own words, unverified."""
    reason: str | None = None
    """Why the conversation moved."""

    @model_validator(mode="before")
    @classmethod
    def _lists_beside_summary(cls, value: Any) -> Any:
        """`activeArtifacts` and `relevantMemoryRefs` may stand beside `summary`; Joch writes them inside."""
        if not isinstance(value, dict):
            return value
        moved = {name: value[name] for name in ("activeArtifacts", "relevantMemoryRefs") if name in value}
        if not moved:
            return value
        summary = value.get("summary") or {}
        if not isinstance(summary, dict):
            return value
        if twice := next((name for name in moved if name in summary), None):
            raise fault(f"`{twice}` stands in `summary` and beside it; keep one")
        return {**{name: part for name, part in value.items() if name not in moved}, "summary": {**summary, **moved}}

    @field_validator("from_backend", "to_backend")
    @classmethod
    def _backend(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                split_backend(value)
        except InvalidArgument as error:
            raise fault(error.message) from None
        return value


class StateCheckpoint(Resource[CheckpointSpec]):
    """What a conversation takes along to another provider."""

    kind: Literal["StateCheckpoint"] = "StateCheckpoint"


class ToolCallSpec(Spec):
    """One call of a tool."""

    execution_ref: Ref | None = None
    """The execution that made it."""
    conversation_ref: Ref | None = None
    """The conversation that it belongs to."""
    tool_ref: Ref
    """The tool."""
    input: Mapping[str, Any] = Field(default_factory=dict)
    """Its arguments."""
    side_effects: CallEffects = Field(default_factory=CallEffects)
    """What it does to the world."""


class ToolCall(Resource[ToolCallSpec]):
    """One call of a tool: a row of the ledger."""

    kind: Literal["ToolCall"] = "ToolCall"


class ExecutionBudgets(Spec):
    """Caps of one execution."""

    max_cost_usd: Usd | None = None
    """All model calls together."""
    max_tokens: Positive | None = None
    """Input and output together."""
    max_model_calls: Positive | None = None
    """Calls of models."""
    max_tool_calls: Positive | None = None
    """Calls of tools."""


class ExecutionSpec(Spec):
    """What is wanted of an execution."""

    agent_ref: Ref | None = None
    """Who runs."""
    conversation_ref: Ref | None = None
    """The conversation that it belongs to."""
    model_route_override: Ref | None = None
    """A route for this execution alone."""
    budgets: ExecutionBudgets | tuple[Ref, ...] = Field(default_factory=ExecutionBudgets)
    """Caps, or the names of Budgets."""


class Execution(Resource[ExecutionSpec]):
    """One run of an agent: a group of model and tool calls."""

    kind: Literal["Execution"] = "Execution"
