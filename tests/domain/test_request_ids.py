"""Rule 10: every provider call that changed something leaves its request id in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchtrail.domain.batch import Batch

if TYPE_CHECKING:
    from tests.domain.conftest import Stages, Story


def ids(story: Story) -> list[tuple[str, str | None]]:
    return [(name, facts["request_id"]) for name, facts in story.facts() if "request_id" in facts]


def test_submission_leaves_its_request_ids(given: Stages) -> None:
    """Upload, create and what follows from the answer."""
    story = given.at("started").upload().create().answer("batch_1", "in_progress")
    assert ids(story) == [
        ("InputUploaded", "req-upload"),
        ("Submitted", "req-create"),
        ("StatusChanged", "req-create"),
    ]


def test_failures_leave_their_request_ids(given: Stages) -> None:
    """A refused call was made too, and support asks for its id."""
    assert ids(given.at("creating").not_created(1)) == [("CreateNotDone", "req-create")]
    assert ids(given.at("creating").refuse()) == [("SubmissionFailed", "req-create")]
    assert ids(given.at("submitted").poll(given.not_visible)) == [("InputNotVisible", "req-poll")]


def test_cleaning_leaves_its_request_ids(given: Stages) -> None:
    """The deletion of a file and the cancellation of a sibling change the provider's state."""
    assert ids(given.at("uploaded").discard()) == [("InputDiscarded", "req-delete")]
    assert ids(given.at("submitted").sibling().cancel_sibling()) == [
        ("SiblingFound", "req-create"),
        ("SiblingCanceled", "req-cancel"),
    ]


def test_cancellation_leaves_its_request_id(given: Stages) -> None:
    """The answer to the cancel call is a report, recorded with its id."""
    story = given.at("in_progress").cancel().poll("cancelling", is_canceling=True, after_call=True)
    assert ids(story) == [("StatusChanged", "req-poll")]
    assert ids(story.poll("cancelled")) == [("Canceled", "req-poll")]


def test_cancel_call_without_news_leaves_its_request_id(given: Stages) -> None:
    """The call was made and changed something, even if its answer looks as before."""
    story = given.at("in_progress").cancel()
    assert ids(story.poll("in_progress", after_call=True)) == [("StatusChanged", "req-poll")]


def test_create_call_that_was_overtaken_leaves_its_request_id(given: Stages) -> None:
    """Another process found the batch before the answer to the call came."""
    story = given.at("creating").answer("batch_1", adopted=True)
    story.facts()
    assert ids(story.answer("batch_1")) == [("StatusChanged", "req-create")]


def test_uploads_that_were_discarded_leave_both_ids(given: Stages) -> None:
    """The upload and the deletion of a superfluous file were two calls."""
    ((_, facts),) = given.at("uploaded").discard().facts()
    assert (facts["upload_request_id"], facts["request_id"]) == ("req-upload", "req-delete")


def test_calls_have_a_place_for_their_id() -> None:
    """The events that answer a call declare the field; those without a call do not."""
    with_id = {
        event.__name__
        for event in Batch.Event.__subclasses__()
        if "request_id" in event.__annotations__
    }
    assert with_id == {
        "InputUploaded",
        "InputDiscarded",
        "CreateNotDone",
        "Submitted",
        "SubmissionFailed",
        "StatusChanged",
        "ReportAmended",
        "InputNotVisible",
        "TokenLimitReached",
        "Canceled",
        "SiblingFound",
        "SiblingCanceled",
        "CollectionReopened",
    }
