"""What OpenAI Chat Completions refuses, one rule per function, in the words of the API. Pure.

The second list of rules, `COMPATIBLE`, is what servers refuse that only speak the format (they take more fields and know
other models); among them are the rules of Mistral and of chat templates that want alternating roles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from joch_core.messages import Json
from joch_core.testing.errors import Rejection
from joch_core.testing.strict_schema import openai_parameters, openai_strict

#: https://platform.openai.com/docs/api-reference/chat/create
_FIELDS = {
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
    "max_tokens", "messages", "metadata", "modalities", "model", "moderation", "n", "parallel_tool_calls", "prediction",
    "presence_penalty", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning_effort",
    "response_format", "safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options",
    "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
}  # fmt: skip
_MESSAGE_FIELDS = {
    "role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "audio", "annotations",
}  # fmt: skip
_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_PARTS = ("text", "image_url", "input_audio", "refusal", "audio", "file")
_NAME = re.compile(r"[a-zA-Z0-9_-]+")


def listed(words: Iterator[str] | tuple[str, ...]) -> str:
    """Quoted words as OpenAI lists them."""
    *head, last = (f"'{word}'" for word in words)
    return f"{', '.join(head)}, and {last}" if len(head) > 1 else " and ".join([*head, last])


def too_long(param: str, value: str, most: int) -> Rejection:
    """OpenAI's refusal of a text that is too long."""
    return Rejection(
        f"Invalid '{param}': string too long. Expected a string with maximum length {most}, but instead got a string with "
        f"length {len(value)}.",
        param,
        "string_above_max_length",
    )


def empty_array(param: str) -> Rejection:
    """OpenAI's refusal of a list without items."""
    return Rejection(
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        param,
        "empty_array",
    )


def missing(param: str) -> Rejection:
    """OpenAI's refusal of a body that lacks a field."""
    return Rejection(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def wrong_name(param: str, name: Any) -> Rejection | None:
    """OpenAI's rule for the names of functions: 1 to 64 of letters, digits, `_` and `-`."""
    if not isinstance(name, str) or not name:
        return missing(param)
    if len(name) > 64:
        return too_long(param, name, 64)
    if not _NAME.fullmatch(name):
        return Rejection(
            f"Invalid '{param}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            param,
            "invalid_value",
        )
    return None


def _calls(body: Json) -> Iterator[tuple[str, Json]]:
    for index, message in enumerate(body["messages"]):
        for number, call in enumerate(message.get("tool_calls") or ()):
            yield f"messages[{index}].tool_calls[{number}]", call


def _parts(body: Json) -> Iterator[tuple[int, int, str, Json]]:
    for index, message in enumerate(body["messages"]):
        content = message.get("content")
        for number, part in enumerate(content if isinstance(content, list) else ()):
            yield index, number, message["role"], part


def shape(body: Json) -> Rejection | None:
    """Messages are a list of objects with known roles."""
    messages = body.get("messages")
    if messages is None:
        return missing("messages")
    if not isinstance(messages, list):
        return Rejection("Invalid type for 'messages': expected an array of objects.", "messages", "invalid_type")
    if not messages:
        return empty_array("messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            return Rejection(
                f"Invalid type for 'messages[{index}]': expected an object.", f"messages[{index}]", "invalid_type"
            )
        if message.get("role") not in _ROLES:
            sentence = f"Invalid value: '{message.get('role')}'. Supported values are: {listed(_ROLES)}."
            return Rejection(sentence, f"messages[{index}].role", "invalid_value")
        content = message.get("content")
        if not isinstance(content, str | list | None):
            return Rejection(
                f"Invalid type for 'messages[{index}].content': expected one of a string or array of objects.",
                f"messages[{index}].content",
                "invalid_type",
            )
        for number, part in enumerate(content if isinstance(content, list) else ()):
            if not isinstance(part, dict) or "type" not in part:
                return missing(f"messages[{index}].content[{number}].type")
        for number, call in enumerate(message.get("tool_calls") or ()):
            if not isinstance(call.get("function", call.get("custom")), dict):
                return missing(f"messages[{index}].tool_calls[{number}].function")
    return None


def unknown_fields(body: Json) -> Rejection | None:
    """Only documented fields."""
    for name in body:
        if name not in _FIELDS:
            return Rejection(f"Unrecognized request argument supplied: {name}")
    for index, message in enumerate(body["messages"]):
        for name in message:
            if name not in _MESSAGE_FIELDS:
                param = f"messages[{index}].{name}"
                return Rejection(f"Unknown parameter: '{param}'.", param, "unknown_parameter")
    return None


def empty_content(body: Json) -> Rejection | None:
    """Every message says something; only an assistant message with calls may have no content."""
    for index, message in enumerate(body["messages"]):
        calls = message.get("tool_calls")
        if calls == []:
            return empty_array(f"messages[{index}].tool_calls")
        if message.get("content") is None and not (
            calls or message.get("function_call") or message.get("refusal") or message.get("audio")
        ):
            return Rejection("Invalid value for 'content': expected a string, got null.", f"messages.[{index}].content")
    return None


def content_parts(body: Json) -> Rejection | None:
    """Which kinds of parts a role may have: pictures in user messages only, no reasoning anywhere."""
    for index, number, role, part in _parts(body):
        kind = part["type"]
        param = f"messages[{index}].content[{number}]"
        if kind not in _PARTS:
            return Rejection(
                f"Invalid value: '{kind}'. Supported values are: {listed(_PARTS)}.", f"{param}.type", "invalid_value"
            )
        if kind == "image_url" and role != "user":
            sentence = (
                f"Invalid 'messages[{index}]'. Image URLs are only allowed for messages with role 'user', but this message with "
                f"role '{role}' contains an image URL."
            )
            return Rejection(sentence, f"messages[{index}]", "invalid_value")
        if role != "user" and kind not in ("text", "refusal"):
            return Rejection(f"Invalid value: '{kind}'. Supported values are: 'text'.", f"{param}.type", "invalid_value")
    return None


def audio_parts(body: Json) -> Rejection | None:
    """Sound only for the audio models."""
    for index, _, _, part in _parts(body):
        if part["type"] == "input_audio" and "audio" not in body.get("model", ""):
            sentence = f"Invalid 'messages[{index}]'. Content blocks are expected to be either text or image_url type."
            return Rejection(sentence, f"messages[{index}]", "invalid_value")
    return None


def call_ids(body: Json) -> Rejection | None:
    """Ids of tool calls have 1 to 40 characters."""
    for place, call in _calls(body):
        identifier = call.get("id")
        if not isinstance(identifier, str):
            return missing(f"{place}.id")
        if len(identifier) > 40:
            return too_long(f"{place}.id", identifier, 40)
    for index, message in enumerate(body["messages"]):
        if message["role"] == "tool":
            identifier = message.get("tool_call_id")
            if not isinstance(identifier, str):
                return missing(f"messages[{index}].tool_call_id")
            if len(identifier) > 40:
                return too_long(f"messages[{index}].tool_call_id", identifier, 40)
    return None


def call_contents(body: Json) -> Rejection | None:
    """Calls in the history have a proper name, and their arguments are text."""
    for place, call in _calls(body):
        kind, said = ("custom", "input") if "custom" in call else ("function", "arguments")
        found = wrong_name(f"{place}.{kind}.name", call[kind].get("name"))
        if found is not None:
            return found
        if not isinstance(call[kind].get(said), str):
            param = f"{place}.{kind}.{said}"
            got = "an object" if isinstance(call[kind].get(said), dict) else "null"
            return Rejection(f"Invalid type for '{param}': expected a string, but got {got} instead.", param, "invalid_type")
    return None


def unanswered_calls(body: Json) -> Rejection | None:
    """Tool messages for every call follow its assistant message directly."""
    messages = body["messages"]
    for index, message in enumerate(messages):
        open_calls = [call["id"] for call in message.get("tool_calls") or ()]
        if not open_calls:
            continue
        answered = set()
        for after in messages[index + 1 :]:
            if after["role"] != "tool":
                break
            answered.add(after["tool_call_id"])
        left = [identifier for identifier in open_calls if identifier not in answered]
        if left:
            sentence = (
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
                f"The following tool_call_ids did not have response messages: {', '.join(left)}"
            )
            return Rejection(sentence, "messages")
    return None


def orphaned_results(body: Json) -> Rejection | None:
    """A tool message answers a call of the assistant message before its group."""
    open_calls: set[str] = set()
    for index, message in enumerate(body["messages"]):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                sentence = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                return Rejection(sentence, f"messages.[{index}].role")
        else:
            open_calls = {call["id"] for call in message.get("tool_calls") or ()}
    return None


def tools(body: Json) -> Rejection | None:
    """Tools are a list of 1 to 128 well-named functions with schemas that the API takes."""
    given = body.get("tools")
    if given is None:
        return None
    if not given:
        return empty_array("tools")
    if len(given) > 128:
        sentence = f"Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length {len(given)} instead."
        return Rejection(sentence, "tools", "array_above_max_length")
    for index, tool in enumerate(given):
        kind = tool.get("type")
        if kind not in ("function", "custom"):
            sentence = f"Invalid value: '{kind}'. Supported values are: 'function' and 'custom'."
            return Rejection(sentence, f"tools[{index}].type", "invalid_value")
        if not isinstance(tool.get(kind), dict):
            return missing(f"tools[{index}].{kind}")
        found = wrong_name(f"tools[{index}].{kind}.name", tool[kind].get("name"))
        if found is None and kind == "function":
            found = wrong_parameters(tool[kind], f"tools[{index}].function.parameters")
        if found is not None:
            return found
    return None


def wrong_parameters(function: Json, param: str) -> Rejection | None:
    """OpenAI's refusal of a function's schema."""
    schema = function.get("parameters") or {}
    why = openai_strict(schema) if function.get("strict") is True and schema else openai_parameters(schema)
    if why is None:
        return None
    return Rejection(f"Invalid schema for function '{function['name']}': {why}", param, "invalid_function_parameters")


def tool_choice(body: Json) -> Rejection | None:
    """`tool_choice` and `parallel_tool_calls` stand with tools, and a forced tool is offered."""
    given = body.get("tools")
    for name in ("tool_choice", "parallel_tool_calls"):
        if body.get(name) is not None and not given:
            return Rejection(f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", name)
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        return Rejection(
            f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.",
            "tool_choice",
            "invalid_value",
        )
    if isinstance(choice, dict) and choice.get("type") in ("function", "custom"):
        kind = choice["type"]
        if not isinstance(choice.get(kind), dict):
            return missing(f"tool_choice.{kind}")
        if choice[kind].get("name") not in [tool.get(kind, {}).get("name") for tool in given or ()]:
            sentence = f"Invalid value for 'tool_choice': no {kind} named '{choice[kind].get('name')}' was specified in the 'tools' parameter."
            return Rejection(sentence, "tool_choice")
    return None
