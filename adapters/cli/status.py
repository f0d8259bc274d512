"""What `status` prints: batches and requests, as they are or as they were."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import frozen

from ...application.errors import InputError, NoDatabaseError, ProviderError
from ...application.log_reader import LogReader
from ...application.views import BatchSummary
from .exits import ExitStatus
from .moments import parse_at
from .place import Place, log_at, trail_at
from .render import json_text, outcomes_text, print_lines, summary_data, summary_lines
from .requests import life_data, life_lines
from .text import clean, moment_text, say

if TYPE_CHECKING:
    from ...application.service import BatchService

At = datetime | int


@frozen
class Looked:
    """What to look at, and as of when."""

    batch: str | None
    request: str | None
    at: str | None
    refresh: bool
    limit: int

    def moment(self) -> At | None:
        """As of when; None is now. Raises `InputError` for what does not go together."""
        if self.refresh and self.request is not None:
            raise InputError("--refresh asks for a batch, not for one of its requests")
        if self.at is None:
            return None
        if self.refresh:
            raise InputError("--at looks back and --refresh asks what is now; leave one out")
        at = parse_at(self.at, datetime.now(UTC))
        if self.batch is None and isinstance(at, int):
            raise InputError("--at with an event's number needs the batch that has the event")
        return at


async def show_status(what: Looked, place: Place, *, as_json: bool) -> ExitStatus:
    """Show one batch, one request or a list."""
    at = what.moment()
    if what.batch is None:
        return await _show_batches(what, place, at, as_json=as_json)
    async with _refreshed_log(what, place) as log:
        batch_id = await log.find(what.batch)
        if what.request is not None:
            life = await log.replay_request(batch_id, what.request, at=at)
            seen, data, lines = life.batch, life_data(life), life_lines(life)
        else:
            seen = await _summary(log, batch_id, at)
            data, lines = summary_data(seen), summary_lines(seen)
        if at is not None:
            await _say_as_of(log, seen)
    if as_json:
        print(json_text(data))
    else:
        print_lines(lines)
    return ExitStatus.OK


async def _show_batches(what: Looked, place: Place, at: At | None, *, as_json: bool) -> ExitStatus:
    try:
        async with _refreshed_log(what, place) as log:
            shown, there_are_more = await _listed(log, what, at)
            _show_list(shown, as_json=as_json)
            if there_are_more:
                say("more batches are not listed; --limit N lists N of them")
    except NoDatabaseError as error:
        if not as_json:
            say(f"no batches yet: {error}")
    return ExitStatus.OK


@asynccontextmanager
async def _refreshed_log(what: Looked, place: Place) -> AsyncIterator[LogReader]:
    """The log; with --refresh, when it has what the provider says now."""
    if not what.refresh:
        async with log_at(place) as log:
            yield log
        return
    async with trail_at(place) as trail:
        if what.batch is None:
            await _refresh_all(trail, what.limit)
        else:
            await trail.refresh(await trail.find(what.batch))
        yield trail


async def _refresh_all(trail: "BatchService", limit: int) -> None:
    """Ask for each batch of the list; one that cannot be had is shown as it was."""
    for summary in await trail.batches(limit=limit):
        try:
            await trail.refresh(summary.id)
        except (InputError, ProviderError) as error:
            say(str(error))


async def _summary(log: LogReader, batch_id: UUID, at: At | None) -> BatchSummary:
    return await (log.status(batch_id) if at is None else log.replay(batch_id, at=at))


async def _say_as_of(log: LogReader, seen: BatchSummary) -> None:
    newest = (await log.status(seen.id)).version
    last = moment_text(seen.updated_at)
    say(f"as of event {seen.version:,} of {newest:,}, recorded at {last}")


async def _listed(log: LogReader, what: Looked, at: At | None) -> tuple[list[BatchSummary], bool]:
    """The newest batches, or those that were the newest, and whether there are more."""
    until = at if isinstance(at, datetime) else None
    there = await log.batches(limit=what.limit + 1, until=until)
    shown = there[: what.limit]
    if until is not None:
        shown = [await log.replay(summary.id, at=until) for summary in shown]
    return shown, len(there) > len(shown)


def _show_list(summaries: Sequence[BatchSummary], *, as_json: bool) -> None:
    for summary in summaries:
        if as_json:
            print(json_text(summary_data(summary)))
        else:
            print(
                f"{summary.id}  {moment_text(summary.created_at)}  {summary.status.value:<11} "
                f"requests: {summary.request_count:>6,}  {outcomes_text(summary)}"
                f"{'  in trouble' if summary.trouble else ''}"
                f"{'  ' + clean(summary.description) if summary.description else ''}"
            )
    if not summaries and not as_json:
        say("no batches yet")
