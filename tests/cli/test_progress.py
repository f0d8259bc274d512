"""Progress where there is no terminal: a line when the step is another one, and at its end."""

from uuid import UUID

import pytest
from attrs import evolve
from tests.laboratory.author import Author

from batchtrail.adapters.cli.progress import describe, showing_progress
from batchtrail.application.progress import Applying, Delayed, Progress, Uploading, Waiting
from batchtrail.application.views import BatchSummary
from batchtrail.domain.values import RequestCounts

ID = UUID(int=1)


def waiting(word: str | None, *counts: int) -> Waiting:
    """A batch of three requests at the provider, in its word for that, and as it counts."""
    *_, batch = Author().withdrawn_life()
    summary = evolve(
        BatchSummary.of(batch),
        raw_status=word,
        request_counts=RequestCounts(*counts) if counts else None,
    )
    return Waiting(summary, 60.0)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (
            [Applying(ID, done, 3) for done in (1, 2, 3, 3)],
            ["applying results: 1 of 3", "applying results: 3 of 3"],
        ),
        (
            [Uploading(ID, sent, 2_000) for sent in (0, 1_000, 2_000)],
            ["uploading 0 B of 2.0 kB", "uploading 2.0 kB of 2.0 kB"],
        ),
        (
            [Delayed(ID, "no route", seconds) for seconds in (1.0, 1.0, 2.0)],
            ["no route; again in 1.0 s", "no route; again in 2.0 s"],
        ),
    ],
)
def test_lines(steps: list[Progress], told: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """A log must not fill with counts, but it must tell that it is done."""
    with showing_progress() as show:
        for step in steps:
            show(step)
    assert capfd.readouterr().err.splitlines() == [f"batchtrail: {line}" for line in told]


@pytest.mark.parametrize(
    ("step", "told", "done", "total"),
    [
        (waiting(None), "waiting: canceled, 0 of 3 done", 0, 3),
        (waiting("validating", 0, 0, 0), "waiting: validating, 0 of 3 done", 0, 3),
        (waiting("fin\x1b", 4, 2, 1), "waiting: fin\\x1b, 3 of 4 done", 3, 4),
    ],
)
def test_waiting(step: Waiting, told: str, done: int, total: int) -> None:
    """In the provider's own word and count, where it has given them."""
    text, *progress = describe(step)
    assert text.startswith(f"{told} after ")
    assert text.endswith("; next poll in 1 min 00 s")
    assert progress == [done, total]
