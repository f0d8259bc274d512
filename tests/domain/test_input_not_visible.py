"""A provider batch that failed because its input file could not be found yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchtrail.domain.batch import MAX_LEFT_BATCHES
from batchtrail.domain.errors import (
    BatchSubmittedError,
    DomainError,
    OutOfOrderError,
)
from batchtrail.domain.status import BatchStatus
from batchtrail.domain.values import BatchProblem

if TYPE_CHECKING:
    from tests.domain.conftest import Stages, Story


def test_create_is_made_again(given: Stages) -> None:
    """The batch that never ran is left; the upload stays, and the next create may be sent."""
    story = given.at("submitted").poll(given.not_visible)
    assert story.facts() == [
        (
            "InputNotVisible",
            {
                "provider_batch_id": "batch_1",
                "report": given.not_visible,
                "request_id": "req-poll",
            },
        )
    ]
    batch = story.batch
    assert (batch.status, batch.raw_status, batch.report) == (BatchStatus.PENDING, None, None)
    assert (batch.provider_batch_id, batch.is_submitting, batch.errors) == (None, True, ())
    assert batch.submission is not None
    assert batch.submission.input_file_id == "file-1"
    assert batch.submission.left_batch_ids == ("batch_1",)
    assert (batch.error_count, batch.submission.create_started_at) == (0, None)
    assert story.create().facts() == [("CreateStarted", {"attempt": 2})]
    assert story.answer("batch_2").news() == ["Submitted"]
    assert batch.provider_batch_id == "batch_2"


def test_answer_itself_may_say_so(given: Stages) -> None:
    """A create that answers with the failed batch leads to the same place."""
    story = given.at("creating").answer("batch_1", given.not_visible)
    assert story.news() == ["Submitted", "InputNotVisible"]
    assert story.batch.is_submitting


def test_errors_of_the_left_batch_are_counted_no_more(given: Stages) -> None:
    """They are no errors of the next one."""
    story = given.at("submitted").poll("in_progress", errors=given.not_visible.errors)
    assert story.batch.error_count == 1
    story.poll(given.not_visible)
    assert (story.batch.error_count, story.batch.errors) == (0, ())


def create_again(given: Stages, story: Story, number: int) -> list[str]:
    story.create().answer(f"batch_{number}")
    story.facts()
    return story.poll(given.not_visible).news()


def test_create_is_made_so_often_and_no_more(given: Stages) -> None:
    """So many batches are left; with the next one the batch fails, in the provider's words."""
    story = given.at("uploaded")
    news = [create_again(given, story, number) for number in range(1, MAX_LEFT_BATCHES + 2)]
    assert news == [["InputNotVisible"]] * MAX_LEFT_BATCHES + [["StatusChanged"]]
    assert story.batch.submission is not None
    assert len(story.batch.submission.left_batch_ids) == MAX_LEFT_BATCHES
    assert story.batch.status is BatchStatus.FAILED
    assert story.batch.errors == given.not_visible.errors
    with pytest.raises(DomainError):
        story.create()


def test_calls_that_made_no_batch_do_not_count(given: Stages) -> None:
    """Only batches that were left are counted, not calls."""
    story = given.at("uploaded")
    for attempt in range(1, MAX_LEFT_BATCHES + 1):
        story.create().not_created(attempt)
    assert create_again(given, story, 1) == ["InputNotVisible"]


def test_batch_that_was_left_is_never_adopted(given: Stages) -> None:
    """Neither a late answer nor a search brings the dead batch back, before the next create."""
    for adopted in (False, True):
        for story in (given.at("left"), given.at("left").create()):
            story.facts()
            before = story.state()
            story.answer("batch_1", adopted=adopted)
            assert (story.facts(), story.state()) == ([], before)


def test_no_batch_that_was_left_is_adopted(given: Stages) -> None:
    """All of them are remembered, not only the last one."""
    story = given.at("uploaded")
    for number in range(1, MAX_LEFT_BATCHES + 1):
        create_again(given, story, number)
    story.create()
    story.facts()
    for number in range(1, MAX_LEFT_BATCHES + 1):
        story.answer(f"batch_{number}")
    assert story.facts() == []
    assert story.answer("batch_9").news() == ["Submitted"]


def test_batch_that_was_left_does_not_replace_the_next(given: Stages) -> None:
    """The late answer is nothing."""
    story = given.at("created_again")
    story.facts()
    story.answer("batch_1")
    assert story.facts() == []
    assert story.batch.provider_batch_id == "batch_2"


def test_wish_to_cancel_survives(given: Stages) -> None:
    """A canceled batch whose provider batch never ran can be abandoned at once."""
    story = given.at("submitted").cancel().poll(given.not_visible).abandon()
    assert story.news() == ["CancelRequested", "InputNotVisible", "Canceled"]
    assert story.batch.status is BatchStatus.CANCELED


@pytest.mark.parametrize("raw", ["in_progress", "completed", "failed", "cancelled"])
def test_status_of_the_left_batch_is_nothing(given: Stages, raw: str) -> None:
    """Nothing that is heard of it later counts, before, during and after the next create."""
    for story in (given.at("left"), given.at("left").create(), given.at("created_again")):
        story.facts()
        before = story.state()
        for after_call in (False, True):
            story.poll(raw, of="batch_1", after_call=after_call, output_file_id="file-out")
        assert (story.facts(), story.state()) == ([], before)


def test_stale_report_makes_no_second_batch(given: Stages) -> None:
    """Pay once: two processes read the same failure, and the slower one comes after the create.

    Were its report taken for one about the new batch, that one would be left while it runs, and
    paid for beside the next.
    """
    story = given.at("left").create()
    story.facts()
    assert story.poll(given.not_visible, of="batch_1").facts() == []
    with pytest.raises(OutOfOrderError, match="has no outcome yet"):
        story.create()
    story.answer("batch_2")
    assert story.poll(given.not_visible, of="batch_1").news() == ["Submitted"]
    with pytest.raises(BatchSubmittedError):
        story.create()
    story.poll("in_progress", of="batch_2").poll(given.not_visible, of="batch_1")
    assert story.news() == ["StatusChanged"]
    assert story.batch.provider_batch_id == "batch_2"
    assert story.batch.status is BatchStatus.IN_PROGRESS
    assert story.batch.submission is not None
    assert story.batch.submission.left_batch_ids == ("batch_1",)


@pytest.mark.parametrize("end", ["abandoned", "refused"])
def test_status_of_the_left_batch_is_nothing_after_the_end(given: Stages, end: str) -> None:
    """A report after the end is nothing, also when no create followed the left batch."""
    story = given.at("left")
    if end == "abandoned":
        story.cancel().abandon()
    else:
        story.refuse()
    story.facts()
    assert story.poll(given.not_visible, of="batch_1").facts() == []


@pytest.mark.parametrize(
    "error",
    [
        BatchProblem("invalid_json_line", "Not JSON.", param=None, line=1),
        BatchProblem("missing_file", "No file_id in the body.", param="file_id", line=3),
    ],
)
def test_other_failures_are_the_end(given: Stages, error: BatchProblem) -> None:
    """A batch that failed for another reason would fail again."""
    story = given.at("submitted").poll("failed", errors=(error,))
    assert story.news() == ["StatusChanged"]
    assert (story.batch.status, story.batch.errors) == (BatchStatus.FAILED, (error,))


def test_error_about_the_file_without_failure_is_no_end(given: Stages) -> None:
    """Only a batch that failed is left behind."""
    assert not given.report("in_progress", errors=given.not_visible.errors).input_not_found
