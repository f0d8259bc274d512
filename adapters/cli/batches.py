"""What the commands on batches do, over the service."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from uuid import UUID

from attrs import frozen

from ... import bootstrap
from ...application.correlation import correlated
from ...application.errors import HandlerError, InputError
from ...application.progress import OnProgress
from ...application.service import BatchService
from ...application.views import BatchSummary
from ...domain.status import BatchStatus, Outcome
from ...settings import Settings, is_postgresql, sqlite_path
from .costs import cost_text, parse_max_cost
from .exits import ExitStatus
from .logs import warnings_to_stderr
from .output import check_input, check_output, check_standard_output, write_results
from .progress import showing_progress
from .render import (
    OUTCOMES,
    error_text,
    json_text,
    outcomes_text,
    summary_data,
    tokens_text,
)
from .tables import format_of
from .text import clean

_SHOWN_ERRORS = 10
_DATABASE_FILES = ("", "-wal", "-shm", "-journal")


@frozen
class Place:
    """Which database and which API; None leaves it to the settings."""

    database: str | None = None
    base_url: str | None = None

    def settings(self) -> Settings:
        """The settings, with these before all others."""
        return Settings.load(database=self.database, base_url=self.base_url)

    def taken(self) -> dict[Path, str]:
        """The files that hold the log, and what to call them."""
        url = self.settings().database
        if is_postgresql(url):
            return {}
        path = sqlite_path(url)
        return {Path(f"{path}{suffix}"): "the database" for suffix in _DATABASE_FILES}


@frozen
class SubmitOptions:
    """What to submit, and what to note about it."""

    path: Path
    new: bool
    why: str | None
    metadata: Sequence[str]
    handler: str | None = None
    max_cost: str | None = None

    def labels(self) -> dict[str, str]:
        """The metadata as a mapping. Raises `InputError` for one that is no KEY=VALUE."""
        labels = {}
        for label in self.metadata:
            key, separator, value = label.partition("=")
            if not separator or not key:
                raise InputError(f"--metadata {label!r} is no label; write KEY=VALUE")
            labels[key] = value
        return labels

    def check(self) -> None:
        """Raise `InputError` for a value of the command line that cannot be used or stored."""
        parse_max_cost(self.max_cost)
        for text in (self.why, *self.metadata):
            try:
                (text or "").encode()
            except UnicodeEncodeError:
                raise InputError(f"{text!r} is not valid text; write it in UTF-8") from None


class Calls(Enum):
    """Whether a command asks the provider."""

    NEVER = "never"
    PERHAPS = "perhaps"
    SURELY = "surely"


@asynccontextmanager
async def trail_at(place: Place, calls: Calls) -> AsyncIterator[BatchService]:
    """The service; a missing key is an error before anything else where one is surely needed."""
    settings = place.settings()
    if calls is Calls.SURELY and settings.api_key is None:
        raise InputError(bootstrap.NO_KEY)
    with warnings_to_stderr(), correlated():
        async with bootstrap.open_trail(
            settings=settings,
            actor=bootstrap.command_line_actor(),
            provider=bootstrap.no_provider() if calls is Calls.NEVER else None,
        ) as trail:
            yield trail


async def run_batch(
    what: SubmitOptions, place: Place, output: Path | None, *, as_json: bool
) -> ExitStatus:
    """Submit, wait, write the results and sum up."""
    what.check()
    check_input(what.path, place.taken())
    if output is None and not as_json:
        check_standard_output()
    if output is not None:
        check_output(output, {what.path: "the input", **place.taken()})
    allow_modules_here()
    async with trail_at(place, Calls.SURELY) as trail:
        with showing_progress() as on_progress:
            batch_id = await _submit(trail, what, on_progress)
            summary, failed = await _waited(trail, batch_id, on_progress)
        if output is not None or not as_json:
            await write_results(trail.completions(batch_id), output)
    if as_json:
        print(json_text(summary_data(summary)))
    _sum_up(summary, output)
    if failed is not None:
        raise failed
    return _exit_status(summary)


def allow_modules_here() -> None:
    """Let completion handlers stand in the working directory, where their author tries them.

    Behind everything that is installed, so that no file there takes the place of a library.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


async def _waited(
    trail: BatchService, batch_id: UUID, on_progress: OnProgress
) -> tuple[BatchSummary, HandlerError | None]:
    """The end of a batch; what its completion handler met with must not keep its results."""
    try:
        return await trail.wait(batch_id, on_progress), None
    except HandlerError as error:
        return await trail.status(batch_id), error


async def submit_batch(what: SubmitOptions, place: Place, *, as_json: bool) -> ExitStatus:
    """Submit and print the batch id."""
    what.check()
    check_input(what.path, place.taken())
    async with trail_at(place, Calls.SURELY) as trail:
        with showing_progress() as on_progress:
            batch_id = await _submit(trail, what, on_progress)
        summary = await trail.status(batch_id)
    return _show_submitted(summary, as_json=as_json)


def _show_submitted(summary: BatchSummary, *, as_json: bool) -> ExitStatus:
    print(json_text(summary_data(summary)) if as_json else summary.id)
    _show_errors(summary)
    return ExitStatus.BAD_INPUT if summary.status is BatchStatus.FAILED else ExitStatus.OK


async def retry_batch(
    batch: str, place: Place, *, only: Sequence[str], new: bool, as_json: bool
) -> ExitStatus:
    """Submit once more what had no success, and print the new batch's id."""
    outcomes = outcomes_of(only)
    async with trail_at(place, Calls.SURELY) as trail:
        batch_id = await trail.find(batch)
        with showing_progress() as on_progress:
            retry_id = await trail.retry(batch_id, only=outcomes, new=new, on_progress=on_progress)
        summary = await trail.status(retry_id)
    say(f"{summary.request_count:,} requests of batch {batch_id} are asked once more")
    return _show_submitted(summary, as_json=as_json)


def outcomes_of(only: Sequence[str]) -> set[Outcome] | None:
    """The outcomes that `--only` names, None without it. Raises `InputError` for another word."""
    if not only:
        return None
    words = [word.strip() for text in only for word in text.split(",") if word.strip()]
    for word in words:
        if word not in OUTCOMES:
            raise InputError(f"--only {word!r} is no outcome; write some of {', '.join(OUTCOMES)}")
    if not words:
        raise InputError(f"--only names no outcome; write some of {', '.join(OUTCOMES)}")
    return {Outcome(word) for word in words}


async def _submit(trail: BatchService, what: SubmitOptions, on_progress: OnProgress) -> UUID:
    return await trail.submit(
        what.path,
        metadata=what.labels(),
        description=what.why,
        completion_handler=what.handler,
        new=what.new,
        max_cost=parse_max_cost(what.max_cost),
        on_progress=on_progress,
    )


async def write_batch_results(
    batch: str, place: Place, output: Path | None, *, format_: str, only: Sequence[str]
) -> ExitStatus:
    """Collect what is over, and write the results."""
    wanted = outcomes_of(only) or frozenset(Outcome)
    shape = format_of(format_, to_file=output is not None)
    if output is None:
        check_standard_output()
    else:
        check_output(output, place.taken())
    async with trail_at(place, Calls.PERHAPS) as trail:
        batch_id = await trail.find(batch)
        with showing_progress() as on_progress:
            summary = await _collected(trail, batch_id, on_progress)
        completions = trail.completions(batch_id)
        await write_results(completions, output, only=wanted, format_=shape)
    if output is not None:
        _sum_up(summary, output)
    return _exit_status(summary)


async def _collected(trail: BatchService, batch_id: UUID, on_progress: OnProgress) -> BatchSummary:
    summary = await trail.status(batch_id)
    if not summary.results_collected:
        summary = await trail.refresh(batch_id)
    if not summary.status.is_terminal:
        raise InputError(
            f"batch {batch_id} is {summary.status.value}; its results come with its end, "
            "`run` with the same input waits for it"
        )
    if not summary.results_collected:
        summary = await trail.collect(batch_id, on_progress)
    return summary


async def collect_batch(batch: str, place: Place, *, as_is: bool, as_json: bool) -> ExitStatus:
    """Collect, or collect again, and sum up."""
    async with trail_at(place, Calls.SURELY) as trail:
        batch_id = await trail.find(batch)
        summary = await trail.refresh(batch_id)
        with showing_progress() as on_progress:
            collect = trail.collect_again if summary.results_collected else trail.collect
            summary = await collect(batch_id, on_progress, as_is=as_is)
    if as_json:
        print(json_text(summary_data(summary)))
    _sum_up(summary, None)
    return _exit_status(summary)


async def cancel_batch(batch: str, place: Place, *, as_json: bool) -> ExitStatus:
    """Cancel, and say how it stands."""
    async with trail_at(place, Calls.PERHAPS) as trail:
        batch_id = await trail.find(batch)
        with showing_progress() as on_progress:
            summary = await trail.cancel(batch_id, on_progress)
    if as_json:
        print(json_text(summary_data(summary)))
    elif summary.status.is_terminal:
        print(f"batch {batch_id} is {summary.status.value}")
    else:
        print(f"batch {batch_id} is being canceled; finished requests keep their results")
    return ExitStatus.OK


def _sum_up(summary: BatchSummary, output: Path | None) -> None:
    """What came of a batch, on standard error."""
    target = "" if output is None else f" -> {clean(str(output))}"
    say(f"batch {summary.id} {summary.status.value}: {outcomes_text(summary)}{target}")
    say(f"tokens: {tokens_text(summary)}")
    say(f"cost: {cost_text(summary.totals)}")
    if summary.totals.skipped_lines:
        say(f"{summary.totals.skipped_lines:,} result lines fit no request; see `history`")
    _show_errors(summary)


def _show_errors(summary: BatchSummary) -> None:
    for error in summary.errors[:_SHOWN_ERRORS]:
        say(error_text(error))
    left = summary.error_count - len(summary.errors[:_SHOWN_ERRORS])
    if left > 0:
        say(f"and {left:,} more errors; `history {summary.id} --json` shows all")
    if summary.given_up:
        say(f"`retry {summary.id}` submits the requests without success once more")
    elif summary.status is BatchStatus.FAILED:
        say("mend the input and run it again; --new submits the same input once more")


def _exit_status(summary: BatchSummary) -> ExitStatus:
    if summary.totals.outcomes.succeeded == summary.request_count:
        return ExitStatus.OK
    if summary.status is BatchStatus.FAILED and not summary.given_up:
        return ExitStatus.BAD_INPUT
    return ExitStatus.INCOMPLETE


def say(text: str) -> None:
    """Print a sentence on standard error."""
    print(f"batchtrail: {text}", file=sys.stderr)
