"""What OpenAI Chat refuses about the options of a request, what compatible servers refuse, and both lists of rules. Pure."""

from __future__ import annotations

import re
from itertools import pairwise

from joch_core.messages import Json
from joch_core.testing import models
from joch_core.testing import strict_chat as chat
from joch_core.testing.errors import Rejection
from joch_core.testing.strict_schema import openai_strict

_FIXED = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias", "stop")


def response_format(body: Json) -> Rejection | None:
    """A JSON Schema has a name and, when strict, keeps to the strict rules."""
    form = body.get("response_format")
    if form is None:
        return None
    kind = form.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        sentence = f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and 'text'."
        return Rejection(sentence, "response_format.type", "invalid_value")
    if kind != "json_schema":
        return None
    given = form.get("json_schema")
    if not isinstance(given, dict):
        return chat.missing("response_format.json_schema")
    found = chat.wrong_name("response_format.json_schema.name", given.get("name"))
    if found is not None:
        return found
    why = openai_strict(given.get("schema") or {}) if given.get("strict") is True else None
    return Rejection(f"Invalid schema for response_format '{given['name']}': {why}", "response_format") if why else None


def json_is_mentioned(body: Json) -> Rejection | None:
    """JSON mode wants the word JSON in the messages."""
    if (body.get("response_format") or {}).get("type") != "json_object" or "json" in str(body["messages"]).lower():
        return None
    sentence = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
    return Rejection(sentence, "messages")


def reasoning_models(body: Json) -> Rejection | None:
    """Reasoning models take no sampling options, no stop, and `max_completion_tokens` instead of `max_tokens`."""
    model = body.get("model", "")
    if not models.reasons(model):
        if body.get("reasoning_effort") is not None and models.gpt(model) != (0, 0):
            return Rejection("Unrecognized request argument supplied: reasoning_effort")
        return None
    if body.get("max_tokens") is not None:
        sentence = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        return Rejection(sentence, "max_tokens", "unsupported_parameter")
    if models.effort(model, body.get("reasoning_effort")) == "none":
        return None
    for name in _FIXED:
        value = body.get(name)
        if (
            value is None
            or value is False
            or (value in (1, 0) and name not in ("stop", "top_logprobs") and value == _DEFAULTS[name])
        ):
            continue
        if name == "temperature":
            sentence = f"Unsupported value: 'temperature' does not support {value} with this model. Only the default (1) value is supported."
            return Rejection(sentence, name, "unsupported_value")
        return Rejection(f"Unsupported parameter: '{name}' is not supported with this model.", name, "unsupported_parameter")
    return None


_DEFAULTS = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "logprobs": 0, "logit_bias": None}


def tools_with_effort(body: Json) -> Rejection | None:
    """From GPT 5.4 on, function tools with a reasoning effort are for the Responses API."""
    model, effort = body.get("model", ""), body.get("reasoning_effort")
    if models.gpt(model) < (5, 4) or not body.get("tools") or effort in (None, "none"):
        return None
    sentence = f"Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. Please use /v1/responses instead."
    return Rejection(sentence, "reasoning_effort")


def both_limits(body: Json) -> Rejection | None:
    """One of the two output limits."""
    if body.get("max_tokens") is None or body.get("max_completion_tokens") is None:
        return None
    return Rejection("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.", "max_tokens")


def ranges(body: Json) -> Rejection | None:
    """Numbers lie in their ranges."""
    for name, low, high in (("temperature", 0, 2), ("top_p", 0, 1)):
        value = body.get(name)
        if value is None:
            continue
        if value < low:
            sentence = f"Invalid '{name}': decimal below minimum value. Expected a value >= {low}, but got {value} instead."
            return Rejection(sentence, name, "decimal_below_min_value")
        if value > high:
            sentence = f"Invalid '{name}': decimal above maximum value. Expected a value <= {high}, but got {value} instead."
            return Rejection(sentence, name, "decimal_above_max_value")
    for name in ("max_tokens", "max_completion_tokens"):
        if body.get(name) is not None and body[name] < 1:
            sentence = f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {body[name]} instead."
            return Rejection(sentence, name, "integer_below_min_value")
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        sentence = f"Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length {len(stop)} instead."
        return Rejection(sentence, "stop", "array_above_max_length")
    return None


_MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")


def mistral_ids(body: Json) -> Rejection | None:
    """Mistral wants ids of exactly nine letters and digits."""
    if "mistral" not in body.get("model", "").lower():
        return None
    for message in body["messages"]:
        for identifier in (message.get("tool_call_id"), *(call.get("id") for call in message.get("tool_calls") or ())):
            if identifier is not None and not _MISTRAL_ID.fullmatch(identifier):
                return Rejection(
                    f"Tool call id was {identifier} but must be a-z, A-Z, 0-9, with a length of 9.", code="3280"
                )
    return None


def mistral_last(body: Json) -> Rejection | None:
    """Mistral wants the user's or a tool's message last, unless the assistant's one is marked as a prefix."""
    last = body["messages"][-1]
    if "mistral" not in body.get("model", "").lower() or last["role"] != "assistant" or last.get("prefix"):
        return None
    return Rejection(
        "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant", code="3230"
    )


def alternating_roles(body: Json) -> Rejection | None:
    """Chat templates of older open models: a system message first, then user (or tools) and assistant in turn."""
    if "alternating" not in body.get("model", ""):
        return None
    roles = [message["role"] for message in body["messages"]]
    if roles[0] in ("system", "developer"):
        roles = roles[1:]
    if "system" in roles or "developer" in roles:
        return Rejection("System message must be at the beginning.")
    turns = [role for index, role in enumerate(roles) if role != "tool" or roles[index - 1] != "tool"]
    if ("tool", "user") in pairwise(turns):
        return Rejection("Unexpected role 'user' after role 'tool'")
    if any((role == "assistant") != bool(index % 2) for index, role in enumerate(turns)):
        return Rejection("Conversation roles must alternate user/assistant/user/assistant/...")
    return None


def deepseek_reasoning(body: Json) -> Rejection | None:
    """DeepSeek's thinking mode wants the reasoning of a started tool loop back."""
    if not models.shows_reasoning(body.get("model", ""), body.get("thinking")):
        return None
    users = [index for index, message in enumerate(body["messages"]) if message["role"] == "user"]
    for message in body["messages"][users[-1] if users else 0 :]:
        if message.get("tool_calls") and not message.get("reasoning_content"):
            return Rejection("The `reasoning_content` in the thinking mode must be passed back to the API.")
    return None


def stream_options(body: Json) -> Rejection | None:
    """Options of a stream stand with a stream."""
    if body.get("stream_options") is None or body.get("stream") is True:
        return None
    return Rejection("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")


_CONVERSATION = (
    chat.shape, chat.call_ids, chat.call_contents, chat.orphaned_results, chat.unanswered_calls, mistral_ids, mistral_last,
    alternating_roles, deepseek_reasoning,
)  # fmt: skip
RULES = (
    chat.shape, chat.unknown_fields, chat.content_parts, chat.audio_parts, chat.empty_content, *_CONVERSATION[1:], chat.tools,
    chat.tool_choice, response_format, json_is_mentioned, reasoning_models, tools_with_effort, both_limits, ranges,
    stream_options,
)  # fmt: skip
COMPATIBLE = (*_CONVERSATION, ranges)
