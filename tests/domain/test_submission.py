"""The intent, the upload and the create call: rule 3, and what may be sent when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from batchtrail.domain.errors import (
    AlreadyCancelingError,
    BatchSubmittedError,
    EmptyBatchError,
    NotSubmittedError,
    OutOfOrderError,
)
from batchtrail.domain.status import BatchStatus
from batchtrail.domain.values import BatchProblem

if TYPE_CHECKING:
    from tests.domain.conftest import Stages


# The intent


def test_intent_is_recorded(given: Stages) -> None:
    """Before any call the log knows the digest of the input and the name of the file."""
    story = given.at("filled").start()
    assert story.batch.submission is not None
    name = story.batch.submission.file_name
    assert re.fullmatch(rf"batchtrail-{story.batch.id}-[0-9a-f]{{8}}\.jsonl", name)
    assert story.facts() == [
        ("SubmissionStarted", {"attempt": 1, "file_name": name, "input_sha256": "ab" * 32})
    ]
    assert story.batch.is_submitting
    assert story.batch.status is BatchStatus.PENDING


def test_empty_batch_is_not_submitted(given: Stages) -> None:
    """There is nothing to send."""
    story = given.at("drafted")
    with pytest.raises(EmptyBatchError):
        story.start()
    assert story.facts() == []
    assert not story.batch.is_submitting


def test_submit_is_single_shot(given: Stages) -> None:
    """A batch that is not pending and unsubmitted refuses, and records nothing."""
    for stage in [each for each in given.names if each not in {"drafted", "filled"}]:
        story = given.at(stage)
        before = story.state()
        with pytest.raises(BatchSubmittedError, match="handed over for submission already"):
            story.start()
        assert (story.facts(), story.state()) == ([], before), stage


# The upload


def test_no_other_submission_has_its_file_name(given: Stages) -> None:
    """Another database with the same input has the same batch id, but never the same file."""
    submissions = [given.at("filled").start().batch.submission for _ in range(2)]
    assert len({submission.file_name for submission in submissions if submission}) == 2


def test_each_attempt_is_recorded_and_the_first_moment_kept(given: Stages) -> None:
    """Whoever looks for what an attempt has left must look back to the first."""
    story = given.at("started")
    story.begin_upload()
    begun = story.batch.modified_on
    story.begin_upload()
    assert story.facts() == [
        ("UploadStarted", {"attempt": 1}),
        ("UploadStarted", {"attempt": 2}),
    ]
    assert story.batch.submission is not None
    assert (story.batch.submission.upload_attempt, story.batch.submission.upload_started_at) == (
        2,
        begun,
    )


def test_nothing_is_uploaded_for_nothing(given: Stages) -> None:
    """Not when the file is known, not after a wish to cancel, not before the intent."""
    with pytest.raises(BatchSubmittedError):
        given.at("uploaded").begin_upload()
    with pytest.raises(AlreadyCancelingError):
        given.at("started").cancel().begin_upload()
    with pytest.raises(NotSubmittedError):
        given.at("filled").begin_upload()


def test_an_upload_that_nobody_began_is_no_upload(given: Stages) -> None:
    """What may have happened stands in the log before it happens."""
    story = given.at("started")
    with pytest.raises(OutOfOrderError):
        story.record_upload("file-1")
    assert story.facts() == []


def test_finding_the_file_again_is_nothing(given: Stages) -> None:
    """Whoever looks meets the upload of another process; a second file is refused."""
    story = given.at("uploaded")
    story.record_upload("file-1", adopted=True)
    assert story.facts() == []
    with pytest.raises(BatchSubmittedError):
        story.record_upload("file-2", adopted=True)


def test_upload_is_remembered(given: Stages) -> None:
    """The file id is in the log, so that no later attempt uploads again."""
    story = given.at("started").upload("file-1")
    size = story.batch.input_size
    assert story.facts() == [
        ("UploadStarted", {"attempt": 1}),
        (
            "InputUploaded",
            {
                "file_id": "file-1",
                "size": size,
                "adopted": False,
                "provider_created_at": None,
                "request_id": "req-upload",
            },
        ),
    ]
    assert story.batch.submission is not None
    assert story.batch.submission.input_file_id == "file-1"


@pytest.mark.parametrize("file_id", ["file-1", "file-2"])
def test_only_the_first_upload_counts(given: Stages, file_id: str) -> None:
    """A second file, whoever sent it, is refused: its sender must delete it."""
    story = given.at("uploaded")
    with pytest.raises(BatchSubmittedError):
        story.upload(file_id)
    assert story.facts() == []
    assert story.batch.submission is not None
    assert story.batch.submission.input_file_id == "file-1"


@pytest.mark.parametrize("stage", ["drafted", "filled"])
def test_upload_without_intent_is_refused(given: Stages, stage: str) -> None:
    """The intent is written before any call."""
    with pytest.raises(NotSubmittedError, match="an upload is impossible"):
        given.at(stage).upload()


def test_upload_after_the_start_of_the_batch_is_refused(given: Stages) -> None:
    """Once the provider has the batch, or the batch is over, no file is needed."""
    for stage in ("submitted", "in_progress", *given.terminal):
        with pytest.raises(BatchSubmittedError):
            given.at(stage).upload("file-2")


def test_discarded_upload_is_recorded_and_changes_nothing(given: Stages) -> None:
    """The upload and deletion of a superfluous file are facts, but no part of the state."""
    story = given.at("uploaded")
    before = story.batch.submission
    story.discard("file-2")
    assert story.facts() == [
        (
            "InputDiscarded",
            {
                "file_id": "file-2",
                "upload_request_id": "req-upload",
                "request_id": "req-delete",
            },
        )
    ]
    assert story.batch.submission == before


# The create call


def test_create_is_recorded_before_it_is_sent(given: Stages) -> None:
    """From here on the call may have reached the provider."""
    story = given.at("uploaded").create()
    assert story.facts() == [("CreateStarted", {"attempt": 1})]
    assert story.batch.submission is not None
    assert story.batch.submission.create_started_at == story.past[-1].timestamp


def test_second_create_is_refused_while_one_is_open(given: Stages) -> None:
    """A create call is never repeated blindly: whoever stored the event sends it."""
    story = given.at("creating")
    with pytest.raises(OutOfOrderError, match=r"create call 1 .* has no outcome yet"):
        story.create()
    assert story.facts() == []


@pytest.mark.parametrize("stage", ["drafted", "filled", "started"])
def test_create_needs_the_uploaded_file(given: Stages, stage: str) -> None:
    """Without an input file there is nothing to create."""
    with pytest.raises(NotSubmittedError):
        given.at(stage).create()


def test_create_after_the_answer_is_refused(given: Stages) -> None:
    """One submission makes one provider batch."""
    for stage in ("submitted", "in_progress", "canceling", *given.terminal):
        with pytest.raises(BatchSubmittedError):
            given.at(stage).create()


@pytest.mark.parametrize("stage", ["started", "uploaded", "creating", "left"])
def test_create_is_refused_after_the_wish_to_cancel(given: Stages, stage: str) -> None:
    """Nobody pays for a batch whose cancellation is in the log already."""
    story = given.at(stage).cancel()
    story.facts()
    with pytest.raises(AlreadyCancelingError):
        story.create()
    assert story.facts() == []


def test_call_that_was_surely_not_done_may_be_repeated(given: Stages) -> None:
    """After a definite failure the next call has the next number."""
    story = given.at("creating").not_created(1)
    assert story.facts() == [
        (
            "CreateNotDone",
            {
                "attempt": 1,
                "searched": False,
                "error": BatchProblem("rate_limit_exceeded", "Slow down."),
                "request_id": "req-create",
            },
        )
    ]
    assert story.batch.submission is not None
    assert story.batch.submission.lost_creates == 0
    assert story.create().facts() == [("CreateStarted", {"attempt": 2})]


def test_call_that_was_searched_in_vain_is_remembered(given: Stages) -> None:
    """What it made may still show up: later calls and certain failures do not change that."""
    story = given.at("creating").not_created(1, searched=True)
    ((name, facts),) = story.facts()
    assert (name, facts["searched"]) == ("CreateNotDone", True)
    assert story.batch.submission is not None
    assert story.batch.submission.lost_creates == 1
    story.create().not_created(2).create().answer()
    assert story.batch.submission.lost_creates == 1


def test_outdated_failure_of_a_create_is_nothing(given: Stages) -> None:
    """A call that is not in question any more cannot clear the one that is."""
    story = given.at("creating").not_created(1).create()
    story.facts()
    story.not_created(1).not_created(3)
    assert story.facts() == []
    with pytest.raises(OutOfOrderError):
        story.create()


def test_failure_of_a_create_is_nothing_elsewhere(given: Stages) -> None:
    """Without an open call there is nothing to take back; least of all after the answer."""
    for stage in set(given.names) - {"creating"}:
        story = given.at(stage)
        assert story.not_created(1).facts() == [], stage


# The refusal


@pytest.mark.parametrize("stage", ["started", "creating"])
def test_refusal_ends_the_batch(given: Stages, stage: str) -> None:
    """The provider's own words are kept, and nothing can be submitted any more."""
    story = given.at(stage).refuse()
    error = BatchProblem("billing_hard_limit_reached", "Billing hard limit has been reached.")
    assert story.facts() == [("SubmissionFailed", {"error": error, "request_id": "req-create"})]
    assert (story.batch.status, story.batch.errors) == (BatchStatus.FAILED, (error,))
    assert story.batch.error_count == 1
    assert not story.batch.is_submitting


def test_refusal_of_what_is_not_in_question_is_nothing(given: Stages) -> None:
    """Another process has come farther: a refused upload does not end its create."""
    for stage in set(given.names) - {"started", "creating"}:
        story = given.at(stage)
        story.refuse()
        assert story.facts() == [], stage


@pytest.mark.parametrize("attempts", [1, 2])
def test_refusal_of_a_create_that_was_given_up_is_nothing(given: Stages, attempts: int) -> None:
    """Another call may be under way, or may still be sent."""
    story = given.at("creating").not_created(1)
    if attempts == 2:
        story.create()
    story.facts()
    error = BatchProblem("billing_hard_limit_reached", "Billing hard limit has been reached.")
    story.batch.record_refusal(error, create_attempt=1, request_id=None, stamp=story.stamp())
    assert story.facts() == []
