"""What `status` prints: batches and requests, as they are or as they were."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from attrs import frozen

from ...application.errors import InputError, ProviderError
from ...application.service import BatchService
from ...application.views import BatchSummary
from .batches import Calls, Place, say, trail_at
from .exits import ExitStatus
from .moments import parse_at
from .render import json_text, outcomes_text, print_lines, summary_data, summary_lines
from .requests import life_data, life_lines
from .text import clean, moment_text

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
    async with trail_at(place, Calls.SURELY if what.refresh else Calls.NEVER) as trail:
        if what.batch is None:
            _show_list(await _listed(trail, what, at), as_json=as_json)
            return ExitStatus.OK
        batch_id = await trail.find(what.batch)
        if what.request is not None:
            life = await trail.replay_request(batch_id, what.request, at=at)
            seen, data, lines = life.batch, life_data(life), life_lines(life)
        else:
            seen = await _summary(trail, batch_id, what, at)
            data, lines = summary_data(seen), summary_lines(seen)
        if at is not None:
            await _say_as_of(trail, seen)
    if as_json:
        print(json_text(data))
    else:
        print_lines(lines)
    return ExitStatus.OK


async def _summary(
    trail: BatchService, batch_id: UUID, what: Looked, at: At | None
) -> BatchSummary:
    if at is not None:
        return await trail.replay(batch_id, at=at)
    return await (trail.refresh(batch_id) if what.refresh else trail.status(batch_id))


async def _say_as_of(trail: BatchService, seen: BatchSummary) -> None:
    newest = (await trail.status(seen.id)).version
    last = moment_text(seen.updated_at)
    say(f"as of event {seen.version:,} of {newest:,}, recorded at {last}")


async def _listed(trail: BatchService, what: Looked, at: At | None) -> list[BatchSummary]:
    """The newest batches, or those that were the newest."""
    if isinstance(at, datetime):
        there = await trail.batches(limit=what.limit, until=at)
        return [await trail.replay(summary.id, at=at) for summary in there]
    summaries = await trail.batches(limit=what.limit)
    if what.refresh:
        return [await _refreshed(trail, summary) for summary in summaries]
    return summaries


async def _refreshed(trail: BatchService, summary: BatchSummary) -> BatchSummary:
    """The batch as the provider shows it, or as it was when that is not to be had."""
    try:
        return await trail.refresh(summary.id)
    except (InputError, ProviderError) as error:
        say(clean(str(error)))
        return summary


def _show_list(summaries: Sequence[BatchSummary], *, as_json: bool) -> None:
    for summary in summaries:
        if as_json:
            print(json_text(summary_data(summary)))
        else:
            print(
                f"{summary.id}  {moment_text(summary.created_at)}  {summary.status.value:<11} "
                f"{summary.request_count:>6,} requests  {outcomes_text(summary)}"
                f"{'  in trouble' if summary.trouble else ''}"
                f"{'  ' + clean(summary.description) if summary.description else ''}"
            )
    if not summaries and not as_json:
        say("no batches yet")
