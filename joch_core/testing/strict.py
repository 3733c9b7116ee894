"""Would the real API refuse this request? The rules of all formats behind one function. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from joch_core.errors import InvalidArgument
from joch_core.messages import Json
from joch_core.testing.errors import Rejection

Rule = Callable[[Json], Rejection | None]
RULES: dict[str, Sequence[Rule]] = {
    "openai-chat": (),
    "openai-responses": (),
    "anthropic-messages": (),
    "gemini-generate": (),
}


def rejections(api: str, body: Json) -> list[Rejection]:
    """Every rule of this format that the body breaks, in the order in which the API would find them."""
    if api not in RULES:
        raise InvalidArgument(f"no api {api!r}; there are {', '.join(RULES)}")
    return [found for rule in RULES[api] if (found := rule(body)) is not None]


def check_request(api: str, body: Json) -> list[str]:
    """The sentences with which the real API would refuse the body; empty: it would take it."""
    return [found.message for found in rejections(api, body)]
