"""What tokens cost: US dollars per million, and the arithmetic in whole micro-USD. A price that is not known is None, never 0.

Micro-USD are convenient: a price per million tokens in dollars is a price per token in micro-dollars.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from functools import cache, cached_property
from typing import Literal

from joch_core.messages import Usage
from joch_core.resources.base import Positive, Spec, Usd


class Rates(Spec):
    """Dollars per million tokens."""

    input_per_million_tokens: Usd | None = None
    """Prompt tokens that are neither read from nor written to a cache."""
    output_per_million_tokens: Usd | None = None
    """Completion tokens, reasoning included."""
    cache_read_per_million_tokens: Usd | None = None
    """Prompt tokens read from a cache; left out: as input."""
    cache_write_per_million_tokens: Usd | None = None
    """Prompt tokens written to a cache; left out: as input."""


class Tier(Rates):
    """Rates of a long prompt: they hold for every token of a request whose prompt is longer than the bound."""

    above_input_tokens: Positive
    """The bound, in prompt tokens."""


class Pricing(Rates):
    """What a model costs."""

    currency: Literal["USD"] = "USD"
    """US dollars."""
    tiers: tuple[Tier, ...] = ()
    """Dearer rates of long prompts."""

    @property
    def known(self) -> bool:
        """Can a call be priced at all?"""
        return self.input_per_million_tokens is not None and self.output_per_million_tokens is not None

    def cost_micro_usd(self, usage: Usage) -> int | None:
        """What a call cost, rounded up to a whole micro-USD; None if the price or the tokens are not known."""
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        rates = self._rates(usage.input_tokens)
        if rates is None:
            return None
        fresh, read, written, output = rates
        cache_read, cache_write = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
        plain = max(0, usage.input_tokens - cache_read - cache_write)
        return _whole(plain * fresh + cache_read * read + cache_write * written + usage.output_tokens * output)

    def worst_case_micro_usd(self, input_tokens: int, output_tokens: int) -> int | None:
        """The most that a call of this size can cost: nothing is read from a cache, everything may be written to one."""
        rates = self._rates(input_tokens)
        if rates is None:
            return None
        fresh, _, written, output = rates
        return _whole(input_tokens * max(fresh, written) + output_tokens * output)

    def _rates(self, input_tokens: int) -> tuple[Decimal, Decimal, Decimal, Decimal] | None:
        """Fresh input, cache read, cache write, output for a prompt of this length."""
        reached = [tier for tier in self.tiers if input_tokens > tier.above_input_tokens]
        return self._of(max(reached, key=lambda tier: tier.above_input_tokens)) if reached else self._own

    @cached_property
    def _own(self) -> tuple[Decimal, Decimal, Decimal, Decimal] | None:
        """The rates of a prompt that reaches no tier, which every choice of a candidate asks for."""
        return self._of(self)

    def _of(self, tier: Rates) -> tuple[Decimal, Decimal, Decimal, Decimal] | None:
        fresh = _first(tier.input_per_million_tokens, self.input_per_million_tokens)
        output = _first(tier.output_per_million_tokens, self.output_per_million_tokens)
        if fresh is None or output is None:
            return None
        read = _first(tier.cache_read_per_million_tokens, self.cache_read_per_million_tokens, fresh)
        written = _first(tier.cache_write_per_million_tokens, self.cache_write_per_million_tokens, fresh)
        return fresh, read or Decimal(0), written or Decimal(0), output


@cache
def free() -> Pricing:
    """What a local model costs."""
    return Pricing(input_per_million_tokens=Decimal(0), output_per_million_tokens=Decimal(0))


def _first(*rates: Decimal | None) -> Decimal | None:
    return next((rate for rate in rates if rate is not None), None)


def _whole(micro_usd: Decimal) -> int:
    return int(micro_usd.to_integral_value(rounding=ROUND_CEILING))
