"""Progress on standard error: a bar on a terminal, a line for each change elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime

from ...application.progress import (
    Applying,
    Delayed,
    OnProgress,
    Progress,
    Rebuilding,
    Searching,
    Uploading,
    Waiting,
)
from .streams import printing_to
from .text import clean, duration_text, say, size_text


def describe(progress: Progress) -> tuple[str, int | None, int | None]:
    """A step in words, and how far it is: done of how many, where that is known."""
    match progress:
        case Uploading(sent=sent, size=size):
            return f"uploading {size_text(sent)} of {size_text(size)}", sent, size
        case Searching(until=until):
            left = max(0.0, (until - datetime.now(UTC)).total_seconds())
            text = (
                "the answer to the create call was lost; searching the provider's list "
                f"for {duration_text(left)} more before creating again"
            )
            return text, None, None
        case Waiting(summary=summary, seconds=seconds):
            counts = summary.request_counts
            done = counts.completed + counts.failed if counts else 0
            total = (counts.total if counts else 0) or summary.request_count
            word = clean(summary.raw_status or summary.status.value)
            since = summary.submitted_at or summary.created_at
            elapsed = duration_text(max(0.0, (datetime.now(UTC) - since).total_seconds()))
            text = (
                f"waiting: {word}, {done:,} of {total:,} done after {elapsed}; "
                f"next poll in {duration_text(seconds)}"
            )
            return text, done, total
        case Applying(applied=applied, requests=requests):
            return f"applying results: {applied:,} of {requests:,}", applied, requests
        case Rebuilding(batches=batches, of=of):
            return f"rebuilding the views; batches: {batches:,} of {of:,}", batches, of
        case Delayed(reason=reason, seconds=seconds):
            return f"{clean(reason)}; again in {duration_text(seconds)}", None, None


@contextmanager
def showing_progress() -> Iterator[OnProgress]:
    """Show each step until the end of the block, on standard error.

    What a completion handler prints meanwhile goes there as well: standard output is for results.
    """
    with printing_to(sys.stderr), _showing() as show:
        yield show


def _showing() -> AbstractContextManager[OnProgress]:
    if not sys.stderr.isatty():
        return nullcontext(_on_lines())
    from .bar import showing_bar  # noqa: PLC0415 (start-up time)

    return showing_bar()


def _on_lines() -> OnProgress:
    """A line when the step is another one, and at its end: a log must not fill with counts."""
    said: set[str] = set()

    def show(progress: Progress) -> None:
        text, done, total = describe(progress)
        key = _line_key(progress)
        if key not in said or (done is not None and done == total):
            if text not in said:
                say(text)
            said.update((key, text))

    return show


def _line_key(progress: Progress) -> str:
    match progress:
        case Waiting(summary=summary):
            return f"waiting {summary.raw_status}"
        case Delayed(reason=reason, seconds=seconds):
            return f"delayed {reason} {seconds}"
        case _:
            return type(progress).__name__
