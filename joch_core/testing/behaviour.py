"""What the simulated model says when no script tells it: an obedient, predictable agent. Pure.

It answers a structured-output request with an object that satisfies the schema, calls the offered tools that the user text
names (`call NAME {json}`; `… and call …` in parallel, `… then call …` one after the other), tells what a tool gave back,
recalls the lines of the request that mention a thing (`what do you know about X`), and else says what it was told. A tool is
also called when the user text writes its call (`f(3)`) or has all the words of its name (`get_weather`: "the weather").
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joch_core.messages import Json
from joch_core.testing.script import Turn, Wanted


@dataclass(frozen=True, slots=True)
class Question:
    """A request as the simulated model reads it, the same from every wire format.

    `lines` are all texts of the request but the newest user text, in order; `results` the tool results (name, text) since
    the newest user text, and `fresh` of them answer the newest assistant turn; `input_tokens` is an estimate.
    """

    api: str
    model: str
    user_text: str = ""
    lines: tuple[str, ...] = ()
    results: tuple[tuple[str, str], ...] = ()
    fresh: int = 0
    tools: Mapping[str, Json | None] = field(default_factory=dict)
    choice: str = "auto"
    parallel: bool = True
    schema: Json | None = None
    json_mode: bool = False
    thinks: bool = False
    shows_thinking: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    input_tokens: int = 0
    stream: bool = False
    include_usage: bool = True


def tokens(text: str) -> int:
    """An estimate: a token is four bytes."""
    return (len(text.encode()) + 3) // 4


def text_size(value: object) -> int:
    """The bytes of all texts in a JSON value; inline pictures and files count as 1,000."""
    match value:
        case str():
            return 1000 if len(value) > 4000 and " " not in value[:4000] else len(value.encode())
        case dict():
            return sum(len(key) + text_size(item) for key, item in value.items())
        case list():
            return sum(map(text_size, value))
    return 4


_CALL = re.compile(r"\bcall\s+([A-Za-z_][\w.:-]*)\s*", re.IGNORECASE)
_THEN = re.compile(r"\bthen\s*,?\s*$", re.IGNORECASE)
_RECALL = re.compile(
    r"(?:what do you know about|recall|what do you remember about)\s+(.+?)[?.!]?\s*$", re.IGNORECASE | re.DOTALL
)


#: Data that stands in a user message between tags with a hyphen, such as a handoff: it is read, never obeyed.
_DATA = re.compile(r"<(\w+(?:-\w+)+)\b[^>]*>.*?</\1>", re.DOTALL)


def said(user_text: str) -> str:
    """What the user said, without the blocks of data in it."""
    return _DATA.sub("", user_text).strip()


def wanted_calls(text: str) -> list[list[Wanted]]:
    """The tool calls that a user text names, in steps; calls of one step are made in parallel."""
    steps: list[list[Wanted]] = []
    decoder = json.JSONDecoder()
    read = 0
    for found in _CALL.finditer(text):
        args: Any = {}
        if found.start() < read:  # inside the arguments of the call before
            continue
        if text[found.end() : found.end() + 1] == "{":
            try:
                args, read = decoder.raw_decode(text, found.end())
            except ValueError:
                continue
        if not steps or _THEN.search(text, 0, found.start()):
            steps.append([])
        steps[-1].append(Wanted(found[1], args))
    return steps


def answer(question: Question) -> Turn:
    """The built-in answer to a request."""
    turn = _act(question) or _speak(question)
    return _limited(turn, question)


def _act(question: Question) -> Turn | None:
    if not question.tools or question.choice == "none":
        return None
    offered = [[call for call in step if call.name in question.tools] for step in wanted_calls(said(question.user_text))]
    done = len(question.results)
    for step in offered:
        if done >= len(step):
            done -= len(step)
            continue
        calls = step if question.parallel else step[:1]
        return Turn(tool_calls=tuple(calls[done:] if question.parallel else step[done : done + 1]))
    if question.results and question.choice not in question.tools:
        return None
    meant = _meant(question)
    if meant is None and question.choice in question.tools:
        meant = _guessed(question, question.choice)
    if meant is None and question.choice == "required":
        meant = _guessed(question, next(iter(question.tools)))
    return None if meant is None else Turn(tool_calls=(meant,))


def _meant(question: Question) -> Wanted | None:
    """The offered tool that the user text means without an order: `f(3)`, or all the words of its name."""
    text = said(question.user_text)
    offered = [name for name in question.tools if question.choice in (name, "auto", "required")]
    for name in offered:
        found = re.search(rf"\b{re.escape(name)}\(([^()]*)\)", text)
        if found is not None:
            return Wanted(name, _positional(found[1], question.tools[name] or {}))
    spoken = {word.casefold() for word in re.findall(r"\w+", text)}
    for name in offered:
        words = {word.casefold() for word in re.split(r"[\W_]+", name)} - _VERBS
        if words and words <= spoken:
            return _guessed(question, name)
    return None


_VERBS = {"", "get", "set", "do", "run", "make", "tool", "function", "fetch", "lookup", "call", "use"}


def _positional(text: str, schema: Json) -> Json:
    values = []
    for piece in filter(None, map(str.strip, text.split(","))):
        try:
            values.append(json.loads(piece))
        except ValueError:
            values.append(piece.strip("'"))
    return dict(zip(schema.get("properties") or {}, values, strict=False))


def _guessed(question: Question, name: str) -> Wanted:
    """A call with the smallest arguments; a text takes what the user text has in quotes, else itself."""
    schema, text = question.tools[name], said(question.user_text)
    if schema is None:
        return Wanted(name, {"input": text})
    args = sample(schema)
    quoted = re.search(r"(?<!\w)['\"](.+?)['\"](?!\w)", text)
    if quoted is not None and isinstance(args, dict):
        first = next((key for key, value in args.items() if value == key), None)
        if first is not None:
            args[first] = quoted[1]
    return Wanted(name, args)


def _speak(question: Question) -> Turn:
    if question.schema is not None:
        return Turn(json.dumps(sample(question.schema)))
    if question.json_mode:
        asked = said(question.user_text)
        keys = re.findall(r"(?<!\w)['\"`](\w+)['\"`](?!\w)", asked)
        return Turn(json.dumps({key: key for key in keys} or {"answer": asked}))
    if question.fresh:
        told = question.results[-question.fresh :]
        return Turn("\n".join(f"{name} returned: {text}" for name, text in told))
    asked = said(question.user_text)
    recall = _RECALL.search(asked)
    if recall is not None:
        subject = recall[1].strip(" \"'")
        blocks = tuple(found[0] for found in _DATA.finditer(question.user_text))
        known = mentions((*question.lines, *blocks), subject)
        return Turn("\n".join(known) if known else f"I know nothing about {subject}.")
    return Turn(f"You said: {asked}" if asked else "Hello.")


def mentions(lines: tuple[str, ...], subject: str, around: int = 160) -> list[str]:
    """The lines that mention the subject, whatever its case; of a long line the surroundings of each mention."""
    out: list[str] = []
    needle = subject.casefold()
    for line in (line for text in lines for line in text.splitlines()):
        at = line.casefold().find(needle)
        while at >= 0:
            piece = line if len(line) <= 4 * around else line[max(0, at - around) : at + len(needle) + around]
            if piece.strip() not in out:
                out.append(piece.strip())
            at = -1 if piece is line else line.casefold().find(needle, at + around)
    return out


def _limited(turn: Turn, question: Question) -> Turn:
    text, finish = turn.text, turn.finish
    for stop in question.stop:
        head, found, _ = text.partition(stop)
        if found:
            text = head
    if question.max_tokens is not None and question.schema is None and tokens(text) > question.max_tokens:
        text, finish = text.encode()[: 4 * question.max_tokens].decode(errors="ignore"), "length"
    return Turn(text, turn.tool_calls, turn.reasoning, finish=finish)


_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


def sample(schema: Json, root: Json | None = None, name: str = "value", depth: int = 0) -> Any:
    """The smallest plain value that satisfies a JSON Schema (also in Gemini's upper-case spelling)."""
    root = schema if root is None else root
    if "$ref" in schema:
        target: Any = root
        for step in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
            target = target[step] if step else target
        return sample(target, root, name, depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            branches = [branch for branch in schema[key] if str(branch.get("type", "")).lower() != "null"]
            return sample(branches[0] if branches and depth < 8 else schema[key][-1], root, name, depth + 1)
    if schema.get("allOf"):
        merged: Json = {}
        for part in schema["allOf"]:
            value = sample(part, root, name, depth + 1)
            if not isinstance(value, dict):
                return value
            merged |= value
        return merged
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    match str(kind or ("object" if "properties" in schema else "string")).lower():
        case "object":
            properties = schema.get("properties") or {}
            required = schema.get("required") or properties
            needed = [key for key in properties if key in required or depth == 0]
            return {key: sample(properties[key], root, key, depth + 1) for key in needed}
        case "array":
            count = max(int(schema.get("minItems", 0)), 1 if depth < 6 else 0)
            items = schema.get("items")
            return [sample(items if isinstance(items, dict) else {}, root, name, depth + 1)] * count
        case "integer" | "number" as number:
            return _number(schema, whole=number == "integer")
        case "boolean":
            return True
        case "null":
            return None
    text = str(_FORMATS.get(str(schema.get("format")), name))
    return text.ljust(int(schema.get("minLength", 0)), "x")[: int(schema.get("maxLength", 10_000))]


def _number(schema: Json, *, whole: bool) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(schema.get("exclusiveMinimum"), int | float):
        low = schema["exclusiveMinimum"] + (1 if whole else 0.5)
    value = 1 if low is None else low
    if high is not None and value > high:
        value = high
    if schema.get("multipleOf"):
        value = schema["multipleOf"] * max(1, -(-value // schema["multipleOf"]))
    return int(value) if whole else value
