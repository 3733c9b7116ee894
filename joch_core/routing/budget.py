"""The worst case of one call in integer micro-USD, under the caps of its route. Pure; the store makes the reservation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: An answer shorter than this is no answer of an agent: a cap that does not leave as much denies the call.
_LEAST_USEFUL_OUTPUT = 1_024
_ASSUMED_MAX_OUTPUT = 16_384

#: (input tokens, output tokens) -> micro-USD at the highest rates that can apply; None: price unknown.
Price = Callable[[int, int], int | None]


@dataclass(frozen=True, slots=True)
class Bound:
    """A call that fits: what it can cost at most, and the output limit that makes this true (None: the caller's own)."""

    micro_usd: int | None
    max_tokens: int | None


@dataclass(frozen=True, slots=True)
class TooDear:
    """A call that does not fit. `code` is `budget` or `price.unknown`."""

    code: str
    reason: str


def bound(
    price: Price,
    *,
    input_tokens: int,
    max_tokens: int | None,
    max_output: int | None,
    caps: tuple[tuple[str, int], ...],
) -> Bound | TooDear:
    """The most that a call can cost, if it fits under every cap.

    Without a limit from the caller the output is limited to what the caps can pay, so that the bound holds; never to less
    than a useful answer.

    Args:
        price: The model's price of input and output tokens.
        input_tokens: Upper estimate of what is sent.
        max_tokens: The caller's output limit, if any.
        max_output: What the model can give at most, if known.
        caps: (name, micro-USD that are left) of every cap that holds.
    """
    limit = max_tokens if max_tokens is not None else max_output or _ASSUMED_MAX_OUTPUT
    if max_output is not None:
        limit = min(limit, max_output)
    worst = price(input_tokens, limit)
    if not caps:
        return Bound(worst, None)
    if worst is None:
        return TooDear("price.unknown", "its price is not known, and the route has a cost cap; add pricing to its Model")
    name, left = min(caps, key=lambda cap: cap[1])
    if worst <= left:
        return Bound(worst, limit if max_tokens is None else None)
    if max_tokens is None:
        base = price(input_tokens, 0) or 0
        per_token = (worst - base) / limit if limit else 0
        affordable = int((left - base) / per_token) if per_token and left > base else 0
        while affordable > 0 and (price(input_tokens, affordable) or 0) > left:
            affordable -= max(1, affordable // 100)
        if affordable >= min(_LEAST_USEFUL_OUTPUT, limit):
            return Bound(price(input_tokens, affordable), affordable)
    return TooDear("budget", f"it could cost {dollars(worst)}, and {name} leaves {dollars(max(left, 0))}")


def dollars(micro_usd: int) -> str:
    """Micro-USD for people: `$0.0123`."""
    return f"${micro_usd / 1_000_000:.4f}".rstrip("0").rstrip(".") if micro_usd else "$0"
