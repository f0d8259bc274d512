"""Rules 6 and 8: result lines, each to its request, once, after every end that has files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.domain.conftest import report

from batchtrail.domain.bodies import Body
from batchtrail.domain.errors import BatchFinishedError, NotTerminalError, OutOfOrderError
from batchtrail.domain.requests import RequestIndex
from batchtrail.domain.status import Outcome, ResultFile, SkipReason
from batchtrail.domain.values import (
    OutcomeCounts,
    RequestProblem,
    ResultLine,
    TokenUsage,
    Totals,
)

if TYPE_CHECKING:
    from tests.domain.conftest import Stages

OUT, ERR = ResultFile.OUTPUT, ResultFile.ERROR


@pytest.mark.parametrize("stage", ["ended", "expired", "canceled", "failed"])
def test_finished_rows_of_every_end_are_kept(given: Stages, stage: str) -> None:
    """They are paid for, whatever became of the batch."""
    story = given.at(stage).apply("a", "b")
    assert story.news() == ["ResultApplied"] * 2
    assert story.batch.totals.outcomes == OutcomeCounts(succeeded=2)


def test_result_is_recorded_whole(given: Stages) -> None:
    """The line as received, where it stood, and what it came to."""
    story = given.at("ended")
    error, usage = RequestProblem("invalid_prompt", "No."), TokenUsage(5, 1, 2, 1)
    line = story.line(
        "b", file=ERR, status_code=400, body_error=error, usage=usage, raw=b'{"x": \xff}'
    )
    story.apply(line, file=ERR)
    assert story.facts() == [
        (
            "ResultApplied",
            {
                "custom_id": "b",
                "number": 2,
                "outcome": Outcome.FAILED,
                "status_code": 400,
                "error": error,
                "usage": usage,
                "cost": None,
                "file": ERR,
                "offset": 0,
                "line": Body.of(b'{"x": \xff}'),
            },
        )
    ]
    assert story.batch.totals == Totals(OutcomeCounts(failed=1), usage, unpriced=1)


@pytest.mark.parametrize("file", ResultFile)
def test_content_decides_not_the_file(given: Stages, file: ResultFile) -> None:
    """A success in the error file is one, and a failure in the output file is one."""
    story = given.at("ended")
    story.apply(story.line("a", file=file), story.line("b", file=file, status_code=500), file=file)
    assert story.batch.totals.outcomes == OutcomeCounts(succeeded=1, failed=1)


@pytest.mark.parametrize(
    ("odd", "reason", "problem"),
    [
        (
            {"custom_id": None, "problem": "the line is not UTF-8"},
            SkipReason.UNREADABLE,
            "the line is not UTF-8",
        ),
        ({"custom_id": None}, SkipReason.UNREADABLE, "unreadable"),
        (
            {"custom_id": "nobody"},
            SkipReason.UNKNOWN_CUSTOM_ID,
            "the batch has no request with this custom_id",
        ),
        (
            {"custom_id": "a"},
            SkipReason.REPEATED_CUSTOM_ID,
            "the request has its result already; the first one counts",
        ),
    ],
)
def test_line_that_fits_nowhere_is_skipped(
    given: Stages, odd: dict[str, Any], reason: SkipReason, problem: str
) -> None:
    """It is recorded with its reason, counted, and the lines around it are applied."""
    story = given.at("ended").apply("a")
    story.facts()
    bad = story.line(**odd, file=OUT, status_code=500, raw=b"bad", usage=TokenUsage(7))
    story.apply(bad, "b")
    skipped, applied = story.facts()
    assert skipped == (
        "ResultSkipped",
        {
            "reason": reason,
            "custom_id": odd["custom_id"],
            "problem": problem,
            "file": OUT,
            "offset": 10,
            "line": Body.of(b"bad"),
            "cut_off": False,
        },
    )
    assert (applied[0], applied[1]["custom_id"]) == ("ResultApplied", "b")
    totals = Totals(OutcomeCounts(succeeded=2), skipped_lines=1, unpriced=2)
    assert story.batch.totals == totals


def test_the_piece_of_a_line(given: Stages) -> None:
    """It is recorded as cut off, and a later collection can begin at it again."""
    story = given.at("ended").apply("a")
    offset = story.batch.positions[OUT].offset
    story.facts()
    story.batch.skip_cut_end(OUT, offset, b'{"custom', stamp=story.stamp())
    ((name, facts),) = story.facts()
    assert name == "ResultSkipped"
    assert (facts["reason"], facts["cut_off"]) == (SkipReason.UNREADABLE, True)
    story.collect()
    story.batch.reopen_collection(
        report("completed", output_file_id="file-out"),
        request_id=None,
        stamp=story.stamp(),
        cut_ends={OUT: offset},
    )
    assert story.batch.positions[OUT].offset == offset
    with pytest.raises(OutOfOrderError):
        story.batch.skip_cut_end(OUT, offset - 1, b"{", stamp=story.stamp())


def test_repeat_in_the_other_file_is_skipped(given: Stages) -> None:
    """A request has one outcome, even if both files mention it."""
    story = given.at("ended").apply("a")
    story.apply(story.line("a", file=ERR, status_code=500), file=ERR)
    assert story.news() == ["ResultApplied", "ResultSkipped"]
    assert story.batch.totals.outcomes == OutcomeCounts(succeeded=1)


def test_repeat_is_known_to_a_fresh_index(given: Stages) -> None:
    """After a restart the index comes from the view and knows what was settled."""
    story = given.at("ended").apply("a")
    story.facts()
    story.index = RequestIndex(["a", "b", "c"], settled=[1])
    assert story.apply("a", "b").news() == ["ResultSkipped", "ResultApplied"]


def test_position_moves_behind_each_line(given: Stages) -> None:
    """Each file has its own position: behind the newline of the last line applied or skipped."""
    story = given.at("ended").apply("a", "nobody")
    story.apply(story.line("b", file=ERR, raw=b"12345"), file=ERR)
    positions = story.batch.positions
    assert (positions[OUT].offset, positions[OUT].lines) == (20, 2)
    assert (positions[ERR].offset, positions[ERR].lines) == (6, 1)


def test_blank_lines_may_lie_between(given: Stages) -> None:
    """A gap in the offsets is what the reader left out."""
    story = given.at("ended")
    story.apply(ResultLine(2, b"{}", "a", answered=True), ResultLine(9, b"{}", "b", answered=True))
    assert story.batch.positions[OUT].offset == 12


def test_lines_of_one_decision_in_any_order(given: Stages) -> None:
    """The position moves behind the last line of the file, and a replay says the same."""
    story = given.at("ended")
    late, early = (
        ResultLine(20, b"{}", "b", answered=True),
        ResultLine(4, b"{}", "nobody", answered=True),
    )
    story.apply(late, early)
    assert story.batch.positions[OUT].offset == 23
    first = ResultLine(0, b"{}", "a", answered=True)
    with pytest.raises(OutOfOrderError, match="byte 0 of the output file"):
        story.apply(first)
    story.batch.apply_results(OUT, [first], story.index, behind=0, stamp=story.stamp())
    assert (story.batch.positions[OUT].offset, story.batch.positions[OUT].lines) == (23, 3)
    assert story.news() == ["ResultApplied", "ResultSkipped", "ResultApplied"]
    assert story.replayed() == story.state()


@pytest.mark.parametrize("offset", [0, 1, 9])
def test_line_before_the_position_is_refused(given: Stages, offset: int) -> None:
    """What was applied is not applied again: the caller's place in the file is wrong."""
    story = given.at("ended").apply("a")
    story.facts()
    with pytest.raises(OutOfOrderError, match=f"byte {offset} of the output file"):
        story.apply(ResultLine(offset, b"{}", "b", answered=True))
    assert story.facts() == []


def test_refused_lines_record_nothing(given: Stages) -> None:
    """A command is taken whole or not at all."""
    story = given.at("ended")
    good, again = ResultLine(0, b"{}", "a", answered=True), ResultLine(0, b"{}", "b", answered=True)
    with pytest.raises(OutOfOrderError, match="byte 0 of the output file"):
        story.apply(good, again)
    assert story.facts() == []
    assert story.apply(good).news() == ["ResultApplied"]


def test_lines_may_not_overlap(given: Stages) -> None:
    """A line begins behind the newline of the one before it."""
    story = given.at("ended")
    with pytest.raises(OutOfOrderError, match="byte 2 of the output file"):
        story.apply(
            ResultLine(0, b"{}", "a", answered=True), ResultLine(2, b"{}", "b", answered=True)
        )
    assert story.facts() == []


@pytest.mark.parametrize("stage", ["drafted", "started", "creating", "submitted", "canceling"])
def test_results_wait_for_the_end(given: Stages, stage: str) -> None:
    """Before the end the files are not final."""
    story = given.at(stage)
    with pytest.raises(NotTerminalError, match="its results are not final"):
        story.apply("a")
    assert story.facts() == []
    assert story.index.settle("a") == story.index.number("a")


def test_collected_batch_takes_no_results(given: Stages) -> None:
    """The totals are final."""
    story = given.at("collected")
    with pytest.raises(BatchFinishedError, match="applying results is too late"):
        story.apply("c")
    assert story.facts() == []


def test_nothing_to_apply_is_nothing(given: Stages) -> None:
    """An empty file leaves no event."""
    assert given.at("ended").apply().facts() == []


def test_tokens_are_summed(given: Stages) -> None:
    """Every answer's tokens count, those of failures too; a line without usage adds none."""
    story = given.at("ended")
    story.apply(
        story.line("a", file=OUT, usage=TokenUsage(10, 4, 6, 2)),
        story.line("b", file=OUT, usage=TokenUsage(1, 0, 1, 0), status_code=500),
        story.line("c", file=OUT),
    )
    assert story.batch.totals.usage == TokenUsage(11, 4, 7, 2)
    assert story.batch.totals.usage.total == 18
