"""`JochLLM`: an LLM of LlamaIndex that is a route.

It translates and calls one of Joch's four verbs; no decision about providers is made here. The public methods carry
LlamaIndex's decorators, the private ones do the work, so that each call is announced once.
"""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from llama_index.core.base.llms.generic_utils import (
    achat_to_completion_decorator,
    astream_chat_to_completion_decorator,
    chat_to_completion_decorator,
    stream_chat_to_completion_decorator,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr, field_serializer
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import BaseTool
from llama_index.llms.joch.chunks import Chunks
from llama_index.llms.joch.messages import Calls, calls_of, one_prompt, to_joch
from llama_index.llms.joch.options import call_options, refuse_secrets
from llama_index.llms.joch.profile import metadata_of
from llama_index.llms.joch.react import only_new
from llama_index.llms.joch.results import Asked, response_of
from llama_index.llms.joch.settings import destination, open_joch, without_password
from llama_index.llms.joch.structured import StructuredPrediction
from llama_index.llms.joch.tools import portable
from typing_extensions import override

from joch_core import InvalidArgument, Joch, Json, Message, ModelRoute

_OWN = ("temperature", "top_p", "max_tokens", "stop", "seed", "reasoning", "timeout", "extra")
#: What LlamaIndex hangs on an LLM; it need not be fit for a pickle.
_HOSTS = ("callback_manager", "rate_limiter", "output_parser")


@dataclass(frozen=True, slots=True)
class _Call:
    """One call, ready to be made."""

    route: Any
    messages: list[Message]
    options: Json
    asked: Asked


class JochLLM(StructuredPrediction):
    """An LLM that is a route: several providers behind one LLM, chosen and changed by Joch.

    Made with `route=` (a route's name, a YAML file, a `ModelRoute`, or a list of backends) or with `model=` (a backend such
    as `openai:gpt-5-mini`, or a route's name) and `fallbacks=`. Everything else is as with any LLM of LlamaIndex: chat,
    complete, streams, tools, structured prediction, agents. `raw["joch"]` of a response says which backend gave it, and why.

        llm = JochLLM(route="research-default")
        llm.bind(conversation="conv-99").chat([ChatMessage("hello")]).raw["joch"]["backend"]

    Resources and the environment are read when the LLM is made; providers are asked for only when it is called.

    Raises (when called): JochError.
    """

    #: A route's name, a YAML file, a `ModelRoute`, or a list of backends (the first is the primary one).
    route: Any = None
    #: A backend (`provider:model`) or a route's name.
    model: str | None = None
    fallbacks: list[str] = Field(default_factory=list)
    #: The conversation that all calls belong to; see `bind`.
    conversation: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    #: Most tokens of an answer.
    max_tokens: int | None = None
    stop: list[str] | str | None = None
    seed: int | None = None
    #: `none` … `high`.
    reasoning: str | None = None
    #: Seconds for the whole call, failovers included.
    timeout: float | None = None
    #: `restart`: a stream that breaks in the middle begins anew elsewhere, after a chunk that says so.
    on_interrupt: str = "error"
    #: Options that only one provider knows; meant for the one that is named first.
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    #: Options for one provider each, passed on as they are: `{"openai": {"service_tier": "flex"}}`.
    extra: dict[str, dict[str, Any]] = Field(default_factory=dict)
    store: str | None = None
    resources: Any = None
    namespace: str | None = None
    #: A `Joch` that is open already and stays the caller's.
    joch: Any = Field(default=None, exclude=True, repr=False)

    _own: Any = PrivateAttr(default=None)
    _process: int = PrivateAttr(default=0)
    _to: Any = PrivateAttr(default=None)
    _known: tuple[str, LLMMetadata] | None = PrivateAttr(default=None)

    def __init__(self, **kwargs: Any) -> None:
        refuse_secrets(kwargs)
        fields = type(self).model_fields
        unknown = {name: value for name, value in kwargs.items() if name not in fields}
        given = {name: value for name, value in kwargs.items() if name in fields}
        if unknown:
            given["additional_kwargs"] = {**unknown, **(given.get("additional_kwargs") or {})}
        refuse_secrets(given.get("additional_kwargs") or {})
        super().__init__(**given)
        self._to = destination(self.route, self.model, self.fallbacks)
        if isinstance(self.joch, Joch):  # where it is written down, it must be found again
            self.store = self.store or self.joch.settings.store
            self.namespace = self.namespace or self.joch.namespace
        self._joch()
        # A misspelt option is told when the LLM is made, not when a provider fails.
        call_options(self._defaults(), provider=self._to.provider)

    # ---------------------------------------------------------------------------------------- one process, one Joch
    def _joch(self) -> Joch:
        if self.joch is not None:
            given: Joch = self.joch
            return given
        if self._own is None or self._process != os.getpid():  # a fork must not share its parent's connections
            self._own = open_joch(self._to, store=self.store, resources=self.resources, namespace=self.namespace)
            self._process = os.getpid()
        own: Joch = self._own
        return own

    @override
    def __getstate__(self) -> dict[str, Any]:
        # Not the base's: it takes what cannot be pickled out of the living object.
        fields = {**self.__dict__, "joch": None, "store": without_password(self.store)}
        kept = {name: value for name, value in fields.items() if name not in _HOSTS or _pickles(value)}
        return {
            "__dict__": kept,
            "__pydantic_extra__": None,
            "__pydantic_fields_set__": self.__pydantic_fields_set__,
            "__pydantic_private__": {"_own": None, "_process": 0, "_to": self._to, "_known": None},
        }

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        shared = {id(one): one for one in (self.joch, self._own, self.callback_manager) if one is not None}
        return super().__deepcopy__({**(memo or {}), **shared})

    @field_serializer("store")
    def _store_without_password(self, store: str | None) -> str | None:
        return without_password(store)

    @field_serializer("route", "resources")
    def _plain(self, value: Any) -> Any:
        match value:
            case ModelRoute():
                # A route that was made of a list has no name that could be written into a file.
                return list(value.candidates) if "," in value.name else value.as_json()
            case Path():
                return str(value)
        return value

    # -------------------------------------------------------------------------------------------------- who it is
    @classmethod
    @override
    def class_name(cls) -> str:
        return "joch_llm"

    @property
    @override
    def metadata(self) -> LLMMetadata:
        """What every backend of the route can: the smallest window, tools only if all have them."""
        joch = self._joch()
        current = joch.catalog.hash
        if self._known is None or self._known[0] != current:
            self._known = (current, metadata_of(joch, self._to, self.max_tokens))
        return self._known[1]

    @override
    def to_payload(self) -> dict[str, Any]:
        """What callbacks and tracers are shown: the route and the options, no key."""
        named = {name: getattr(self, name) for name in _OWN if getattr(self, name) is not None and name != "extra"}
        own = {"class_name": self.class_name(), "model": self._to.name, "model_name": self._to.name}
        return {**own, "conversation": self.conversation, "namespace": self.namespace, **named}

    def bind(self, conversation: str | None, **options: Any) -> Self:
        """The same LLM in a conversation; `options` are arguments of the constructor.

        A bound LLM recognises which of the messages the conversation holds already, puts its earlier turns before them
        where they are missing, and never sends a turn twice.
        """
        if unknown := next((name for name in options if name not in _OWN), None):
            raise InvalidArgument(f"bind() takes conversation= and {', '.join(_OWN)}, not {unknown!r}")
        bound = self.model_copy(update={"conversation": conversation, **options})
        bound._known = None  # noqa: SLF001  its own; `max_tokens` may be another
        return bound

    # -------------------------------------------------------------------------------------------------- one call
    def _defaults(self) -> Json:
        return {**self.additional_kwargs, **{name: getattr(self, name) for name in _OWN if getattr(self, name) is not None}}

    def _call(self, messages: Sequence[ChatMessage], given: Mapping[str, Any]) -> _Call:
        """The call in Joch's terms. The messages are read, never changed."""
        losses: list[Json] = []
        conversation = given.get("conversation", self.conversation)
        options = call_options({**self._defaults(), **given}, provider=self._to.provider)
        told = to_joch(messages, losses)
        if conversation is not None and _is_digest(messages):
            # An agent's last step shows the conversation as one text to be formatted: that is no turn of it.
            options.setdefault("execution", self._joch().conversation(conversation).history().execution)
            conversation = None
        if conversation is not None:
            options["conversation"] = conversation
            told = one_prompt(told)
            if told and told[-1].role == "tool" and not told[-1].tool_results:
                entries = self._joch().conversation(conversation).history().entries
                told = list(only_new(told, entries[-1].message if entries else None))
        asked = Asked(
            self._to.name,
            conversation,
            "output_schema" in options or "output_mode" in options,
            frozenset(tool.name for tool in options.get("tools", ())),
            tuple(losses),
        )
        return _Call(self._to.route, told, options, asked)

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        call = self._call(messages, kwargs)
        return response_of(self._joch().call(call.route, call.messages, framework="llamaindex", **call.options), call.asked)

    async def _achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        call = self._call(messages, kwargs)
        reply = await self._joch().acall(call.route, call.messages, framework="llamaindex", **call.options)
        return response_of(reply, call.asked)

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        call = self._call(messages, kwargs)
        chunks, restarts = Chunks(call.asked), kwargs.get("on_interrupt", self.on_interrupt)
        stream = self._joch().stream(
            call.route, call.messages, framework="llamaindex", on_interrupt=restarts, **call.options
        )
        with contextlib.closing(stream):
            for delta in stream:
                if (chunk := chunks.feed(delta)) is not None:
                    yield chunk
            yield chunks.last(stream.reply)

    async def _astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        return self._chunks(messages, kwargs)

    async def _chunks(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> ChatResponseAsyncGen:
        call = self._call(messages, kwargs)
        chunks, restarts = Chunks(call.asked), kwargs.get("on_interrupt", self.on_interrupt)
        stream = self._joch().astream(
            call.route, call.messages, framework="llamaindex", on_interrupt=restarts, **call.options
        )
        async with contextlib.aclosing(stream):
            async for delta in stream:
                if (chunk := chunks.feed(delta)) is not None:
                    yield chunk
            yield chunks.last(stream.reply)

    # ------------------------------------------------------------------------------------ the eight public methods
    @llm_chat_callback()
    @override
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._chat(messages, **kwargs)

    @llm_chat_callback()
    @override
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return await self._achat(messages, **kwargs)

    @llm_chat_callback()
    @override
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        return self._stream_chat(messages, **kwargs)

    @llm_chat_callback()
    @override
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        return await self._astream_chat(messages, **kwargs)

    @llm_completion_callback()
    @override
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return chat_to_completion_decorator(self._chat)(prompt, **kwargs)

    @llm_completion_callback()
    @override
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return await achat_to_completion_decorator(self._achat)(prompt, **kwargs)

    @llm_completion_callback()
    @override
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        return stream_chat_to_completion_decorator(self._stream_chat)(prompt, **kwargs)

    @llm_completion_callback()
    @override
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        return await astream_chat_to_completion_decorator(self._astream_chat)(prompt, **kwargs)

    # ---------------------------------------------------------------------------------------------------- tools
    @override
    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = list(chat_history or ())
        if user_msg is not None:
            messages.append(ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg)
        if not tools:
            return {"messages": messages, **kwargs}
        wanted = {"tool_choice": tool_choice, "tool_required": tool_required or None}
        if not allow_parallel_tool_calls:
            wanted["parallel_tool_calls"] = False
        chosen = {name: value for name, value in wanted.items() if value is not None}
        return {"messages": messages, "tools": [portable(tool) for tool in tools], **chosen, **kwargs}

    @override
    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """One call where one was allowed: some models give several all the same."""
        blocks = response.message.blocks
        made = [place for place, block in enumerate(blocks) if isinstance(block, ToolCallBlock)]
        if not allow_parallel_tool_calls and len(made) > 1:
            response.message.blocks = [block for place, block in enumerate(blocks) if place not in made[1:]]
        return response

    @override
    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        calls = Calls()
        found = [
            ToolSelection(tool_id=foreign or calls.made("", name, args).id, tool_name=name, tool_kwargs=args)
            for foreign, name, args in calls_of(response.message)
        ]
        if not found and error_on_no_tool_call:
            raise ValueError(f"Expected at least one tool call, but got {len(found)} tool calls.")
        return found


def _pickles(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # pickling runs the value's own code: whatever that raises means no
        return False
    return True


def _is_digest(messages: Sequence[ChatMessage]) -> bool:
    """Is this what an agent with an `output_cls` makes of its conversation: one user text with all turns in it?"""
    last = messages[-1] if messages else None
    text = (last.content or "") if last is not None and last.role == MessageRole.USER else ""
    return text.startswith("<current_conversation>") and "</current_conversation>" in text
