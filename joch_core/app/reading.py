"""The way in for histories that are kept elsewhere: a provider's own request body as a `ModelRequest`."""

from __future__ import annotations

from joch_core.capabilities import APIS
from joch_core.errors import InvalidArgument
from joch_core.messages import Json, ModelRequest
from joch_core.resources.catalog import Catalog
from joch_core.wire import wire


def read_request(api: str, body: Json, backend: str | None = None, *, catalog: Catalog | None = None) -> ModelRequest:
    """Read a provider's own request body.

    Args:
        api: `openai-chat` (also `generic-openai`), `openai-responses`, `anthropic-messages` or `gemini-generate`.
        body: The JSON object that was POSTed.
        backend: Who issued the opaque tokens in it (`anthropic:claude-sonnet-5`); without it they go back to nobody.
        catalog: Where `backend` is looked up; without it among the built-in models. A Model of your own, with a `baseUrl` or
            another id, is another issuer: read with `Joch.read_request`, which knows it.

    Returns:
        The messages (system text as a system message), the tools and the call options.

    Raises:
        InvalidArgument: the body is no request of that format; the sentence names the place.
    """
    if api not in (*APIS, "generic-openai"):
        raise InvalidArgument(f"there is no format {api!r}; known are {', '.join((*APIS, 'generic-openai'))}")
    if not isinstance(body, dict):
        raise InvalidArgument(f"the body is a {type(body).__name__}; it must be a JSON object")
    origin = "" if backend is None else (Catalog() if catalog is None else catalog).model(backend).target(backend).origin
    return wire(api).read_request(body, origin)
