"""`JochMiddleware` for `create_agent` and plain tool nodes, and `guard_tools` for tools that are run anywhere."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AnyMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command
from pydantic import BaseModel, PrivateAttr, ValidationError
from pydantic_core import PydanticSerializationError

from joch_core import Joch, Json, current_key
from langchain_joch.guarding import Declarations, Guarding, OnInDoubt, ToolUse, TrustHints, ledger_id, place_in
from langchain_joch.identity import within
from langchain_joch.tools import KEY_PARAMETER

_log = logging.getLogger(__name__)
Result = ToolMessage | Command[Any]


def _messages(state: Any) -> list[AnyMessage]:
    if isinstance(state, list):
        return state
    found = state.get("messages") if isinstance(state, dict) else getattr(state, "messages", None)
    return list(found or ())


def _schema(tool: BaseTool) -> type[BaseModel] | None:
    """What the model's arguments must fit; None where the tool gives JSON Schema only."""
    schema = tool.tool_call_schema
    return schema if isinstance(schema, type) and issubclass(schema, BaseModel) else None


def _settled(tool: BaseTool, args: Json) -> Json | None:
    """The arguments as the tool will see them, defaults filled in, without what the host injects.

    None if the tool will refuse them: then nothing happens, and there is nothing to guard.
    """
    schema = _schema(tool)
    if schema is None:
        return {name: value for name, value in args.items() if name in tool.args} if tool.args else args
    try:
        settled = schema.model_validate(_keyed(tool, args, "")).model_dump(mode="json")
    except (ValidationError, PydanticSerializationError):
        return None
    settled.pop(KEY_PARAMETER, None)
    return settled


def _keyed(tool: BaseTool, args: Json, key: str | None) -> Json:
    """The arguments with the idempotency key, if the tool takes it."""
    schema: Any = tool.get_input_schema()
    return {**args, KEY_PARAMETER: key or ""} if KEY_PARAMETER in getattr(schema, "model_fields", ()) else args


def _with_key(request: ToolCallRequest) -> ToolCallRequest:
    call, tool = request.tool_call, cast("BaseTool", request.tool)
    keyed = _keyed(tool, call["args"], current_key())
    return request if keyed is call["args"] else request.override(tool_call={**call, "args": keyed})


class JochMiddleware(AgentMiddleware[Any, Any, Any]):
    """Runs an agent's tools by Joch's ledger: a tool with a side effect starts at most once for each effect key.

        agent = create_agent(model, [create_ticket, lookup], middleware=[JochMiddleware(tools={"lookup": {"effect": "read_only"}})])

    `tools` declares tools by name, with the arguments of `joch_core.tool`; a tool may carry its declaration in
    `metadata["joch"]`; an undeclared one counts as `external_write` and is guarded across switches and crashes.
    `on_in_doubt`: a call whose outcome nobody knows is reported to the model (`report`), raises `OutcomeUnknown` (`raise`),
    or stops the graph until a person has looked (`interrupt`). A call that a policy denies is told to the model; where it
    requires an approval, the graph stops until it is resumed with `True` or `{"approved_by": NAME}`. The hints of
    MCP tools (`readOnlyHint`, `idempotentHint`) count only under `trust_mcp_hints`: True, or the tools' names. Put it first, so that retries of other middlewares run within
    one claim. `wrap_tool_call` and `awrap_tool_call` serve a plain `ToolNode` as well.
    """

    def __init__(
        self,
        *,
        tools: Declarations | None = None,
        on_in_doubt: OnInDoubt = "report",
        joch: Joch | None = None,
        conversation: str | None = None,
        store: str | None = None,
        namespace: str | None = None,
        trust_mcp_hints: TrustHints = False,
    ) -> None:
        super().__init__()
        own = Joch(store=store, namespace=namespace) if joch is None else joch
        self._guarding = Guarding(own, tools or {}, on_in_doubt, conversation, trust_mcp_hints)
        self._warned = False
        self.tools: Sequence[BaseTool] = ()

    def _use(self, request: ToolCallRequest) -> ToolUse | None:
        """The call, or None where there is nothing to guard."""
        call, messages = request.tool_call, cast("list[BaseMessage]", _messages(request.state))
        foreign = call["id"] or ""
        args = None if request.tool is None else _settled(request.tool, call["args"])
        if args is None:
            return None
        config = getattr(request.runtime, "config", None)
        with within(cast("RunnableConfig | None", config)):
            conversation, execution = self._guarding.place(messages, foreign)
        if conversation is None:
            self._warn(call["name"])
            return None
        identity = ledger_id(messages, foreign)
        place = place_in(messages, foreign)
        return ToolUse(call["name"], args, foreign, identity, request.tool, conversation, execution, place)

    def _warn(self, name: str) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "tool %s runs unguarded: there is no conversation; give the agent a checkpointer and a thread_id, or the "
                "middleware a conversation=",
                name,
            )

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Result]) -> Result:
        """Run one tool call through the ledger."""
        use = self._use(request)
        if use is None:
            return handler(request)
        return cast("Result", self._guarding.run(use, lambda: handler(_with_key(request))))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Result]]
    ) -> Result:
        """`wrap_tool_call` for asynchronous agents."""
        use = self._use(request)
        if use is None:
            return await handler(request)
        return cast("Result", await self._guarding.arun(use, lambda: handler(_with_key(request))))


#: Tools that are being run by the ledger right now: an asynchronous call of a plain tool comes back as a synchronous one.
_running: ContextVar[frozenset[int]] = ContextVar("joch_langchain_running", default=frozenset())


@contextmanager
def _running_now(tool: BaseTool) -> Iterator[None]:
    token = _running.set(_running.get() | {id(tool)})
    try:
        yield
    finally:
        _running.reset(token)


class _Guarded(BaseTool):
    """Mixed into the class of a tool: the same name and schema, run by the ledger."""

    _guarding: Any = PrivateAttr(default=None)

    def _guarded_use(self, given: Any, config: RunnableConfig | None) -> ToolUse | None:
        is_call = isinstance(given, dict) and given.get("type") == "tool_call"
        args = given["args"] if is_call else given
        settled = _settled(self, args) if isinstance(args, dict) and id(self) not in _running.get() else None
        if settled is None:
            return None
        call_id = str(given.get("id") or "") if is_call else ""
        with within(config):
            conversation, execution = self._guarding.place((), call_id)
        if conversation is None:
            return None
        return ToolUse(self.name, settled, call_id, ledger_id((), call_id), self, conversation, execution)

    def _given_key(self, given: Any) -> Any:
        if given.get("type") == "tool_call":
            return {**given, "args": _keyed(self, given["args"], current_key())}
        return _keyed(self, given, current_key())

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002  LangChain's name
        use = self._guarded_use(input, config)
        if use is None:
            return super().invoke(input, config, **kwargs)

        def execute() -> Any:
            with _running_now(self):
                return super(_Guarded, self).invoke(self._given_key(input), config, **kwargs)

        return self._guarding.run(use, execute)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        use = self._guarded_use(input, config)
        if use is None:
            return await super().ainvoke(input, config, **kwargs)

        async def execute() -> Any:
            with _running_now(self):
                return await super(_Guarded, self).ainvoke(self._given_key(input), config, **kwargs)

        return await self._guarding.arun(use, execute)


def guard_tools(
    tools: Sequence[BaseTool],
    *,
    declared: Declarations | None = None,
    on_in_doubt: OnInDoubt = "report",
    joch: Joch | None = None,
    conversation: str | None = None,
    trust_mcp_hints: TrustHints = False,
) -> list[BaseTool]:
    """The same tools, run by the ledger wherever they are invoked. Arguments as of `JochMiddleware`.

    `declared` are the declarations by name. The conversation is the running graph's thread, or `conversation`.
    """
    guarding = Guarding(Joch() if joch is None else joch, declared or {}, on_in_doubt, conversation, trust_mcp_hints)
    return [_guarded(tool, guarding) for tool in tools]


def _guarded(tool: BaseTool, guarding: Guarding) -> BaseTool:
    kind = type(tool)
    mixed = type(f"Guarded{kind.__name__}", (_Guarded, kind), {"__module__": kind.__module__})
    copy = tool.model_copy()
    copy.__class__ = mixed
    object.__setattr__(copy, "__pydantic_private__", {**(copy.__pydantic_private__ or {}), "_guarding": guarding})
    return copy
