"""One save: a batch's events become what is stored of them, then its snapshot and its views."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

from eventsourcing.persistence import StoredEvent

from ..domain import events
from ..domain.alike import AppliedResults
from ..domain.batch import Batch
from .alike_columns import alike_columns
from .projections import CompletionsProjection
from .records import EventColumns, EventRecord, Stored
from .transcoding import BatchMapper
from .views import BatchSummary, ViewWriter

SNAPSHOT_INTERVAL = 100
"""A snapshot is taken after so many small events, and after every chunk of large ones."""

Steps = Iterable[AppliedResults | None]
"""Each leaves pending events on a batch, and gives the results that it applied in their place."""

_LARGE = (events.RequestsAdded, events.ResultApplied, events.ResultSkipped)


class Saving:
    """What is recorded of a batch in one transaction.

    The pending events, or what each of some `steps` leaves and gives: that is encoded, written
    and forgotten before the next step is taken, so that thousands need not be held.
    """

    def __init__(
        self,
        batch: Batch,
        steps: Steps | None,
        mapper: BatchMapper,
        take_snapshot: Callable[[Batch], StoredEvent],
    ) -> None:
        self._batch = batch
        self._steps = steps
        self._mapper = mapper
        self._take_snapshot = take_snapshot
        self._before = batch.version - len(batch.pending_events)
        self._completions = CompletionsProjection()
        self._is_large = False

    def stored(self) -> Iterator[Stored]:
        """The events as they are stored, in their order; to be asked for once."""
        if self._steps is None:
            yield from self._pending()
            return
        for applied in self._steps:
            yield from self._pending()
            self._batch.pending_events.clear()
            if applied is not None:
                yield self._alike(applied)

    def _pending(self) -> Iterator[EventRecord]:
        to_stored_event, process = self._mapper.to_stored_event, self._completions.process
        pending = cast(Sequence[events.BatchEvent], self._batch.pending_events)
        self._is_large = self._is_large or any(isinstance(event, _LARGE) for event in pending)
        for event in pending:
            process(event, event.originator_version - self._before)
            yield to_stored_event(event)

    def _alike(self, applied: AppliedResults) -> EventColumns:
        self._is_large = True
        self._completions.process_alike(applied, applied.first_version - self._before)
        return alike_columns(applied, self._mapper)

    def snapshot(self) -> StoredEvent | None:
        """The batch behind its events, when it is worth a snapshot."""
        intervals = self._before // SNAPSHOT_INTERVAL, self._batch.version // SNAPSHOT_INTERVAL
        is_wanted = self._is_large or intervals[0] < intervals[1]
        return self._take_snapshot(self._batch) if is_wanted else None

    def write_views(self, views: ViewWriter, positions: Sequence[int]) -> None:
        """Write the rows of the events, which stand at these positions."""
        is_new = self._before < Batch.INITIAL_VERSION
        views.put_batch(BatchSummary.of(self._batch), positions[0] if is_new else None)
        self._completions.write(views, behind=positions[0] - 1)
