"""Where a provider is reached, with which key and in which time. The key is resolved when a request is sent, never kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joch_core.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.

    `first_content_s` runs from the sending on; headers and pings are no content. `between_chunks_s` counts after the first
    content. `attempt_s` bounds one request as a whole, so that a slow drip ends, too.
    """

    connect_s: float = 5.0
    first_content_s: float = 60.0
    between_chunks_s: float = 60.0
    attempt_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to send to. The key is left out of every printed form."""

    provider: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    region: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def identity(self) -> tuple[object, ...]:
        """What tells two clients apart."""
        return (self.provider, self.base_url, self.api_key, self.region, tuple(sorted(self.options.items())))


def environment_base_url(provider: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """`JOCH_PROVIDER_<PROVIDER>_BASE_URL`, if it is set."""
    name = f"JOCH_PROVIDER_{provider.upper().replace('-', '_')}_BASE_URL"
    value = environ.get(name, "").strip()
    if value and not value.startswith(("http://", "https://")):
        raise InvalidArgument(f"{name} is {value!r}; it must begin with http:// or https://")
    return value or None
