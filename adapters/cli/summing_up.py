"""What came of a batch: a summary on standard error, and the exit status."""

from pathlib import Path

from ...application.views import BatchSummary
from .costs import cost_text
from .exits import ExitStatus
from .render import error_text, outcomes_text, tokens_text
from .text import say

_SHOWN_ERRORS = 10


def sum_up(summary: BatchSummary, output: Path | None, *, redacted: int) -> None:
    """What came of a batch, on standard error.

    `redacted` counts the requests whose answers are in no results file any more.
    """
    gone = f"; {redacted:,} redacted" if redacted else ""
    target = "" if output is None else f" -> {output}"
    say(f"batch {summary.id} {summary.status.value}: {outcomes_text(summary)}{gone}{target}")
    say(f"tokens: {tokens_text(summary.totals.usage)}")
    say(f"cost: {cost_text(summary.totals)}")
    if summary.totals.skipped_lines:
        say(f"result lines that fit no request: {summary.totals.skipped_lines:,}; see `history`")
    show_errors(summary)
    if exit_status(summary) is ExitStatus.INCOMPLETE and not summary.given_up:
        say(_remedy(summary))


def _remedy(summary: BatchSummary) -> str:
    """What to do about requests without success."""
    outcomes = summary.totals.outcomes
    if outcomes.missing:
        return (
            f"`collect {summary.id}` asks once more for the results that are missing, which may "
            f"be paid; `retry {summary.id}` submits the requests once more"
        )
    if outcomes.expired + outcomes.canceled:
        return f"`retry {summary.id}` submits once more what had no answer"
    return (
        f"`results {summary.id} --only failed` tells why; `retry {summary.id}` submits once more "
        "what failed for the server's sake"
    )


def show_errors(summary: BatchSummary) -> None:
    """The first errors of a whole batch, and what to do about them."""
    for error in summary.errors[:_SHOWN_ERRORS]:
        say(error_text(error))
    left = summary.error_count - len(summary.errors[:_SHOWN_ERRORS])
    if left > 0:
        say(f"more errors: {left:,}; `history {summary.id} --json` shows all")
    if summary.given_up:
        say(f"`retry {summary.id}` submits the requests without success once more")
    elif summary.never_ran:
        is_refused = summary.provider_batch_id is None
        wrong = "the input, or the base URL (OPENAI_BASE_URL)," if is_refused else "the input"
        say(f"mend {wrong} and run it again; --new submits the same input once more")


def exit_status(summary: BatchSummary) -> ExitStatus:
    """What the end of a batch tells the shell."""
    if summary.totals.outcomes.succeeded == summary.request_count:
        return ExitStatus.OK
    return ExitStatus.BAD_INPUT if summary.never_ran else ExitStatus.INCOMPLETE
