"""Would the real API refuse this request? The rules of all formats behind one function. Pure.

`generic-openai` (and `generic-openai-responses`) are servers that only speak OpenAI's format: they take more fields and know
other models, but they have the same idea of a conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from joch_core.errors import InvalidArgument
from joch_core.messages import Json
from joch_core.testing import strict_chat_options, strict_generate, strict_messages_options, strict_responses
from joch_core.testing.behaviour import text_size
from joch_core.testing.errors import Rejection, context_length
from joch_core.testing.generate import normal
from joch_core.testing.models import window as model_window

Rule = Callable[[Json], Rejection | None]

#: The rules of each format. The first looks at the shape that the others rely on.
RULES: dict[str, Sequence[Rule]] = {
    "openai-chat": strict_chat_options.RULES,
    "openai-responses": strict_responses.RULES,
    "anthropic-messages": strict_messages_options.RULES,
    "gemini-generate": strict_generate.RULES,
    "generic-openai": strict_chat_options.COMPATIBLE,
    "generic-openai-responses": strict_responses.COMPATIBLE,
}
#: Rules about signatures and encrypted reasoning: only those of this simulator, for this very model, are good.
TOKENS: dict[str, Sequence[Rule]] = {
    "openai-responses": strict_responses.TOKENS,
    "anthropic-messages": strict_messages_options.TOKENS,
    "gemini-generate": strict_generate.TOKENS,
}


#: What a model reads of a body, in all formats.
_READ = ("messages", "input", "contents", "instructions", "system", "systemInstruction", "tools")


def too_long(api: str, body: Json, window: int | None) -> Rejection | None:
    """Is the input larger than the model's window? A token is estimated as four bytes; inline media count little."""
    count = text_size([body.get(name) for name in _READ]) // 4
    if window is None or count <= window:
        return None
    return context_length("openai-chat" if api == "generic-openai" else api.removeprefix("generic-"), count, window)


def rejections(
    api: str, body: Json, *, tokens: Literal["issued", "any"] = "issued", window: int | None = None
) -> list[Rejection]:
    """Every rule of this format that the body breaks, in the order in which the API would find them.

    A Gemini body is normal (`generate.normal`) and names its model in `model`.
    """
    if api not in RULES:
        raise InvalidArgument(f"no api {api!r}; there are {', '.join(RULES)}")
    first, *others = RULES[api]
    if tokens == "issued":
        others += TOKENS.get(api, ())
    found = first(body)
    if found is not None:
        return [found]
    broken: list[Rejection] = []
    for rule in others:
        try:
            found = rule(body)
        except (KeyError, TypeError, AttributeError, ValueError):  # a shape that an earlier rule may have named already
            return broken or [Rejection("Input does not match the expected shape.")]
        if found is not None:
            broken.append(found)
    long = too_long(api, body, window)
    return broken if long is None else [*broken, long]


def check_request(
    api: str,
    body: Json,
    *,
    model: str | None = None,
    tokens: Literal["issued", "any"] = "issued",
    window: int | None = None,
) -> list[str]:
    """The sentences with which the real API would refuse the body; empty: it would take it.

    `model` is for Gemini, whose bodies do not name it. `tokens="any"` lets foreign signatures and encrypted reasoning pass;
    else only those that the simulator issued for this model are good. `window` is what the model accepts as input, in tokens;
    None: what is known of a model of this name.

    Raises:
        InvalidArgument: there is no such api.
    """
    if api == "gemini-generate":
        body = normal(body) | {"model": model or body.get("model") or ""}
    elif model is not None:
        body = {**body, "model": model}
    accepts = model_window(str(body.get("model"))) if window is None else window
    return [found.message for found in rejections(api, body, tokens=tokens, window=accepts)]
