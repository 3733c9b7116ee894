"""One request to a model and one reply, in Joch's neutral form. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from joch_core.errors import Attempt
from joch_core.messages.parts import Json, Message, Native, Part, ToolCall, visible_text

Finish = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "pause", "other"]
OutputMode = Literal["json_schema", "json", "tool"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may call.

    `kind` is `function` (with a JSON Schema in `parameters`), `custom` (free text in, no schema) or `server` (the provider
    runs it; `name` is its raw type and `options` its other fields). `mcp` says that the tool comes from an MCP server.
    """

    name: str
    description: str = ""
    parameters: Json = field(default_factory=dict)
    kind: Literal["function", "custom", "server"] = "function"
    strict: bool | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    mcp: bool = False
    native: Native | None = None

    @classmethod
    def custom(cls, name: str, description: str = "", **options: Any) -> ToolSpec:
        """A free-text tool: its calls have `args == {"input": text}`. `options` are passed on (`format=…`)."""
        return cls(name, description, kind="custom", options=options)

    @classmethod
    def server(cls, type: str, **options: Any) -> ToolSpec:  # noqa: A002  the providers' own word
        """A tool that the provider runs: web search, code execution, computer use, remote MCP."""
        return cls(type, kind="server", options=options)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a model is asked. Every option means the same at every provider; None means: the provider's default.

    `tool_choice` is `auto`, `none`, `required` or a tool's name. `extra` holds fields per provider or per wire format,
    passed on as they are. `native` keeps the unknown top-level fields of a body that `read_request` has read.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    output_schema: Json | None = None
    output_mode: OutputMode | None = None
    output_name: str | None = None
    output_strict: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    reasoning: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Json] = field(default_factory=dict)
    native: Native | None = None

    @property
    def output_tool(self) -> ToolSpec:
        """The tool that stands for the structured answer under `output_mode="tool"`: calling it is answering."""
        return ToolSpec(
            self.output_name or "final_answer", "Give the final answer.", self.output_schema or {"type": "object"}
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one exchange; what the provider did not report is None.

    `input_tokens` includes cache reads, cache writes and tool-use prompt tokens; `output_tokens` includes reasoning.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        def total(one: int | None, two: int | None) -> int | None:
            return two if one is None else one if two is None else one + two

        return Usage(*(total(getattr(self, name), getattr(other, name)) for name in self.__slots__))


@dataclass(slots=True)
class Delta:
    """One step of a stream. A tool call is handed over only when it is complete.

    `restart` (opt-in) says that everything handed over so far is void and another backend begins anew. `backend` is who
    said it; a wire does not know, the road of the call does.
    """

    type: Literal["text", "reasoning", "tool_call", "restart"]
    text: str = ""
    tool_call: ToolCall | None = None
    backend: str = field(default="", compare=False)


@dataclass(slots=True)
class Reply:
    """What a model answered. A wire fills the first block of fields, the road of the call the second one.

    `model` is what the answer reports, else what was asked. A plain stop with client tool calls counts as `tool_calls`.
    `refusal` is the refusing text; `text` is then "". `native` keeps ids and raw vendor fields of the answer.
    """

    message: Message
    finish: Finish
    usage: Usage = Usage()
    model: str = ""
    refusal: str | None = None
    server_tools: tuple[str, ...] = ()
    native: Json = field(default_factory=dict)

    backend: str = ""
    cost_usd: Decimal | None = None
    execution: str | None = None
    switched_from: str | None = None
    output: Any = None
    attempts: tuple[Attempt, ...] = ()
    checkpoint: str | None = None
    losses: tuple[Json, ...] = ()
    raw: Any = None
    switch_reason: str | None = None

    @property
    def parts(self) -> Sequence[Part]:
        """The parts of the answer, in order."""
        return self.message.parts

    @property
    def text(self) -> str:
        """The visible text, parts joined with nothing between."""
        return "" if self.refusal is not None else visible_text(self.message.parts)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that the client must run, in order."""
        return self.message.tool_calls

    @property
    def reasoning(self) -> str:
        """What the model showed of its thinking."""
        return "".join(part.text for part in self.message.parts if part.type == "reasoning")
