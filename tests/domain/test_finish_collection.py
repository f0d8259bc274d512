"""Rule 7: after the end every request has an outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchtrail.domain.errors import NotTerminalError
from batchtrail.domain.outcomes import rest_of
from batchtrail.domain.status import Outcome
from batchtrail.domain.values import OutcomeCounts, Totals

if TYPE_CHECKING:
    from tests.domain.conftest import Stages


@pytest.mark.parametrize(
    ("stage", "outcome"),
    [
        ("ended", Outcome.MISSING),
        ("expired", Outcome.EXPIRED),
        ("canceled", Outcome.CANCELED),
        ("failed", Outcome.FAILED),
    ],
)
def test_rest_gets_the_outcome_of_the_end(given: Stages, stage: str, outcome: Outcome) -> None:
    """What neither file mentions follows the batch; what a line said stays."""
    story = given.at(stage).apply("a", "nobody")
    story.facts()
    totals = Totals(OutcomeCounts(succeeded=1).plus(outcome, 2), skipped_lines=1, unpriced=1)
    error = rest_of(story.batch.status)[1]
    assert story.collect().facts() == [
        (
            "ResultsCollected",
            {
                "rest": 2,
                "rest_outcome": outcome,
                "rest_error": error,
                "totals": totals,
                "miscounted": None,
            },
        )
    ]
    assert (story.batch.totals, story.batch.rest_error) == (totals, error)
    assert story.batch.results_collected


@pytest.mark.parametrize(
    ("stage", "outcomes"),
    [
        ("refused", OutcomeCounts(failed=3)),
        ("withdrawn", OutcomeCounts(canceled=3)),
        ("ended", OutcomeCounts(missing=3)),
    ],
)
def test_batch_without_rows(given: Stages, stage: str, outcomes: OutcomeCounts) -> None:
    """A batch that never ran settles every request too."""
    assert given.at(stage).collect().batch.totals == Totals(outcomes)


def test_nothing_is_left_over(given: Stages) -> None:
    """When the lines settled every request, the rest is none."""
    story = given.at("ended").apply("a", "b", "c").collect()
    name, facts = story.facts()[-1]
    assert (name, facts["rest"]) == ("ResultsCollected", 0)
    assert story.batch.totals.outcomes == OutcomeCounts(succeeded=3)


def test_empty_draft_settles_nothing(given: Stages) -> None:
    """A draft that was canceled before its first request has no outcomes."""
    story = given.at("drafted").cancel().collect()
    assert story.batch.totals.outcomes.settled == 0


def test_repeat_is_nothing(given: Stages) -> None:
    """Two workers may finish the same collection."""
    assert given.at("collected").collect().facts() == []


@pytest.mark.parametrize(
    "stage", ["drafted", "filled", "started", "creating", "submitted", "in_progress", "canceling"]
)
def test_collection_waits_for_the_end(given: Stages, stage: str) -> None:
    """Nothing is missing while the batch still runs."""
    story = given.at(stage)
    with pytest.raises(NotTerminalError):
        story.collect()
    assert story.facts() == []
