"""One save: a batch's events become records one by one, and then its snapshot and its views."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

from eventsourcing.persistence import StoredEvent

from ..domain import events
from ..domain.batch import Batch
from .projections import CompletionsProjection
from .records import EventRecord
from .transcoding import BatchMapper
from .views import BatchSummary, ViewWriter

SNAPSHOT_INTERVAL = 100
"""A snapshot is taken after so many small events, and after every chunk of large ones."""

_LARGE = (events.RequestsAdded, events.ResultApplied, events.ResultSkipped)


class Saving:
    """What is recorded of a batch in one transaction.

    The pending events, or those that each of some `steps` leaves on the batch: these are made into
    records and forgotten before the next step is taken, so that thousands need not be held.
    """

    def __init__(
        self,
        batch: Batch,
        steps: Iterable[None] | None,
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

    def records(self) -> Iterator[EventRecord]:
        """The events as they are stored, in their order; to be asked for once."""
        if self._steps is None:
            yield from self._pending()
            return
        for _ in self._steps:
            yield from self._pending()
            self._batch.pending_events.clear()

    def _pending(self) -> Iterator[EventRecord]:
        to_stored_event, process = self._mapper.to_stored_event, self._completions.process
        pending = cast(Sequence[events.BatchEvent], self._batch.pending_events)
        self._is_large = self._is_large or any(isinstance(event, _LARGE) for event in pending)
        for event in pending:
            process(event, event.originator_version - self._before)
            yield to_stored_event(event)

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
