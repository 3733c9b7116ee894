"""What a backend can do, what a request demands, and the gaps between. Pure; quirks are data here, never `if vendor ==`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from joch_core.messages import Json

Capability = Literal[
    "text", "vision", "audio", "files", "toolCalling", "parallelToolCalls", "structuredOutput", "jsonSchema", "streaming",
    "reasoning", "computerUse", "webSearch", "codeExecution", "mcp", "promptCaching", "embeddings", "forcedToolChoice",
]  # fmt: skip
CAPABILITIES: tuple[Capability, ...] = get_args(Capability)

Api = Literal["openai-chat", "openai-responses", "anthropic-messages", "gemini-generate"]
APIS: tuple[Api, ...] = get_args(Api)

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Gap:
    """One line of a compatibility check: what holds (`ok`), changes (`warn`) or is lost (`fail`) on a target.

    `code` is a stable identifier (`text`, `tools`, `tools.mcp`, `context.window`, `schema.strict`, `schema.keyword`,
    `image.transformed`, `image.dropped`, `file.transformed`, `file.dropped`, `audio.dropped`, `reasoning.dropped`,
    `tool.removed`, `tool.renamed`, `schema.renamed`, `server_tool.flattened`, `parameter.dropped`, `cache.cold`, `history.summarised`,
    `outcome.unknown`, …); `text` is one sentence for a person.
    """

    level: Level
    code: str
    text: str

    def as_json(self) -> Json:
        """As in `capabilityDeltas` of a `ProviderSwitched` event."""
        return {"level": self.level, "code": self.code, "text": self.text}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The habits of one API or compatible server, as data. The defaults are what the newest OpenAI and Anthropic accept.

    Source of each rule: the hazard table that the projection tests walk through, row by row.
    """

    #: Roles must alternate user/assistant, system only first (older chat templates).
    alternating_roles: bool = False
    #: A user message may follow a tool message directly.
    user_after_tool: bool = True
    #: The last message may be the assistant's (prefill). Newest Claude models refuse it.
    assistant_last: bool = False
    #: Pictures or files may stand inside a tool result.
    images_in_tool_results: bool = True
    files_in_tool_results: bool = True
    #: A picture or file may be given as a URL that the provider fetches.
    image_urls: bool = True
    file_urls: bool = True
    #: Content may be a list of parts (else: one string).
    content_parts: bool = True
    #: Which request knobs the model accepts; others are dropped and named.
    parameters: frozenset[str] = frozenset({"temperature", "top_p", "stop", "seed", "max_tokens", "parallel_tool_calls"})
    #: temperature and top_p may be given together.
    temperature_and_top_p: bool = True
    #: The name of the output limit in openai-chat bodies.
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"
    #: Lowest output limit the API takes (Responses: 16).
    min_output_tokens: int = 1
    #: Output limit that is sent where the API requires one and the caller gave none; None: nothing is sent.
    default_max_tokens: int | None = None
    #: `tool_choice` may force a tool.
    forced_tool_choice: bool = True
    #: Free-text custom tools exist.
    custom_tools: bool = False
    #: Server tools of this wire exist at this server.
    server_tools: bool = True
    #: Server tools may stand beside functions; a structured answer may be asked for beside functions.
    server_tools_with_functions: bool = True
    schema_with_tools: bool = True
    #: JSON Schema may be given in full (else a reduced form, see `projection`).
    full_json_schema: bool = True
    #: Reasoning of the same backend goes back as `reasoning_content` (DeepSeek's rule), or not at all.
    reasoning_content: bool = False
    #: The model reasons unless `thinking` is `disabled`, and refuses calls of tools whose reasoning does not come back.
    thinking_switch: bool = False
    #: Reasoning levels the model takes; empty: no such knob.
    reasoning_levels: tuple[str, ...] = ()
    #: Reasoning is a budget of tokens, not a level (Claude before 4.6, Gemini before 3).
    reasoning_budget: bool = False
    #: Gemini 3: function calls in the history need a thought signature.
    thought_signatures: bool = False
    #: The server may end a complete answer without a finish reason (some Ollama versions).
    finish_reason_optional: bool = False
    #: `stream_options.include_usage` is understood.
    stream_usage: bool = True
    #: More than one system message, and system messages in the middle, are accepted.
    system_anywhere: bool = True
    #: Longest tool name.
    tool_name_chars: int = 64
    #: Longest name of a property in a tool's schema, which is then of letters, digits and `_.-`; None: any name is taken.
    property_name_chars: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One backend as the projection and the wires see it: where it is, what it can do, how it wants to be spoken to.

    `backend` is the candidate's name in a route (`openai:gpt-5-thinking`), `model` the provider's own id. `origin` names
    who issues opaque tokens: provider, endpoint and model. Windows are tokens; `input_window` is what the model accepts
    as input, `max_output` what it can give; None: not known.
    """

    backend: str
    provider: str
    api: Api
    model: str
    origin: str
    capabilities: frozenset[Capability] = frozenset()
    input_window: int | None = None
    max_output: int | None = None
    regions: tuple[str, ...] = ()
    dialect: Dialect = field(default_factory=Dialect)

    def can(self, capability: Capability) -> bool:
        """Does this backend have the capability?"""
        return capability in self.capabilities
