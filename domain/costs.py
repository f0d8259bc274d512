"""What tokens cost: exact decimal arithmetic over a model's prices."""

from collections.abc import Iterable
from decimal import Context, Decimal, localcontext
from functools import cached_property

from attrs import frozen

from .alike import Tokens
from .values import TokenUsage

EXACT = Context(prec=100)
"""Wide enough that no sum or product of ours is rounded, whatever context the caller has set."""

FREE = Decimal(0)
_MILLION_DIGITS = 6


@frozen
class Rates:
    """USD for a million tokens of each kind, in a batch."""

    input: Decimal
    cached: Decimal
    cache_write: Decimal
    output: Decimal

    @property
    def is_free(self) -> bool:
        """Whether nothing costs anything."""
        return not (self.input or self.cached or self.cache_write or self.output)

    @cached_property
    def units(self) -> tuple[int, int, int, int, Decimal]:
        """The rates as whole numbers of the same unit, and its power of ten, for one token.

        Whole numbers are as exact as decimals, and price a line in a third of the time; the power
        is what a decimal is scaled by.
        """
        rates = (self.input, self.cached, self.cache_write, self.output)
        exponent = min(int(rate.as_tuple().exponent) for rate in rates)
        given, cached, written, made = (int(rate.scaleb(-exponent, EXACT)) for rate in rates)
        return given, cached, written, made, Decimal(exponent - _MILLION_DIGITS)


@frozen
class Tier:
    """Rates for every token of a request that has more than `above` input tokens."""

    above: int
    rates: Rates


@frozen
class ModelPrice:
    """What a model costs in a batch; of `tiers`, lowest first, the last that applies counts.

    A tier is chosen for each request by its own input, never for the sum of several.
    """

    rates: Rates
    tiers: tuple[Tier, ...] = ()

    @property
    def is_free(self) -> bool:
        """Whether a request costs nothing however long it is."""
        return self.rates.is_free and all(tier.rates.is_free for tier in self.tiers)

    def rates_of(self, input_tokens: int) -> Rates:
        """The rates of one request with so many input tokens."""
        rates = self.rates
        for tier in self.tiers:
            if input_tokens <= tier.above:
                break
            rates = tier.rates
        return rates


def cost_of(usage: TokenUsage, price: ModelPrice) -> Decimal:
    """What one request cost, in USD, exactly.

    Cached and written tokens are part of the input and have rates of their own; reasoning
    tokens are part of the output.
    """
    parts = usage.input, usage.cached, usage.output, usage.reasoning, usage.cache_write
    return costs_of([parts], price)[0]


def costs_of(usages: Iterable[Tokens], price: ModelPrice) -> list[Decimal]:
    """What each request cost, in USD, exactly, by the parts of its usage."""
    costs, scaled, rates_of = list[Decimal](), EXACT.scaleb, price.rates_of
    for given, cached, made, _, written in usages:
        per_given, per_cached, per_written, per_made, exponent = rates_of(given).units
        plain = max(0, given - cached - written)
        units = plain * per_given + cached * per_cached + written * per_written + made * per_made
        costs.append(scaled(units, exponent))
    return costs


def total_of(costs: Iterable[Decimal]) -> Decimal:
    """The sum of costs, without rounding."""
    with localcontext(EXACT):
        return sum(costs, FREE)


def usd_text(cost: Decimal) -> str:
    """A cost to its last digit, without an exponent and without zeros at the end."""
    text = format(cost, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
