"""What workers leave on a batch: the handler, trouble and its end, and what is next to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from batchtrail.domain.errors import NotCollectedError
from batchtrail.domain.outcomes import is_worth_retrying
from batchtrail.domain.status import Outcome, WorkStep
from batchtrail.domain.values import Trouble

if TYPE_CHECKING:
    from tests.domain.conftest import Stages, Story

MOMENT = datetime(2026, 11, 23, 13, tzinfo=UTC)


def with_handler(given: Stages) -> Story:
    """A collected batch with a completion handler."""
    story = given.new(completion_handler="shop.batches:Done").add("a").start().upload().create()
    story.answer().poll("completed", output_file_id="file-out").apply("a").collect()
    story.facts()
    return story


def step_of(story: Story) -> WorkStep | None:
    """What is next; asked by a function, lest a type checker remember the last answer."""
    return story.batch.next_step


@pytest.mark.parametrize(
    ("stage", "step"),
    [
        ("drafted", None),
        ("filled", None),
        ("started", WorkStep.SUBMISSION),
        ("uploaded", WorkStep.SUBMISSION),
        ("creating", WorkStep.SUBMISSION),
        ("left", WorkStep.SUBMISSION),
        ("submitted", WorkStep.POLL),
        ("in_progress", WorkStep.POLL),
        ("canceling", WorkStep.POLL),
        ("ended", WorkStep.COLLECTION),
        ("expired", WorkStep.COLLECTION),
        ("refused", WorkStep.COLLECTION),
        ("withdrawn", WorkStep.COLLECTION),
        ("collected", None),
    ],
)
def test_what_is_next(given: Stages, stage: str, step: WorkStep | None) -> None:
    """Every stage of a life names the one thing to do."""
    assert given.at(stage).batch.next_step is step


def test_a_wish_to_cancel_is_next_until_the_provider_knows(given: Stages) -> None:
    """After it was told, its end is polled for."""
    story = given.at("in_progress").cancel()
    assert step_of(story) is WorkStep.CANCELLATION
    story.poll("cancelling", is_canceling=True, after_call=True)
    assert step_of(story) is WorkStep.POLL


def test_siblings_keep_a_batch_open(given: Stages) -> None:
    """What may be paid twice is dealt with even after the end."""
    story = given.at("collected").sibling("batch_2")
    assert step_of(story) is WorkStep.SUBMISSION
    assert story.cancel_sibling("batch_2").batch.next_step is None


def test_handler_is_next_until_it_has_run(given: Stages) -> None:
    """Once, and never again, even after the collection was taken up once more."""
    story = with_handler(given)
    assert step_of(story) is WorkStep.COMPLETION_HANDLER
    assert story.dispatch().facts() == [("HandlerDispatched", {"handler": "shop.batches:Done"})]
    assert step_of(story) is None
    assert story.dispatch().facts() == []


def test_no_handler_before_the_results(given: Stages) -> None:
    """It is given completions, so there must be an outcome for each."""
    with pytest.raises(NotCollectedError):
        given.at("ended").dispatch()


def test_batch_without_handler_dispatches_nothing(given: Stages) -> None:
    """There is nothing to record."""
    assert given.at("collected").dispatch().facts() == []


def test_trouble_counts_and_ends(given: Stages) -> None:
    """The state shows the last failure, since when, and how many; success takes it away."""
    story = given.at("ended").fail_work("first", retry_at=MOMENT)
    begin = story.batch.modified_on
    story.fail_work("second")
    assert story.state()["trouble"] == Trouble(WorkStep.COLLECTION, "second", 2, begin, None)
    assert story.resume_work().news() == ["WorkFailed", "WorkFailed", "WorkResumed"]
    assert story.state()["trouble"] is None
    assert story.resume_work().facts() == []


def test_the_last_steps_end_the_trouble(given: Stages) -> None:
    """In the same transaction: when a batch is done, nobody comes to say that it is."""
    story = given.at("ended").fail_work("a lost file").collect()
    assert story.news()[-2:] == ["ResultsCollected", "WorkResumed"]
    assert (story.batch.trouble, story.batch.next_step) == (None, None)
    story = with_handler(given).fail_work("it raised").dispatch()
    assert story.news()[-2:] == ["HandlerDispatched", "WorkResumed"]
    assert (story.batch.trouble, story.batch.next_step) == (None, None)


def test_retry_is_recorded_once(given: Stages) -> None:
    """Both commands of a crash and its repeat name the same new batch."""
    story = given.at("collected")
    assert story.retry(UUID(int=1), 2).facts() == [
        ("Retried", {"retry_id": UUID(int=1), "count": 2})
    ]
    assert story.retry(UUID(int=1), 2).facts() == []
    assert story.retry(UUID(int=2)).batch.retries == (UUID(int=1), UUID(int=2))
    with pytest.raises(NotCollectedError):
        given.at("ended").retry(UUID(int=1))


@pytest.mark.parametrize(
    ("outcome", "status", "code", "worth"),
    [
        (Outcome.EXPIRED, None, "batch_expired", True),
        (Outcome.CANCELED, None, "batch_cancelled", True),
        (Outcome.MISSING, None, "missing", True),
        (Outcome.FAILED, 408, None, True),
        (Outcome.FAILED, 429, None, True),
        (Outcome.FAILED, 500, None, True),
        (Outcome.FAILED, 503, "x", True),
        (Outcome.FAILED, 400, "context_length_exceeded", False),
        (Outcome.FAILED, 404, None, False),
        (Outcome.FAILED, None, "batch_failed", False),
        (Outcome.FAILED, None, None, False),
        (Outcome.FAILED, None, "given_up", True),
        (Outcome.FAILED, None, "token_limit_exceeded", True),
        (Outcome.FAILED, None, "request_timeout", True),
        (Outcome.SUCCEEDED, 200, None, False),
        (Outcome.PENDING, None, None, False),
    ],
)
def test_what_is_worth_a_retry(
    outcome: Outcome, status: int | None, code: str | None, *, worth: bool
) -> None:
    """What speaks of the server or of time; not what is wrong with the request."""
    assert is_worth_retrying(outcome, status, code) is worth
