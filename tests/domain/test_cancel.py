"""The wish to cancel, and the ways it comes true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchtrail.domain.errors import (
    AlreadyCancelingError,
    BatchFinishedError,
    BatchSubmittedError,
    NotSubmittedError,
    OutOfOrderError,
)
from batchtrail.domain.status import BatchStatus

if TYPE_CHECKING:
    from tests.domain.conftest import Stages


@pytest.mark.parametrize("stage", ["drafted", "filled"])
def test_draft_is_canceled_at_once(given: Stages, stage: str) -> None:
    """Nothing was sent: the wish is the end."""
    story = given.at(stage).cancel()
    assert story.facts() == [
        ("CancelRequested", {}),
        ("Canceled", {"report": None, "request_id": None}),
    ]
    assert story.batch.status is BatchStatus.CANCELED


@pytest.mark.parametrize("stage", ["started", "uploaded", "creating", "submitted", "in_progress"])
def test_wish_waits_for_the_provider(given: Stages, stage: str) -> None:
    """Once something may have been sent, only the wish is recorded."""
    story = given.at(stage)
    before = story.batch.status
    assert story.cancel().facts() == [("CancelRequested", {})]
    assert (story.batch.cancel_requested, story.batch.status) == (True, before)


@pytest.mark.parametrize("stage", ["started", "uploaded", "submitted", "canceling"])
def test_second_wish_is_refused(given: Stages, stage: str) -> None:
    """The first one is under way."""
    story = given.at(stage)
    if not story.batch.cancel_requested:
        story.cancel()
    story.facts()
    with pytest.raises(AlreadyCancelingError, match="wait for its end"):
        story.cancel()
    assert story.facts() == []


def test_wish_after_the_end_is_refused(given: Stages) -> None:
    """What is over cannot be canceled."""
    for stage in given.terminal:
        story = given.at(stage)
        with pytest.raises(BatchFinishedError, match="a cancellation is too late"):
            story.cancel()
        assert story.facts() == [], stage


@pytest.mark.parametrize("stage", ["ended", "expired"])
def test_wish_after_an_end_that_was_taken_back(given: Stages, stage: str) -> None:
    """What is at work costs money, whatever was told of it before; it is asked for once."""
    story = given.at(stage).amend("in_progress")
    status = story.batch.status
    story.facts()
    assert story.cancel().facts() == [("CancelRequested", {})]
    assert (story.batch.status, story.batch.is_over) == (status, False)
    with pytest.raises(AlreadyCancelingError):
        story.cancel()
    story.amend("cancelled", output_file_id="file-out")
    assert (story.batch.status, story.batch.is_over) == (status, True)
    assert story.batch.report is not None
    assert story.batch.report.output_file_id == "file-out"
    with pytest.raises(BatchFinishedError):
        story.cancel()


def test_end_that_was_taken_back_and_comes_bit_by_bit(given: Stages) -> None:
    """Another end than the first one is known from then on: what it shows later is its own."""
    story = given.at("ended").amend("in_progress").amend("cancelled", output_file_id="file-out")
    story.amend("cancelled", output_file_id="file-out", error_file_id="file-errors")
    assert story.batch.report is not None
    assert story.batch.report.error_file_id == "file-errors"
    assert story.news()[-3:] == ["ReportAmended"] * 3


def test_files_are_not_forgotten_for_a_report_that_names_none(given: Stages) -> None:
    """Another end names its own, and what it does not name is not waited for."""

    def files() -> tuple[str | None, str | None]:
        assert story.batch.report is not None
        return story.batch.report.output_file_id, story.batch.report.error_file_id

    story = given.at("ended").amend("completed", output_file_id="file-a", error_file_id="file-b")
    for word in ("in_progress", "completed"):
        story.amend(word)
        assert files() == ("file-a", "file-b")
    story.amend("in_progress", error_file_id="file-c")
    assert files() == ("file-a", "file-c")
    story.amend("completed", output_file_id="file-d")
    assert files() == ("file-d", None)


def test_answer_to_a_cancellation_after_the_collection(given: Stages) -> None:
    """Its request id belongs in the log; what is merely seen then does not."""
    story = given.at("ended").amend("in_progress").collect()
    story.facts()
    assert story.amend("finalizing").facts() == []
    assert story.amend("cancelling", after_call=True).news() == ["ReportAmended"]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("cancelled", BatchStatus.CANCELED),
        ("completed", BatchStatus.ENDED),
        ("expired", BatchStatus.EXPIRED),
        ("failed", BatchStatus.FAILED),
    ],
)
def test_provider_decides_how_it_ends(given: Stages, raw: str, status: BatchStatus) -> None:
    """A batch that finished before the cancellation reached it has its own end."""
    assert given.at("canceling").poll(raw).batch.status is status


def test_provider_may_cancel_unasked(given: Stages) -> None:
    """Somebody may have used the provider's own web page."""
    story = given.at("in_progress").poll("cancelled")
    assert story.news() == ["Canceled"]
    assert not story.batch.cancel_requested


def test_answer_may_come_after_the_wish(given: Stages) -> None:
    """The create call was out already: its batch is recorded, so that it can be canceled."""
    story = given.at("creating").cancel().answer()
    assert story.news() == ["CancelRequested", "Submitted"]
    assert story.batch.provider_batch_id == "batch_1"


@pytest.mark.parametrize("stage", ["started", "uploaded", "left"])
def test_submission_is_abandoned_before_its_create(given: Stages, stage: str) -> None:
    """Surely nothing was created: the batch is over."""
    story = given.at(stage).cancel()
    story.facts()
    assert story.abandon().facts() == [("Canceled", {"report": None, "request_id": None})]
    assert story.batch.status is BatchStatus.CANCELED


def test_submission_is_abandoned_after_a_create_that_was_not_done(given: Stages) -> None:
    """A call that surely made no batch stands in nobody's way."""
    story = given.at("creating").cancel().not_created(1).abandon()
    assert story.news() == ["CancelRequested", "CreateNotDone", "Canceled"]


def test_submission_with_an_open_create_is_not_abandoned(given: Stages) -> None:
    """The call may have made a batch that somebody must find and cancel."""
    story = given.at("creating").cancel()
    story.facts()
    with pytest.raises(OutOfOrderError, match="may have been sent"):
        story.abandon()
    assert story.facts() == []


@pytest.mark.parametrize("stage", ["started", "uploaded", "creating"])
def test_submission_is_not_abandoned_without_the_wish(given: Stages, stage: str) -> None:
    """Nobody asked for its end."""
    story = given.at(stage)
    with pytest.raises(OutOfOrderError):
        story.abandon()
    assert story.facts() == []


def test_abandonment_needs_an_open_submission(given: Stages) -> None:
    """Before the intent there is nothing to abandon, and after the answer it is too late."""
    for stage in ("drafted", "filled"):
        with pytest.raises(NotSubmittedError):
            given.at(stage).abandon()
    for stage in ("submitted", "in_progress", "canceling", *given.terminal):
        with pytest.raises(BatchSubmittedError):
            given.at(stage).abandon()
