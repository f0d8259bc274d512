"""The event log in PostgreSQL: events, snapshot, views and checkpoint in one transaction."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
from eventsourcing.persistence import DataError, IntegrityError, Notification, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg import Cursor
from psycopg.rows import TupleRow, tuple_row
from psycopg.sql import SQL

from ...application.batch_check import CheckedBatch
from ...application.checkpoints import Checkpoints
from ...application.new_log import NewLog
from ...application.records import EventColumns, EventRecord, Stored, one_by_one
from ...application.sealing import KeptSeal
from ...application.store import BatchRecorder, ChangeBodies, TakeSnapshot, WriteViews
from ...application.stored_log import StoredLog
from ...application.views import ROW_BYTES, CompletionRow, ViewReader, ViewWriter
from .body_writer import PostgresBodyWriter
from .checkpoints import PostgresCheckpoints
from .database import BatchDatastore, surviving_restarts
from .filling import PostgresNewLog
from .pages import read_page
from .reader import reading
from .statements import KEEP_SEAL, PUT_SNAPSHOT, copy_events, seal_row, snapshot_row
from .texts import bytes_of, text_of
from .views import PostgresViewReader, PostgresViewWriter

_VERSIONS = "batchtrail_events_version"
"""The constraint that two writers of one version of a batch run into."""

_NEXT_POSITIONS = (
    "UPDATE batchtrail_log SET last_position = last_position + %s RETURNING last_position"
)
_LAST_POSITION = "SELECT coalesce(max(notification_id), 0) FROM batchtrail_events"
_FORGET_SNAPSHOTS = (
    "DELETE FROM batchtrail_snapshots "
    "WHERE originator_id=%s AND originator_version=ANY(%s::bigint[])"
)
_CLAIM = (
    "INSERT INTO batchtrail_leases AS lease VALUES (%(name)s, %(holder)s, %(until)s) "
    "ON CONFLICT (name) DO UPDATE SET holder=excluded.holder, until=excluded.until "
    "WHERE lease.holder=excluded.holder OR lease.until<=%(now)s OR lease.until>%(latest)s "
    "RETURNING 1"
)
_STREAM: LiteralString = (
    "SELECT originator_version, topic, state, digest, NULL::bytea AS body, "
    "octet_length(state) AS size FROM batchtrail_events "
    "WHERE originator_id=%(id)s AND originator_version>%(after)s "
    "ORDER BY originator_version LIMIT %(limit)s"
)
_STREAM_WITH_BODIES: LiteralString = _STREAM.replace("NULL::bytea AS body", "body").replace(
    "octet_length(state)", "octet_length(state) + coalesce(octet_length(body), 0)"
)
_LINES: LiteralString = (
    "SELECT number, custom_id, outcome, position, body, "
    "%(row_bytes)s + coalesce(octet_length(body), 0) AS size "
    "FROM batchtrail_completions LEFT JOIN batchtrail_events ON notification_id=position "
    "WHERE batch_no=(SELECT batch_no FROM batchtrail_batches WHERE batch_id=%(id)s) "
    "AND number>%(after)s ORDER BY number LIMIT %(limit)s"
)
_EVENTS: LiteralString = _LINES.replace(
    "body, ", "originator_version, topic, state, digest, body, "
).replace(" AS size", " + coalesce(octet_length(state), 0) AS size")


class PostgresBatchRecorder(PostgresApplicationRecorder, BatchRecorder):
    """The library's recorder on a table whose positions are counted in a row of their own.

    A sequence leaves gaps behind writes that were undone, and the library's table lock waits for
    vacuum. The lock on the counter's row has the same use: positions are in the order of commits,
    and no reader passes over one that is filled later.
    """

    datastore: BatchDatastore

    def __init__(self, datastore: BatchDatastore) -> None:
        super().__init__(datastore, events_table_name="batchtrail_events")
        self.select_events_statement = SQL(
            "SELECT originator_id, originator_version, topic, state "
            "FROM batchtrail_events WHERE originator_id = %s"
        ).format()
        self._reader = PostgresViewReader(datastore)
        self._checkpoints = PostgresCheckpoints(datastore)

    @property
    def reader(self) -> ViewReader:
        """The views, for reading."""
        return self._reader

    @property
    def checkpoints(self) -> Checkpoints:
        """How far users' own projections have come."""
        return self._checkpoints

    def insert_events(
        self,
        stored_events: Iterable[StoredEvent | EventColumns],
        *,
        snapshot: TakeSnapshot | None = None,
        write_views: WriteViews | None = None,
        change_bodies: ChangeBodies | None = None,
        **_: Any,
    ) -> Sequence[int] | None:
        """Record events; the same events twice are recorded once.

        When the answer to a commit is lost, the next attempt finds them in the log. So they are
        all gathered first: another attempt needs them again.
        """
        gathered = list(one_by_one(cast(Iterable[Stored], stored_events)))
        if not gathered:
            return None
        taken = None if snapshot is None else snapshot()
        positions: Sequence[int] = self._insert_once(gathered, taken, write_views, change_bodies)
        return positions

    @surviving_restarts
    def _insert_once(
        self,
        stored_events: Sequence[StoredEvent],
        snapshot: StoredEvent | None,
        write_views: WriteViews | None,
        change_bodies: ChangeBodies | None,
    ) -> Sequence[int]:
        try:
            return self._insert(stored_events, snapshot, write_views, change_bodies)
        except IntegrityError:
            if positions := self._positions_of(stored_events):
                return positions
            raise

    def _insert(
        self,
        stored_events: Sequence[StoredEvent],
        snapshot: StoredEvent | None,
        write_views: WriteViews | None,
        change_bodies: ChangeBodies | None,
    ) -> Sequence[int]:
        with self._transaction() as cursor:
            positions = _next_positions(cursor, len(stored_events))
            views = PostgresViewWriter(cursor)
            up_to_date = views.checkpoint() >= _number(cursor, _LAST_POSITION)
            copy_events(cursor, cast(Sequence[EventRecord], stored_events), positions)
            if change_bodies is not None:
                change_bodies(PostgresBodyWriter(cursor))
            if snapshot is not None:
                cursor.execute(PUT_SNAPSHOT, snapshot_row(snapshot))
            # Views that lag are being rebuilt: the rebuild comes to these events in their order.
            if write_views is not None and up_to_date:
                write_views(views, positions)
                views.move_checkpoint(positions[-1])
        return positions

    def _positions_of(self, stored_events: Sequence[StoredEvent]) -> Sequence[int]:
        """Where exactly these events stand already; nothing when any of them does not."""
        first = stored_events[0]
        with self._cursor() as cursor:
            cursor.execute(
                "SELECT notification_id, originator_version, topic, state FROM batchtrail_events "
                "WHERE originator_id=%s AND originator_version>=%s "
                "ORDER BY originator_version LIMIT %s",
                (first.originator_id, first.originator_version, len(stored_events)),
            )
            rows = cursor.fetchall()
        # The state holds the digest of the body, which need not be read.
        given = [(each.originator_version, each.topic, each.state) for each in stored_events]
        return [position for position, *_ in rows] if [row[1:] for row in rows] == given else []

    @surviving_restarts
    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """A part of the log; the library's own statement would read the bodies."""
        first = 0 if start is None else start if inclusive_of_start else start + 1
        with self._cursor() as cursor:
            cursor.execute(
                "SELECT notification_id, originator_id, originator_version, topic, state "
                "FROM batchtrail_events WHERE notification_id>=%s "
                "AND (%s::bigint IS NULL OR notification_id<=%s) "
                "AND (cardinality(%s::text[])=0 OR topic=ANY(%s)) "
                "ORDER BY notification_id LIMIT %s",
                (first, stop, stop, list(topics), list(topics), limit),
            )
            return [_notification(*row) for row in cursor.fetchall()]

    @surviving_restarts
    def lagging(self, *, max_bytes: int) -> tuple[int, Sequence[Notification]]:
        """The views' checkpoint, and the next events behind it, up to a size."""
        with self._cursor() as cursor:
            checkpoint = PostgresViewWriter(cursor).checkpoint()
            if checkpoint >= _number(cursor, _LAST_POSITION):
                return checkpoint, []
            page = read_page(
                cursor,
                "notification_id",
                "SELECT notification_id, originator_id, originator_version, topic, state, "
                "octet_length(state) AS size FROM batchtrail_events "
                "WHERE notification_id>%(after)s ORDER BY notification_id LIMIT %(limit)s",
                {"after": checkpoint},
                max_bytes=max_bytes,
            )
            return checkpoint, [_notification(*row) for row in page]

    def advance_views(self, checkpoint: int, to: int, write: Callable[[ViewWriter], None]) -> None:
        """Write rows and move the checkpoint, unless another process has moved it since.

        Never attempted twice: what writes the rows may be spent after the first time.
        """
        with self._transaction() as cursor:
            cursor.execute("SELECT FROM batchtrail_log FOR UPDATE")
            views = PostgresViewWriter(cursor)
            if views.checkpoint() == checkpoint:
                write(views)
                views.move_checkpoint(to)

    @surviving_restarts
    def select_page(
        self, originator_id: UUID, *, gt: int, max_bytes: int, bodies: bool = False
    ) -> Sequence[EventRecord]:
        """The events behind version `gt`, ended by the one that passes `max_bytes`."""
        with self._cursor() as cursor:
            page = read_page(
                cursor,
                "originator_version",
                _STREAM_WITH_BODIES if bodies else _STREAM,
                {"id": originator_id, "after": gt},
                max_bytes=max_bytes,
            )
            return [EventRecord(originator_id, *row) for row in page]

    def select_completions(
        self, batch_id: UUID, *, after: int, max_bytes: int
    ) -> Sequence[tuple[CompletionRow, EventRecord | None]]:
        """Requests behind number `after` in input order, each with the event of its result."""
        page = self._with_results(_EVENTS, batch_id, after, max_bytes)
        return [_completion(batch_id, *row) for row in page]

    def select_lines(
        self, batch_id: UUID, *, after: int, max_bytes: int
    ) -> Sequence[tuple[CompletionRow, bytes | None]]:
        """Requests behind number `after` in input order, each with the body of its result."""
        return [
            (CompletionRow.read(number, text_of(custom_id), outcome, position), body)
            for number, custom_id, outcome, position, body in self._with_results(
                _LINES, batch_id, after, max_bytes
            )
        ]

    @surviving_restarts
    def _with_results(
        self, statement: LiteralString, batch_id: UUID, after: int, max_bytes: int
    ) -> list[TupleRow]:
        """A page of requests, each with what the statement takes of its result's event."""
        parameters = {"id": batch_id, "after": after, "row_bytes": ROW_BYTES}
        with self._cursor() as cursor:
            return read_page(cursor, "number", statement, parameters, max_bytes=max_bytes)

    def reading(self) -> AbstractContextManager[StoredLog]:
        """The log and the views as they are now."""
        return reading(self.datastore.address, self.datastore.schema)

    @surviving_restarts
    def rewrite_views(self, batches: Sequence[CheckedBatch]) -> Sequence[UUID]:
        """Put the rows of batches in the place of what the views hold."""
        with self._transaction() as cursor:
            cursor.execute("SELECT FROM batchtrail_log FOR UPDATE")
            views = PostgresViewWriter(cursor)
            checkpoint = views.checkpoint()
            left = []
            for each in batches:
                if _has_events(cursor, each.batch_id, each.version, checkpoint):
                    left.append(each.batch_id)
                    continue
                cursor.execute(_FORGET_SNAPSHOTS, (each.batch_id, each.bad_snapshots))
                views.replace_rows(each)
        return left

    @surviving_restarts
    def clean_views(self, strays: Sequence[UUID]) -> None:
        """Take out what belongs to no batch of the log."""
        with self._transaction() as cursor:
            cursor.execute("SELECT FROM batchtrail_log FOR UPDATE")
            views = PostgresViewWriter(cursor)
            checkpoint = min(views.checkpoint(), _number(cursor, _LAST_POSITION))
            views.move_checkpoint(checkpoint)
            for batch_id in strays:
                if not _has_events(cursor, batch_id, 0, checkpoint):
                    views.drop_rows(batch_id)
            views.drop_strays()

    @contextmanager
    def filling(self) -> Iterator[NewLog]:
        """One transaction in which an empty database is filled with a log."""
        with self._transaction() as cursor:
            # Whoever writes the file that is read may be slower than the server is patient.
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            cursor.execute("SELECT FROM batchtrail_log FOR UPDATE")
            yield PostgresNewLog(cursor)

    @surviving_restarts
    def keep_seal(self, kept: KeptSeal) -> None:
        """Remember a seal; one of the same position stays."""
        with self._cursor() as cursor:
            cursor.execute(KEEP_SEAL, seal_row(kept))

    @surviving_restarts
    def claim(
        self, name: str, holder: str, *, now: datetime, until: datetime, latest: datetime
    ) -> bool:
        """Take or renew the lease of this name, unless another holder has it beyond `now`.

        One that ends after `latest` was begun by a wrong clock, and is over.
        """
        moments = {"now": now, "until": until, "latest": latest}
        with self._cursor() as cursor:
            cursor.execute(_CLAIM, {"name": bytes_of(name), "holder": bytes_of(holder), **moments})
            return cursor.fetchone() is not None

    @surviving_restarts
    def release(self, name: str, holder: str) -> None:
        """Give a lease back; that of another holder stays."""
        with self._cursor() as cursor:
            cursor.execute(
                "DELETE FROM batchtrail_leases WHERE name=%s AND holder=%s",
                (bytes_of(name), bytes_of(holder)),
            )

    @contextmanager
    def _cursor(self) -> Iterator[Cursor[TupleRow]]:
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(binary=True, row_factory=tuple_row) as cursor,
        ):
            yield cursor

    @contextmanager
    def _transaction(self) -> Iterator[Cursor[TupleRow]]:
        """Raises the library's `IntegrityError` for a conflict of versions, and for nothing else.

        A caller that meets a conflict tries again, for ever.
        """
        with (
            self.datastore.get_connection() as connection,
            connection.transaction(),
            connection.cursor(binary=True, row_factory=tuple_row) as cursor,
        ):
            try:
                yield cursor
            except psycopg.IntegrityError as error:
                if error.diag.constraint_name == _VERSIONS:
                    raise
                raise DataError(
                    f"its views do not fit its log ({error.diag.message_primary}); "
                    "`batchtrail rebuild` mends them"
                ) from error


def _next_positions(cursor: Cursor[TupleRow], count: int) -> range:
    """Positions without a gap behind the last one; other writers wait until this one is done."""
    last = _number(cursor, _NEXT_POSITIONS, count)
    return range(last - count + 1, last + 1)


def _number(cursor: Cursor[TupleRow], statement: LiteralString, *parameters: Any) -> int:
    cursor.execute(statement, parameters)
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _has_events(cursor: Cursor[TupleRow], batch_id: UUID, after: int, to: int) -> bool:
    """Whether a batch has events behind a version and up to a position of the log."""
    cursor.execute(
        "SELECT 1 FROM batchtrail_events "
        "WHERE originator_id=%s AND originator_version>%s AND notification_id<=%s LIMIT 1",
        (batch_id, after, to),
    )
    return cursor.fetchone() is not None


def _notification(
    position: int, originator_id: UUID, version: int, topic: str, state: bytes
) -> Notification:
    return Notification(
        id=position,
        originator_id=originator_id,
        originator_version=version,
        topic=topic,
        state=state,
    )


def _completion(
    batch_id: UUID,
    number: int,
    custom_id: bytes,
    outcome: str,
    position: int | None,
    *result: Any,
) -> tuple[CompletionRow, EventRecord | None]:
    row = CompletionRow.read(number, text_of(custom_id), outcome, position)
    return row, EventRecord(batch_id, *result) if position else None
