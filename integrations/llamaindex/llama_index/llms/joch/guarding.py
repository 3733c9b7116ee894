"""`joch_tools`: tools of LlamaIndex that the ledger of Joch runs, so that an effect starts at most once for each effect key.

LlamaIndex hands a tool its arguments and nothing else; whose call it is stands in the log of the conversation: the newest
assistant turn with calls of this tool and these arguments. The LLM must therefore be bound to the same conversation.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

from llama_index.core.base.llms.types import TextBlock
from llama_index.core.bridge.pydantic import ValidationError, create_model
from llama_index.core.tools import BaseTool, FunctionTool, ToolOutput
from pydantic_core import PydanticSerializationError

from joch_core import Guard, InvalidArgument, Joch, Json, OutcomeUnknown, ToolDeclaration, current_key, declaration

_log = logging.getLogger(__name__)
ALREADY_DONE = "already done: this call was made before and was not repeated; what it gave then:"
_UNKNOWN = (
    "The outcome of this call is unknown: it was started and its end was never recorded. It was not repeated. Do not call it "
    "again; find out first whether it took effect, or ask the user."
)
_KEY_PARAMETER = "joch_key"
#: By name: the arguments of `joch_core.tool`, or an effect alone.
Declarations = Mapping[str, Mapping[str, Any] | ToolDeclaration | str]


class _Failed(Exception):
    """The tool answered with an error instead of raising one; nobody knows what it did before."""

    def __init__(self, output: ToolOutput) -> None:
        super().__init__(output.content)
        self.output = output


def _suspensions() -> tuple[type[BaseException], ...]:
    """What a tool raises that waits for an event: the workflow runs it again from its beginning."""
    try:
        from workflows.runtime.types.results import WaitingForEvent
    except ImportError:
        return ()
    return (WaitingForEvent,)


def encode(output: ToolOutput) -> Json:
    """A tool's output as JSON for the ledger; a value that has no JSON form is kept as its text."""
    return {
        "blocks": [block.model_dump(mode="json") for block in output.blocks],
        "input": json.loads(json.dumps(output.raw_input, default=str)),
        "value": json.loads(json.dumps(output.raw_output, default=_plain)),
    }


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return str(value) if dump is None else dump(mode="json")


def decode(kept: Any, name: str) -> ToolOutput:
    """The output that `encode` wrote; what a person has put in its place (`joch calls resolve`) is its text."""
    if isinstance(kept, dict) and isinstance(kept.get("blocks"), list):
        return ToolOutput(
            tool_name=name, blocks=kept["blocks"], raw_input=kept.get("input") or {}, raw_output=kept.get("value")
        )
    text = kept if isinstance(kept, str) else json.dumps(kept, ensure_ascii=False)
    return ToolOutput(tool_name=name, content=text, raw_input={}, raw_output=kept)


@dataclass(slots=True)
class _Places:
    """Which calls of the newest assistant turn are being run here, so that two equal ones get a place each."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    turn: tuple[str, ...] = ()
    taken: set[str] = field(default_factory=set)

    def take(self, turn: tuple[str, ...], same: Sequence[str]) -> str:
        """The id of the first call among equal ones that is not taken; the last one if all are."""
        with self.lock:
            if turn != self.turn:
                self.turn, self.taken = turn, set()
            chosen = next((one for one in same if one not in self.taken), same[-1])
            self.taken.add(chosen)
            return chosen

    def give_back(self, call_id: str) -> None:
        """The call was left before it did anything and will be run again."""
        with self.lock:
            self.taken.discard(call_id)


@dataclass(slots=True)
class Guarding:
    """The ledger of one conversation, for some tools."""

    joch: Joch
    conversation: str
    declared: Mapping[str, ToolDeclaration] = field(default_factory=dict)
    places: _Places = field(default_factory=_Places)
    warned: bool = False

    def guard(self, name: str) -> Guard:
        """The guard, whose values are outputs of this tool."""
        return self.joch.guard(
            self.conversation,
            execution=self.joch.conversation(self.conversation).history().execution,
            declarations=self.declared,
            encode=encode,
            decode=lambda kept: decode(kept, name),
            release_on=_suspensions(),
        )

    def call_id(self, tool: BaseTool, args: Json) -> str:
        """The id of this call in the log; empty if the log does not know it."""
        entries = self.joch.conversation(self.conversation).history().entries
        if not entries and not self.warned:
            self.warned = True
            _log.warning(
                "tool %s runs for conversation %s, in which nothing was said: bind the LLM to it, else the same call in a later "
                "turn counts as a repetition",
                tool.metadata.get_name(),
                self.conversation,
            )
        for entry in reversed(entries):
            if entry.message.role == "user":
                break
            if made := entry.message.tool_calls:
                name = tool.metadata.get_name()
                same = [call.id for call in made if call.name == name and settled(tool, call.args) == args]
                return self.places.take(tuple(call.id for call in made), same) if same else ""
        return ""

    def run(self, tool: BaseTool, args: Json, execute: Callable[[], ToolOutput]) -> ToolOutput:
        """Run a tool, or give what it gave before.

        Raises:
            OutcomeUnknown: it was started before and nobody knows how it ended. LlamaIndex tells the model.
            KeyConflict, CallInProgress, StoreError: not started.
        """
        held: list[ToolOutput] = []

        def executed() -> ToolOutput:
            held.append(execute())
            return _checked(held[0])

        name, call_id = tool.metadata.get_name(), self.call_id(tool, args)
        try:
            outcome = self.guard(name).run(_stub(tool), args, call_id=call_id, name=name, execute=executed)
        except BaseException as error:
            return self._instead(error, call_id)
        return held[0] if held else _noted(outcome.value)

    async def arun(self, tool: BaseTool, args: Json, execute: Callable[[], Any]) -> ToolOutput:
        """`run` for an asynchronous tool."""
        held: list[ToolOutput] = []

        async def executed() -> ToolOutput:
            held.append(await execute())
            return _checked(held[0])

        name = tool.metadata.get_name()
        call_id, guard = await asyncio.to_thread(lambda: (self.call_id(tool, args), self.guard(name)))
        try:
            outcome = await guard.arun(_stub(tool), args, call_id=call_id, name=name, execute=executed)
        except BaseException as error:
            return self._instead(error, call_id)
        return held[0] if held else _noted(outcome.value)

    def _instead(self, error: BaseException, call_id: str) -> ToolOutput:
        match error:
            case _Failed():
                return error.output
            case OutcomeUnknown():
                how = f"An operator says how it ended with: joch calls resolve {error.key} --done or --not-done"
                raise OutcomeUnknown(f"{_UNKNOWN} {how}", key=error.key) from None
        if isinstance(error, _suspensions()):
            self.places.give_back(call_id)
        raise error


def _checked(output: ToolOutput) -> ToolOutput:
    if output.is_error:
        raise _Failed(output)
    return output


def _noted(output: ToolOutput) -> ToolOutput:
    """A stored output, which says so to the model."""
    blocks = [TextBlock(text=f"[{ALREADY_DONE}]"), *output.blocks]
    return ToolOutput(tool_name=output.tool_name, blocks=blocks, raw_input=output.raw_input, raw_output=output.raw_output)


def _stub(tool: BaseTool) -> Callable[..., None]:
    """A function with what the tool's own function declares, and any arguments."""

    def stub(**_args: Any) -> None: ...

    vars(stub).update(vars(tool.real_fn) if isinstance(tool, FunctionTool) and hasattr(tool.real_fn, "__dict__") else {})
    vars(stub).pop("__wrapped__", None)
    return stub


def _hidden(tool: BaseTool) -> set[str]:
    """Arguments that no model gives: the workflow's context, values that were fixed when the tool was made, the key."""
    if not isinstance(tool, FunctionTool):
        return {_KEY_PARAMETER}
    return {_KEY_PARAMETER, *tool.partial_params, *([tool.ctx_param_name] if tool.ctx_param_name else [])}


def settled(tool: BaseTool, args: Mapping[str, Any]) -> Json:
    """The arguments as the tool will see them, defaults filled in, without those that no model gives."""
    hidden = _hidden(tool)
    given = {name: value for name, value in args.items() if name not in hidden}
    schema = tool.metadata.fn_schema
    if schema is not None:
        try:
            full = schema.model_validate(given).model_dump(mode="json")
            return {name: value for name, value in full.items() if name not in hidden}
        except (ValidationError, PydanticSerializationError):
            pass
    out: Json = json.loads(json.dumps(given, default=str))
    return out


def _named(tool: BaseTool, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Json:
    """All arguments by name; LlamaIndex hands over a single one without its name."""
    names = list(tool.metadata.get_parameters_dict().get("properties") or {"input": None})
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _fits(tool: BaseTool, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Can the tool's function be called so? If not, nothing will happen, and there is nothing to guard."""
    if not isinstance(tool, FunctionTool):
        return True
    try:
        inspect.signature(tool.real_fn).bind(*args, **{**tool.partial_params, **kwargs})
    except TypeError:
        return False
    except ValueError:  # a function without a signature
        return True
    return True


def _keyed(tool: BaseTool, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the effect key, if the tool's function wants it."""
    wants = isinstance(tool, FunctionTool) and _takes_key(tool.real_fn)
    return {**kwargs, _KEY_PARAMETER: current_key()} if wants else dict(kwargs)


def _takes_key(function: Callable[..., Any]) -> bool:
    try:
        return _KEY_PARAMETER in inspect.signature(function).parameters
    except ValueError:
        return False


class _Guarded(BaseTool):
    """Mixed into the class of a tool: the same metadata, run by the ledger. Each way of calling is its own entry."""

    joch_guarding: Guarding

    def _plain_run(self, run: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ToolOutput:
        if not _fits(self, args, kwargs):
            return run(*args, **kwargs)  # type: ignore[no-any-return]
        given = settled(self, _named(self, args, kwargs))
        return self.joch_guarding.run(self, given, lambda: run(*args, **_keyed(self, kwargs)))

    def __call__(self, *args: Any, **kwargs: Any) -> ToolOutput:
        inner: Any = super()
        if isinstance(self, FunctionTool):  # it fills in what was fixed and comes to `call`
            return inner.__call__(*args, **kwargs)  # type: ignore[no-any-return]
        return self._plain_run(inner.__call__, args, kwargs)

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        inner: Any = super()
        return self._plain_run(inner.call, args, kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        inner: Any = super()
        if not _fits(self, args, kwargs):
            return await inner.acall(*args, **kwargs)  # type: ignore[no-any-return]
        given = settled(self, _named(self, args, kwargs))
        return await self.joch_guarding.arun(self, given, lambda: inner.acall(*args, **_keyed(self, kwargs)))


def _without_key(tool: FunctionTool) -> None:
    """Take the key's parameter out of what the model is shown."""
    metadata, function = tool.metadata, tool.real_fn
    schema = metadata.fn_schema
    if schema is None or _KEY_PARAMETER not in schema.model_fields:
        return
    fields: dict[str, Any] = {
        name: (info.annotation, info) for name, info in schema.model_fields.items() if name != _KEY_PARAMETER
    }
    signature = inspect.signature(function)
    shown = signature.replace(parameters=[one for name, one in signature.parameters.items() if name != _KEY_PARAMETER])
    description = metadata.description.replace(str(signature), str(shown))
    tool._metadata = replace(  # noqa: SLF001  LlamaIndex has no other way to change it
        metadata, fn_schema=create_model(schema.__name__, **fields), description=description
    )


def _guarded(tool: BaseTool | Callable[..., Any], guarding: Guarding) -> BaseTool:
    if not isinstance(tool, BaseTool):
        if not callable(tool):
            raise InvalidArgument(f"{tool!r} is no tool: give a FunctionTool or a function")
        tool = FunctionTool.from_defaults(fn=tool)
    out: Any = copy(tool)
    if isinstance(out, _Guarded):
        raise InvalidArgument(f"tool {tool.metadata.get_name()} is guarded already: give the tool itself")
    if isinstance(out, FunctionTool):
        _without_key(out)
    kind = type(tool)
    out.__class__ = type(f"Guarded{kind.__name__}", (_Guarded, kind), {"__module__": kind.__module__})
    out.joch_guarding = guarding
    guarded: BaseTool = out
    return guarded


def joch_tools(
    tools: Sequence[BaseTool | Callable[..., Any]],
    conversation: str,
    *,
    declared: Declarations | None = None,
    joch: Joch | None = None,
    store: str | None = None,
    namespace: str | None = None,
) -> list[BaseTool]:
    """The same tools, run by the ledger wherever they are called: agents, workflows, `predict_and_call`, by hand.

        llm = JochLLM(route="research-default", conversation="conv-99")
        agent = FunctionAgent(llm=llm, tools=joch_tools([create_ticket], conversation="conv-99"))

    A function may carry its declaration (`@joch_core.tool(effect="external_write")`); `declared` declares tools by name,
    with the same arguments; a tool that says nothing counts as `external_write` and is guarded across switches and crashes.
    A repeated call gets the stored result, and the model is told `already done`. Without `joch` the default store is used.

    Raises:
        InvalidArgument: no conversation, something that is no tool, or an effect that does not exist.
    """
    if not conversation or not isinstance(conversation, str):
        raise InvalidArgument("joch_tools() needs the name of the conversation that the LLM is bound to")
    own = Joch(store=store, namespace=namespace) if joch is None else joch
    known = {name: _declaration(name, given) for name, given in (declared or {}).items()}
    guarding = Guarding(own, conversation, known)
    return [_guarded(tool, guarding) for tool in tools]


def _declaration(name: str, given: Mapping[str, Any] | ToolDeclaration | str) -> ToolDeclaration:
    if isinstance(given, ToolDeclaration):
        return given
    return declaration(name, **({"effect": given} if isinstance(given, str) else dict(given)))
