"""Messages in Joch's own, vendor-neutral form. Values only: no wire format, no I/O.

A message is a role and a tuple of parts. What a provider said beyond the neutral fields travels beside them in `Native`,
and goes back only to where it came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from joch_core.errors import InvalidArgument

#: A JSON object as it stands on a wire.
Json = dict[str, Any]
Role = Literal["system", "user", "assistant", "tool"]
PartType = Literal["text", "image", "file", "audio", "reasoning", "tool_call", "tool_result", "server_tool", "other"]

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Native:
    """What one provider said beyond the neutral fields.

    `api` is the wire format that wrote `data` and alone may read it; `origin` is who issued it (`Target.origin`).
    Opaque data (signatures, encrypted reasoning, response ids) goes back to the same origin only; data that is not opaque
    (cache marks, image detail, names) may go to any server that speaks the same format.
    """

    api: str
    origin: str
    data: Json
    opaque: bool = True


@dataclass(frozen=True, slots=True)
class Text:
    """Visible text. `citations` are neutral: `{url?, title?, quote?, start?, end?}`."""

    type: ClassVar[Literal["text"]] = "text"
    text: str
    citations: tuple[Json, ...] = ()
    native: Native | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: a URL, or bytes with their media type."""

    type: ClassVar[Literal["image"]] = "image"
    url: str | None = None
    data: bytes | None = None
    media_type: str | None = None
    native: Native | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A document: a URL, bytes with their media type, or the id of an upload (`native` says at whom)."""

    type: ClassVar[Literal["file"]] = "file"
    url: str | None = None
    data: bytes | None = None
    media_type: str | None = None
    name: str | None = None
    file_id: str | None = None
    native: Native | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """Sound: bytes with their media type, or a URL."""

    type: ClassVar[Literal["audio"]] = "audio"
    data: bytes | None = None
    media_type: str | None = None
    url: str | None = None
    transcript: str | None = None
    native: Native | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model thought. `native` holds the whole block or item, with its signature or encrypted content."""

    type: ClassVar[Literal["reasoning"]] = "reasoning"
    text: str = ""
    native: Native | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the client must run.

    `id` is Joch's own: 9 characters `[a-zA-Z0-9]`, valid at every provider; the provider's own id is in
    `native.data["id"]`. `args` is always an object; a free-text (`custom`) tool has `{"input": text}`.
    """

    type: ClassVar[Literal["tool_call"]] = "tool_call"
    id: str
    name: str
    args: Json
    custom: bool = False
    native: Native | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave back, for the call `call_id`. `content` holds text, image, file, audio or other parts."""

    type: ClassVar[Literal["tool_result"]] = "tool_result"
    call_id: str
    content: tuple[Part, ...]
    name: str | None = None
    error: bool = False
    native: Native | None = None

    @property
    def text(self) -> str:
        """The text parts of the content, joined with nothing between."""
        return "".join(part.text for part in self.content if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class ServerTool:
    """A tool call that the provider ran itself, or its result. `kind` is the raw type name; `text` what it comes to."""

    type: ClassVar[Literal["server_tool"]] = "server_tool"
    kind: str
    text: str = ""
    native: Native | None = None


@dataclass(frozen=True, slots=True)
class Other:
    """A block that this version of Joch does not know: kept whole in `native`, never a crash."""

    type: ClassVar[Literal["other"]] = "other"
    kind: str
    native: Native | None = None


Part = Text | Image | File | Audio | Reasoning | ToolCall | ToolResult | ServerTool | Other


def _parts(content: str | Part | Sequence[Part | str]) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    items = content if isinstance(content, Sequence) else (content,)
    for item in items:
        if not isinstance(item, str | Part):
            raise InvalidArgument(f"{item!r} is neither a text nor a part of a message (Text, Image, File, …)")
    return tuple(Text(item) if isinstance(item, str) else item for item in items)


def _result(value: Any) -> tuple[Part, ...]:
    """What a tool gave back: parts as they are, anything else as JSON."""
    if isinstance(value, str | Part) or (
        isinstance(value, Sequence) and value and all(isinstance(item, Part) for item in value)
    ):
        return _parts(value)
    try:
        return (Text(json.dumps(value, ensure_ascii=False)),)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"the tool's result is no JSON ({error}); give a text, parts or JSON values") from None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of one speaker."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    id: str | None = None
    native: Native | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def system(cls, content: str | Part | Sequence[Part | str]) -> Message:
        """What the operator wrote. The newest one is the prompt of the conversation."""
        return cls("system", _parts(content))

    @classmethod
    def user(cls, content: str | Part | Sequence[Part | str], *, name: str | None = None) -> Message:
        """What the user said: text or parts."""
        return cls("user", _parts(content), name)

    @classmethod
    def assistant(cls, content: str | Part | Sequence[Part | str] = ()) -> Message:
        """What a model said: text or parts."""
        return cls("assistant", _parts(content))

    @classmethod
    def tool(cls, call_id: str, content: Any, *, name: str | None = None, error: bool = False) -> Message:
        """What a tool gave back for the call with this id: text, parts, or any JSON value."""
        return cls("tool", (ToolResult(call_id, _result(content), name, error),), name)

    @property
    def text(self) -> str:
        """The text parts, joined with nothing between; of a tool message, the text of its results."""
        return "".join(part.text for part in self.parts if isinstance(part, Text | ToolResult))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that the client must run, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    @property
    def tool_results(self) -> tuple[ToolResult, ...]:
        """The results in this message, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolResult))


def call_id(*seed: object) -> str:
    """A Joch id of a tool call: `c` and 8 base-62 characters of a hash of the seed; the same seed gives the same id."""
    digest = hashlib.blake2b("\x1f".join(map(str, seed)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    number = int.from_bytes(digest, "big")
    out = []
    for _ in range(8):
        number, rest = divmod(number, 62)
        out.append(_BASE62[rest])
    return "c" + "".join(out)


def is_call_id(text: str) -> bool:
    """Is this id valid at every provider as it stands?"""
    return len(text) == 9 and text.isalnum() and text.isascii()  # noqa: PLR2004  Mistral: exactly 9 of a-z, A-Z, 0-9


def visible_text(parts: Iterable[Part]) -> str:
    """The text parts of a sequence, joined with nothing between."""
    return "".join(part.text for part in parts if isinstance(part, Text))
