"""Where an LLM's calls go: a route by name, by file, as an object, or as a list of backends. Nothing here calls a provider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from joch_core import InvalidArgument, Joch, ModelRoute


@dataclass(frozen=True, slots=True)
class Destination:
    """What `Joch.call` gets as its route, the name that it goes by, and its backends where they are written out.

    `file` is the route's own file if that holds more than the route: it is read as resources.
    """

    route: Any
    name: str
    backends: tuple[str, ...] = ()
    file: Path | None = None

    @property
    def provider(self) -> str | None:
        """The provider that is named first; None for a route by name."""
        return self.backends[0].partition(":")[0] if self.backends else None


def destination(route: Any, model: str | None, fallbacks: Sequence[str]) -> Destination:
    """Where the calls go that were described in one of two ways: `route=`, or `model=` with `fallbacks=`.

    Raises:
        InvalidArgument: both, neither, or a file without exactly one route.
    """
    if (route is None) == (model is None):
        raise InvalidArgument("give either route= (a name, a file, a list of backends) or model= (openai:gpt-5-mini)")
    if model is not None:
        if fallbacks and ":" not in model:
            raise InvalidArgument(f"model={model!r} is a route's name and has its own fallbacks: leave fallbacks= out")
        route = [model, *fallbacks] if fallbacks else model
    elif fallbacks:
        raise InvalidArgument("route= has its own fallbacks: leave fallbacks= out, or give model= and fallbacks=")
    match route:
        case ModelRoute():
            return Destination(route, str(route.name))
        case dict():
            made = ModelRoute.model_validate(route)
            return Destination(made, str(made.name))
        case Path() | str() if str(route).endswith((".yaml", ".yml")):
            return _in_file(Path(route).expanduser())
        case str():
            return Destination(route, route, (route,) if ":" in route else ())
        case list() | tuple() if route:
            backends = tuple(map(str, route))
            return Destination(list(backends), ", ".join(backends), backends)
    raise InvalidArgument(f"route={route!r} is none: give a route's name, a YAML file, a ModelRoute or a list of backends")


def _in_file(file: Path) -> Destination:
    try:
        found = [one for one in yaml.safe_load_all(file.read_text(encoding="utf-8")) if isinstance(one, dict)]
    except OSError:
        raise InvalidArgument(f"route file {file} cannot be read: check the path") from None
    except yaml.YAMLError as error:
        raise InvalidArgument(f"route file {file} is no YAML: {error}") from None
    names = [str((one.get("metadata") or {}).get("name")) for one in found if one.get("kind") == "ModelRoute"]
    if len(names) != 1:
        held = f"{len(names)} routes ({', '.join(names)})" if names else "no ModelRoute"
        raise InvalidArgument(f"route file {file} holds {held}: give the route's name, and the file as resources=")
    if len(found) == 1:
        return Destination(str(file), names[0])
    return Destination(names[0], names[0], file=file)


def open_joch(to: Destination, *, store: str | None, resources: Any, namespace: str | None) -> Joch:
    """A `Joch` with these settings.

    Raises:
        InvalidArgument: other resources are given beside a route's file that is read as resources.
    """
    if to.file is not None and resources is not None:
        raise InvalidArgument(
            "route= is a file with more than a route, and resources= is given too: put the file there and give the route's name"
        )
    return Joch(store=store, resources=to.file or resources, namespace=namespace)


def without_password(url: str | None) -> str | None:
    """A store's URL as it may be written down: None if there is a password in it, so that JOCH_STORE is read instead."""
    if url is None:
        return None
    authority = url.partition("://")[2].partition("/")[0]
    return None if ":" in authority.rpartition("@")[0] or "password=" in url else url
