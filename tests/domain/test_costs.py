"""Costs are exact, whatever the numbers and whatever decimal context the caller has."""

from decimal import Context, Decimal, localcontext
from fractions import Fraction

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from batchtrail.domain.costs import ModelPrice, Rates, Tier, cost_of, total_of, usd_text
from batchtrail.domain.counters import Tally
from batchtrail.domain.status import Outcome
from batchtrail.domain.values import OutcomeCounts, TokenUsage, Totals

D = Decimal
SOL = Rates(input=D("1"), cached=D("0.1"), cache_write=D("1.25"), output=D("5"))
SOL_LONG = Rates(input=D("2"), cached=D("0.2"), cache_write=D("2.5"), output=D("7.5"))
PRICE = ModelPrice(SOL, (Tier(272_000, SOL_LONG),))

tokens = st.integers(0, (1 << 53) - 1)
usages = st.builds(TokenUsage, tokens, tokens, tokens, tokens, tokens)
rates = st.decimals(0, 1_000_000, places=12)


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (TokenUsage(), "0"),
        (TokenUsage(input=1_000_000 // 4), "0.25"),
        (TokenUsage(input=1_000, cached=400), "0.00064"),  # 600 at 1, 400 at 0.1
        (TokenUsage(input=1_000, cache_write=400), "0.0011"),  # 600 at 1, 400 at 1.25
        (TokenUsage(input=1_000, cached=300, cache_write=200), "0.00078"),
        (TokenUsage(input=10, output=20, reasoning=15), "0.00011"),  # reasoning is in output
        (TokenUsage(input=272_000), "0.272"),
        (TokenUsage(input=272_001), "0.544002"),  # every token at the long rate
        (TokenUsage(input=300_000, cached=100_000, output=1_000), "0.4275"),
        (TokenUsage(input=10, cached=25), "0.0000025"),  # more cached than there was
    ],
)
def test_cost_of_one_request(usage: TokenUsage, cost: str) -> None:
    """Each kind of token at its own rate; the tier by the request's own input."""
    assert cost_of(usage, PRICE) == D(cost)


def test_the_highest_tier_that_applies_counts() -> None:
    """Tiers rise; the one below is passed over."""
    double, triple = (Rates(D(n), D(n), D(n), D(n)) for n in (2, 3))
    price = ModelPrice(SOL, (Tier(10, double), Tier(20, triple)))
    found = [price.rates_of(tokens).input for tokens in (10, 11, 20, 21)]
    assert found == [1, 2, 2, 3]


@pytest.mark.parametrize("priced", [None, 0, 1, 2, 3])
def test_free_is_what_costs_nothing_at_all(priced: int | None) -> None:
    """Embeddings have no output that costs: one rate is enough, in whichever tier it stands."""
    nothing, some = Rates(D(0), D(0), D(0), D(0)), Rates(*(D(n == priced) for n in range(4)))
    assert some.is_free is (priced is None)
    assert ModelPrice(some, (Tier(10, nothing),)).is_free is (priced is None)
    assert ModelPrice(nothing, (Tier(10, nothing), Tier(20, some))).is_free is (priced is None)


@given(usages, rates, rates, rates, rates)
def test_nothing_is_rounded(
    usage: TokenUsage, given: Decimal, cached: Decimal, written: Decimal, made: Decimal
) -> None:
    """The cost is the rational number that the rates make, even in a coarse context."""
    with localcontext(Context(prec=3)):
        cost = cost_of(usage, ModelPrice(Rates(given, cached, written, made)))
    plain = max(0, usage.input - usage.cached - usage.cache_write)
    exact = (
        plain * Fraction(given)
        + usage.cached * Fraction(cached)
        + usage.cache_write * Fraction(written)
        + usage.output * Fraction(made)
    )
    assert Fraction(cost) == exact / 1_000_000


@given(st.lists(st.decimals(0, 10**30, places=18), max_size=30))
def test_sums_are_exact_in_any_order(costs: list[Decimal]) -> None:
    """The tally and the sum agree to the last digit, and are written alike."""
    tally = Tally()
    with localcontext(Context(prec=3)):
        for cost in costs:
            tally.count(Outcome.SUCCEEDED, None, cost=cost)
        assert str(total_of(reversed(costs))) == str(tally.priced_cost)
    assert Fraction(tally.priced_cost) == sum(map(Fraction, costs))


def test_unknown_is_not_nothing() -> None:
    """One request without a price makes the whole unknown; what failed unused does not."""
    tally = Tally()
    tally.count(Outcome.FAILED, None)
    assert tally.totals().cost == 0
    tally.count(Outcome.SUCCEEDED, TokenUsage(input=1), cost=D("0.5"))
    assert tally.totals().cost == D("0.5")
    tally.count(Outcome.FAILED, TokenUsage(input=1))
    tally.count(Outcome.SUCCEEDED, None)
    totals = tally.totals()
    assert (totals.cost, totals.priced_cost, totals.unpriced) == (None, D("0.5"), 2)
    assert Totals().cost == 0


def test_what_missing_requests_cost_is_unknown() -> None:
    """They may be paid; those that surely did not run cost nothing."""
    totals = Totals(OutcomeCounts(succeeded=1, expired=1, canceled=1), priced_cost=D("0.5"))
    assert totals.cost == D("0.5")
    totals = evolve(totals, outcomes=OutcomeCounts(succeeded=1, missing=1))
    assert (totals.cost, totals.priced_cost, totals.unpriced) == (None, D("0.5"), 0)


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        ("0E-9", "0"),
        ("0.0028615000", "0.0028615"),
        ("1E+3", "1000"),
        ("100", "100"),
        ("1E-9", "0.000000001"),
    ],
)
def test_costs_as_text(cost: str, text: str) -> None:
    """To the last digit, and no exponent."""
    assert usd_text(D(cost)) == text
