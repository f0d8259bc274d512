"""What `results` does: write what came back, from the log where it is all there."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from ...application.errors import InputError
from ...application.views import BatchSummary
from ...domain.status import Outcome
from .exits import ExitStatus
from .formats import Format, check_format
from .lists import chosen
from .output import check_output_path, check_standard_output, write_lines, write_table
from .place import Place, log_at, trail_at
from .render import OUTCOMES
from .summing_up import exit_status, sum_up


async def write_batch_results(
    batch: str, place: Place, output: Path | None, *, format_: Format, only: Sequence[str]
) -> ExitStatus:
    """Collect what is over, and write the results."""
    wanted = outcomes_of(only) or frozenset(Outcome)
    check_format(format_, to_file=output is not None)
    if output is None:
        check_standard_output()
    else:
        check_output_path(output, place.taken())
    async with log_at(place) as log:
        summary = await log.status(await log.find(batch))
    if not summary.results_collected:
        summary = await _collected(summary.id, place)
    async with log_at(place) as log:
        if format_ is Format.LINES:
            await write_lines(log.result_lines(summary.id, only=wanted), output)
        else:
            await write_table(log.completions(summary.id), output, format_, only=wanted)
        redacted = await log.redacted_requests(summary.id)
    if output is not None:
        sum_up(summary, output, redacted=redacted)
    return exit_status(summary)


async def _collected(batch_id: UUID, place: Place) -> BatchSummary:
    """A batch whose results are in the log; asks the provider for them if it is over."""
    async with trail_at(place, needs_key=False) as trail:
        summary = await trail.refresh(batch_id)
        if not summary.status.is_terminal:
            raise InputError(
                f"batch {batch_id} is {summary.status.value}; its results come with its end, "
                "`run` with the same input waits for it"
            )
        if summary.results_collected:
            return summary
        from .progress import showing_progress  # noqa: PLC0415 (start-up time)

        with showing_progress() as on_progress:
            return await trail.collect(batch_id, on_progress)


def outcomes_of(only: Sequence[str]) -> frozenset[Outcome]:
    """The outcomes that `--only` names, none without it. Raises `InputError` for another word."""
    return chosen("--only", only, {each.value: each for each in OUTCOMES}, "outcome")
