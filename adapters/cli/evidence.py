"""What the commands do that check, seal and mend a database."""

from collections.abc import Iterator
from typing import Any

from ...application.differences import Difference
from ...application.rebuilding import Rebuilt
from ...application.sealing import Seal
from ...application.verification import Verification
from .exits import ExitStatus
from .place import Place, log_as_it_is
from .progress import showing_progress
from .render import json_text
from .text import clean


async def verify_log(place: Place, *, against: str | None, limit: int, as_json: bool) -> ExitStatus:
    """Print what differs, and how much was looked at."""
    seal = None if against is None else Seal.parse(against)
    async with log_as_it_is(place, read_only=True) as log:
        found = await log.verify(against=seal, limit=limit)
    if as_json:
        print(json_text(_data(found)))
    else:
        for line in _lines(found):
            print(clean(line))
    return ExitStatus.OK if found.is_good else ExitStatus.ERROR


def _lines(found: Verification) -> Iterator[str]:
    yield from map(str, found.differences)
    if found.difference_count > len(found.differences):
        yield f"and {found.difference_count - len(found.differences):,} more; see --limit"
    if found.removed_bodies:
        yield f"bodies that are not in this database any more: {found.removed_bodies:,}"
    if found.redacted_lines:
        yield f"request lines that are redacted: {found.redacted_lines:,}"
    if found.broken_batches:
        yield f"damaged batches whose views were not compared: {found.broken_batches:,}"
    differing = "nothing differs" if found.is_good else f"differences: {found.difference_count:,}"
    yield f"events: {found.events:,}; batches: {found.batches:,}; {differing}"


def _data(found: Verification) -> dict[str, Any]:
    return {
        "good": found.is_good,
        "seal": str(found.seal),
        "events": found.events,
        "batches": found.batches,
        "removed_bodies": found.removed_bodies,
        "redacted_lines": found.redacted_lines,
        "broken_batches": found.broken_batches,
        "difference_count": found.difference_count,
        "differences": [_difference_data(each) for each in found.differences],
    }


def _difference_data(difference: Difference) -> dict[str, Any]:
    return {
        "batch": difference.batch_id,
        "event": difference.version,
        "position": difference.position,
        "what": difference.what,
    }


async def seal_log(place: Place, *, full: bool, as_json: bool) -> ExitStatus:
    """Print the seal of the log."""
    async with log_as_it_is(place, read_only=False) as log:
        seal = await log.seal(full=full)
    data = {"position": seal.position, "link": seal.link.hex(), "seal": str(seal)}
    print(json_text(data) if as_json else seal)
    return ExitStatus.OK


async def rebuild_views(place: Place, *, as_json: bool) -> ExitStatus:
    """Write the views anew, and say how many rows they have."""
    async with log_as_it_is(place, read_only=False) as log:
        with showing_progress() as on_progress:
            rebuilt = await log.rebuild_views(on_progress)
    if as_json:
        print(json_text(rebuilt))
    else:
        for line in _rebuilt_lines(rebuilt):
            print(line)
    return ExitStatus.ERROR if rebuilt.damaged else ExitStatus.OK


def _rebuilt_lines(rebuilt: Rebuilt) -> Iterator[str]:
    yield f"views rebuilt; batches: {rebuilt.batches:,}; requests: {rebuilt.requests:,}"
    for batch_id in rebuilt.damaged:
        yield f"batch {batch_id} is damaged and keeps the rows that it has; see `verify`"
