"""What OpenAI Responses refuses, one rule per function, in the words of the API. Pure.

Whether a stored item or response exists is not decided here (see `stored`): a body that names a previous response or a
conversation is not asked for the calls that its results answer.
"""

from __future__ import annotations

from collections.abc import Iterator

from joch_core.messages import Json
from joch_core.testing import models
from joch_core.testing.errors import Rejection
from joch_core.testing.responses import CALLS, RESULTS, items
from joch_core.testing.strict_chat import empty_array, listed, missing, too_long, wrong_name, wrong_parameters
from joch_core.testing.strict_schema import openai_strict
from joch_core.testing.tokens import is_item_id, sealed_for

#: https://platform.openai.com/docs/api-reference/responses/create
_FIELDS = {
    "access_programs", "background", "background_options", "context_management", "conversation", "image", "include", "input",
    "instructions", "max_output_tokens", "max_tool_calls", "metadata", "model", "moderation", "parallel_tool_calls",
    "previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning",
    "safety_identifier", "service_tier", "store", "stream", "stream_options", "temperature", "text", "tool_choice", "tools",
    "top_logprobs", "top_p", "truncation", "user",
}  # fmt: skip
_ITEM_FIELDS = {
    "message": {"type", "role", "content", "id", "status", "phase", "name", "internal_chat_message_metadata_passthrough"},
    "function_call": {"type", "id", "call_id", "name", "arguments", "status", "namespace", "caller", "async"},
    "function_call_output": {"type", "id", "call_id", "output", "status", "caller"},
    "reasoning": {"type", "id", "summary", "content", "encrypted_content", "status"},
}
_ROLES = ("assistant", "system", "developer", "user")
_INPUT_PARTS = ("input_text", "input_image", "input_file", "input_audio")
_OUTPUT_PARTS = ("output_text", "refusal")
_PREFIXES = {"message": "msg", "function_call": "fc", "custom_tool_call": "ctc", "reasoning": "rs"}


def _kind(item: Json) -> str:
    return str(item.get("type", "message"))


def _typed(body: Json) -> Iterator[tuple[int, str, Json]]:
    for index, item in enumerate(items(body)):
        yield index, _kind(item), item


def shape(body: Json) -> Rejection | None:
    """There is an input, a list of objects, whose messages have known roles and typed parts."""
    given = body.get("input")
    if given is None:
        if any(body.get(name) for name in ("previous_response_id", "conversation", "prompt")):
            return None
        return missing("input")
    if isinstance(given, str):
        return None
    if not isinstance(given, list):
        return Rejection(
            "Invalid type for 'input': expected one of a string or an array of input items.", "input", "invalid_type"
        )
    for index, item in enumerate(given):
        if not isinstance(item, dict):
            return Rejection(
                f"Invalid type for 'input[{index}]': expected an input item.", f"input[{index}]", "invalid_type"
            )
        if _kind(item) != "message":
            continue
        if item.get("role") not in _ROLES:
            sentence = f"Invalid value: '{item.get('role')}'. Supported values are: {listed(_ROLES)}."
            return Rejection(sentence, f"input[{index}]", "invalid_value")
        content = item.get("content")
        if not isinstance(content, str | list):
            return missing(f"input[{index}].content")
        for number, part in enumerate(content if isinstance(content, list) else ()):
            if not isinstance(part, dict) or "type" not in part:
                return missing(f"input[{index}].content[{number}].type")
    return None


def unknown_fields(body: Json) -> Rejection | None:
    """Only documented fields, of the body and of the commonest items."""
    for name in body:
        if name not in _FIELDS:
            return Rejection(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    for index, kind, item in _typed(body):
        for name in item:
            if name not in _ITEM_FIELDS.get(kind, item):
                param = f"input[{index}].{name}"
                return Rejection(f"Unknown parameter: '{param}'.", param, "unknown_parameter")
    return None


def content_parts(body: Json) -> Rejection | None:
    """An assistant's message holds output parts, all others input parts."""
    for index, kind, item in _typed(body):
        if kind != "message" or not isinstance(item["content"], list):
            continue
        allowed = _OUTPUT_PARTS if item["role"] == "assistant" else _INPUT_PARTS
        for number, part in enumerate(item["content"]):
            if part["type"] not in allowed:
                sentence = f"Invalid value: '{part['type']}'. Supported values are: {listed(allowed)}."
                return Rejection(sentence, f"input[{index}].content[{number}]", "invalid_value")
    return None


def identifiers(body: Json) -> Rejection | None:
    """Ids have at most 64 characters; the id of an item begins with the letters of its kind."""
    for index, kind, item in _typed(body):
        place = f"input[{index}]"
        if kind in CALLS or kind in RESULTS:
            call = item.get("call_id")
            if not isinstance(call, str):
                return missing(f"{place}.call_id")
            if not call:
                sentence = f"Invalid '{place}.call_id': empty string. Expected a string with minimum length 1, but got an empty string instead."
                return Rejection(sentence, f"{place}.call_id", "empty_string")
            if len(call) > 64:
                return too_long(f"{place}.call_id", call, 64)
        identifier, prefix = item.get("id"), _PREFIXES.get(kind)
        if identifier is None or prefix is None:
            continue
        if len(identifier) > 64:
            return too_long(f"{place}.id", identifier, 64)
        if not identifier.startswith(prefix):
            sentence = f"Invalid '{place}.id': '{identifier}'. Expected an ID that begins with '{prefix}'."
            return Rejection(sentence, f"{place}.id", "invalid_value")
    return None


def call_contents(body: Json) -> Rejection | None:
    """Calls in the history have a proper name, and their arguments are text; results are text or input parts."""
    for index, kind, item in _typed(body):
        place = f"input[{index}]"
        if kind in CALLS:
            found = wrong_name(f"{place}.name", item.get("name"))
            if found is not None:
                return found
            said = "arguments" if kind == "function_call" else "input"
            if not isinstance(item.get(said), str):
                sentence = f"Invalid type for '{place}.{said}': expected a string, but got something else instead."
                return Rejection(sentence, f"{place}.{said}", "invalid_type")
        if kind in RESULTS:
            output = item.get("output")
            if output is None:
                return missing(f"{place}.output")
            for number, part in enumerate(output if isinstance(output, list) else ()):
                if part.get("type") not in _INPUT_PARTS:
                    allowed = ("input_text", "input_image", "input_file")
                    sentence = f"Invalid value: '{part.get('type')}'. Supported values are: {listed(allowed)}."
                    return Rejection(sentence, f"{place}.output[{number}]", "invalid_value")
    return None


def unanswered_calls(body: Json) -> Rejection | None:
    """Every call has its output."""
    answered = {item["call_id"] for _, kind, item in _typed(body) if kind in RESULTS}
    for _, kind, item in _typed(body):
        if kind in CALLS and item["call_id"] not in answered:
            what = "function call" if kind == "function_call" else "custom tool call"
            return Rejection(f"No tool output found for {what} {item['call_id']}.", "input")
    return None


def orphaned_results(body: Json) -> Rejection | None:
    """Every output comes after its call."""
    if body.get("previous_response_id") or body.get("conversation") or body.get("prompt"):
        return None
    called: set[str] = set()
    for _, kind, item in _typed(body):
        if kind in CALLS:
            called.add(item["call_id"])
        elif kind in RESULTS and item["call_id"] not in called:
            what = "function call" if kind == "function_call_output" else "custom tool call"
            return Rejection(f"No tool call found for {what} output with call_id {item['call_id']}.", "input")
    return None


def _by_the_client(item: Json, *, known: bool) -> bool:
    """Is this item the client's own: a message of others, the output of a tool, or (after a known item) a plain message?"""
    if _kind(item) == "message":
        return item["role"] != "assistant" or (known and "type" not in item)
    return _kind(item).endswith("_output")


def lonely_reasoning(body: Json) -> Rejection | None:
    """A reasoning item is followed by what the model did then."""
    given = items(body)
    for index, item in enumerate(given):
        if _kind(item) != "reasoning":
            continue
        after = next((other for other in given[index + 1 :] if _kind(other) != "reasoning"), None)
        if after is None or _by_the_client(after, known="id" in item):
            name = item.get("id") or f"input[{index}]"
            return Rejection(f"Item '{name}' of type 'reasoning' was provided without its required following item.", "input")
    return None


def tools(body: Json) -> Rejection | None:
    """Functions are well named, flat, and have schemas that the API takes."""
    for index, tool in enumerate(body.get("tools") or ()):
        kind = tool.get("type")
        if kind is None:
            return missing(f"tools[{index}].type")
        if kind not in ("function", "custom"):
            continue
        found = wrong_name(f"tools[{index}].name", tool.get("name"))
        if found is None and kind == "function":
            found = wrong_parameters(tool, f"tools[{index}].parameters")
        if found is not None:
            return found
    return None


def tool_choice(body: Json) -> Rejection | None:
    """A forced tool is offered; its choice is flat."""
    choice = body.get("tool_choice")
    if choice == "required" and not body.get("tools"):
        return Rejection("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        sentence = f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'."
        return Rejection(sentence, "tool_choice", "invalid_value")
    if isinstance(choice, dict) and choice.get("type") in ("function", "custom"):
        if "name" not in choice:
            return missing("tool_choice.name")
        if choice["name"] not in [tool.get("name") for tool in body.get("tools") or ()]:
            return Rejection(f"Tool choice '{choice['type']}' not found in 'tools' parameter.", "tool_choice")
    return None


def text_format(body: Json) -> Rejection | None:
    """A JSON Schema has a name, and keeps to the strict rules when it is strict; JSON mode wants the word JSON."""
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_object" and "json" not in str(items(body)).lower():
        sentence = (
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'."
        )
        return Rejection(sentence, "input")
    if form.get("type") != "json_schema":
        return None
    found = wrong_name("text.format.name", form.get("name"))
    if found is not None:
        return found
    if not isinstance(form.get("schema"), dict):
        return missing("text.format.schema")
    why = openai_strict(form["schema"]) if form.get("strict") is True else None
    return (
        Rejection(f"Invalid schema for response_format '{form['name']}': {why}", "text.format.schema", "invalid_json_schema")
        if why
        else None
    )


def options(body: Json) -> Rejection | None:
    """Reasoning models take no sampling options, others no reasoning options; 16 output tokens at least."""
    model = body.get("model", "")
    reasoning = body.get("reasoning") or {}
    if models.reasons(model) and models.effort(model, reasoning.get("effort")) != "none":
        for name in ("temperature", "top_p"):
            if body.get(name) not in (None, 1):
                return Rejection(
                    f"Unsupported parameter: '{name}' is not supported with this model.", name, "unsupported_parameter"
                )
    if models.gpt(model) != (0, 0) and not models.reasons(model):
        if reasoning.get("effort"):
            param = "reasoning.effort"
            return Rejection(
                f"Unsupported parameter: '{param}' is not supported with this model.", param, "unsupported_parameter"
            )
        if "reasoning.encrypted_content" in (body.get("include") or ()):
            return Rejection("Encrypted content is not supported with this model.", "include")
    least = body.get("max_output_tokens")
    if least is not None and least < 16:
        sentence = (
            f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {least} instead."
        )
        return Rejection(sentence, "max_output_tokens", "integer_below_min_value")
    return None


_NO_FILES = (".mp3", ".wav", ".ogg", ".flac", ".m4a", ".mp4", ".mov", ".webm")


def files(body: Json) -> Rejection | None:
    """Sound and films are no input files."""
    for _, _, item in _typed(body):
        for part in (part for name in ("content", "output") if isinstance(item.get(name), list) for part in item[name]):
            named = str(part.get("file_url") or part.get("filename") or "").partition("?")[0].lower()
            if part.get("type") == "input_file" and named.endswith(_NO_FILES):
                sentence = "The file type you uploaded is not supported. Please try again with a pdf"
                return Rejection(sentence, "input", "unsupported_file")
    return None


def empty_input(body: Json) -> Rejection | None:
    """An input without items says nothing, unless the server knows what went before."""
    if body.get("input") == [] and not any(body.get(name) for name in ("previous_response_id", "conversation", "prompt")):
        return empty_array("input")
    return None


def foreign_reasoning(body: Json) -> Rejection | None:
    """Encrypted reasoning can be read by the model that wrote it, an id of an item is known where it was given."""
    model = body.get("model", "").partition("+")[0]
    for _, kind, item in _typed(body):
        if kind not in ("reasoning", "compaction"):
            continue
        content = item.get("encrypted_content")
        if content is not None and sealed_for(content) != ("reasoning", model):
            sentence = (
                f"The encrypted content {content[:4]}...{content[-4:]} could not be verified. Reason: Encrypted content could not be "
                "decrypted or parsed."
            )
            return Rejection(sentence, None, "invalid_encrypted_content")
        if content is None and not is_item_id(str(item.get("id")), model):
            sentence = (
                f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false. Try again with "
                "`store` set to true, or remove this item from your input."
            )
            return Rejection(sentence, "input", kind="not_found", status=404)
    return None


COMPATIBLE = (shape, identifiers, call_contents, orphaned_results, unanswered_calls)
RULES = (
    shape, unknown_fields, empty_input, content_parts, *COMPATIBLE[1:], lonely_reasoning, tools, tool_choice, text_format,
    options, files,
)  # fmt: skip
TOKENS = (foreign_reasoning,)
