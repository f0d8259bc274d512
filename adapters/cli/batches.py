"""What the commands on batches do, over the service."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from attrs import frozen

from ...application.errors import HandlerError, InputError
from ...application.progress import OnProgress
from ...application.service import BatchService
from ...application.views import BatchSummary
from ...domain.errors import NothingToCollectError
from ...domain.status import BatchStatus
from .costs import parse_max_cost
from .exits import ExitStatus
from .output import check_input_path, check_output_path, check_standard_output, write_lines
from .place import Place, new_file, trail_at
from .progress import showing_progress
from .render import json_text, status_text, summary_data
from .results import outcomes_of
from .summing_up import exit_status, show_errors, sum_up
from .text import moment_text, say


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
        """The metadata as a mapping.

        Raises `InputError` for one that is no KEY=VALUE, and for a key that has two values.
        """
        labels = dict[str, str]()
        for label in self.metadata:
            key, separator, value = label.partition("=")
            if not separator or not key:
                raise InputError(f"--metadata {label!r} is no label; write KEY=VALUE")
            if key in labels:
                raise InputError(f"--metadata has {key!r} more than once; give each key one value")
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


@frozen
class RetryOptions:
    """What to submit once more."""

    batch: str
    only: Sequence[str]
    new: bool
    max_cost: str | None = None


async def run_batch(
    what: SubmitOptions, place: Place, output: Path | None, *, as_json: bool
) -> ExitStatus:
    """Submit, wait, write the results and sum up."""
    what.check()
    check_input_path(what.path, place.taken())
    if output is None and not as_json:
        check_standard_output()
    if output is not None:
        check_output_path(output, {what.path: "the input", **place.taken()})
    target = _target(output)
    allow_modules_here()
    new_database = new_file(place.settings())
    async with trail_at(place, needs_key=False, makes_database=True) as trail:
        batch_id = await _submit(trail, what, new_database)
        with showing_progress() as on_progress:
            summary, failed = await _waited(trail, batch_id, on_progress)
        if output is not None or not as_json:
            await write_lines(trail.result_lines(batch_id), target)
        redacted = await trail.redacted_requests(batch_id)
    if as_json:
        print(json_text(summary_data(summary)))
    sum_up(summary, output, redacted=redacted)
    if failed is not None:
        raise failed
    return exit_status(summary)


def _target(output: Path | None) -> Path | None:
    """Where the results go, whatever a completion handler makes of the working directory."""
    return None if output is None else output.absolute()


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
    check_input_path(what.path, place.taken())
    allow_modules_here()
    began, new_database = datetime.now(UTC), new_file(place.settings())
    async with trail_at(place, needs_key=False, makes_database=True) as trail:
        batch_id = await _submit(trail, what, new_database)
        summary = await trail.status(batch_id)
    if (before := _submitted_before(began, summary)) is not None:
        say(f"this input {before}")
    return _show_submitted(summary, as_json=as_json)


def _submitted_before(began: datetime, summary: BatchSummary) -> str | None:
    """What to say of a batch that was submitted before this command began; None of any other."""
    at = summary.submitted_at
    if at is None or at >= began:
        return None
    return f"was submitted before, at {moment_text(at)}; nothing was sent"


def _show_submitted(summary: BatchSummary, *, as_json: bool) -> ExitStatus:
    print(json_text(summary_data(summary)) if as_json else summary.id)
    show_errors(summary)
    if _is_cut_short(summary):
        first = "" if summary.results_collected else f"`collect {summary.id}`, and then "
        say(
            f"it is {summary.status.value}: {first}`retry {summary.id}` submits once more what had "
            "no answer"
        )
        return ExitStatus.INCOMPLETE
    return exit_status(summary) if summary.status is BatchStatus.FAILED else ExitStatus.OK


def _is_cut_short(summary: BatchSummary) -> bool:
    """Whether it ended before each request had its turn, so that nobody will answer the rest."""
    ends = (BatchStatus.CANCELED, BatchStatus.EXPIRED)
    return summary.status in ends and exit_status(summary) is ExitStatus.INCOMPLETE


async def retry_batch(what: RetryOptions, place: Place, *, as_json: bool) -> ExitStatus:
    """Submit once more what had no success, and print the new batch's id."""
    outcomes, max_cost = outcomes_of(what.only) or None, parse_max_cost(what.max_cost)
    began = datetime.now(UTC)
    async with trail_at(place) as trail:
        batch_id = await trail.find(what.batch)
        with showing_progress() as on_progress:
            retry_id = await trail.retry(
                batch_id,
                only=outcomes,
                new=what.new,
                max_cost=max_cost,
                on_progress=on_progress,
            )
        summary = await trail.status(retry_id)
    if (before := _submitted_before(began, summary)) is not None:
        say(f"this retry of batch {batch_id} {before}")
    elif summary.submitted_at is not None:
        say(f"asked once more of batch {batch_id}; requests: {summary.request_count:,}")
    return _show_submitted(summary, as_json=as_json)


async def _submit(trail: BatchService, what: SubmitOptions, new_database: Path | None) -> UUID:
    try:
        with showing_progress() as on_progress:
            return await trail.submit(
                what.path,
                metadata=what.labels(),
                description=what.why,
                completion_handler=what.handler,
                new=what.new,
                max_cost=parse_max_cost(what.max_cost),
                on_progress=on_progress,
            )
    except InputError:
        new_database = None  # nothing is recorded in it
        raise
    finally:
        if new_database is not None:
            say(f"new database: {new_database}")


async def collect_batch(batch: str, place: Place, *, as_is: bool, as_json: bool) -> ExitStatus:
    """Collect, or collect again, and sum up."""
    async with trail_at(place) as trail:
        batch_id = await trail.find(batch)
        summary = await trail.refresh(batch_id)
        with showing_progress() as on_progress:
            summary = await _collected(trail, summary, on_progress, as_is=as_is)
        redacted = await trail.redacted_requests(batch_id)
    if as_json:
        print(json_text(summary_data(summary)))
    sum_up(summary, None, redacted=redacted)
    return exit_status(summary)


async def _collected(
    trail: BatchService, summary: BatchSummary, on_progress: OnProgress, *, as_is: bool
) -> BatchSummary:
    """The batch with all that there is; one that had it before, as after a worker, is good."""
    if not summary.results_collected:
        return await trail.collect(summary.id, on_progress, as_is=as_is)
    try:
        return await trail.collect_again(summary.id, on_progress, as_is=as_is)
    except NothingToCollectError as error:
        if not error.is_complete:
            raise
        say(str(error))
        return summary


async def cancel_batch(batch: str, place: Place, *, as_json: bool) -> ExitStatus:
    """Cancel, and say how it stands."""
    async with trail_at(place, needs_key=False) as trail:
        batch_id = await trail.find(batch)
        with showing_progress() as on_progress:
            summary = await trail.cancel(batch_id, on_progress)
    if as_json:
        print(json_text(summary_data(summary)))
    elif summary.status.is_terminal:
        print(f"batch {batch_id} is {status_text(summary)}")
    else:
        print(f"batch {batch_id} is being canceled; finished requests keep their results")
    return ExitStatus.OK
