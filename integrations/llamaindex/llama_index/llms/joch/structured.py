"""Structured answers: the object that was asked for, or an error that says what came instead. Never a blank object.

LlamaIndex's own programs force a tool call on every provider and drop the system prompt in one of four ways; here each
backend is held to the schema by what it has for that, and the object is read from the JSON of the answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import BaseModel, ValidationError
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.utils import create_flexible_model
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic_core import from_json
from typing_extensions import override

from joch_core import Json

dispatcher = get_dispatcher(__name__)
#: Modes that Joch serves; the others are programs of their own that the caller asks for by name.
OUR_MODES = (PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION)
#: What LlamaIndex's programs take out of a caller's `llm_kwargs`.
_PROGRAMS_OWN = ("tool_required", "tool_choice", "allow_parallel_tool_calls", "tools")


def call_kwargs(output_cls: type[BaseModel], mode: PydanticProgramMode, llm_kwargs: Mapping[str, Any] | None) -> Json:
    """The keyword arguments of the chat that gives the object."""
    given = {name: value for name, value in (llm_kwargs or {}).items() if name not in _PROGRAMS_OWN}
    return given | {"output_schema": output_cls} | ({"output_mode": "tool"} if mode is PydanticProgramMode.FUNCTION else {})


def read(response: ChatResponse | None, output_cls: type[BaseModel]) -> BaseModel:
    """The object in a whole answer.

    Raises:
        ValueError: the model refused, was cut off, or gave something else; the sentence says which.
    """
    wanted = f"no {output_cls.__name__}"
    if response is None:
        raise ValueError(f"{wanted}: the model gave no answer")
    if (refusal := response.message.additional_kwargs.get("refusal")) is not None:
        raise ValueError(f"{wanted}: the model refused: {refusal}")
    text = response.message.content or ""
    try:
        return output_cls.model_validate_json(text)
    except ValidationError as error:
        raw = response.raw if isinstance(response.raw, dict) else {}
        if raw.get("finish_reason") == "length":
            raise ValueError(f"{wanted}: the answer was cut off at the output limit; give a larger max_tokens") from None
        raise ValueError(f"{wanted}: the answer does not fit ({error}); it was: {text[:500]!r}") from None


class Partials:
    """The growing object of a streamed answer."""

    def __init__(self, output_cls: type[BaseModel]) -> None:
        self._output_cls = output_cls
        self._flexible = create_flexible_model(output_cls)
        self._last: Any = None

    def feed(self, chunk: ChatResponse) -> BaseModel | None:
        """What is known of the object by now; None where that is nothing new."""
        try:
            value = from_json((chunk.message.content or "").encode(), allow_partial="trailing-strings")
        except ValueError:
            return None
        if not isinstance(value, dict) or not value or value == self._last:
            return None
        self._last = value
        for kind in (self._output_cls, self._flexible):
            try:
                return kind.model_validate(value)
            except ValidationError:
                continue
        return None


class StructuredPrediction(FunctionCallingLLM):
    """The four ways of LlamaIndex to ask for an object, over the LLM's own `chat` and streams."""

    def _prompt(self, prompt: PromptTemplate, prompt_args: Mapping[str, Any]) -> list[ChatMessage]:
        return self._extend_messages(prompt.format_messages(llm=self, **prompt_args))

    @dispatcher.span
    @override
    def structured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """An object of the class. Raises ValueError where the model gives none, never a blank object."""
        if self.pydantic_program_mode not in OUR_MODES:
            return super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args))
        kwargs = call_kwargs(output_cls, self.pydantic_program_mode, llm_kwargs)
        result = read(self.chat(self._prompt(prompt, prompt_args), **kwargs), output_cls)
        dispatcher.event(LLMStructuredPredictEndEvent(output=result))
        return result

    @dispatcher.span
    @override
    async def astructured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """`structured_predict` without holding the event loop."""
        if self.pydantic_program_mode not in OUR_MODES:
            return await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args))
        kwargs = call_kwargs(output_cls, self.pydantic_program_mode, llm_kwargs)
        result = read(await self.achat(self._prompt(prompt, prompt_args), **kwargs), output_cls)
        dispatcher.event(LLMStructuredPredictEndEvent(output=result))
        return result

    @override
    def _structured_stream_call(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        if self.pydantic_program_mode not in OUR_MODES:
            yield from super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
            return
        kwargs, partials, chunk = call_kwargs(output_cls, self.pydantic_program_mode, llm_kwargs), Partials(output_cls), None
        for chunk in self.stream_chat(self._prompt(prompt, prompt_args), **kwargs):
            if (partial := partials.feed(chunk)) is not None:
                yield partial
        if (whole := read(chunk, output_cls)) != partial:
            yield whole

    @override
    async def _structured_astream_call(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        if self.pydantic_program_mode not in OUR_MODES:
            return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        kwargs, messages = call_kwargs(output_cls, self.pydantic_program_mode, llm_kwargs), self._prompt(prompt, prompt_args)

        async def growing() -> AsyncGenerator[Any, None]:
            partials, chunk = Partials(output_cls), None
            async for chunk in await self.astream_chat(messages, **kwargs):
                if (partial := partials.feed(chunk)) is not None:
                    yield partial
            if (whole := read(chunk, output_cls)) != partial:
                yield whole

        return growing()
