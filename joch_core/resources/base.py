"""What every resource has: the envelope, frozen camelCase fields, and a few value types. No kinds, no files, no lookups."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from joch_core.messages import Json

API_VERSION = "joch.dev/v1alpha1"

#: The grouped spellings are the same thing.
API_VERSIONS = (API_VERSION, *(f"{group}.{API_VERSION}" for group in ("model", "runtime", "tools", "ops")))

DEFAULT_NAMESPACE = "default"


def nearest(word: str, known: Any, *, count: int = 1) -> str:
    """`; did you mean 'x'?` for the known word that is most like this one, in any case; else the known words themselves."""
    spellings = {str(name).lower(): str(name) for name in known}
    close = get_close_matches(word.lower(), spellings, n=count, cutoff=0.6)
    if close:
        return f"; did you mean {spellings[close[0]]!r}?"
    return f"; known are {', '.join(spellings.values())}" if 0 < len(spellings) <= 40 else ""  # noqa: PLR2004  a readable line


def fault(text: str) -> PydanticCustomError:
    """A fault of a field, in the words that the user will read."""
    return PydanticCustomError("joch", "{text}", {"text": text})


def _not_a_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise fault(f"must be a number, not {str(value).lower()}")
    return value


def _plain_number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


Flag = StrictBool
Count = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[int, Field(strict=True, gt=0)]
Seconds = Annotated[float, BeforeValidator(_not_a_flag), Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(_not_a_flag), Field(gt=0, le=1)]
#: US dollars, exact.
Usd = Annotated[
    Decimal,
    BeforeValidator(_not_a_flag),
    Field(ge=0, allow_inf_nan=False),
    PlainSerializer(_plain_number, return_type=int | float, when_used="json"),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._:/@+-]*[A-Za-z0-9])?$")]


class Spec(BaseModel):
    """A group of fields: frozen, camelCase in YAML and JSON, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        protected_namespaces=(),
        defer_build=True,  # so a default group is made by a factory: an instance in a class body would build at import
        hide_input_in_errors=True,
    )

    def as_json(self) -> Json:
        """What was written, as plain JSON with camelCase names; fields that were left out stay out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class Ref(Spec):
    """The name of another resource. A bare word is short for `{name: word}`."""

    name: Name
    """The name of the resource that is meant."""
    namespace: str | None = None
    """Its namespace; left out: the same one."""
    kind: str | None = None
    """Its kind, where more than one is possible."""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Metadata(Spec):
    """Who a resource is."""

    name: Name
    """Unique among the resources of its kind in its namespace."""
    namespace: str = Field(default=DEFAULT_NAMESPACE, min_length=1)
    """Resources see only those of their own namespace."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Words for selectors."""
    annotations: Mapping[str, str] = Field(default_factory=dict)
    """Notes that Joch keeps and does not read."""


SpecT = TypeVar("SpecT", bound=Spec)


class Resource(Spec, Generic[SpecT]):
    """One YAML document. Operators write `spec`; `status` is accepted and ignored, because only Joch computes it."""

    #: Kinds in whose place a folder of events speaks: applying one of them only declares it.
    plural: ClassVar[str] = ""

    api_version: str = API_VERSION
    """The version of the format."""
    kind: str
    """What the document describes."""
    metadata: Metadata
    """Who it is."""
    spec: SpecT
    """What is wanted."""

    @model_validator(mode="before")
    @classmethod
    def _without_status(cls, value: Any) -> Any:
        return {name: part for name, part in value.items() if name != "status"} if isinstance(value, dict) else value

    @field_validator("api_version")
    @classmethod
    def _known_version(cls, value: str) -> str:
        if value not in API_VERSIONS:
            raise fault(f"must be {API_VERSION!r}, not {value!r}")
        return API_VERSION

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """`metadata.namespace`."""
        return self.metadata.namespace

    @property
    def labels(self) -> Mapping[str, str]:
        """`metadata.labels`."""
        return self.metadata.labels

    def document(self) -> Json:
        """The whole document as it would be written, without `status`."""
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": self.metadata.as_json(),
            "spec": self.spec.as_json(),
        }
