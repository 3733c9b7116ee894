"""`JochChatModel`: a LangChain chat model that is a route.

It translates and calls one of Joch's four verbs; no decision about providers is made here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, model_validator
from typing_extensions import override

from joch_core import Joch, JochError, Json, Message, NotFound
from langchain_joch.chunks import Chunks
from langchain_joch.errors import for_langchain
from langchain_joch.identity import astepping, stepping, traceable, within
from langchain_joch.messages import Call, from_reply
from langchain_joch.options import call_options
from langchain_joch.profile import profile_of
from langchain_joch.request import Request, request_of
from langchain_joch.settings import destination, is_file, open_joch
from langchain_joch.structured import Method, structured
from langchain_joch.tools import bindables, tool_name
from langchain_joch.tools import tool_choice as chosen_tool
from langchain_joch.visible import atell, tell

_OWN = ("temperature", "top_p", "max_tokens", "timeout", "seed", "reasoning", "stop")


class JochChatModel(BaseChatModel):
    """A chat model that is a route: several providers behind one model, chosen and changed by Joch.

    Made with `route=` (a route's name, a YAML file, a `ModelRoute`, or a list of backends) or with `model=` (a backend such
    as `openai:gpt-5-mini`, or a route's name) and `fallbacks=`. Everything else is as with any LangChain chat model: tools,
    structured output, streaming, agents. `response_metadata["joch"]` of an answer says which backend gave it, and why.

        model = JochChatModel(model="openai:gpt-5-mini", fallbacks=["anthropic:claude-sonnet"], temperature=0)
        model.invoke("hello").response_metadata["joch"]["backend"]

    Resources and the environment are read when the model is made; providers are asked for only when it is called.

    Raises (when called): errors that are both a `JochError` and LangChain's `ModelError` class of the same meaning.
    """

    #: A route's name, a YAML file, a `ModelRoute`, or a list of backends (the first is the primary one).
    route: Any = None
    #: A backend (`provider:model`) or a route's name.
    model: str | None = Field(default=None, alias="model_name")
    fallbacks: list[str] = Field(default_factory=list)
    temperature: float | None = None
    top_p: float | None = None
    #: Most tokens of an answer.
    max_tokens: int | None = None
    #: Seconds for the whole call, failovers included.
    timeout: Any = None
    #: Taken for the sake of hosts that give it. Retries and failovers are the route's business.
    max_retries: int | None = None
    stop: list[str] | str | None = Field(default=None, alias="stop_sequences")
    seed: int | None = None
    #: `none` … `high`.
    reasoning: Any = None
    #: Taken for the sake of hosts that give it, never sent: Joch reads each provider's own variable.
    api_key: SecretStr | None = Field(default=None, exclude=True)
    streaming: bool = False
    #: Options that only one provider knows; meant for the one that the model names first.
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    #: Options for one provider each, passed on as they are: `{"openai": {"service_tier": "flex"}}`.
    extra: dict[str, dict[str, Any]] = Field(default_factory=dict)
    #: The conversation that all calls belong to; without it LangGraph's thread is the conversation.
    conversation: str | None = None
    store: str | None = None
    resources: Any = None
    namespace: str | None = None
    #: A `Joch` that is open already and stays the caller's.
    joch: Any = Field(default=None, exclude=True, repr=False)

    model_config = ConfigDict(populate_by_name=True, arbitrary_types_allowed=True)

    _own: Any = PrivateAttr(default=None)
    _process: int = PrivateAttr(default=0)
    _to: Any = PrivateAttr(default=None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except ValidationError as error:
            # pydantic wraps what a validator raises; a JochError says by itself what to do.
            own = (problem.get("ctx", {}).get("error") for problem in error.errors())
            if (first := next((cause for cause in own if isinstance(cause, JochError)), None)) is not None:
                raise first from None
            raise

    @model_validator(mode="before")
    @classmethod
    def _collect(cls, values: Any) -> Any:
        """Arguments that this class does not know are options, and may be known to a provider."""
        if not isinstance(values, dict):
            return values
        known = {name for key, field in cls.model_fields.items() for name in (key, field.alias)}
        unknown = {name: values[name] for name in values if name not in known}
        if not unknown:
            return values
        kept = {name: value for name, value in values.items() if name in known}
        return {**kept, "model_kwargs": {**unknown, **(values.get("model_kwargs") or {})}}

    @override
    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        to = destination(self.route, self.model, self.fallbacks)
        # A route in a file is read once; by its path every call would read it again.
        self._to = replace(to, route=self._joch().route(to.route)) if is_file(to.route) else to
        self._joch()
        # A misspelt option is told when the model is made, not when a provider fails.
        call_options(self._defaults(), stop=None, provider=self._to.provider)

    # ------------------------------------------------------------------------------------------------ one process, one copy
    def _joch(self) -> Joch:
        if self.joch is not None:
            given: Joch = self.joch
            return given
        if self._own is None or self._process != os.getpid():  # a fork must not share its parent's connections
            self._own = open_joch(self.route, store=self.store, resources=self.resources, namespace=self.namespace)
            self._process = os.getpid()
        own: Joch = self._own
        return own

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        private = {**(state.get("__pydantic_private__") or {}), "_own": None, "_process": 0}
        return {**state, "__dict__": {**state["__dict__"], "joch": None}, "__pydantic_private__": private}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        shared = {id(joch): joch for joch in (self.joch, self._own) if joch is not None}
        return super().__deepcopy__({**(memo or {}), **shared})

    # -------------------------------------------------------------------------------------------------------- who it is
    @property
    @override
    def _llm_type(self) -> str:
        return "joch"

    @property
    def model_name(self) -> str:
        """What calls go to: the model, the route, or the backends."""
        return str(self._to.name)

    @property
    @override
    def _identifying_params(self) -> Mapping[str, Any]:
        # What a cached answer depends on; no key and no secret is among it.
        named = {name: getattr(self, name) for name in _OWN if getattr(self, name) is not None}
        return {"route": self._to.name, "namespace": self.namespace, "extra": self.extra, **self.model_kwargs, **named}

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        backend = kwargs.get("model") or (self._to.backends[0] if self._to.backends else self._to.name)
        params = LangSmithParams(ls_provider="joch", ls_model_name=str(backend), ls_model_type="chat")
        temperature, max_tokens = kwargs.get("temperature", self.temperature), kwargs.get("max_tokens", self.max_tokens)
        if temperature is not None:
            params["ls_temperature"] = temperature
        if max_tokens is not None:
            params["ls_max_tokens"] = max_tokens
        if words := stop or self.stop:
            params["ls_stop"] = [words] if isinstance(words, str) else list(words)
        return params

    @override
    def _resolve_model_profile(self) -> ModelProfile | None:
        return profile_of(self._joch(), self._to.route)

    @override
    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """About how many tokens these messages are; each provider counts in its own way."""
        return count_tokens_approximately(messages)

    # ----------------------------------------------------------------------------------------------------------- one call
    def _defaults(self) -> Json:
        named = {name: getattr(self, name) for name in _OWN if getattr(self, name) is not None}
        own: Json = {"extra": self.extra} if self.extra else {}
        if self.conversation is not None:
            own["conversation"] = self.conversation
        return {**self.model_kwargs, **named, **own}

    def _request(self, messages: Sequence[BaseMessage], stop: Sequence[str] | None, manager: Any, given: Json) -> Request:
        metadata = None if manager is None else manager.metadata
        return request_of(
            messages, given, to=self._to, joch=self._joch(), defaults=self._defaults(), stop=stop, metadata=metadata
        )

    def _log(self, name: str) -> Sequence[Message]:
        try:
            return list(self._joch().conversation(name).messages())
        except NotFound:
            return ()

    def _chunks(self, request: Request, call: Call) -> Chunks:
        return Chunks(listed=self.output_version == "v1", tools=call.tools, structured=request.structured)

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            request = self._request(messages, stop, run_manager, kwargs)
            options = request.placed(self._log)
            reply = self._joch().call(request.to.route, request.messages, framework=request.framework, **options)
        except JochError as error:
            raise for_langchain(error) from None
        message = from_reply(reply, request.call(options))
        tell(run_manager, message)
        return ChatResult(generations=[ChatGeneration(message=message)])

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            request = self._request(messages, stop, run_manager, kwargs)
            options = await asyncio.to_thread(request.placed, self._log) if request.needs_log else request.placed(self._log)
            reply = await self._joch().acall(request.to.route, request.messages, framework=request.framework, **options)
        except JochError as error:
            raise for_langchain(error) from None
        message = from_reply(reply, request.call(options))
        await atell(run_manager, message)
        return ChatResult(generations=[ChatGeneration(message=message)])

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        try:
            request = self._request(messages, stop, run_manager, kwargs)
            options = request.placed(self._log)
            call = request.call(options)
            chunks = self._chunks(request, call)
            stream = self._joch().stream(request.to.route, request.messages, framework=request.framework, **options)
            with contextlib.closing(stream):
                for delta in stream:
                    if (chunk := chunks.feed(delta)) is not None:
                        if run_manager is not None:
                            run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
                        yield chunk
                last = chunks.last(stream.reply, call)
                tell(run_manager, last.message)
                yield last
        except JochError as error:
            raise for_langchain(error) from None

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            request = self._request(messages, stop, run_manager, kwargs)
            options = await asyncio.to_thread(request.placed, self._log) if request.needs_log else request.placed(self._log)
            call = request.call(options)
            chunks = self._chunks(request, call)
            stream = self._joch().astream(request.to.route, request.messages, framework=request.framework, **options)
            async with contextlib.aclosing(stream):
                async for delta in stream:
                    if (chunk := chunks.feed(delta)) is not None:
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
                        yield chunk
                last = chunks.last(stream.reply, call)
                await atell(run_manager, last.message)
                yield last
        except JochError as error:
            raise for_langchain(error) from None

    # ------------------------------------------------------------------------- the caller's config, where the thread stands
    @override
    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        config = traceable(config)
        with within(config):
            return super().invoke(input, config, stop=stop, **kwargs)

    @override
    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        config = traceable(config)
        with within(config):
            return await super().ainvoke(input, config, stop=stop, **kwargs)

    @override
    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        config = traceable(config)
        yield from stepping(config, super().stream(input, config, stop=stop, **kwargs))

    @override
    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        config = traceable(config)
        async for chunk in astepping(config, super().astream(input, config, stop=stop, **kwargs)):
            yield chunk

    # ------------------------------------------------------------------------------------------- tools and structured output
    @override
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools. Tools and choices may be written in any provider's spelling.

        Raises:
            InvalidArgument: a tool or a choice of no known form, or a choice of a tool that is not there.
        """
        bound = bindables(tools, strict=strict)
        names = [tool_name(tool) for tool in bound]
        choice = chosen_tool(tool_choice, names)
        options = {"tool_choice": choice, "parallel_tool_calls": parallel_tool_calls}
        given = {name: value for name, value in options.items() if value is not None}
        return self.bind(tools=bound, **given, **kwargs)

    @override
    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """The model with its answer held to a schema and read by it.

        `json_schema` uses what each backend has for it, and a forced tool where one has nothing; `function_calling` makes
        the schema a tool on every backend; `json_mode` asks for JSON of any shape.
        """
        return structured(self, schema, method=method, include_raw=include_raw, strict=strict, bound=kwargs)


#: The name by LangChain's convention.
ChatJoch = JochChatModel
