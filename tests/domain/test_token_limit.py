"""A provider batch that failed because its model's queue was full."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from batchtrail.domain.batch import MAX_DEFERRALS, TOKEN_LIMIT_DELAYS
from batchtrail.domain.status import BatchStatus, WorkStep
from batchtrail.domain.values import BatchProblem, RequestCounts

if TYPE_CHECKING:
    from tests.domain.conftest import Stages, Story


def waits(story: Story) -> float:
    """Seconds from the last event to the next create."""
    deferral = story.batch.deferral
    assert deferral is not None
    return (deferral.until - story.batch.modified_on).total_seconds()


def test_create_is_made_again_later(given: Stages) -> None:
    """The batch that never ran is left; the upload stays; the next create waits a while."""
    story = given.at("submitted").poll(given.no_room)
    batch = story.batch
    assert story.facts() == [
        (
            "TokenLimitReached",
            {
                "provider_batch_id": "batch_1",
                "report": given.no_room,
                "retry_at": batch.modified_on + timedelta(seconds=TOKEN_LIMIT_DELAYS[0]),
                "request_id": "req-poll",
            },
        )
    ]
    assert (batch.status, batch.raw_status, batch.report) == (BatchStatus.PENDING, None, None)
    assert (batch.provider_batch_id, batch.submitted_at, batch.errors) == (None, None, ())
    assert batch.next_step is WorkStep.SUBMISSION
    assert batch.deferral is not None
    assert (batch.deferral.problem, batch.deferral.times) == (given.no_room.errors[0], 1)
    assert batch.submission is not None
    assert batch.submission.input_file_id == "file-1"
    assert story.create().facts() == [("CreateStarted", {"attempt": 2})]
    assert story.batch.deferral is None
    assert story.answer("batch_2").news() == ["Submitted"]


def test_the_left_batch_is_never_adopted(given: Stages) -> None:
    """Finding it again, or hearing of it, is nothing."""
    story = given.at("deferred").answer("batch_1", adopted=True)
    assert story.poll(given.no_room, of="batch_1").facts() == []


def test_the_waits_grow_and_end(given: Stages) -> None:
    """With the last attempt the batch fails, in the provider's words."""
    story = given.at("submitted")
    seconds: list[float] = []
    for number in range(2, MAX_DEFERRALS + 2):
        story.poll(given.no_room)
        seconds.append(waits(story))
        story.create().answer(f"batch_{number}")
    last = [TOKEN_LIMIT_DELAYS[-1]] * (MAX_DEFERRALS - len(TOKEN_LIMIT_DELAYS))
    assert seconds == [*TOKEN_LIMIT_DELAYS, *last]
    assert sum(seconds) > timedelta(hours=23).total_seconds()
    story.facts()
    assert story.poll(given.no_room).news() == ["StatusChanged"]
    assert (story.batch.status, story.batch.errors) == (BatchStatus.FAILED, given.no_room.errors)


def test_both_reasons_are_counted_apart(given: Stages) -> None:
    """Waiting for room uses up none of the attempts for a file that is not visible."""
    story = given.at("deferred").create().answer("batch_2").poll(given.not_visible)
    assert (story.batch.deferrals, story.batch.invisible_inputs) == (1, 1)


def test_whoever_cancels_does_not_wait(given: Stages) -> None:
    """Nothing keeps the end of a submission that nobody wants any more."""
    story = given.at("deferred").cancel()
    assert story.batch.deferral is None
    story.facts()
    assert story.abandon().news() == ["Canceled"]


@pytest.mark.parametrize("reason", ["no_room", "not_visible"])
def test_a_batch_that_ran_is_not_left(given: Stages, reason: str) -> None:
    """Whatever its errors say: what it has completed would be paid for twice."""
    errors = getattr(given, reason).errors
    counts = RequestCounts(total=2, completed=1)
    story = given.at("submitted").poll("failed", errors=errors, request_counts=counts)
    assert story.news() == ["StatusChanged"]
    assert (story.batch.status, story.batch.errors) == (BatchStatus.FAILED, errors)


def test_other_errors_beside_it_are_the_end(given: Stages) -> None:
    """A batch that has something else wrong would fail again."""
    wrong = BatchProblem("invalid_json_line", "Not JSON.", line=1)
    report = given.report("failed", errors=(*given.no_room.errors, wrong))
    assert given.at("submitted").poll(report).news() == ["StatusChanged"]
    assert not given.report("in_progress", errors=given.no_room.errors).is_out_of_tokens
    assert not given.report("failed").is_out_of_tokens
