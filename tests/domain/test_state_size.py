"""Rule 9: what a command loads does not grow with the number of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from batchtrail.domain.requests import RequestIndex
from batchtrail.domain.status import ResultFile
from batchtrail.domain.values import ERRORS_IN_BRIEF, BatchProblem, ResultLine, TokenUsage

if TYPE_CHECKING:
    from tests.domain.conftest import Stages, Story

FEW, MANY = 50, 20_000
DIGITS = 60
"""Larger numbers take a few bytes more; there are about fifteen of them."""


def size_of(story: Story) -> int:
    return len(msgspec.msgpack.encode(story.state()))


def collected(given: Stages, count: int) -> Story:
    """A batch with so many requests, some without success, some mentioned by no line."""
    story = given.at("drafted")
    ids = [f"request-{number}" for number in range(count)]
    story.add(*ids).start().upload().create().answer().poll("completed", output_file_id="file-out")
    story.index = RequestIndex(ids)
    lines = [
        ResultLine(
            offset=number * 11,
            raw=b"0123456789",
            custom_id="nobody" if number % 10 == 9 else custom_id,
            answered=True,
            status_code=200 if number % 3 else 500,
            usage=TokenUsage(1_000, 100, 500, 50),
        )
        for number, custom_id in enumerate(ids)
    ]
    story.batch.apply_results(ResultFile.OUTPUT, lines, story.index, stamp=story.stamp())
    return story.collect()


def test_state_is_as_small_with_many_results(given: Stages) -> None:
    """Twenty thousand results take the room of fifty, but for some digits."""
    few, many = collected(given, FEW), collected(given, MANY)
    assert many.batch.totals.outcomes.settled == MANY
    assert size_of(many) - size_of(few) <= DIGITS
    assert size_of(many) < 2_000


def test_state_is_as_small_with_many_errors(given: Stages) -> None:
    """A batch whose every line is refused by the provider is loaded as quickly as any other."""
    few, many = (
        given.at("submitted").poll(
            "failed",
            errors=tuple(
                BatchProblem("invalid_json_line", "This line is not JSON.", None, line)
                for line in range(1, count + 1)
            ),
        )
        for count in (FEW, 1_000)
    )
    assert size_of(many) - size_of(few) <= DIGITS
    assert (few.batch.error_count, many.batch.error_count) == (FEW, 1_000)
    assert len(many.batch.errors) == ERRORS_IN_BRIEF


def test_state_does_not_grow_with_polls(given: Stages) -> None:
    """A batch that is watched for a day carries its last report only."""
    story = given.at("in_progress")
    story.poll("in_progress", output_file_id="file-0000")
    before = size_of(story)
    for number in range(1_000, 2_000):
        story.poll("in_progress", output_file_id=f"file-{number}")
    assert size_of(story) - before <= DIGITS


def test_state_does_not_grow_with_siblings_and_discarded_files(given: Stages) -> None:
    """What was cleaned away stays in the log only."""
    story = given.at("submitted")
    before = size_of(story)
    for number in range(500):
        sibling = f"batch_{number + 2}"
        story.sibling(sibling).cancel_sibling(sibling).discard(f"file-{number + 2}")
    assert size_of(story) - before <= 10 * len("batch_500 ") + DIGITS
