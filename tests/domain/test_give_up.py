"""A batch that nobody waits for any longer is failed; its rows are not lost with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchtrail.domain.errors import NotSubmittedError
from batchtrail.domain.status import BatchStatus, WorkStep
from batchtrail.domain.values import BatchProblem, OutcomeCounts

if TYPE_CHECKING:
    from tests.domain.conftest import Stages


@pytest.mark.parametrize("stage", ["submitted", "in_progress", "canceling"])
def test_giving_up_fails_the_batch(given: Stages, stage: str) -> None:
    """The event says the age and why; the batch is over from then on."""
    story = given.at(stage).give_up()
    error = BatchProblem("given_up", "Too old.")
    assert story.facts() == [("GivenUp", {"max_age": 93_600.0, "error": error})]
    assert (story.batch.status, story.batch.errors) == (BatchStatus.FAILED, (error,))
    assert story.batch.ended_at == story.past[-1].timestamp
    assert story.batch.next_step is WorkStep.COLLECTION
    assert story.poll("completed", output_file_id="file-out").news() == []


@pytest.mark.parametrize("stage", ["drafted", "filled", "started", "creating", "left"])
def test_what_no_provider_has_cannot_be_given_up(given: Stages, stage: str) -> None:
    """There is nobody to wait for yet."""
    story = given.at(stage)
    with pytest.raises(NotSubmittedError):
        story.give_up()
    assert story.facts() == []


def test_after_another_end_it_is_nothing(given: Stages) -> None:
    """A worker that was slow gives up what has ended meanwhile."""
    for stage in given.terminal:
        assert given.at(stage).give_up().news() == []


@pytest.mark.parametrize("word", ["completed", "expired", "cancelled", "failed"])
def test_any_late_end_brings_its_files(given: Stages, word: str) -> None:
    """Whatever end the provider reports, what its files hold is applied; the status stays."""
    story = given.at("given_up").amend(word, output_file_id="file-out")
    assert story.news() == ["ReportAmended"]
    story.apply("a").collect()
    assert story.batch.status is BatchStatus.FAILED
    assert story.batch.totals.outcomes == OutcomeCounts(succeeded=1, failed=2)
    assert story.batch.rest_error is not None
    assert story.batch.rest_error.code == "given_up"


def test_a_late_report_of_work_is_nothing(given: Stages) -> None:
    """A provider that still works on it has no files yet."""
    assert given.at("given_up").amend("finalizing").news() == []


def test_other_ends_take_no_other_report(given: Stages) -> None:
    """Only a batch that was given up was ended by us and not by the provider."""
    assert given.at("ended").amend("expired", output_file_id="file-2").news() == []
