"""Model: one backend that a route may choose, and how the rest of Joch sees it (`Target`). No requests, no keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from joch_core.capabilities import CAPABILITIES, Api, Capability, Dialect, Target
from joch_core.messages import Json, Usage
from joch_core.resources import backends, dialects
from joch_core.resources.base import Flag, Positive, Ref, Resource, Seconds, Spec, fault, nearest
from joch_core.resources.pricing import Pricing, free


class Endpoint(Spec):
    """Where a model is served."""

    type: Literal["hosted", "local"] | None = None
    """`local` runs on your own machines and costs nothing unless `pricing` says so."""
    api: Api | None = None
    """Which format is spoken; left out: by provider and model."""
    base_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """As the provider's own SDK writes it: OpenAI and compatible servers with `/v1`, Anthropic and Google without."""
    base_url_secret_ref: Ref | None = None
    """A Secret that holds the base URL."""
    region: str | None = Field(default=None, min_length=1)
    """The cloud region; it also says in which area requests are handled."""
    options: Mapping[str, str | int | bool] = Field(default_factory=dict)
    """Further settings of the provider's client, passed on as they are."""


class Auth(Spec):
    """Which key is used."""

    secret_ref: Ref
    """The Secret that names the key's variable."""


class Capabilities(Spec):
    """What the model can do; what is left out is taken from the built-in catalog, else it counts as absent."""

    text: Flag | None = None
    vision: Flag | None = None
    audio: Flag | None = None
    files: Flag | None = None
    tool_calling: Flag | None = None
    parallel_tool_calls: Flag | None = None
    structured_output: Flag | None = None
    json_schema: Literal["strict"] | Flag | None = None
    streaming: Flag | None = None
    reasoning: Flag | None = None
    computer_use: Flag | None = None
    web_search: Flag | None = None
    code_execution: Flag | None = None
    mcp: Flag | None = None
    prompt_caching: Flag | None = None
    embeddings: Flag | None = None
    forced_tool_choice: Flag | None = None


class Limits(Spec):
    """Ceilings that the provider enforces; a request above one is a gap, never a truncation."""

    context_window_tokens: Positive | None = None
    """Prompt and answer together."""
    max_input_tokens: Positive | None = None
    """Prompt alone; left out: the context window less the longest answer."""
    max_output_tokens: Positive | None = None
    """The longest answer."""
    requests_per_minute: Positive | None = None
    """Of the account."""
    tokens_per_minute: Positive | None = None
    """Of the account."""


class DefaultParameters(Spec):
    """Request options that hold where the caller says nothing."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: Positive | None = None
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    reasoning: str | None = None
    parallel_tool_calls: Flag | None = None
    extra: Json = Field(default_factory=dict)
    """Fields of the provider's own body, passed on as they are."""


class Routing(Spec):
    """What routes may ask about."""

    priority: int = 0
    """Higher is preferred where a route leaves the choice open."""
    regions: tuple[str, ...] = ()
    """Areas in which requests are handled: `eu`, `us`, `on-prem`, or a cloud's region."""


class Timeouts(Spec):
    """Seconds; what is left out has a default."""

    connect_seconds: Seconds | None = None
    """To open the connection (5)."""
    first_content_seconds: Seconds | None = None
    """To the first content of an answer (60; 120 where the model thinks; 300 for an answer that is not streamed)."""
    between_chunks_seconds: Seconds | None = None
    """Between two pieces of a stream (60)."""
    attempt_seconds: Seconds | None = None
    """For one request as a whole (600)."""
    total_seconds: Seconds | None = None
    """For a call with all its attempts (900)."""


class Health(Spec):
    """When a backend counts as down."""

    open_after_failures: Positive | None = None
    """So many failures in a row open the circuit (3)."""
    open_seconds: Seconds | None = None
    """So long nothing is sent to it, then one probe (15; twice as long after each probe that fails, up to 300)."""


class ModelSpec(Spec):
    """What a model is."""

    provider: str
    """Who serves it: openai, azure-openai, anthropic, bedrock, vertex, google, ollama, vllm, llama-cpp, openai-compatible."""
    model: str = Field(min_length=1)
    """The provider's own id."""
    endpoint: Endpoint = Field(default_factory=Endpoint)
    """Where it is served."""
    auth: Auth | None = None
    """Which key is used; left out: the provider's own variable."""
    capabilities: Capabilities = Field(default_factory=Capabilities)
    """What it can do."""
    limits: Limits = Field(default_factory=Limits)
    """How much it takes."""
    pricing: Pricing = Field(default_factory=Pricing)
    """What it costs."""
    default_parameters: DefaultParameters = Field(default_factory=DefaultParameters)
    """Request options that hold where the caller says nothing."""
    routing: Routing = Field(default_factory=Routing)
    """What routes may ask about."""
    dialect: Json = Field(default_factory=dict)
    """The habits of the server: a name (`mistral`, `alternating`, …), or a mapping of habits with an optional `name`."""
    timeouts: Timeouts = Field(default_factory=Timeouts)
    """Seconds; they win over a route's."""
    health: Health = Field(default_factory=Health)
    """When it counts as down; wins over a route's."""

    @model_validator(mode="before")
    @classmethod
    def _dialect_by_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("dialect"), str):
            return {**value, "dialect": {"name": value["dialect"]}}
        return value

    @field_validator("provider")
    @classmethod
    def _known_provider(cls, value: str) -> str:
        if backends.provider(value) is None:
            raise fault(backends.unknown_provider(value))
        return value

    @field_validator("dialect")
    @classmethod
    def _known_habits(cls, value: Json) -> Json:
        if (name := value.get("name")) is not None and name not in dialects.DIALECTS:
            raise fault(f"unknown dialect {name!r}{nearest(str(name), dialects.DIALECTS)}")
        _changes(value)
        return value


class Model(Resource[ModelSpec]):
    """One backend that a route may choose."""

    kind: Literal["Model"] = "Model"

    @property
    def backend(self) -> str:
        """How a route names it: `provider:name`."""
        return f"{self.spec.provider}:{self.name}"

    @property
    def api(self) -> Api:
        """The format it is spoken to in."""
        return self.spec.endpoint.api or backends.default_api(self.spec.provider, self.spec.model)

    @property
    def local(self) -> bool:
        """Does it run on the user's own machines?"""
        row = backends.provider(self.spec.provider)
        return (self.spec.endpoint.type or (row.place if row else "hosted")) == "local"

    @property
    def default_base_url(self) -> str | None:
        """Where it is reached if neither the Model nor the environment says otherwise; None: the SDK knows."""
        row = backends.provider(self.spec.provider)
        return row.base_url if row else None

    @cached_property
    def pricing(self) -> Pricing:
        """What it costs. A local model without a price costs nothing."""
        return free() if self.local and not self.spec.pricing.model_fields_set else self.spec.pricing

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""
        given = self.spec.capabilities
        dialect = self.dialect()
        absent = set() if dialect.forced_tool_choice else {"forcedToolChoice"}
        named = dict(zip(Capabilities.model_fields, CAPABILITIES, strict=True))
        found: set[Capability] = {named[field] for field in Capabilities.model_fields if getattr(given, field)}
        if given.text is None:
            found.add("text")
        if given.forced_tool_choice is None and "toolCalling" in found:
            found.add("forcedToolChoice")
        return frozenset(found - absent)

    @property
    def input_window(self) -> int | None:
        """Tokens that it accepts as input; None: not known.

        If only the whole window is known, the longest answer is taken off.
        """
        limits = self.spec.limits
        if limits.max_input_tokens is not None:
            return limits.max_input_tokens
        if limits.context_window_tokens is None:
            return None
        reserved = limits.max_output_tokens or 0
        # Where the answer may fill the whole window the two share it, and half is a promise that holds.
        return limits.context_window_tokens - min(reserved, limits.context_window_tokens // 2)

    @property
    def regions(self) -> tuple[str, ...]:
        """Where requests are handled, as the configuration says; nothing is guessed from the model's name."""
        given = self.spec.routing.regions
        if given:
            return tuple(region.lower() for region in given)
        if self.spec.endpoint.region:
            return backends.areas(self.spec.endpoint.region)
        return ("on-prem",) if self.local else ()

    def dialect(self) -> Dialect:
        """How it wants to be spoken to."""
        changes = _changes(self.spec.dialect)
        spoken = dialects.dialect_of(
            self.spec.provider, self.api, self.spec.model, name=self.spec.dialect.get("name"), changes=changes
        )
        ceiling = self.spec.limits.max_output_tokens
        if spoken.default_max_tokens is not None and ceiling is not None and ceiling < spoken.default_max_tokens:
            spoken = dataclasses.replace(spoken, default_max_tokens=ceiling)
        return spoken

    def target(self, backend: str | None = None) -> Target:
        """As projections and wires see it. `backend` is the name that the route used, if it was another one."""
        target = self.own_target
        return target if backend in (None, target.backend) else dataclasses.replace(target, backend=backend)

    @cached_property
    def own_target(self) -> Target:
        """`target()` under the model's own name, put together once: every call asks for it."""
        spec = self.spec
        place = spec.endpoint.base_url or spec.endpoint.region or ""
        return Target(
            backend=self.backend,
            provider=spec.provider,
            api=self.api,
            model=spec.model,
            origin=f"{spec.provider}|{place}|{spec.model}",
            capabilities=self.capabilities,
            input_window=self.input_window,
            max_output=spec.limits.max_output_tokens,
            regions=self.regions,
            dialect=self.dialect(),
        )

    def cost_micro_usd(self, usage: Usage) -> int | None:
        """What a call cost, in whole micro-USD; None if its price or its tokens are not known."""
        return self.pricing.cost_micro_usd(usage)

    def worst_case_micro_usd(self, input_tokens: int, output_tokens: int) -> int | None:
        """The most that a call of this size can cost, in whole micro-USD; None if the price is not known."""
        return self.pricing.worst_case_micro_usd(input_tokens, output_tokens)


#: camelCase habit -> (field of `Dialect`, the type of its default).
_HABITS = {
    "".join(part.title() if index else part for index, part in enumerate(field.name.split("_"))): field.name
    for field in dataclasses.fields(Dialect)
}
_STANDARD = Dialect()


def _changes(habits: Mapping[str, Any]) -> dict[str, Any]:
    """The habits of a `spec.dialect` as fields of `Dialect`, checked."""
    changes: dict[str, Any] = {}
    for habit, value in habits.items():
        if habit == "name":
            continue
        field = _HABITS.get(habit)
        if field is None:
            raise fault(f"unknown habit {habit!r}{nearest(habit, _HABITS)}")
        default = getattr(_STANDARD, field)
        if isinstance(default, frozenset | tuple):
            if not isinstance(value, list | tuple):
                raise fault(f"{habit!r} must be a list of words")
            changes[field] = type(default)(map(str, value))
        elif isinstance(default, bool) is isinstance(value, bool) and isinstance(
            value, type(default) if default is not None else int
        ):
            changes[field] = value
        else:
            wanted = (
                "true or false" if isinstance(default, bool) else "text" if isinstance(default, str) else "a whole number"
            )
            raise fault(f"{habit!r} must be {wanted}, not {value!r}")
    return changes
