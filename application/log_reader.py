"""Reading the log: batches, completions, history, time travel, and users' own projections of it."""

from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from ..domain.checks import MOST_POSITION, check_moment, check_number, check_text
from ..domain.events import BatchEvent
from ..domain.status import Outcome
from . import projecting
from .errors import BatchNotFoundError, InputError
from .projecting import FOLLOW_INTERVAL, Projection, Recorded, check_kinds, check_projection
from .runtime import Runtime
from .store import checked_id, id_digits
from .views import BatchSummary

if TYPE_CHECKING:
    from .completions import Completion
    from .replay import At
    from .request_history import RequestLife


class LogReader:
    """Looks back; nothing here asks the provider or changes a batch, and any repeat is safe.

    Methods raise `BatchNotFoundError` for an unknown batch, and `InputError` for a moment, an
    event or a request that it does not have.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def status(self, batch_id: UUID) -> BatchSummary:
        """One batch as its last event left it; nothing is asked of the provider."""
        return await self._runtime.in_store(self._summary, batch_id)

    def _summary(self, batch_id: UUID) -> BatchSummary:
        summary = self._runtime.batches.views.summary(checked_id(batch_id))
        if summary is None:
            raise BatchNotFoundError(batch_id)
        return summary

    async def batches(
        self, *, limit: int = 100, until: datetime | None = None
    ) -> list[BatchSummary]:
        """The newest batches, `limit` at most; those that were begun `until` a moment."""
        check_number("limit", limit, least=0)
        if until is not None:
            check_moment("until", until)
        before = None
        with suppress(OverflowError):  # a moment that never comes
            before = until and until + timedelta(microseconds=1)
        return await self._runtime.in_store(
            lambda: self._runtime.batches.views.summaries(limit=limit, before=before)
        )

    async def find(self, reference: str) -> UUID:
        """The id of a batch from its id or the beginning of it, if only one fits.

        Raises `InputError` when none or more than one fits.
        """
        check_text("reference", reference)
        prefix = id_digits(reference)
        ids = await self._runtime.in_store(lambda: self._runtime.batches.views.matching_ids(prefix))
        if len(ids) != 1:
            found = "no batch" if not ids else "more than one batch"
            raise InputError(f"{found} has an id that begins with {reference}")
        return ids[0]

    async def history(
        self, batch_id: UUID, *, after: int = 0, bodies: bool = False
    ) -> AsyncIterator[BatchEvent]:
        """Every event of a batch, oldest first, in constant memory.

        Those behind number `after` (`event.originator_version`), so that whoever has read some
        can ask for what is new. With `bodies` each brings the lines that it carries; without,
        their digests and sizes only.
        """
        check_number("after", after, least=0)
        await self._runtime.load(batch_id)
        log = self._runtime.batches.history(batch_id, after=after, bodies=bodies)
        while (event := await self._runtime.in_store(next, log, None)) is not None:
            yield event

    def completions(self, batch_id: UUID) -> AsyncIterator["Completion"]:
        """The completions of a batch in input order, in constant memory."""
        from .completions import completions  # noqa: PLC0415 (start-up time)

        return completions(self._runtime, batch_id)

    def result_lines(
        self, batch_id: UUID, *, only: Collection[Outcome] = frozenset(Outcome)
    ) -> AsyncIterator[bytes]:
        """The results file of a batch, about a megabyte at a time, in constant memory.

        A line for each request, in input order, as the provider sent it; `only` names the
        outcomes that are wanted. Raises `BodyRemovedError` when the lines were pruned.
        """
        from .completions import check_outcomes, result_lines  # noqa: PLC0415 (start-up time)

        check_outcomes(only)
        return result_lines(self._runtime, batch_id, only)

    async def redacted_requests(self, batch_id: UUID) -> int:
        """How many requests of a batch were redacted; their outcomes and costs are as they were."""
        return len(await self._runtime.in_store(self._redacted, batch_id))

    def _redacted(self, batch_id: UUID) -> set[str]:
        return self._runtime.batches.redacted_requests(checked_id(batch_id))

    async def request_history(self, batch_id: UUID, custom_id: str) -> list["RequestLife"]:
        """One request in a batch, in the batches that it retries, and in its retries.

        Each is read from its events alone, in constant memory.
        """
        from .request_history import request_lives  # noqa: PLC0415 (start-up time)

        return await self._runtime.in_store(
            request_lives, self._runtime.batches, batch_id, custom_id
        )

    async def replay(self, batch_id: UUID, *, at: "At | None" = None) -> BatchSummary:
        """A batch as its events make it, up to a moment, an event's number, or the newest one.

        Neither snapshots nor views are read. As of a moment is after the last event whose
        timestamp is not later: an event before that one belongs to it even if its own timestamp,
        by the clock of another machine, is later. A moment needs its time zone.
        """
        return await self._runtime.in_store(self._replayed, batch_id, at)

    def _replayed(self, batch_id: UUID, at: "At | None") -> BatchSummary:
        from .replay import batch_after, events_until  # noqa: PLC0415 (start-up time)

        happened = events_until(self._runtime.batches, batch_id, at)
        return BatchSummary.of(batch_after(happened))

    async def replay_request(
        self, batch_id: UUID, custom_id: str, *, at: "At | None" = None
    ) -> "RequestLife":
        """One request of a batch as the events make it, up to a moment or an event's number."""
        from .request_history import request_at  # noqa: PLC0415 (start-up time)

        return await self._runtime.in_store(
            request_at, self._runtime.batches, batch_id, custom_id, at
        )

    def log(
        self,
        *,
        after: int = 0,
        events: Collection[type[BatchEvent]] = (),
        bodies: bool = False,
    ) -> AsyncIterator[Recorded]:
        """The events of all batches behind a position, in the order of positions.

        To the end of the log, in constant memory; only those of some kinds, when `events` names
        any, and with the lines that they carry, when `bodies` are asked for. Who keeps the last
        position with what it made of the events misses none of them and sees none twice.
        """
        check_number("after", after, least=0, most=MOST_POSITION)
        check_kinds(events)
        return projecting.log(self._runtime, after, events, bodies=bodies)

    async def project(self, projection: Projection, *, follow: bool = False) -> int:
        """Bring a projection of yours up to the end of the log; returns the position reached.

        Each event is processed exactly once for each projection's name, in the order of
        positions: what the projection writes through its cursor and its checkpoint are one
        transaction of the log's database. Any number of processes may do so at once. With
        `follow` it goes on with what any process records, until it is cancelled.

        Raises `ProjectionError` with what the projection raised; a repeat begins before that.
        """
        check_projection(projection)
        position = await projecting.project(self._runtime, projection)
        while follow:
            await self._runtime.clock.sleep(FOLLOW_INTERVAL)
            position = await projecting.project(self._runtime, projection)
        return position
