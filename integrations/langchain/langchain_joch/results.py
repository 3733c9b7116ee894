"""What a guarded tool gave, as JSON for the ledger, and back: a tool message, a command of LangGraph, or a list of both."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage, message_to_dict, messages_from_dict
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command

from joch_core import Json

ALREADY_DONE = "already done: this call was made before and was not repeated; what it gave then:"


def encode(value: Any) -> Any:
    """A result as JSON. What JSON has no form for goes through LangGraph's own serialiser."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case BaseMessage():
            return {"$message": encode(message_to_dict(value))}
        case Command():
            given = {"graph": value.graph, "update": value.update, "resume": value.resume, "goto": value.goto}
            return {"$command": {name: encode(part) for name, part in given.items()}}
        case dict() if all(isinstance(name, str) and not name.startswith("$") for name in value):
            return {name: encode(part) for name, part in value.items()}
        case list():
            return [encode(part) for part in value]
        case tuple():
            return {"$tuple": [encode(part) for part in value]}
    kind, data = JsonPlusSerializer().dumps_typed(value)
    return {"$typed": [kind, base64.b64encode(data).decode()]}


def decode(value: Any) -> Any:
    """The result that `encode` wrote."""
    match value:
        case {"$message": dict(message)}:
            return messages_from_dict([decode(message)])[0]
        case {"$command": dict(given)}:
            return Command(**{name: decode(part) for name, part in given.items()})
        case {"$tuple": list(parts)}:
            return tuple(decode(part) for part in parts)
        case {"$typed": [str(kind), str(data)]}:
            return JsonPlusSerializer().loads_typed((kind, base64.b64decode(data)))
        case dict():
            return {name: decode(part) for name, part in value.items()}
        case list():
            return [decode(part) for part in value]
    return value


def _noted(message: ToolMessage, call_id: str) -> ToolMessage:
    """A stored tool message as the answer to another call, which says so."""
    content: Any = message.content
    if isinstance(content, str):
        content = f"[{ALREADY_DONE}]\n{content}"
    else:
        content = [{"type": "text", "text": f"[{ALREADY_DONE}]"}, *content]
    kept = {**message.additional_kwargs, "joch": {"deduplicated": True}}
    return message.model_copy(update={"content": content, "tool_call_id": call_id, "additional_kwargs": kept, "id": None})


def repeated(value: Any, call_id: str) -> Any:
    """A stored result for a call that was made again: its tool messages answer this call and say `already done`."""
    match value:
        case ToolMessage():
            return _noted(value, call_id)
        case Command(update=Mapping() as update) if "messages" in update:
            messages = [repeated(message, call_id) for message in update["messages"]]
            return Command(graph=value.graph, update={**update, "messages": messages}, resume=value.resume, goto=value.goto)
        case list():
            return [repeated(part, call_id) for part in value]
    return value


def is_error(value: Any) -> bool:
    """Did the tool node answer with an error message in the tool's place?"""
    return isinstance(value, ToolMessage) and value.status == "error"


def report(text: str, *, call_id: str, name: str, key: str) -> ToolMessage:
    """What a model is told in place of a result."""
    facts: Json = {"key": key}
    return ToolMessage(text, tool_call_id=call_id, name=name, status="error", additional_kwargs={"joch": facts})
