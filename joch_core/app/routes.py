"""Which route a caller means: a name, a file, a `ModelRoute`, one backend, or a list of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from joch_core.app.loading import read_texts
from joch_core.errors import InvalidArgument
from joch_core.resources.backends import provider
from joch_core.resources.catalog import Catalog
from joch_core.resources.documents import load
from joch_core.resources.route import ModelRoute, route_of

RouteLike = str | ModelRoute | Sequence[str]


def find_route(route: RouteLike, catalog: Catalog) -> ModelRoute:
    """The route that is meant. A name wins over a backend, a backend over a file.

    Raises:
        InvalidArgument: it is nothing of the kind.
        NotFound: no route is called so.
    """
    if isinstance(route, ModelRoute):
        return route
    if isinstance(route, list | tuple) and all(isinstance(backend, str) for backend in route):
        return _inline_route(tuple(route))
    if not isinstance(route, str):
        raise InvalidArgument(f"the route is {route!r}; pass a name, a file, a ModelRoute, a backend or a list of them")
    found = catalog.find(ModelRoute, route)
    if found is not None:
        return found
    if provider(route.partition(":")[0]) is not None:
        return _inline_route((route,))
    if route.endswith((".yaml", ".yml")) or ("/" in route and ":" not in route):
        return _route_in_file(route, catalog.namespace)
    return _inline_route((route,)) if ":" in route else catalog.get(ModelRoute, route)


@lru_cache(maxsize=256)
def _inline_route(backends: tuple[str, ...]) -> ModelRoute:
    """A route that nobody wrote down. Routes are frozen: the same backends are the same route."""
    return route_of(backends)


def _route_in_file(path: str, namespace: str) -> ModelRoute:
    found = load(read_texts([Path(path)]), namespace=namespace)
    routes = [resource for resource in found if isinstance(resource, ModelRoute)]
    if len(routes) != 1:
        raise InvalidArgument(f"{path} holds {len(routes)} routes; name a file with exactly one ModelRoute")
    return routes[0]
