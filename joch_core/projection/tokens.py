"""How many tokens a request may be: an upper estimate without a tokenizer. Pure.

Bytes / 3 x 1.15: byte-level tokenizers need about 4 bytes a token for English and JSON, and about 2.5 for dense scripts, so
the estimate lies above the true count for ordinary text and never below two thirds of it.
"""

from __future__ import annotations

import json
from functools import lru_cache

from joch_core.messages import Message, ModelRequest, Part, Text, ToolSpec

_BYTES_PER_TOKEN = 3 / 1.15
_MESSAGE_TOKENS = 6
#: Providers count a picture as up to about 1,600 tokens, a page of a document as about as much.
_IMAGE_TOKENS = 1_600
_FILE_BYTES_PER_TOKEN = 40


def text_tokens(text: str) -> int:
    """The estimate for a text."""
    length = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return int(length / _BYTES_PER_TOKEN) + 1


def part_tokens(part: Part) -> int:
    """The estimate for one part."""
    match part.type:
        case "text":
            return text_tokens(part.text)
        case "reasoning":
            return text_tokens(part.text) + (text_tokens(str(part.native.data)) if part.native else 0)
        case "tool_call":
            return text_tokens(part.name) + text_tokens(json.dumps(part.args, ensure_ascii=False)) + 8
        case "tool_result":
            return 8 + sum(part_tokens(item) for item in part.content)
        case "image":
            return _IMAGE_TOKENS
        case "file" | "audio":
            return _IMAGE_TOKENS + len(part.data or b"") // _FILE_BYTES_PER_TOKEN
        case _:
            return text_tokens(str(part.native.data)) if part.native else 0


def message_tokens(message: Message) -> int:
    """The estimate for one message."""
    parts = message.parts
    if len(parts) == 1 and type(parts[0]) is Text:  # most messages are one text
        return _MESSAGE_TOKENS + text_tokens(parts[0].text)
    return _MESSAGE_TOKENS + sum(part_tokens(part) for part in parts)


def tool_tokens(tool: ToolSpec) -> int:
    """The estimate for one declared tool."""
    schema = json.dumps(tool.parameters, ensure_ascii=False, default=str) if tool.parameters else ""
    return 16 + _cached(tool.name + tool.description + schema)


@lru_cache(maxsize=4096)
def _cached(text: str) -> int:
    return text_tokens(text)


def estimate_tokens(request: ModelRequest) -> int:
    """The estimate for a whole request: messages, tools and the output schema."""
    schema = 0 if request.output_schema is None else text_tokens(json.dumps(request.output_schema, default=str))
    return sum(map(message_tokens, request.messages)) + sum(map(tool_tokens, request.tools)) + schema
