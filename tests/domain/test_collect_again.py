"""What had no line is asked for once more, by command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchtrail.domain.errors import NotCollectedError, NothingToCollectError
from batchtrail.domain.status import Outcome, ResultFile, WorkStep
from batchtrail.domain.values import OutcomeCounts, RequestCounts, RequestProblem

if TYPE_CHECKING:
    from tests.domain.conftest import Stages


def test_late_rows_replace_what_the_end_had_settled(given: Stages) -> None:
    """The third request of a collected batch gets its row after all, once."""
    story = given.at("collected")
    assert story.batch.totals.outcomes == OutcomeCounts(succeeded=2, missing=1)
    story.reopen(output_file_id="file-2")
    assert story.news() == ["CollectionReopened"]
    assert story.batch.totals.outcomes == OutcomeCounts(succeeded=2)
    assert (story.batch.results_collected, story.batch.rest_error) == (False, None)
    assert story.batch.next_step is WorkStep.COLLECTION
    story.apply("c", "a").collect()
    assert story.news() == ["ResultApplied", "ResultSkipped", "ResultsCollected"]
    assert story.batch.totals.outcomes == OutcomeCounts(succeeded=3)


def test_when_nothing_came_all_is_as_before(given: Stages) -> None:
    """Asking again in vain changes no outcome."""
    story = given.at("collected")
    before = story.batch.totals
    assert story.reopen(output_file_id="file-out").collect().batch.totals == before


def test_nothing_is_left_to_collect(given: Stages) -> None:
    """Every request has its line."""
    story = given.at("ended").apply("a", "b", "c").collect()
    with pytest.raises(NothingToCollectError, match="every request has its result line"):
        story.reopen()


def test_what_is_shown_after_the_collection_is_nothing(given: Stages) -> None:
    """It needs somebody who asks for more."""
    assert given.at("collected").amend("completed", output_file_id="file-2").news() == []


def test_provider_that_says_something_else(given: Stages) -> None:
    """A batch that is another end now, or vanished into work again, is no source of rows."""
    story = given.at("collected")
    story.facts()
    with pytest.raises(NothingToCollectError, match="is in_progress"):
        story.reopen("in_progress")
    assert story.facts() == []


@pytest.mark.parametrize("stage", ["in_progress", "ended", "given_up"])
def test_not_before_the_first_collection(given: Stages, stage: str) -> None:
    """What is not settled yet needs no second look."""
    with pytest.raises(NotCollectedError):
        given.at(stage).reopen()


def test_a_lost_file_makes_its_requests_missing(given: Stages) -> None:
    """Nobody knows what it held, so not even the end of the batch says what became of them."""
    lost = RequestProblem("result_file_lost", "No such File object: file-out")
    for stage in given.terminal_with_files:
        story = given.at(stage).apply("a").collect(lost=lost)
        assert story.batch.totals.outcomes == OutcomeCounts(succeeded=1, missing=2)
        assert (story.batch.rest_outcome, story.batch.rest_error) == (Outcome.MISSING, lost)


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        (RequestCounts(3, 2, 1), False),
        (RequestCounts(3, 3, 0), True),
        (RequestCounts(3, 2, 0), True),
        (RequestCounts(), False),
    ],
)
def test_wrong_counts_are_told(given: Stages, counts: RequestCounts, *, told: bool) -> None:
    """The lines win, and the log says that the provider counted otherwise."""
    story = given.at("in_progress").poll("completed", request_counts=counts)
    story.apply("a", "b")
    story.apply(story.line("c", file=ResultFile.OUTPUT, status_code=500)).facts()
    ((_, facts),) = story.collect().facts()
    assert facts["miscounted"] == (counts if told else None)
    assert story.batch.miscounted is told
    assert story.batch.totals.outcomes == OutcomeCounts(succeeded=2, failed=1)
