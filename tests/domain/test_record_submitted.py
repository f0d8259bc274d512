"""The provider's batch: answered or found, once, and what becomes of a second one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from batchtrail.domain.errors import (
    BatchSubmittedError,
    DomainError,
    NotSubmittedError,
    OutOfOrderError,
)
from batchtrail.domain.status import BatchStatus

if TYPE_CHECKING:
    from tests.domain.conftest import Stages


def test_answer_is_recorded(given: Stages) -> None:
    """The provider's id and first word; validating says no more than that."""
    story = given.at("creating").answer("batch_1")
    assert story.facts() == [
        (
            "Submitted",
            {
                "provider_batch_id": "batch_1",
                "raw_status": "validating",
                "adopted": False,
                "request_id": "req-create",
            },
        )
    ]
    assert (story.batch.status, story.batch.raw_status) == (BatchStatus.SUBMITTED, "validating")
    assert story.batch.submitted_at == story.past[-1].timestamp
    assert not story.batch.is_submitting


def test_adoption_says_so(given: Stages) -> None:
    """A batch that was found instead of answered is recorded as adopted."""
    ((name, facts),) = given.at("creating").answer(adopted=True).facts()
    assert (name, facts["adopted"]) == ("Submitted", True)


@pytest.mark.parametrize(
    ("raw", "news", "status"),
    [
        ("in_progress", ["Submitted", "StatusChanged"], BatchStatus.IN_PROGRESS),
        ("completed", ["Submitted", "StatusChanged"], BatchStatus.ENDED),
        ("expired", ["Submitted", "StatusChanged"], BatchStatus.EXPIRED),
        ("cancelled", ["Submitted", "Canceled"], BatchStatus.CANCELED),
        ("some_new_word", ["Submitted", "StatusChanged"], BatchStatus.IN_PROGRESS),
    ],
)
def test_found_batch_may_have_gone_on(
    given: Stages, raw: str, news: list[str], status: BatchStatus
) -> None:
    """What an adopted batch came to in the meantime is recorded with its adoption."""
    story = given.at("creating").answer("batch_1", raw, output_file_id="file-out")
    assert (story.news(), story.batch.status, story.batch.raw_status) == (news, status, raw)
    assert story.batch.report is not None
    assert story.batch.report.output_file_id == "file-out"


def test_batch_that_is_found_again_is_nothing(given: Stages) -> None:
    """Whoever finds it second changes nothing, at any later time."""
    for stage in ("in_progress", "canceling", *given.terminal_with_files):
        story = given.at(stage)
        seen = story.batch.report
        assert seen is not None
        assert story.answer("batch_1", seen, adopted=True).facts() == [], stage


@pytest.mark.parametrize("adopted", [False, True])
def test_news_of_the_same_batch_is_a_status(given: Stages, adopted: bool) -> None:
    """Whoever hears of it second may hear more; it is not submitted twice."""
    story = given.at("submitted").answer("batch_1", "in_progress", adopted=adopted)
    report = given.report("in_progress")
    assert story.facts() == [("StatusChanged", {"report": report, "request_id": "req-create"})]
    assert story.batch.status is BatchStatus.IN_PROGRESS


@pytest.mark.parametrize("stage", ["submitted", "in_progress", "canceling"])
def test_own_late_answer_leaves_its_request_id(given: Stages, stage: str) -> None:
    """Another process found the batch first: the answer is recorded, but not as a second batch."""
    story = given.at(stage)
    seen = story.batch.report or given.report("validating")
    submitted_at = story.batch.submitted_at
    assert story.answer("batch_1", seen).facts() == [
        ("StatusChanged", {"report": seen, "request_id": "req-create"})
    ]
    assert story.batch.provider_batch_id == "batch_1"
    assert story.batch.submitted_at == submitted_at


@pytest.mark.parametrize("adopted", [False, True])
def test_late_answer_after_the_end_is_nothing(given: Stages, adopted: bool) -> None:
    """The end is the end, also for the answer to the create call."""
    for stage in (*given.terminal_with_files, "collected"):
        story = given.at(stage)
        before = story.state()
        story.answer("batch_1", "in_progress", adopted=adopted)
        assert (story.facts(), story.state()) == ([], before), stage


def test_another_batch_is_a_sibling(given: Stages) -> None:
    """The caller holds a second provider batch: it must be canceled, not recorded."""
    for stage in ("submitted", "in_progress", "canceling", *given.terminal):
        story = given.at(stage)
        with pytest.raises(BatchSubmittedError):
            story.answer("batch_2")
        assert story.facts() == [], stage


@pytest.mark.parametrize("stage", ["drafted", "filled"])
def test_answer_without_intent_is_refused(given: Stages, stage: str) -> None:
    """Nothing can have been answered that was never asked."""
    story = given.at(stage)
    with pytest.raises(NotSubmittedError):
        story.answer()
    assert story.facts() == []


@pytest.mark.parametrize("stage", ["started", "uploaded"])
@pytest.mark.parametrize("adopted", [False, True])
def test_answer_without_create_call_is_refused(given: Stages, stage: str, adopted: bool) -> None:
    """A create call that the log does not know cannot have an answer."""
    story = given.at(stage)
    with pytest.raises(OutOfOrderError, match="no create call"):
        story.answer(adopted=adopted)
    assert story.facts() == []


@pytest.mark.parametrize("adopted", [False, True])
def test_answer_to_a_call_that_was_given_up_is_taken(given: Stages, adopted: bool) -> None:
    """Another process searched in vain and gave the call up; the batch is there all the same."""
    story = given.at("creating").not_created(1)
    story.facts()
    assert story.answer("batch_1", adopted=adopted).news() == ["Submitted"]
    assert story.batch.provider_batch_id == "batch_1"
    with pytest.raises(BatchSubmittedError):
        story.create()


def test_answer_to_an_earlier_call_is_taken_while_the_next_is_open(given: Stages) -> None:
    """The first batch to be known is ours; what the next call made is its sibling."""
    story = given.at("creating").not_created(1).create().answer("batch_1")
    assert story.news() == ["CreateNotDone", "CreateStarted", "Submitted"]
    with pytest.raises(BatchSubmittedError):
        story.answer("batch_2")
    assert story.not_created(2).facts() == []
    assert story.batch.provider_batch_id == "batch_1"


def test_sibling_is_remembered_until_it_is_canceled(given: Stages) -> None:
    """Whoever goes on after a crash knows what must still be canceled; nothing else changes."""
    for stage in ("submitted", "in_progress", *given.terminal):
        story = given.at(stage)
        before = {**story.state(), "_version": 0, "_modified_on": None}
        before["canceled_siblings"] = ("batch_2",)
        story.sibling("batch_2")
        assert story.facts() == [
            ("SiblingFound", {"provider_batch_id": "batch_2", "request_id": "req-create"})
        ], stage
        assert story.batch.siblings == ("batch_2",)
        story.cancel_sibling("batch_2")
        assert story.facts() == [
            ("SiblingCanceled", {"provider_batch_id": "batch_2", "request_id": "req-cancel"})
        ], stage
        assert {**story.state(), "_version": 0, "_modified_on": None} == before, stage
        assert story.sibling("batch_2").facts() == [], stage


def test_siblings_are_canceled_one_by_one(given: Stages) -> None:
    """Each has a call of its own, which may fail while another succeeds."""
    story = given.at("submitted").sibling("batch_2").sibling("batch_3").sibling("batch_4")
    assert story.cancel_sibling("batch_3").batch.siblings == ("batch_2", "batch_4")


def test_repeat_about_a_sibling_is_nothing(given: Stages) -> None:
    """Two processes may find and cancel the same one."""
    story = given.at("submitted").sibling()
    story.facts()
    assert story.sibling().facts() == []
    assert story.cancel_sibling().cancel_sibling().news() == ["SiblingCanceled"]
    assert story.cancel_sibling("batch_9").facts() == []


def test_batch_that_was_adopted_is_no_sibling_any_more(given: Stages) -> None:
    """When our batch is left, a search may find its sibling, which waits to be canceled."""
    story = given.at("submitted").sibling("batch_2").poll(given.not_visible).create()
    with suppress(DomainError):  # to refuse it is as good
        story.answer("batch_2", adopted=True)
    assert story.batch.provider_batch_id not in story.batch.siblings


def test_batch_is_not_its_own_sibling(given: Stages) -> None:
    """The one provider batch of a submission is not the second one, during and after its run."""
    for stage in ("submitted", "in_progress", "canceling", *given.terminal_with_files):
        story = given.at(stage)
        with pytest.raises(OutOfOrderError, match=r"batch_1 is batch .* itself"):
            story.sibling("batch_1")
        assert story.facts() == [], stage
