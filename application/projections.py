"""Projections: from events to the rows of the views, live and in a rebuild alike.

A projection first takes in events, then writes what they change, so that reading the log and
writing the views need not share a transaction.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count, repeat
from uuid import UUID

from ..domain import events
from ..domain.alike import AppliedResults
from ..domain.batch import Batch
from ..domain.status import Outcome
from .following import followed
from .views import BatchSummary, ViewWriter

_Result = tuple[int, Outcome, int]
"""A request's number, its outcome, and how far on in the log the event is that brought it."""


class CompletionsProjection:
    """One row for each request: its custom_id, its outcome, and where its result stands."""

    def __init__(self) -> None:
        self._changes: list[Callable[[ViewWriter, int], None]] = []
        self._results: list[tuple[UUID, list[_Result]]] = []
        self._batch_id: UUID | None = None
        self._of_batch: list[_Result] = []

    def process(self, event: events.BatchEvent, position: int) -> None:
        """Take in one event, in the order of the log; most change no row."""
        batch_id = event.originator_id
        if isinstance(event, events.ResultApplied):
            self._results_of(batch_id).append((event.number, event.outcome, position))
        elif isinstance(event, events.RequestsAdded):
            self._changes.append(
                partial(_add_requests, batch_id, event.first_number, event.custom_ids)
            )
        elif isinstance(event, events.ResultsCollected):
            self._gather_results()
            self._changes.append(partial(_settle_rest, batch_id, event.rest_outcome))
        elif isinstance(event, events.CollectionReopened):
            self._changes.append(partial(_reopen, batch_id))

    def process_alike(self, applied: AppliedResults, position: int) -> None:
        """Take in the events of results that are alike, of which the first has this position."""
        results = self._results_of(applied.batch_id)
        numbers = applied.results.numbers
        results += zip(numbers, repeat(Outcome.SUCCEEDED), count(position), strict=False)

    def _results_of(self, batch_id: UUID) -> list[_Result]:
        # Nearly always of the batch of the one before; a UUID takes long to be looked up.
        if batch_id is not self._batch_id and batch_id != self._batch_id:
            self._batch_id, self._of_batch = batch_id, []
            self._results.append((batch_id, self._of_batch))
        return self._of_batch

    def _gather_results(self) -> None:
        """Results are written many at a time, but before the rest of their batch is settled."""
        for batch_id, results in self._results:
            self._changes.append(partial(_settle, batch_id, results))
        self._results = []
        self._batch_id = None

    def write(self, views: ViewWriter, *, behind: int = 0) -> None:
        """Write what the events changed; their positions are counted from the one `behind`.

        Once more for another attempt, where a transaction came to nothing.
        """
        self._gather_results()
        for change in self._changes:
            change(views, behind)


def _add_requests(
    batch_id: UUID, first_number: int, custom_ids: Sequence[str], views: ViewWriter, _behind: int
) -> None:
    views.add_requests(batch_id, first_number, custom_ids)


def _settle(batch_id: UUID, results: list[_Result], views: ViewWriter, behind: int) -> None:
    views.settle(batch_id, results, behind=behind)


def _settle_rest(batch_id: UUID, outcome: Outcome, views: ViewWriter, _behind: int) -> None:
    views.settle_rest(batch_id, outcome)


def _reopen(batch_id: UUID, views: ViewWriter, _behind: int) -> None:
    views.reopen(batch_id)


class BatchesProjection:
    """One row for each batch, by replaying the aggregate itself.

    `load` gives the aggregate at a version, for a batch whose earlier events came before the
    projection's beginning.
    """

    def __init__(self, load: Callable[[UUID, int], Batch]) -> None:
        self._load = load
        self._batches: dict[UUID, Batch] = {}
        self._changed: dict[UUID, int | None] = {}  # in the order of the log, as saves write them

    def process(self, event: events.BatchEvent, position: int) -> None:
        """Take in one event, in the order of the log."""
        batch = self._batches.get(event.originator_id)
        if batch is None and event.originator_version > Batch.INITIAL_VERSION:
            batch = self._load(event.originator_id, event.originator_version - 1)
        mutated = followed(batch, (event,))
        assert mutated is not None
        self._batches[event.originator_id] = mutated
        is_first = event.originator_version == Batch.INITIAL_VERSION
        self._changed.setdefault(event.originator_id, position if is_first else None)

    def write(self, views: ViewWriter) -> None:
        """Write the rows of the batches that changed."""
        for batch_id, first_position in self._changed.items():
            views.put_batch(BatchSummary.of(self._batches[batch_id]), first_position)
        self._changed.clear()
