"""Tool calls of LangChain through the ledger of Joch: which effect a tool has, whose call it is, what becomes of doubt.

The middleware and the guarded tools are two doors to this. Nothing here knows how a tool is run: it is handed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp
from langgraph.types import interrupt

import joch_core
from joch_core import (
    CallInProgress,
    InvalidArgument,
    Joch,
    Json,
    KeyConflict,
    NotExecuted,
    NotFound,
    OutcomeUnknown,
    PolicyDenied,
)
from langchain_joch.identity import conversation_of, place
from langchain_joch.messages import KEY, CallIds, to_joch
from langchain_joch.results import decode, encode, is_error, repeated, report

OnInDoubt = Literal["report", "raise", "interrupt"]
Declarations = Mapping[str, Mapping[str, Any] | str]
#: Whose hints of MCP servers count: nobody's, everybody's, or those of the tools named.
TrustHints = bool | Collection[str]

_UNKNOWN = (
    "The outcome of this call is unknown: it was started and its end was never recorded. It was not repeated. Do not call it "
    "again; find out first whether it took effect, or ask the user."
)
_CONFLICT = "This call was not made: an earlier call has the same key and other arguments."
_IN_PROGRESS = "This call was not made: the very same call is running elsewhere. Wait, then look whether it took effect."


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One tool call: what is called, by which assistant turn, in which conversation."""

    name: str
    args: Json
    call_id: str
    ledger_id: str
    tool: BaseTool | None = None
    conversation: str | None = None
    execution: str | None = None
    place: tuple[int, int] | None = None


class _Bubbled(NotExecuted):
    """The graph was interrupted inside the tool: the claim is released and the interrupt goes on its way."""

    def __init__(self, cause: GraphBubbleUp) -> None:
        super().__init__("the graph was interrupted before the tool was done")
        self.cause = cause


class _Failed(Exception):
    """The tool node caught an error of the tool and made a message of it; nobody knows what the tool did before."""

    def __init__(self, message: Any) -> None:
        super().__init__("the tool failed")
        self.message = message


#: What a tool of an MCP server has in its metadata, put there by langchain-mcp-adapters word for word as the server said it:
#: https://modelcontextprotocol.io/specification/2025-06-18/schema#toolannotations ("clients should never make tool use
#: decisions based on ToolAnnotations received from untrusted servers").
_HINTS = frozenset({"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"})


def declaration_of(
    name: str, tool: BaseTool | None, declared: Declarations, *, trust_mcp_hints: TrustHints = False
) -> Json | None:
    """What is declared of a tool: by name, else in its own `metadata["joch"]`, else by trusted hints; None if nothing is.

    What stands in the metadata of an MCP tool may come from its server, so that only a trusted one can be made harmless there.
    """
    given: Any = declared.get(name)
    if given is None and tool is not None:
        metadata = tool.metadata or {}
        from_server = not _HINTS.isdisjoint(metadata)
        trusted = trust_mcp_hints if isinstance(trust_mcp_hints, bool) else name in trust_mcp_hints
        given = metadata.get(KEY)
        if from_server and not trusted and given is not None and _makes_harmless(_fields(given)):
            given = None
        if from_server and trusted and given is None:
            given = _hinted(metadata)
    return None if given is None else _fields(given)


def _fields(given: Any) -> Json:
    return {"effect": given} if isinstance(given, str) else dict(given)


def _makes_harmless(given: Json) -> bool:
    """Would this let a call run unguarded, or again?"""
    return given.get("effect") in ("read", "read_only") or bool(given.get("idempotent")) or given.get("repeat") == "always"


def _hinted(metadata: Mapping[str, Any]) -> Json | None:
    if metadata.get("readOnlyHint") is True:
        return {"effect": "read_only"}
    return {"effect": "external_write", "idempotent": True} if metadata.get("idempotentHint") is True else None


def _maker(messages: Sequence[BaseMessage], call_id: str) -> AIMessage | None:
    """The newest assistant turn that holds this call."""
    for message in reversed(messages):
        if isinstance(message, AIMessage) and any(call["id"] == call_id for call in message.tool_calls):
            return message
    return None


def place_in(messages: Sequence[BaseMessage], call_id: str) -> tuple[int, int] | None:
    """Which message of the user the call follows, and how many equal calls stand before it in its assistant turn.

    By this the ledger knows a legitimate repeat where another chat model than Joch's made the calls, and the log knows none.
    """
    maker = _maker(messages, call_id)
    if maker is None:
        return None
    before = next(index for index, message in enumerate(messages) if message is maker)
    mine = next(index for index, call in enumerate(maker.tool_calls) if call["id"] == call_id)
    name, args = maker.tool_calls[mine]["name"], maker.tool_calls[mine]["args"]
    equal = sum((call["name"], call["args"]) == (name, args) for call in maker.tool_calls[:mine])
    return sum(isinstance(message, HumanMessage) for message in messages[:before]), equal


def ledger_id(messages: Sequence[BaseMessage], call_id: str) -> str:
    """The call's id as the log of the conversation has it."""
    ids = CallIds()
    for message in messages:
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                ids.call(call["id"] or "")
    return ids.result(call_id)


@dataclass(slots=True)
class Guarding:
    """How tools are guarded: declarations, what to do in doubt, and the Joch whose ledger it is."""

    joch: Joch
    declared: Declarations = field(default_factory=dict)
    on_in_doubt: OnInDoubt = "report"
    conversation: str | None = None
    trust_mcp_hints: TrustHints = False

    def __post_init__(self) -> None:
        if self.on_in_doubt not in get_args(OnInDoubt):
            raise InvalidArgument(f"on_in_doubt={self.on_in_doubt!r}: give one of {', '.join(get_args(OnInDoubt))}")

    def _log(self, name: str) -> Sequence[joch_core.Message]:
        try:
            return list(self.joch.conversation(name).messages())
        except NotFound:
            return ()

    def place(self, messages: Sequence[BaseMessage], call_id: str) -> tuple[str | None, str | None]:
        """(conversation, execution) of a call: what its own assistant turn says, else the running graph's thread."""
        maker = _maker(messages, call_id)
        facts = {} if maker is None else maker.response_metadata.get(KEY) or {}
        if self.conversation is not None:
            return self.conversation, facts.get("execution")
        if facts.get("conversation") is not None:
            return facts["conversation"], facts.get("execution")
        at = place()
        if at.thread_id is None or not at.namespace:
            return at.thread_id, None
        return conversation_of(at, to_joch(messages), self._log), None

    def _declared(self, use: ToolUse, function: Callable[..., Any]) -> Callable[..., Any]:
        function.__name__ = function.__qualname__ = use.name
        declaration = declaration_of(use.name, use.tool, self.declared, trust_mcp_hints=self.trust_mcp_hints)
        return function if declaration is None else joch_core.tool(**declaration)(function)

    def run(self, use: ToolUse, execute: Callable[[], Any], approved_by: str | None = None) -> Any:
        """Run a tool, or give what it gave before.

        Raises:
            OutcomeUnknown: it was started before and nobody knows how it ended, under `on_in_doubt="raise"`.
            StoreError: the ledger cannot be written; the tool was not run.
        """

        def tool(**_args: Any) -> Any:
            return _checked(execute)

        guard = self.joch.guard(conversation=use.conversation, execution=use.execution)
        try:
            outcome = guard.run(
                self._declared(use, tool), use.args, call_id=use.ledger_id, approved_by=approved_by, place=use.place
            )
        except (OutcomeUnknown, KeyConflict, CallInProgress, PolicyDenied, _Bubbled, _Failed) as error:
            if approved_by is None and (approver := _approver(use, error)) is not None:
                return self.run(use, execute, approver)
            return self._instead(use, error)
        return _given(use, outcome)

    async def arun(self, use: ToolUse, execute: Callable[[], Awaitable[Any]], approved_by: str | None = None) -> Any:
        """`run` for an asynchronous tool."""

        async def tool(**_args: Any) -> Any:
            return await _achecked(execute)

        guard = self.joch.guard(conversation=use.conversation, execution=use.execution)
        try:
            outcome = await guard.arun(
                self._declared(use, tool), use.args, call_id=use.ledger_id, approved_by=approved_by, place=use.place
            )
        except (OutcomeUnknown, KeyConflict, CallInProgress, PolicyDenied, _Bubbled, _Failed) as error:
            if approved_by is None and (approver := _approver(use, error)) is not None:
                return await self.arun(use, execute, approver)
            return self._instead(use, error)
        return _given(use, outcome)

    def _instead(self, use: ToolUse, error: Exception) -> Any:
        """What is given in place of a result."""
        match error:
            case _Bubbled():
                raise error.cause from None
            case _Failed():
                return error.message
            case OutcomeUnknown() if self.on_in_doubt == "raise":
                raise error
            case OutcomeUnknown():
                return report(self._doubt(use, error), call_id=use.call_id, name=use.name, key=error.key)
            case PolicyDenied():
                return report(f"This call was not made: {error.message}", call_id=use.call_id, name=use.name, key="")
            case KeyConflict() | CallInProgress():
                text = _CONFLICT if isinstance(error, KeyConflict) else _IN_PROGRESS
                return report(text, call_id=use.call_id, name=use.name, key=error.key)
        raise error

    def _doubt(self, use: ToolUse, error: OutcomeUnknown) -> str:
        if self.on_in_doubt == "report":
            return _UNKNOWN
        asked = {"joch": "outcome_unknown", "tool": use.name, "args": use.args, "key": error.key}
        # The graph stops here until a person has looked; what they found is what the model is told.
        return f"The outcome of this call was unknown. A person has checked it: {interrupt(asked)}"


def _approver(use: ToolUse, error: Exception) -> str | None:
    """Who approves a call that needs it: the graph stops until a person answers `True` or `{"approved_by": NAME}`."""
    if not (isinstance(error, PolicyDenied) and error.approval):
        return None
    asked = {"joch": "approval_required", "tool": use.name, "args": use.args, "reason": error.message}
    try:
        answer = interrupt(asked)
    except RuntimeError:  # outside of a graph there is nobody to ask
        return None
    match answer:
        case True:
            return "a human"
        case {"approved_by": str(name)} if name:
            return name
    return None


def _checked(execute: Callable[[], Any]) -> Any:
    try:
        result = execute()
    except GraphBubbleUp as bubble:
        raise _Bubbled(bubble) from None
    if is_error(result):
        raise _Failed(result)
    return encode(result)


async def _achecked(execute: Callable[[], Awaitable[Any]]) -> Any:
    try:
        result = await execute()
    except GraphBubbleUp as bubble:
        raise _Bubbled(bubble) from None
    if is_error(result):
        raise _Failed(result)
    return encode(result)


def _given(use: ToolUse, outcome: Any) -> Any:
    value = decode(outcome.value)
    return repeated(value, use.call_id) if outcome.deduplicated else value
