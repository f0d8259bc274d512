"""What people are told of batches to which everything has happened, word for word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from tests.laboratory.author import Author

from batchtrail.adapters.cli.render import summary_lines
from batchtrail.adapters.cli.summing_up import sum_up
from batchtrail.adapters.cli.timeline import Timeline
from batchtrail.application.views import BatchSummary

if TYPE_CHECKING:
    from batchtrail.domain.batch import Batch
    from batchtrail.domain.events import BatchEvent

_WHEN = re.compile(r"^ +(\d+)  \d{4}-\S+ \S+Z +\S+  (\w+) *")
_WHO = re.compile(r"(; )?by test:ada@höst #chain$")
_DRAWN = re.compile(r"-[0-9a-f]{8}(?=\.jsonl)")
LATER = "with the next start of a worker"
_TOLD = Path(__file__).parents[1] / "golden" / "told"


def ended(life: str) -> Batch:
    """A batch at the end of one of the author's lives."""
    *_, batch = getattr(Author(), life)()
    found: Batch = batch
    return found


def history(batch: Batch, *, every: bool) -> list[str]:
    """The lines of all events."""
    timeline = Timeline(batch.created_on, every=every)
    events = cast("list[BatchEvent]", batch.pending_events)
    return [line for event in events for line in timeline.lines(event)]


def events(batch: Batch) -> list[str]:
    """The lines of `history`, without when and who, which are the same in each."""
    lines = history(batch, every=True)
    return [_WHO.sub("", _WHEN.sub(r"\1 \2 ", line)).strip() for line in lines]


@pytest.mark.parametrize("life", ["long_life", "refused_life", "withdrawn_life", "forgotten_life"])
def test_what_is_told(life: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By `history`, by `status`, and at the end of `run` and `collect`."""
    batch = ended(life)
    summary = BatchSummary.of(batch)
    shown = [f"{name}: {value}" for name, value in summary_lines(summary)]
    sum_up(summary, None, redacted=batch.redactions)
    summed = capsys.readouterr().err.splitlines()
    told = "\n".join([*events(batch), "", *shown, "", *summed, ""])
    expected = (_TOLD / f"{life}.txt").read_text(encoding="utf-8")
    assert _DRAWN.sub("", told.replace(str(batch.id), "ID")) == expected


def test_results_that_come_again() -> None:
    """Each run of results is a line with a count of its own."""
    lines = history(ended("long_life"), every=False)
    counts = [int(line.split(" results: ")[1].split(";")[0]) for line in lines if "--all" in line]
    assert counts == [4, 1, 1]


def test_what_is_told_on_the_way() -> None:
    """What is wished, what keeps it from going on, and until when."""
    told = dict[str, None]()
    for batch in Author().long_life():
        for name, value in summary_lines(BatchSummary.of(batch)):
            if name in {"status", "waits", "trouble"}:
                told[f"{name}: {value}"] = None
    assert list(told) == [
        "status: pending",
        "status: submitted (the provider says validating)",
        "waits: until 2026-01-02 03:05:06.000Z: token_limit_exceeded: Später.",
        "status: in_progress (the provider says in_progress)",
        "status: in_progress, canceling (the provider says in_progress)",
        "status: canceled (the provider says cancelled)",
        "trouble: completion handler failed once, again at 2026-01-02 03:09:06.000Z: Ünlucky.",
        f"trouble: completion handler failed 2 times in a row, again {LATER}: Gone.",
    ]
