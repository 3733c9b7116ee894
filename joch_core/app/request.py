"""What a caller passes to a verb, as one `ModelRequest`; and the structured output of a reply, parsed. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, TypedDict

from joch_core.capabilities import Capability
from joch_core.errors import InvalidArgument
from joch_core.messages import Json, Message, ModelRequest, Reply, ToolSpec
from joch_core.projection.tools import server_capability

#: What may be passed as messages: one text, one message, or several of either.
MessagesLike = str | Message | Sequence[Message | str]

REASONING_LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
OUTPUT_MODES = ("json_schema", "json", "tool")


class Options(TypedDict, total=False):
    """The call options: the same on every provider, None means the provider's default. Times are seconds."""

    tools: Sequence[ToolSpec | Mapping[str, Any]] | None
    tool_choice: str | None
    parallel_tool_calls: bool | None
    output_schema: Any
    output_mode: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: Sequence[str] | str | None
    seed: int | None
    reasoning: str | None
    metadata: Mapping[str, str] | None
    extra: Mapping[str, Json] | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and the pydantic class that its structured output is wanted in, if any."""

    request: ModelRequest
    output_class: Any = None


def build_request(messages: MessagesLike, options: Mapping[str, Any], base: ModelRequest | None = None) -> Asked:
    """One request out of messages and options; what `base` says and the options leave open stands.

    Raises:
        InvalidArgument: an option that does not exist or has no such value; the sentence names it.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := next((name for name in given if name not in Options.__annotations__), None):
        near = get_close_matches(unknown, Options.__annotations__, n=1)
        raise InvalidArgument(f"there is no option {unknown!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    given = {name: _checked(name, value) for name, value in given.items()}
    output_class = None
    if "output_schema" in given and not isinstance(given["output_schema"], dict):
        output_class = given["output_schema"]
        given["output_schema"] = _schema_of(output_class)
        given["output_name"] = getattr(output_class, "__name__", None)
    if base is None:
        _check_tools(given)
        return Asked(ModelRequest(messages_of(messages), **given), output_class)
    more = messages_of(messages) if messages else ()
    return Asked(replace(base, messages=(*base.messages, *more), **given), output_class)


def messages_of(messages: MessagesLike) -> tuple[Message, ...]:
    """The messages, each a `Message`; a bare text is the user's."""
    if isinstance(messages, str):
        return (Message.user(messages),)
    if isinstance(messages, Message):
        return (messages,)
    if not isinstance(messages, Iterable):
        raise InvalidArgument(f"messages is {messages!r}; pass a text, a joch_core.Message or a list of them")
    out = []
    for place, message in enumerate(messages):
        if isinstance(message, Message):
            out.append(message)
        elif isinstance(message, str):
            out.append(Message.user(message))
        else:
            raise InvalidArgument(
                f"messages[{place}] is a {type(message).__name__}; pass joch_core.Message objects or texts, "
                "or read a provider's own body with joch_core.read_request"
            )
    return tuple(out)


def demanded(request: ModelRequest, *, streaming: bool) -> tuple[frozenset[Capability], frozenset[Capability]]:
    """(what the request needs, what it could do without with the loss named): see `candidates.Demand`."""
    needs: set[Capability] = set()
    removable: set[Capability] = set()
    if streaming:
        needs.add("streaming")
    if request.output_schema is not None or request.output_mode is not None:
        needs.add("structuredOutput")
    for tool in request.tools:
        if tool.kind == "server":
            removable.add(server_capability(tool.name))
        else:
            needs.add("toolCalling")
            if tool.mcp:
                removable.add("mcp")
    kinds = {part.type for message in request.messages for part in message.parts}
    if "tool_result" in kinds:
        results = (result for message in request.messages for result in message.tool_results)
        kinds |= {part.type for result in results for part in result.content}
    needs.update(capability for kind, capability in _MEDIA.items() if kind in kinds)
    return frozenset(needs), frozenset(removable)


#: What a part of this type needs of a model.
_MEDIA: Mapping[str, Capability] = {"image": "vision", "audio": "audio", "file": "files"}


def _check_tools(given: Mapping[str, Any]) -> None:
    """A name stands once, and a choice names a tool that is there: providers differ in what they make of anything else."""
    names = [tool.name for tool in given.get("tools", ()) if tool.kind != "server"]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise InvalidArgument(f"two tools are called {twice!r}; each needs a name of its own")
    choice = given.get("tool_choice")
    if choice not in (None, "auto", "none", "required") and choice not in names and "tools" in given:
        near = get_close_matches(str(choice), names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidArgument(f"tool_choice names {choice!r}, and no tool is called so{hint}")


def _checked(name: str, value: Any) -> Any:
    match name:
        case "tools":
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise InvalidArgument(f"tools is {value!r}; pass a list of joch_core.ToolSpec")
            return tuple(_tool(tool, place) for place, tool in enumerate(value))
        case "stop":
            return (value,) if isinstance(value, str) else tuple(value)
        case "temperature" | "top_p":
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise InvalidArgument(f"{name} is {value!r}; it must be a number from 0 up")
        case "max_tokens":
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidArgument(f"max_tokens is {value!r}; it must be a whole number from 1 up")
        case "seed":
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidArgument(f"seed is {value!r}; it must be a whole number")
        case "extra":
            if not isinstance(value, Mapping) or not all(isinstance(fields, Mapping) for fields in value.values()):
                raise InvalidArgument(f"extra is {value!r}; it must be fields per provider, such as {{'openai': {{…}}}}")
        case "reasoning":
            if value not in REASONING_LEVELS:
                raise InvalidArgument(f"reasoning is {value!r}; it must be one of {', '.join(REASONING_LEVELS)}")
        case "output_mode":
            if value not in OUTPUT_MODES:
                raise InvalidArgument(f"output_mode is {value!r}; it must be one of {', '.join(OUTPUT_MODES)}")
    return value


def _tool(tool: Any, place: int) -> ToolSpec:
    if isinstance(tool, ToolSpec):
        return tool
    declared = getattr(tool, "joch_spec", None)
    if isinstance(declared, ToolSpec):
        return declared
    raise InvalidArgument(f"tools[{place}] is a {type(tool).__name__}; pass a joch_core.ToolSpec or a @tool function")


def _schema_of(output_class: Any) -> Json:
    schema = getattr(output_class, "model_json_schema", None) or getattr(output_class, "schema", None)
    if schema is None:
        raise InvalidArgument("output_schema must be a JSON Schema (a dict) or a pydantic class")
    made: Json = schema()
    return made


_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def parse_output(reply: Reply, asked: Asked) -> Any:
    """The structured output of a reply: an object of the class that was asked for, or JSON; None if there is none.

    A model that was not held to the schema may wrap its JSON in a fence or in prose: the first whole object in the text
    is taken then.
    """
    request = asked.request
    if request.output_schema is None and request.output_mode is None:
        return None
    value = next((call.args for call in reply.tool_calls if call.name == request.output_tool.name), None)
    if value is None and reply.text:
        value = _loose_json(reply.text)
    if value is None or asked.output_class is None:
        return value
    validate = getattr(asked.output_class, "model_validate", None) or asked.output_class.parse_obj
    try:
        return validate(value)
    except ValueError:
        return None


def _loose_json(text: str) -> Any:
    for candidate in (text, *(match.group(1) for match in _FENCE.finditer(text))):
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    decoder = json.JSONDecoder()
    for match in re.finditer(r"[{\[]", text):
        try:
            return decoder.raw_decode(text, match.start())[0]
        except ValueError:
            continue
    return None
