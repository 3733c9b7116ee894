"""Where things are kept, from the environment: JOCH_HOME, JOCH_STORE, JOCH_RESOURCES, JOCH_NAMESPACE."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What one `Joch` works on. `store` is a URL; `resources` are files or folders read beside what was applied."""

    store: str
    namespace: str = "default"
    resources: tuple[Path, ...] = ()

    @classmethod
    def read(
        cls,
        *,
        store: str | None = None,
        resources: str | Path | None = None,
        namespace: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        """Arguments win over the environment, the environment over the defaults."""
        env = os.environ if environ is None else environ
        place = resources if resources is not None else env.get("JOCH_RESOURCES") or None
        return cls(
            store=store or env.get("JOCH_STORE") or default_store_url(env),
            namespace=namespace or env.get("JOCH_NAMESPACE") or "default",
            resources=() if place is None else (Path(place).expanduser(),),
        )


def default_store_url(environ: Mapping[str, str] | None = None) -> str:
    """`sqlite:///$JOCH_HOME/joch.db`, with `~/.joch` as the home."""
    env = os.environ if environ is None else environ
    home = Path(env.get("JOCH_HOME") or "~/.joch").expanduser().absolute()
    return f"sqlite:///{home / 'joch.db'}"
