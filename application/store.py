"""The event store of batches: one transaction for events, snapshot, views and checkpoint."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, cast
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import DomainEventProtocol, Snapshot
from eventsourcing.persistence import (
    ApplicationRecorder,
    EventStore,
    InfrastructureFactory,
    IntegrityError,
    Mapper,
    Notification,
    PersistenceError,
    StoredEvent,
    Transcoder,
)
from eventsourcing.utils import Environment, EnvType

from ..domain import events
from ..domain.batch import Batch
from ..domain.requests import RequestIndex
from ..domain.status import Outcome
from ..domain.values import StatusReport
from .errors import BatchNotFoundError, ConflictError, StoreError
from .projections import BatchesProjection, CompletionsProjection
from .transcoding import BatchMapper, MsgpackTranscoder, SnapshotMapper
from .views import BatchSummary, CompletionRow, ViewReader, ViewWriter

_log = logging.getLogger(__name__)

SNAPSHOT_INTERVAL = 100
"""A snapshot is taken after so many small events, and after every chunk of large ones."""

_LARGE = (events.RequestsAdded, events.ResultApplied, events.ResultSkipped)
_PAGE_BYTES = 4 << 20
_REBUILD_BYTES = 16 << 20
_LAST_EVENTS = 10
_LOADED_BATCHES = 1_000
"""So many states are remembered; a load then reads the events that came since."""

WriteViews = Callable[[ViewWriter, Sequence[int]], None]
"""Writes the rows of just recorded events, given their positions."""


class BatchRecorder(ApplicationRecorder):
    """What a database must offer beyond the library's recorder.

    `insert_events` takes a `snapshot` (a StoredEvent or None) and a `write_views` (WriteViews),
    which it calls inside the same transaction when the views were up to date before it.
    """

    @property
    @abstractmethod
    def reader(self) -> ViewReader:
        """The views, for reading."""

    @abstractmethod
    def lagging(self, *, max_bytes: int) -> tuple[int, Sequence[Notification]]:
        """The views' checkpoint, and the next events behind it, up to a size.

        The last event of the sequence passes `max_bytes` of state or ends the log.
        """

    @abstractmethod
    def advance_views(self, checkpoint: int, to: int, write: Callable[[ViewWriter], None]) -> None:
        """Write rows and move the checkpoint in one transaction.

        Nothing is done when another process has moved the checkpoint since.
        """

    @abstractmethod
    def select_page(self, originator_id: UUID, *, gt: int, max_bytes: int) -> Sequence[StoredEvent]:
        """The events behind version `gt`, ended by the one that passes `max_bytes` of state."""

    @abstractmethod
    def select_completions(
        self, batch_id: UUID, *, after: int, max_bytes: int
    ) -> Sequence[tuple[CompletionRow, StoredEvent | None]]:
        """Requests behind number `after` in input order, each with the event of its result.

        Ended by the one that passes `max_bytes` of state.
        """

    @abstractmethod
    def claim(self, name: str, holder: str, *, now: datetime, until: datetime) -> bool:
        """Take or renew the lease of this name, unless another holder has it beyond `now`."""

    @abstractmethod
    def release(self, name: str, holder: str) -> None:
        """Give a lease back; that of another holder stays."""


class _Snapshots(EventStore[UUID]):
    def get(self, originator_id: UUID, **selection: Any) -> Iterator[DomainEventProtocol[UUID]]:
        try:
            return iter(list(super().get(originator_id, **selection)))
        except StoreError as error:
            _log.warning("replaying batch %s from its events: %s", originator_id, error)
            return iter(())


def _snapshot_mapper(mapper: Mapper[UUID]) -> SnapshotMapper:
    return SnapshotMapper(mapper.transcoder, mapper.compressor, mapper.cipher)


class Batches(Application[UUID]):
    """Loads and saves batches, and reads their log and their views.

    All methods are synchronous; services call them from one worker thread, never across an
    await. A method is safe to repeat unless it says otherwise.
    """

    name = "batchtrail"
    is_snapshotting_enabled = True
    recorder: BatchRecorder

    def __init__(self, factory: InfrastructureFactory) -> None:
        """Open the database; raises `StoreError`, and closes it, when it cannot be used."""
        self._given_factory = factory
        try:
            super().__init__()
            self.catch_up()
        except PersistenceError as error:
            factory.close()
            raise StoreError(f"the database cannot be used: {error}") from error
        except BaseException:
            factory.close()
            raise

    def construct_env(self, name: str, env: EnvType | None = None) -> Environment:
        """No settings from the process environment: a stray variable must not change storage."""
        del env
        return Environment(
            name, {"IS_SNAPSHOTTING_ENABLED": "y", "AGGREGATE_CACHE_MAXSIZE": str(_LOADED_BATCHES)}
        )

    def construct_factory(self, env: Environment) -> InfrastructureFactory:
        """The factory that the composition root chose."""
        del env
        return self._given_factory

    def construct_transcoder(self) -> Transcoder:
        """MessagePack."""
        return MsgpackTranscoder()

    def construct_mapper(self) -> Mapper[UUID]:
        """The mapper with the closed table of topics."""
        return self.factory.mapper(transcoder=self.construct_transcoder(), mapper_class=BatchMapper)

    def construct_snapshot_store(self) -> EventStore[UUID]:
        """Snapshots are a cache: one that cannot be read is passed over."""
        recorder = self.factory.aggregate_recorder(purpose="snapshots")
        return _Snapshots(_snapshot_mapper(self.mapper), recorder)

    @property
    def views(self) -> ViewReader:
        """The read models, at least as new as the last event of this store."""
        self.catch_up()
        return self.recorder.reader

    def get(self, batch_id: UUID) -> Batch:
        """The batch as the log has it. Raises `BatchNotFoundError`."""
        try:
            return self.repository.get(batch_id, projector_func=_replayed)
        except AggregateNotFoundError:
            raise BatchNotFoundError(batch_id) from None

    def save_batch(self, batch: Batch) -> None:
        """Record the pending events of a batch, with its snapshot and views, or nothing at all.

        Raises `ConflictError` when another writer was first; the batch object is then spent:
        load it again and decide again. After any other error the same save may be repeated.
        """
        pending = cast(Sequence[events.BatchEvent], tuple(batch.pending_events))
        if not pending:
            return
        stored = [self.mapper.to_stored_event(event) for event in pending]

        def write_views(views: ViewWriter, positions: Sequence[int]) -> None:
            completions = CompletionsProjection()
            for event, position in zip(pending, positions, strict=True):
                completions.process(event, position)
            views.put_batch(BatchSummary.of(batch))
            completions.write(views)

        snapshot = self._snapshot(batch) if _wants_snapshot(batch, pending) else None
        try:
            self.recorder.insert_events(stored, snapshot=snapshot, write_views=write_views)
        except IntegrityError as error:
            raise ConflictError(f"batch {batch.id} was changed by another process") from error
        batch.collect_events()

    def _snapshot(self, batch: Batch) -> StoredEvent:
        state = dict(vars(batch))
        for name in ("_id", "_version", "_pending_events"):
            del state[name]
        snapshot = Snapshot(
            originator_id=batch.id,
            originator_version=batch.version,
            timestamp=batch.modified_on,
            topic=Batch.TOPIC,
            state=state,
        )
        return _snapshot_mapper(self.mapper).to_stored_event(snapshot)

    def catch_up(self) -> None:
        """Bring views that lag behind the log, or are new, up to date, in constant memory."""
        written = -1
        while (page := self.recorder.lagging(max_bytes=_REBUILD_BYTES))[1]:
            checkpoint, notifications = page
            if checkpoint != written:  # the beginning, or another process has gone on
                batches = BatchesProjection(self._load_version)
            completions = CompletionsProjection()
            for notification in notifications:
                event = self.mapper.to_domain_event(notification)
                assert isinstance(event, events.BatchEvent)
                completions.process(event, notification.id)
                batches.process(event)

            written = notifications[-1].id
            self.recorder.advance_views(checkpoint, written, partial(_write, batches, completions))

    def _load_version(self, batch_id: UUID, version: int) -> Batch:
        return self.repository.get(batch_id, version=version, projector_func=_replayed)

    def history(self, batch_id: UUID) -> Iterator[events.BatchEvent]:
        """The events of one batch, oldest first, read in pages."""
        after = 0
        while page := self.recorder.select_page(batch_id, gt=after, max_bytes=_PAGE_BYTES):
            for stored in page:
                event = self.mapper.to_domain_event(stored)
                assert isinstance(event, events.BatchEvent)
                yield event
            after = page[-1].originator_version

    def last_report(self, batch_id: UUID) -> StatusReport | None:
        """The last report of the provider, with every error; the state keeps a few only."""
        for event in self.events.get(batch_id, desc=True, limit=_LAST_EVENTS):
            if isinstance(event, events.StatusChanged | events.ReportAmended | events.Canceled):
                return event.report
        return None

    def input_lines(self, batch_id: UUID) -> Iterator[bytes]:
        """The input of a batch exactly as it is sent, in pieces of about a megabyte."""
        for event in self.history(batch_id):
            if isinstance(event, events.RequestsAdded):
                yield event.lines
            elif isinstance(event, events.SubmissionStarted):
                return

    def completions_page(
        self, batch_id: UUID, *, after: int
    ) -> list[tuple[CompletionRow, events.ResultApplied | None]]:
        """Some requests behind number `after`, in input order, with their results."""
        self.catch_up()
        page: list[tuple[CompletionRow, events.ResultApplied | None]] = []
        for row, stored in self.recorder.select_completions(
            batch_id, after=after, max_bytes=_PAGE_BYTES
        ):
            event = None if stored is None else self.mapper.to_domain_event(stored)
            assert event is None or isinstance(event, events.ResultApplied)
            page.append((row, event))
        return page

    def request_index(self, batch_id: UUID) -> RequestIndex:
        """The custom_ids of a batch and which of them are settled; grows with the batch."""
        index = RequestIndex()
        after = 0
        while rows := self.views.completion_rows(batch_id, after=after, limit=10_000):
            for row in rows:
                index.add(row.custom_id)
                if row.outcome is not Outcome.PENDING:
                    index.settle(row.number)
            after = rows[-1].number
        return index


def _replayed(batch: Batch | None, happened: Iterable[DomainEventProtocol[UUID]]) -> Batch | None:
    """A batch after these events; the library's own loop asks each for its protocols, slowly."""
    for event in happened:
        batch = event.mutate(batch)  # type: ignore[attr-defined]
    return batch


def _write(
    batches: BatchesProjection, completions: CompletionsProjection, views: ViewWriter
) -> None:
    batches.write(views)
    completions.write(views)


def _wants_snapshot(batch: Batch, pending: Sequence[events.BatchEvent]) -> bool:
    before = batch.version - len(pending)
    crossed = batch.version // SNAPSHOT_INTERVAL > before // SNAPSHOT_INTERVAL
    return crossed or any(isinstance(event, _LARGE) for event in pending)
