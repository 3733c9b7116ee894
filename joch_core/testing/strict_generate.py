"""What Gemini generateContent refuses, one rule per function, in the words of the API. Pure.

Bodies are in camelCase (`generate.normal`) and carry their model's name in `model`, which the real API has in the path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from joch_core.messages import Json
from joch_core.testing import models
from joch_core.testing.errors import Rejection
from joch_core.testing.generate import declarations, parts
from joch_core.testing.strict_schema import gemini_schema
from joch_core.testing.tokens import sealed_for

#: https://ai.google.dev/api/generate-content
_FIELDS = {
    "model", "contents", "tools", "toolConfig", "safetySettings", "systemInstruction", "generationConfig", "cachedContent",
    "labels", "modelArmorConfig", "serviceTier", "store",
}  # fmt: skip
_PART_DATA = (
    "text", "inlineData", "functionCall", "functionResponse", "fileData", "executableCode", "codeExecutionResult", "toolCall",
    "toolResponse", "thought", "thoughtSignature",
)  # fmt: skip
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
#: Uploads and videos, which every model takes by address.
_FETCHED_BY_ALL = (
    "https://generativelanguage.googleapis.com/", "https://www.youtube.com/", "https://youtu.be/", "https://youtube.com/",
)  # fmt: skip
#: https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
SENTINELS = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")


def _parted(body: Json) -> Iterator[tuple[str, Json, Json]]:
    for index, content in enumerate(body["contents"]):
        for number, part in enumerate(parts(content)):
            yield f"contents[{index}].parts[{number}]", content, part


def _calls(content: Json) -> int:
    return sum("functionCall" in part for part in parts(content))


def _responses(content: Json) -> int:
    return sum("functionResponse" in part for part in parts(content))


def _answered(contents: list[Json], start: int) -> int:
    """The responses from here on; they may be spread over several contents in a row."""
    count = 0
    for content in contents[start:]:
        if not _responses(content):
            break
        count += _responses(content)
    return count


def _unknown(name: str, at: str = "") -> Rejection:
    place = f" at '{at}'" if at else ""
    return Rejection(f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.')


def shape(body: Json) -> Rejection | None:
    """Contents are a list of objects that have parts."""
    contents = body.get("contents")
    if not contents:
        return Rejection("* GenerateContentRequest.contents: contents is not specified\n")
    if not isinstance(contents, list) or not all(isinstance(content, dict) for content in contents):
        return Rejection("Invalid value at 'contents' (type.googleapis.com/google.ai.generativelanguage.v1beta.Content)")
    for index, content in enumerate(contents):
        if not content.get("parts"):
            return Rejection(f"* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty.\n")
    return None


def unknown_fields(body: Json) -> Rejection | None:
    """Only documented fields."""
    return next((_unknown(name) for name in body if name not in _FIELDS), None)


def part_data(body: Json) -> Rejection | None:
    """Every part holds something, every call and response has a name."""
    for place, _, part in _parted(body):
        if not any(name in part for name in _PART_DATA):
            sentence = (
                f"* GenerateContentRequest.{place}.data: required oneof field 'data' must have one initialized field\n"
            )
            return Rejection(sentence)
        for name in ("functionCall", "functionResponse"):
            if name in part and not part[name].get("name"):
                snake = "function_call" if name == "functionCall" else "function_response"
                return Rejection(f"* GenerateContentRequest.{place}.{snake}.name: Name cannot be empty.\n")
        if "functionResponse" in part and not isinstance(part["functionResponse"].get("response"), dict):
            sentence = f"Invalid value at '{place}.function_response.response' (type.googleapis.com/google.protobuf.Struct)"
            return Rejection(sentence)
    return None


def roles(body: Json) -> Rejection | None:
    """User and model; the first is the user's."""
    for content in body["contents"]:
        if content.get("role", "user") not in ("user", "model", "function"):
            return Rejection("Please use a valid role: user, model.")
    return None


def call_order(body: Json) -> Rejection | None:
    """A turn with calls follows the user or the responses of an earlier one, and is answered in full by the next."""
    contents = body["contents"]
    for index, content in enumerate(contents):
        before = contents[index - 1] if index else None
        if content.get("role") == "model" and _calls(content):
            if before is None or before.get("role", "user") == "model":
                return Rejection(
                    "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
                )
            if _answered(contents, index + 1) != _calls(content):
                return Rejection(
                    "Please ensure that the number of function response parts is equal to the number of function call parts of the "
                    "function call turn."
                )
        if _responses(content) and (before is None or not (_calls(before) or _responses(before))):
            return Rejection("Please ensure that function response turn comes immediately after a function call turn.")
    return None


def last_turn(body: Json) -> Rejection | None:
    """The user speaks last, or the functions."""
    if body["contents"][-1].get("role") == "model":
        return Rejection("Please ensure that multiturn requests end with a user role or a function response.")
    return None


def functions(body: Json) -> Rejection | None:
    """Functions are well named, once each, and their `parameters` are in Gemini's reduced form of a schema."""
    names = []
    for index, tool in enumerate(body.get("tools") or ()):
        for number, function in enumerate(tool.get("functionDeclarations") or ()):
            place = f"tools[{index}].function_declarations[{number}]"
            if not _NAME.fullmatch(str(function.get("name") or "")):
                sentence = (
                    f"* GenerateContentRequest.{place}.name: Invalid function name. Must start with a letter or an underscore. Must be "
                    "alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64.\n"
                )
                return Rejection(sentence)
            names.append(function["name"])
            why = gemini_schema(function.get("parameters") or {}, f"{place}.parameters")
            if why is not None:
                return Rejection(why)
    twice = next((name for name in names if names.count(name) > 1), None)
    return Rejection(f"Duplicate function declaration found: {twice}") if twice else None


def calling(body: Json) -> Rejection | None:
    """The mode of function calling stands with functions; allowed names with the mode ANY."""
    config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode = str(config.get("mode", "AUTO")).upper()
    offered = [function.get("name") for function in declarations(body)]
    if mode == "ANY" and not offered:
        return Rejection("Function calling config is set without function_declarations.")
    allowed = config.get("allowedFunctionNames") or []
    if allowed and mode not in ("ANY", "VALIDATED"):
        return Rejection("Allowed function names should be set only when function calling mode is ANY.")
    unknown = [name for name in allowed if name not in offered]
    if unknown:
        return Rejection(
            f"Invalid argument: allowed_function_names contains function names that are not present in function_declarations: {unknown}"
        )
    return None


def generation(body: Json) -> Rejection | None:
    """A schema of the answer is in the reduced form, and wants a JSON answer; older models have it without functions."""
    config = body.get("generationConfig") or {}
    structured = config.get("responseMimeType") == "application/json"
    if config.get("responseJsonSchema") is not None and config.get("responseSchema") is not None:
        return Rejection("Only one of response_schema and response_json_schema can be set.")
    for name in ("responseSchema", "responseJsonSchema"):
        if config.get(name) is not None and not structured and config.get("responseMimeType") != "text/x.enum":
            return Rejection(f"{name} requires response_mime_type to be application/json.")
    if structured and declarations(body) and (0, 0) < models.gemini(body["model"]) < (3, 0):
        return Rejection("Function calling with a response mime type: 'application/json' is unsupported")
    why = gemini_schema(config.get("responseSchema") or {}, "generation_config.response_schema")
    return Rejection(why) if why else None


def mixed_tools(body: Json) -> Rejection | None:
    """Before Gemini 3, tools that Google runs do not stand beside functions."""
    served = [name for tool in body.get("tools") or () for name in tool if name != "functionDeclarations"]
    if served and declarations(body) and (0, 0) < models.gemini(body["model"]) < (3, 0):
        return Rejection("Tool use with function calling is unsupported")
    return None


def unsigned_calls(body: Json) -> Rejection | None:
    """Gemini 3 wants its thought signature on the first call of every step since the newest user text."""
    if models.gemini(body["model"]) < (3, 0):
        return None
    contents = body["contents"]
    starts = [
        index for index, content in enumerate(contents) if content.get("role", "user") == "user" and not _responses(content)
    ]
    for index, content in enumerate(contents):
        if index < (starts[-1] if starts else 0) or content.get("role") != "model":
            continue
        first = next((part for part in parts(content) if "functionCall" in part), None)
        if first is not None and not first.get("thoughtSignature"):
            sentence = (
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and "
                "missing thought_signature may lead to degraded model performance. Additional data, function call "
                f"`default_api:{first['functionCall']['name']}` , position {index + 1}. Please refer to "
                "https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
            )
            return Rejection(sentence)
    return None


def foreign_signatures(body: Json) -> Rejection | None:
    """A thought signature is good for the model that it was issued for."""
    model = body["model"].partition("+")[0]
    for _, _, part in _parted(body):
        signature = part.get("thoughtSignature")
        if signature is None or signature in SENTINELS:
            continue
        if sealed_for(signature) != ("thought", model):
            return Rejection("Corrupted thought signature.")
    return None


def addresses(body: Json) -> Rejection | None:
    """A public address is fetched for Gemini 2.5 and later: https://ai.google.dev/gemini-api/docs/file-input-methods."""
    if not (0, 0) < models.gemini(body["model"]) < (2, 5):
        return None
    for _, _, part in _parted(body):
        given = part.get("fileData")
        address = given.get("fileUri") if isinstance(given, dict) else None
        if isinstance(address, str) and not address.startswith(_FETCHED_BY_ALL):
            return Rejection(f"Invalid or unsupported file uri: {address}")
    return None


RULES = (
    shape, unknown_fields, part_data, addresses, roles, call_order, last_turn, functions, calling, generation, mixed_tools, unsigned_calls,
)  # fmt: skip
TOKENS = (foreign_signatures,)
