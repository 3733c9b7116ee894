"""Gemini generateContent as the simulator speaks it: reads a request, spells an answer whole or as stream events. Pure.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from joch_core.messages import Json
from joch_core.testing.behaviour import Question, text_size, tokens
from joch_core.testing.chat import Event, pieces
from joch_core.testing.models import gemini
from joch_core.testing.script import Turn
from joch_core.testing.tokens import Ids, seal

API = "gemini-generate"
_SNAKE = re.compile(r"_([a-z])")
_FREE = {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels"}


def camel(value: Any) -> Any:
    """A body with its field names in camelCase: the API takes both spellings. Free-form objects are left alone."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = ((_SNAKE.sub(lambda found: found[1].upper(), key), item) for key, item in value.items())
    return {key: item if key in _FREE else camel(item) for key, item in renamed}


def normal(body: Json) -> Json:
    """A body in camelCase, with the one object that stands for a list of tools in a list."""
    out: Json = camel(body)
    if isinstance(out.get("tools"), dict):
        out["tools"] = [out["tools"]]
    return out


def parts(content: Json | None) -> list[Json]:
    """The parts of a content object."""
    return list((content or {}).get("parts") or ())


def texts(content: Json | None) -> str:
    """The texts of a content object, thoughts left out."""
    return "\n".join(
        part["text"] for part in parts(content) if isinstance(part.get("text"), str) and not part.get("thought")
    )


def declarations(body: Json) -> list[Json]:
    """The functions that are offered."""
    return [function for tool in body.get("tools") or () for function in tool.get("functionDeclarations") or ()]


def signs(model: str) -> bool:
    """Does this model sign its function calls (Gemini 2.5 and newer)?"""
    return gemini(model) >= (2, 5)


def _asks(content: Json) -> bool:
    return content.get("role", "user") == "user" and any("functionResponse" not in part for part in parts(content))


def read(body: Json, model: str) -> Question:
    """The request, neutrally. The body is in camelCase and has passed the strict check."""
    contents = body["contents"]
    asked = [index for index, content in enumerate(contents) if _asks(content)]
    newest = asked[-1] if asked else len(contents)
    results = [
        (part["functionResponse"]["name"], _told(part["functionResponse"].get("response")))
        for content in contents[newest + 1 if asked else 0 :]
        for part in parts(content)
        if "functionResponse" in part
    ]
    fresh = sum("functionResponse" in part for part in parts(contents[-1]))
    lines = [texts(body.get("systemInstruction"))]
    for index, content in enumerate(contents):
        lines += [_line(part) for part in parts(content) if index != newest or "functionResponse" in part]
    config = body.get("generationConfig") or {}
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    allowed = calling.get("allowedFunctionNames") or []
    mode = str(calling.get("mode", "AUTO")).upper()
    choice = {"ANY": "required", "NONE": "none"}.get(mode, "auto")
    structured = config.get("responseMimeType") == "application/json"
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    thinking = config.get("thinkingConfig") or {}
    return Question(
        API,
        model,
        texts(contents[newest]) if asked else "",
        tuple(lines),
        tuple(results),
        min(fresh, len(results)),
        {function["name"]: _schema(function) for function in declarations(body)},
        allowed[0] if choice == "required" and len(allowed) == 1 else choice,
        True,
        schema if structured else None,
        structured and not schema,
        signs(model) and thinking.get("thinkingBudget") != 0,
        bool(thinking.get("includeThoughts")),
        config.get("maxOutputTokens"),
        tuple(config.get("stopSequences") or ()),
        count(body),
    )


def count(body: Json) -> int:
    """The input tokens of a request, estimated."""
    return max(1, text_size([body.get("contents") or [], body.get("systemInstruction"), body.get("tools") or []]) // 4)


def _schema(function: Json) -> Json:
    return function.get("parametersJsonSchema") or function.get("parameters") or {"type": "object", "properties": {}}


def _told(response: Any) -> str:
    if isinstance(response, dict) and len(response) == 1:
        (value,) = response.values()
        if isinstance(value, str):
            return value
    return json.dumps(response)


def _line(part: Json) -> str:
    if "functionCall" in part:
        return f"{part['functionCall']['name']}({json.dumps(part['functionCall'].get('args') or {})})"
    if "functionResponse" in part:
        return _told(part["functionResponse"].get("response"))
    return "" if part.get("thought") else str(part.get("text") or "")


_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY", "refusal": "SAFETY"}


def usage(turn: Turn, question: Question) -> Json:
    """The usage object of an answer. `candidatesTokenCount` leaves out the thoughts."""
    thought = turn.usage.get("reasoning_tokens", 64 if question.thinks else 0)
    said = tokens(turn.text + "".join(call.name + json.dumps(call.args) for call in turn.tool_calls))
    prompt = turn.usage.get("input_tokens", question.input_tokens)
    given = max(0, turn.usage["output_tokens"] - thought) if "output_tokens" in turn.usage else said
    out: Json = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": given,
        "totalTokenCount": prompt + given + thought,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    }
    if thought:
        out["thoughtsTokenCount"] = thought
    if turn.usage.get("cache_read_tokens"):
        out["cachedContentTokenCount"] = turn.usage["cache_read_tokens"]
    return out


def _parts(turn: Turn, question: Question, ids: Ids) -> list[Json]:
    out: list[Json] = []
    if question.shows_thinking or turn.reasoning:
        out.append({"text": turn.reasoning or "Thinking about the request.", "thought": True})
    if turn.text:
        out.append({"text": turn.text})
    for index, call in enumerate(turn.tool_calls):
        function: Json = {"name": call.name, "args": call.args}
        if call.id or gemini(question.model) >= (3, 0):
            function["id"] = call.id or ids.new("", 8)
        part: Json = {"functionCall": function}
        if index == 0 and question.thinks:
            # Only the first of parallel calls is signed: https://ai.google.dev/gemini-api/docs/thought-signatures
            part["thoughtSignature"] = seal("thought", question.model, ids.nonce())
        out.append(part)
    if out and not turn.tool_calls and gemini(question.model) >= (3, 0):
        out[-1] = out[-1] | {"thoughtSignature": seal("thought", question.model, ids.nonce())}
    return out


def whole(turn: Turn, question: Question, body: Json, ids: Ids, now: int) -> Json:  # noqa: ARG001  one shape for four formats
    """The answer as one JSON object."""
    said = _parts(turn, question, ids) if turn.ending not in ("refusal", "content_filter") else []
    return _answer(said, turn, question, ids.new("", 22))


def _answer(said: list[Json], turn: Turn, question: Question, identifier: str, *, last: bool = True) -> Json:
    candidate: Json = {"content": {"parts": said, "role": "model"} if said else {"role": "model"}, "index": 0}
    if last:
        candidate["finishReason"] = _FINISH[turn.ending]
    return {
        "candidates": [candidate],
        "usageMetadata": usage(turn, question),
        "modelVersion": question.model,
        "responseId": identifier,
    }


def events(turn: Turn, question: Question, body: Json, ids: Ids, now: int) -> Iterator[Event]:
    """The answer as stream events; the last one has a `finishReason`."""
    done = whole(turn, question, body, ids, now)
    steps: list[Json] = []
    for part in done["candidates"][0]["content"].get("parts") or ():
        cut = pieces(part["text"]) if "text" in part else []
        steps += [{**part, "text": piece} for piece in cut] or [part]
        for step in steps[-len(cut) : -1] if len(cut) > 1 else ():
            step.pop("thoughtSignature", None)
    for step in steps[:-1]:
        yield None, _answer([step], turn, question, done["responseId"], last=False)
    yield None, _answer(steps[-1:] or [{"text": ""}], turn, question, done["responseId"])
