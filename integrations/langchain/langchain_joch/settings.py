"""Where a model's calls go: a route by name, by file, as an object, or as a list of backends. And whose options are meant.

Nothing here calls a provider; a file is read once, when the model is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from joch_core import InvalidArgument, Joch


@dataclass(frozen=True, slots=True)
class Destination:
    """What `Joch.call` gets as its route, the name that it goes by, and its backends where they are written out."""

    route: Any
    name: str
    backends: tuple[str, ...] = ()

    @property
    def provider(self) -> str | None:
        """The provider that is named first; None for a route by name."""
        return self.backends[0].partition(":")[0] if self.backends else None


def is_file(route: Any) -> bool:
    """Is this a route's file rather than its name?"""
    return isinstance(route, Path) or (isinstance(route, str) and route.endswith((".yaml", ".yml")))


def _documents(file: Path) -> list[dict[str, Any]]:
    try:
        documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except OSError:
        raise InvalidArgument(f"route file {file} cannot be read: check the path") from None
    except yaml.YAMLError as error:
        raise InvalidArgument(f"route file {file} is no YAML: {error}") from None
    return [document for document in documents if isinstance(document, dict)]


def route_of(file: Path) -> str:
    """The name of the one route in a file.

    Raises:
        InvalidArgument: the file cannot be read, or holds no route or several.
    """
    routes = [document for document in _documents(file) if document.get("kind") == "ModelRoute"]
    names = [str((route.get("metadata") or {}).get("name")) for route in routes]
    if len(names) != 1:
        found = f"{len(names)} routes ({', '.join(names)})" if names else "no ModelRoute"
        raise InvalidArgument(f"route file {file} holds {found}: give the route's name, and the file as resources=")
    return names[0]


def _holds_more(file: Path) -> bool:
    """Does a route's file hold models or policies too, which then are resources?"""
    return any(document.get("kind") != "ModelRoute" for document in _documents(file))


def destination(route: Any, model: str | None, fallbacks: list[str]) -> Destination:
    """Where a model goes that was made with these arguments.

    Raises:
        InvalidArgument: nothing is named, or two things are.
    """
    if route is not None and model is not None:
        raise InvalidArgument("route= and model= both name where calls go: give one of them")
    if route is not None and fallbacks:
        raise InvalidArgument("fallbacks= goes with model=; a route names its own fallbacks")
    if route is None:
        if not model:
            raise InvalidArgument("nothing to call: give route='NAME' or model='PROVIDER:MODEL'")
        if not fallbacks and ":" not in model:
            return Destination(model, model)
        backends = (model, *fallbacks)
        return Destination(list(backends) if fallbacks else model, ", ".join(backends), backends)
    if is_file(route):
        file = Path(route).expanduser()
        name = route_of(file)
        return Destination(name if _holds_more(file) else str(file), name)
    if isinstance(route, str):
        return Destination(route, route, (route,) if ":" in route else ())
    if isinstance(route, list | tuple):
        backends = tuple(map(str, route))
        return Destination(list(backends), ", ".join(backends), backends)
    return Destination(route, str(route.metadata.name))


def open_joch(route: Any, *, store: str | None, resources: Any, namespace: str | None) -> Joch:
    """A `Joch` with these settings; a route's file that holds more than the route is read as resources.

    Raises:
        InvalidArgument: a route's file and other resources are given.
    """
    if is_file(route) and _holds_more(Path(route).expanduser()):
        if resources is not None:
            raise InvalidArgument(
                "route= is a file with more than a route, and resources= is given too: put the file there and give the route's name"
            )
        resources = Path(route).expanduser()
    return Joch(store=store, resources=resources, namespace=namespace)
