"""`with_structured_output`: what is bound to the model and what reads its answer."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Literal

from langchain_core.exceptions import ModelRefusalError
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import (
    JsonOutputKeyToolsParser,
    JsonOutputParser,
    PydanticOutputParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from joch_core import InvalidArgument, Json

Method = Literal["json_schema", "function_calling", "json_mode"]


def _is_class(schema: Any) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def response_format(schema: Any, *, strict: bool | None = None) -> Json:
    """A schema in the form of OpenAI's `response_format`; a schema given in that form already stays."""
    if isinstance(schema, dict) and schema.get("type") == "json_schema":
        return schema
    whole = convert_to_json_schema(schema, strict=strict)
    name = str(whole.get("title", "answer"))
    named: Json = {"name": name, "schema": whole}
    return {"type": "json_schema", "json_schema": named if strict is None else {**named, "strict": strict}}


def _refused(message: AIMessage) -> AIMessage:
    if (text := message.additional_kwargs.get("refusal")) is not None:
        raise ModelRefusalError(f"Model refused to produce the requested output: {text}", raw_message=message)
    return message


class _Watch:
    """Lets messages pass, whole or in chunks, unless the model refused."""

    @staticmethod
    def watched(messages: Any) -> Any:
        for message in messages:
            yield _refused(message)

    @staticmethod
    async def awatched(messages: Any) -> Any:
        async for message in messages:
            yield _refused(message)


def _reader(schema: Any, method: Method, name: str) -> Runnable[Any, Any]:
    if method == "function_calling":
        if _is_class(schema):
            return PydanticToolsParser(tools=[schema], first_tool_only=True)
        return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
    return PydanticOutputParser(pydantic_object=schema) if _is_class(schema) else JsonOutputParser()


def _possible(model: Any, method: Method) -> Method:
    """A forced tool call, unless a backend of the route cannot be forced: there a model may answer in words instead."""
    profile = model.profile or {}
    if method == "function_calling" and profile.get("tool_choice") is False and profile.get("structured_output"):
        return "json_schema"
    return method


def structured(
    model: Any, schema: Any, *, method: Method, include_raw: bool, strict: bool | None, bound: Json
) -> Runnable[LanguageModelInput, Any]:
    """The model with its answer held to a schema and read by it. `bound` is bound to the model as well.

    Where a backend of the route cannot be forced to call a tool, `function_calling` is `json_schema`.

    Raises:
        InvalidArgument: no schema, or a method that does not exist.
    """
    if schema is None and method != "json_mode":
        raise InvalidArgument(f"method={method!r} needs a schema: give a pydantic class, a TypedDict or a JSON Schema")
    traced = {"ls_structured_output_format": {"kwargs": {"method": method, "strict": strict}, "schema": schema}}
    name, method = "", _possible(model, method)
    match method:
        case "function_calling":
            name = convert_to_openai_tool(schema)["function"]["name"]
            llm = model.bind_tools([schema], tool_choice=name, strict=strict, parallel_tool_calls=False, **traced, **bound)
        case "json_schema":
            llm = model.bind(response_format=response_format(schema, strict=strict), **traced, **bound)
        case "json_mode":
            llm = model.bind(response_format={"type": "json_object"}, **traced, **bound)
        case _:
            raise InvalidArgument(f"method={method!r}: give 'json_schema', 'function_calling' or 'json_mode'")
    watched: Runnable[Any, Any] = RunnableGenerator(_Watch.watched, _Watch.awatched)
    reader = watched | _reader(schema, method, name)
    if not include_raw:
        read: Runnable[LanguageModelInput, Any] = llm | reader
        return read
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | reader, parsing_error=lambda _: None)
    unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")
