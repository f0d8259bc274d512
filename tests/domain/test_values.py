"""Sums and counts of the values that events carry."""

import attrs
import pytest

from batchtrail.domain.counters import Tally
from batchtrail.domain.status import Outcome
from batchtrail.domain.values import OutcomeCounts, TokenUsage, Totals

USAGE = TokenUsage(input=1, cached=2, output=4, reasoning=8)
SETTLED = [outcome for outcome in Outcome if outcome is not Outcome.PENDING]


def test_usages_add_up() -> None:
    """Each kind of token by itself; cached and reasoning tokens are parts, not additions."""
    assert USAGE + TokenUsage(10, 20, 40, 80) == TokenUsage(11, 22, 44, 88)
    assert USAGE.total == 5


def test_settled_counts_every_outcome() -> None:
    """Succeeded or not, the request has its outcome."""
    assert OutcomeCounts(1, 2, 4, 8, 16).settled == 31


@pytest.mark.parametrize("outcome", SETTLED)
def test_outcomes_are_counted_apart(outcome: Outcome) -> None:
    """One more of one outcome is one more of no other."""
    before = OutcomeCounts(1, 2, 4, 8, 16)
    changed = attrs.asdict(before.plus(outcome, 32))
    assert changed == {**attrs.asdict(before), outcome.value: changed[outcome.value]}
    assert changed[outcome.value] == getattr(before, outcome.value) + 32


@pytest.mark.parametrize("outcome", SETTLED)
def test_tally_agrees_with_the_values(outcome: Outcome) -> None:
    """The running counters and the frozen totals count alike."""
    tally = Tally()
    tally.count(outcome, USAGE)
    tally.count(outcome, USAGE)
    tally.count(outcome, None, 3)
    unpriced = 5 if outcome is Outcome.SUCCEEDED else 2
    totals = Totals(OutcomeCounts().plus(outcome, 5), USAGE + USAGE, unpriced=unpriced)
    assert tally.totals() == totals
