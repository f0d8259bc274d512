"""What `history` prints: the events of a batch, or of one request in all its batches."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import frozen

from ...application.errors import InputError
from ...application.log_reader import LogReader
from ...application.projecting import FOLLOW_INTERVAL
from ...domain.events import EVENTS, BatchEvent, ResultApplied
from .exits import ExitStatus
from .lists import chosen
from .moments import parse_moment
from .place import Place, log_at
from .render import json_text, print_lines
from .requests import life_data, life_lines
from .timeline import Timeline, event_data

if TYPE_CHECKING:
    from ...application.request_history import RequestLife

_NAMES = {event.__name__: event for event in EVENTS}


@frozen
class Selection:
    """Which events are shown: of which kinds, and recorded since and until when."""

    kinds: frozenset[type[BatchEvent]]
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def parse(
        cls,
        only: Sequence[str],
        without: Sequence[str],
        since: str | None,
        until: str | None,
    ) -> "Selection":
        """Read the options. Raises `InputError` naming the one that cannot be read."""
        now = datetime.now(UTC)
        wanted = chosen("--event", only, _NAMES, "event") or frozenset(EVENTS)
        left_out = chosen("--without", without, _NAMES, "event")
        return cls(
            wanted - left_out,
            None if since is None else parse_moment(since, now, "--since"),
            None if until is None else parse_moment(until, now, "--until", end=True),
        )

    def takes(self, event: BatchEvent) -> bool:
        """Whether an event is shown."""
        return (
            type(event) in self.kinds
            and (self.since is None or event.timestamp >= self.since)
            and (self.until is None or event.timestamp <= self.until)
        )


@frozen
class HistoryOptions:
    """What is shown of the past, and how."""

    batch: str
    request: str | None
    selection: Selection
    every: bool
    follow: bool
    as_json: bool

    def check(self) -> None:
        """Raise `InputError` for options that do not go together."""
        if self.follow and self.request is not None:
            raise InputError("--follow shows a whole batch; leave the request out")
        if self.follow and self.selection.until is not None:
            raise InputError("--follow goes on until Ctrl-C; leave --until out")


async def show_history(what: HistoryOptions, place: Place) -> ExitStatus:
    """Print the events of a batch, or of one request."""
    what.check()
    async with log_at(place, looks_on=what.follow) as log:
        batch_id = await log.find(what.batch)
        if what.request is not None:
            _show_lives(await log.request_history(batch_id, what.request), what)
            return ExitStatus.OK
        try:
            await _show_batch(log, batch_id, what)
        except asyncio.CancelledError:
            if not what.follow:
                raise
            return ExitStatus.INTERRUPTED  # as it was meant to end: there is nothing to say
    return ExitStatus.OK


async def _show_batch(log: LogReader, batch_id: UUID, what: HistoryOptions) -> None:
    timeline = _timeline((await log.status(batch_id)).created_at, what)
    after = 0
    while True:
        async for event in log.history(batch_id, after=after):
            after = event.originator_version
            _show_event(event, timeline, what)
        for line in timeline.rest():
            print(line)
        if not what.follow:
            return
        sys.stdout.flush()  # a program may read along
        await asyncio.sleep(FOLLOW_INTERVAL)


def _timeline(begin: datetime, what: HistoryOptions) -> Timeline:
    """Whoever asks for the results by name wants to see each."""
    results_only = what.selection.kinds == {ResultApplied}
    return Timeline(begin, every=what.every or what.as_json or results_only)


def _show_event(event: BatchEvent, timeline: Timeline, what: HistoryOptions) -> None:
    if not what.selection.takes(event):
        return
    for line in timeline.lines(event):
        print(json_text(event_data(event)) if what.as_json else line)


def _show_lives(lives: Sequence["RequestLife"], what: HistoryOptions) -> None:
    """A request in each of its batches."""
    for place, life in enumerate(lives):
        shown = [event for event in life.events if what.selection.takes(event)]
        if what.as_json:
            print(json_text({**life_data(life), "events": [event_data(event) for event in shown]}))
            continue
        if place:
            print()
        print_lines(life_lines(life))
        timeline = Timeline(life.batch.created_at, every=True)
        for event in shown:
            for line in timeline.lines(event):
                print(line)
