"""The event store of batches: one transaction for events, snapshot, views and checkpoint."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast
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
from ..domain.values import StatusReport
from .body_coding import AS_THEY_ARE, BodyCoding
from .body_writer import BodyWriter
from .checkpoints import Checkpoints
from .errors import BatchNotFoundError, ConflictError, InputError, StoreError
from .following import followed, state_of
from .projections import BatchesProjection, CompletionsProjection
from .records import EventColumns, EventRecord
from .saving import Saving, Steps
from .transcoding import BatchMapper, MsgpackTranscoder, SnapshotMapper
from .views import CompletionRow, ViewReader, ViewWriter

if TYPE_CHECKING:
    from .batch_check import CheckedBatch
    from .new_log import NewLog
    from .sealing import KeptSeal
    from .stored_log import StoredLog

_log = logging.getLogger(__name__)

ID_DIGITS = 32
"""Hex digits of a whole batch id."""

_PAGE_BYTES = 1 << 20
"""Pieces that a processor's cache holds are read in less time than larger ones."""
_REBUILD_BYTES = 2 << 20
"""Some thousand events: without their bodies they are small, until they are decoded."""
_NEWEST_EVENTS = 200
_LOADED_BATCHES = 1_000
"""So many states are remembered; a load then reads the events that came since."""

BatchEventT = TypeVar("BatchEventT", bound=events.BatchEvent)

WriteViews = Callable[[ViewWriter, Sequence[int]], None]
"""Writes the rows of just recorded events, given their positions."""

TakeSnapshot = Callable[[], StoredEvent | None]
"""The batch after the just recorded events, if it is worth a snapshot."""

ChangeBodies = Callable[[BodyWriter], None]
"""Removes bodies of events that were recorded before."""


class BatchRecorder(ApplicationRecorder):
    """What a database must offer beyond the library's recorder.

    `insert_events` takes any iterable of `EventRecord`s and `EventColumns` of one batch, which it
    may ask for the next one when the last was written, and without any does nothing. Once all are
    written it calls in the same transaction, where they are given, `snapshot` (TakeSnapshot),
    `change_bodies` (ChangeBodies) and, when the views were up to date before, `write_views`
    (WriteViews). It returns the positions, which follow each other. The library's own `select_`
    methods leave bodies unread.
    """

    @abstractmethod
    def insert_events(
        self,
        stored_events: Iterable[StoredEvent | EventColumns],
        *,
        snapshot: TakeSnapshot | None = None,
        write_views: WriteViews | None = None,
        change_bodies: ChangeBodies | None = None,
        **_: Any,
    ) -> Sequence[int] | None:
        """Record events, as the class says."""

    @property
    @abstractmethod
    def reader(self) -> ViewReader:
        """The views, for reading."""

    @property
    @abstractmethod
    def checkpoints(self) -> Checkpoints:
        """How far users' own projections have come."""

    @abstractmethod
    def lagging(self, *, max_bytes: int) -> tuple[int, Sequence[Notification]]:
        """The views' checkpoint, and the next events behind it, up to a size, without bodies.

        The last event of the sequence passes `max_bytes` of state or ends the log.
        """

    @abstractmethod
    def advance_views(self, checkpoint: int, to: int, write: Callable[[ViewWriter], None]) -> None:
        """Write rows and move the checkpoint in one transaction.

        Nothing is done when another process has moved the checkpoint since.
        """

    @abstractmethod
    def select_page(
        self, originator_id: UUID, *, gt: int, max_bytes: int, bodies: bool = False
    ) -> Sequence[EventRecord]:
        """The events behind version `gt`, ended by the one that passes `max_bytes`.

        Of state, and of body where `bodies` are asked for.
        """

    @abstractmethod
    def select_completions(
        self, batch_id: UUID, *, after: int, max_bytes: int
    ) -> Sequence[tuple[CompletionRow, EventRecord | None]]:
        """Requests behind number `after` in input order, each with the event of its result.

        With bodies; ended by the one that passes `max_bytes` of state and body.
        """

    @abstractmethod
    def select_lines(
        self, batch_id: UUID, *, after: int, max_bytes: int
    ) -> Sequence[tuple[CompletionRow, bytes | None]]:
        """Requests behind number `after` in input order, each with the body of its result.

        As the body is stored; this costs a fraction of `select_completions`.
        """

    @abstractmethod
    def reading(self) -> "AbstractContextManager[StoredLog]":
        """The log and the views as they are now, whatever others write; for one thread."""

    @abstractmethod
    def rewrite_views(self, batches: "Sequence[CheckedBatch]") -> Sequence[UUID]:
        """Put the rows of batches in the place of what the views hold, in one transaction.

        Wrong snapshots go as well. The batches of which the views hold more events by now are
        left alone, and given back.
        """

    @abstractmethod
    def clean_views(self, strays: Sequence[UUID]) -> None:
        """Take out batches that the log has not, and rows of requests that belong to none.

        A checkpoint behind the end of the log is moved there.
        """

    @abstractmethod
    def filling(self) -> "AbstractContextManager[NewLog]":
        """One transaction in which an empty database is filled with a log, whole or not at all.

        All other writers wait until the block is over; whoever reads sees an empty log.
        """

    @abstractmethod
    def keep_seal(self, kept: "KeptSeal") -> None:
        """Remember a seal; one of the same position stays."""

    @abstractmethod
    def claim(
        self, name: str, holder: str, *, now: datetime, until: datetime, latest: datetime
    ) -> bool:
        """Take or renew the lease of this name, unless another holder has it beyond `now`.

        One that ends after `latest` was begun by a wrong clock, and is over.
        """

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


class Batches(Application[UUID]):
    """Loads and saves batches, and reads their log and their views.

    All methods are synchronous; services call them from one worker thread, never across an
    await. A method is safe to repeat unless it says otherwise.
    """

    name = "batchtrail"
    recorder: BatchRecorder

    def __init__(
        self,
        factory: InfrastructureFactory,
        *,
        as_it_is: bool = False,
        bodies: BodyCoding = AS_THEY_ARE,
    ) -> None:
        """Open the database; raises `StoreError`, and closes it, when it cannot be used.

        `bodies` says how new bodies are stored, and reads those that are there.
        With `as_it_is` the views are not brought up to date first, which a damaged database may
        not let happen: for verifying, sealing and rebuilding it.
        """
        self._given_factory = factory
        self._bodies = bodies
        try:
            super().__init__()
            if not as_it_is:
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
        return Environment(name, {"AGGREGATE_CACHE_MAXSIZE": str(_LOADED_BATCHES)})

    def construct_factory(self, env: Environment) -> InfrastructureFactory:
        """The factory that the composition root chose."""
        del env
        return self._given_factory

    def construct_transcoder(self) -> Transcoder:
        """MessagePack."""
        return MsgpackTranscoder()

    def construct_mapper(self) -> Mapper[UUID]:
        """The mapper with the closed table of topics."""
        return BatchMapper(self.construct_transcoder(), self._bodies)

    def construct_snapshot_store(self) -> EventStore[UUID]:
        """Snapshots are a cache: one that cannot be read is passed over."""
        recorder = self.factory.aggregate_recorder(purpose="snapshots")
        return _Snapshots(SnapshotMapper(self.mapper.transcoder), recorder)

    @property
    def batch_mapper(self) -> BatchMapper:
        """What turns stored events into events, and reads the bodies of this store."""
        assert isinstance(self.mapper, BatchMapper)
        return self.mapper

    @property
    def views(self) -> ViewReader:
        """The read models, at least as new as the last event of this store."""
        self.catch_up()
        return self.recorder.reader

    def get(self, batch_id: UUID) -> Batch:
        """The batch as the log has it. Raises `BatchNotFoundError`."""
        try:
            return self.repository.get(checked_id(batch_id), projector_func=followed)
        except AggregateNotFoundError:
            raise BatchNotFoundError(batch_id) from None

    def save_batch(
        self,
        batch: Batch,
        steps: Steps | None = None,
        *,
        change_bodies: ChangeBodies | None = None,
    ) -> None:
        """Record the pending events of a batch, with its snapshot and views, or nothing at all.

        With `steps`, what the batch decides in each is recorded before the next is taken, so that
        thousands of events need not be held: all steps are one save. Results that a step gives are
        recorded behind its pending events. `change_bodies` does what the events say of the bodies
        of earlier ones, in the same save.

        Raises `ConflictError` when another writer was first; the batch object is then spent:
        load it again and decide again. After any other error the same save may be repeated, but
        not one in steps, of which a part is forgotten.
        """
        if steps is None and not batch.pending_events:
            return
        saving = Saving(batch, steps, self.batch_mapper, self.snapshot_of)
        try:
            self.recorder.insert_events(
                saving.stored(),
                snapshot=saving.snapshot,
                write_views=saving.write_views,
                change_bodies=change_bodies,
            )
        except IntegrityError as error:
            raise ConflictError(f"batch {batch.id} was changed by another process") from error
        # `collect_events` would pop each from the front, and move the thousands behind it.
        batch.pending_events.clear()
        if self.repository.cache is not None:
            # Or the next load would replay what was just recorded, thousands of results at times.
            self.repository.cache.put(batch.id, deepcopy(batch))

    def snapshot_of(self, batch: Batch) -> StoredEvent:
        """The snapshot of a batch as it is now, as it is stored."""
        snapshot = Snapshot(
            originator_id=batch.id,
            originator_version=batch.version,
            timestamp=batch.modified_on,
            topic=Batch.TOPIC,
            state=state_of(batch),
        )
        return SnapshotMapper(self.mapper.transcoder).to_stored_event(snapshot)

    def catch_up(self) -> int:
        """Bring views that lag behind the log, or are new, up to date, in constant memory.

        Returns the position that they have come to: while it stays, nothing has happened.
        """
        written = -1
        while True:
            checkpoint, notifications = self.recorder.lagging(max_bytes=_REBUILD_BYTES)
            if not notifications:
                return checkpoint
            if checkpoint != written:  # the beginning, or another process has gone on
                batches = BatchesProjection(self._load_version)
            completions = CompletionsProjection()
            for notification in notifications:
                event = self.mapper.to_domain_event(notification)
                assert isinstance(event, events.BatchEvent)
                completions.process(event, notification.id)
                batches.process(event, notification.id)

            written = notifications[-1].id
            self.recorder.advance_views(checkpoint, written, partial(_write, batches, completions))

    def _load_version(self, batch_id: UUID, version: int) -> Batch:
        return self.repository.get(batch_id, version=version, projector_func=followed)

    def history(
        self, batch_id: UUID, *, after: int = 0, bodies: bool = False
    ) -> Iterator[events.BatchEvent]:
        """The events of one batch behind a version, oldest first, read in pages.

        With their bodies when asked.
        """
        while page := self.recorder.select_page(
            batch_id, gt=after, max_bytes=_PAGE_BYTES, bodies=bodies
        ):
            for stored in page:
                event = self.mapper.to_domain_event(stored)
                assert isinstance(event, events.BatchEvent)
                yield event
            after = page[-1].originator_version

    def with_body(self, event: BatchEventT) -> BatchEventT:
        """The same event with the body that it carries, if that is still in the database."""
        if event.body is None or event.body.content is not None:
            return event
        before = event.originator_version - 1
        (stored,) = self.recorder.select_page(
            event.originator_id, gt=before, max_bytes=0, bodies=True
        )
        return cast(BatchEventT, self.mapper.to_domain_event(stored))

    def last_report(self, batch_id: UUID) -> StatusReport | None:
        """The last report of the provider, with every error; the state keeps a few only."""
        newest = self._newest_first(batch_id)
        return next((event.report for event in newest if isinstance(event, events.REPORTING)), None)

    def redacted_requests(self, batch_id: UUID) -> set[str]:
        """The custom_ids of the requests that were redacted; reads back to the first redaction."""
        redacted = (
            event.custom_id
            for event in self._newest_first(batch_id)
            if isinstance(event, events.RequestRedacted)
        )
        return set(islice(redacted, self.get(batch_id).redactions))

    def _newest_first(self, batch_id: UUID) -> Iterator[DomainEventProtocol[UUID]]:
        last = None
        while page := list(self.events.get(batch_id, lte=last, desc=True, limit=_NEWEST_EVENTS)):
            yield from page
            last = page[-1].originator_version - 1

    def input_lines(self, batch_id: UUID) -> Iterator[bytes]:
        """The input of a batch exactly as it is sent, in pieces of about a megabyte.

        Raises `BodyRemovedError` when a part of it was removed.
        """
        may_be_redacted = self.get(batch_id).redactions > 0  # or no line need be looked at
        for event in self.history(batch_id, bodies=True):
            if isinstance(event, events.RequestsAdded):
                if may_be_redacted and event.lines.redacted:
                    raise event.without_body()
                yield event.text
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

    def lines_page(self, batch_id: UUID, *, after: int) -> list[tuple[CompletionRow, bytes | None]]:
        """Some requests behind number `after`, in input order, with their result lines.

        None where the request has none, or where it was removed.
        """
        self.catch_up()
        plain = self._bodies.plain
        page: list[tuple[CompletionRow, bytes | None]] = []
        for row, body in self.recorder.select_lines(batch_id, after=after, max_bytes=_PAGE_BYTES):
            try:
                page.append((row, None if body is None else plain(body)))
            except ValueError as error:
                raise StoreError(
                    f"the result of request {row.custom_id!r} of batch {batch_id} cannot be read: "
                    f"{error}"
                ) from error
        return page

    def request_index(self, batch_id: UUID) -> RequestIndex:
        """The custom_ids of a batch and which of them are settled; grows with the batch."""
        views = self.views
        custom_ids, settled = list[str](), list[int]()
        while (page := views.index_page(batch_id, after=len(custom_ids)))[0]:
            custom_ids += page[0]
            settled += page[1]
        return RequestIndex(custom_ids, settled)


def checked_id(batch_id: object) -> UUID:
    """A batch id, which people who do without types may give as a text. Raises `InputError`."""
    if isinstance(batch_id, UUID):
        return batch_id
    raise InputError(f"{batch_id!r} is no batch id, which is a UUID; `find` gives that of a text")


def id_digits(reference: UUID | str) -> str:
    """The hex digits of a batch id, or of the beginning of one. Raises `InputError`."""
    digits = str(reference).replace("-", "").lower()
    if not 0 < len(digits) <= ID_DIGITS or set(digits) - set("0123456789abcdef"):
        raise InputError(f"{str(reference)!r} is no batch id; `status` lists the batches")
    return digits


def refuse_lost_requests(batch: Batch, requests: int) -> None:
    """Raise `StoreError` when so many requests in the completions view are not all of the log's."""
    if requests < batch.request_count:
        raise StoreError(
            f"the view of completions lacks requests of batch {batch.id}; "
            "`batchtrail rebuild` mends it"
        )


def _write(
    batches: BatchesProjection, completions: CompletionsProjection, views: ViewWriter
) -> None:
    batches.write(views)
    completions.write(views)
