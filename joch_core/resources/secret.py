"""Secret: where a value is found. The value itself is never read here, stored or shown."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from joch_core.resources.base import Resource, Spec


class Source(Spec):
    """Where the value is."""

    type: Literal["env"] = "env"
    """An environment variable."""
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The variable's name."""


class SecretSpec(Spec):
    """A reference; a value is never stored."""

    source: Source
    """Where the value is."""


class Secret(Resource[SecretSpec]):
    """The name of a value that only the process may read."""

    kind: Literal["Secret"] = "Secret"
