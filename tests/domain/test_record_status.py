"""What the provider reports: a change is recorded, a repeat is nothing, the end is the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batchtrail.domain.errors import NotSubmittedError
from batchtrail.domain.status import BatchStatus
from batchtrail.domain.values import ERRORS_IN_BRIEF, BatchProblem, RequestCounts, TokenUsage

if TYPE_CHECKING:
    from tests.domain.conftest import Stages

WORDS = {
    "in_progress": BatchStatus.IN_PROGRESS,
    "finalizing": BatchStatus.IN_PROGRESS,
    "cancelling": BatchStatus.IN_PROGRESS,
    "completed": BatchStatus.ENDED,
    "failed": BatchStatus.FAILED,
    "expired": BatchStatus.EXPIRED,
    "cancelled": BatchStatus.CANCELED,
}


@pytest.mark.parametrize("raw", WORDS)
def test_report_is_recorded_whole(given: Stages, raw: str) -> None:
    """Our status, the provider's own word, counts, files and usage."""
    seen = given.report(
        raw,
        request_counts=RequestCounts(3, 2, 1),
        output_file_id="file-out",
        error_file_id="file-err",
        usage=TokenUsage(10, 1, 5, 2),
        model="gpt-5-nano-2025-08-07",
    )
    story = given.at("submitted").poll(seen)
    event = "Canceled" if raw == "cancelled" else "StatusChanged"
    assert story.facts() == [(event, {"report": seen, "request_id": "req-poll"})]
    assert (story.batch.status, story.batch.raw_status) == (WORDS[raw], raw)
    assert story.batch.report == seen


def test_first_validating_is_recorded_once(given: Stages) -> None:
    """The answer to the create carried only the word; the first poll brings the rest."""
    story = given.at("submitted").poll("validating").poll("validating")
    assert story.news() == ["StatusChanged"]


def test_repeated_report_is_nothing(given: Stages) -> None:
    """A poll without news leaves no event."""
    story = given.at("in_progress")
    assert story.poll("in_progress").poll("in_progress").facts() == []


def test_repeat_that_answers_a_call_is_recorded(given: Stages) -> None:
    """The call changed something at the provider: its request id belongs in the log."""
    story = given.at("in_progress")
    before = story.batch.report
    assert story.poll("in_progress", after_call=True).facts() == [
        ("StatusChanged", {"report": before, "request_id": "req-poll"})
    ]
    assert story.batch.report == before


def errors(count: int) -> tuple[BatchProblem, ...]:
    return tuple(
        BatchProblem("invalid_json_line", "This line is not JSON.", None, line)
        for line in range(1, count + 1)
    )


@pytest.mark.parametrize("count", [0, 1, ERRORS_IN_BRIEF, ERRORS_IN_BRIEF + 1, 1_000])
def test_errors_are_counted_and_kept_in_brief(given: Stages, count: int) -> None:
    """The event has every error, the state the first few and their number."""
    story = given.at("submitted").poll("failed", errors=errors(count))
    ((_, facts),) = story.facts()
    assert facts["report"].errors == errors(count)
    assert story.batch.error_count == count
    assert story.batch.errors == errors(min(count, ERRORS_IN_BRIEF))


def test_errors_of_a_canceled_batch_are_counted(given: Stages) -> None:
    """Every event with a report counts alike."""
    batch = given.at("canceling").poll("cancelled", errors=errors(30)).batch
    assert (batch.error_count, batch.errors) == (30, errors(ERRORS_IN_BRIEF))


def test_error_count_is_of_the_last_report(given: Stages) -> None:
    """Errors that a later report does not repeat are no longer counted."""
    story = given.at("submitted").poll("in_progress", errors=errors(30)).poll("in_progress")
    assert (story.batch.error_count, story.batch.errors) == (0, ())


def test_repeated_report_with_many_errors_is_nothing(given: Stages) -> None:
    """What the state keeps in brief is still recognised."""
    story = given.at("submitted").poll("in_progress", errors=errors(1_000))
    story.facts()
    assert story.poll("in_progress", errors=errors(1_000)).facts() == []


@pytest.mark.parametrize(
    "news",
    [
        {"request_counts": RequestCounts(3, 1, 0)},
        {"output_file_id": "file-out"},
        {"usage": TokenUsage(1)},
        {"is_canceling": True},
    ],
)
def test_any_difference_is_news(given: Stages, news: dict[str, Any]) -> None:
    """The word need not change for a report to be worth keeping."""
    assert given.at("in_progress").poll("in_progress", **news).news() == ["StatusChanged"]


@pytest.mark.parametrize("raw", [*WORDS, "validating", "some_new_word"])
def test_terminal_status_is_never_overwritten(given: Stages, raw: str) -> None:
    """Whatever a later poll or the answer to a call says, the end stays; nothing is recorded."""
    for stage in given.terminal_with_files:
        story = given.at(stage)
        before = story.state()
        story.poll(raw, request_counts=RequestCounts(9, 9, 9))
        story.poll(raw, request_counts=RequestCounts(9, 9, 9), after_call=True)
        assert (story.facts(), story.state()) == ([], before), stage


def test_collected_batch_has_no_later_status(given: Stages) -> None:
    """The totals are final, and so is the status they belong to."""
    assert given.at("collected").poll("expired").facts() == []


@pytest.mark.parametrize("stage", ["drafted", "filled"])
def test_status_needs_a_provider_batch(given: Stages, stage: str) -> None:
    """What the provider has not taken has no status there."""
    story = given.at(stage)
    with pytest.raises(NotSubmittedError, match="a status is impossible"):
        story.poll("in_progress")
    assert story.facts() == []


@pytest.mark.parametrize(
    "stage",
    [
        *("started", "uploaded", "creating", "left", "created_again"),
        *("submitted", "in_progress", "canceling", "ended", "collected"),
    ],
)
@pytest.mark.parametrize("raw", [*WORDS, "validating"])
@pytest.mark.parametrize("after_call", [False, True])
def test_report_about_another_batch_is_nothing(
    given: Stages, stage: str, raw: str, after_call: bool
) -> None:
    """Only the provider batch that is ours now has a say, whatever it was asked for."""
    story = given.at(stage)
    before = story.state()
    story.poll(raw, of="batch_9", after_call=after_call, output_file_id="file-other")
    assert (story.facts(), story.state()) == ([], before)


def test_terminal_statuses() -> None:
    """Four words are ends, three are not."""
    assert {status for status in BatchStatus if status.is_terminal} == {
        BatchStatus.ENDED,
        BatchStatus.CANCELED,
        BatchStatus.EXPIRED,
        BatchStatus.FAILED,
    }
