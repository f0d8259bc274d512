"""The database as those read it who check it: one snapshot, on a connection of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from eventsourcing.persistence import StoredEvent
from psycopg import Cursor, IsolationLevel
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from ...application.errors import StoreError
from ...application.records import EventRecord
from ...application.sealing import KeptSeal, Seal
from ...application.stored_log import ViewRow, differing_columns
from ...application.views import BatchSummary
from .address import Address
from .pages import read_page
from .schema import connect
from .texts import text_of
from .views import VERSION, batch_row

_LOG: LiteralString = (
    "SELECT notification_id, originator_id, originator_version, topic, state, digest, body, "
    "octet_length(state) + coalesce(octet_length(body), 0) AS size FROM batchtrail_events "
    "WHERE notification_id>%(after)s ORDER BY notification_id LIMIT %(limit)s"
)
_STREAM_WITH_BODIES: LiteralString = (
    "SELECT originator_version, notification_id, topic, state, digest, body, "
    "octet_length(state) + coalesce(octet_length(body), 0) AS size FROM batchtrail_events "
    "WHERE originator_id=%(id)s AND originator_version>%(after)s "
    "ORDER BY originator_version LIMIT %(limit)s"
)
_STREAM: LiteralString = _STREAM_WITH_BODIES.replace(
    "body, octet_length(state) + coalesce(octet_length(body), 0)",
    "NULL::bytea AS body, octet_length(state)",
)
_FIRST_ID = UUID(int=0)


@contextmanager
def reading(address: Address, schema: str) -> Iterator["PostgresStoredLog"]:
    """A reader of the database as it is now; raises `StoreError` when it cannot be read on."""
    try:
        with connect(address) as connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            search_path = SQL("SET LOCAL search_path TO {}").format(Identifier(schema))
            with connection.transaction(), connection.cursor(binary=True) as cursor:
                cursor.execute(search_path)
                # Whoever reads an export may be slower than the server is patient.
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                yield PostgresStoredLog(cursor)
    except psycopg.Error as error:
        raise StoreError(f"cannot read {address}: {address.sentence(error)}") from None


class PostgresStoredLog:
    """Reads the log and the views through the cursor of one transaction."""

    def __init__(self, cursor: Cursor[TupleRow]) -> None:
        self._cursor = cursor

    def _rows(self, statement: LiteralString, *parameters: Any) -> list[TupleRow]:
        self._cursor.execute(statement, parameters)
        return self._cursor.fetchall()

    def _number(self, statement: LiteralString) -> int:
        ((number,),) = self._rows(statement)
        return int(number)

    def last_position(self) -> int:
        """The highest position that was ever given to an event."""
        return self._number(
            "SELECT greatest((SELECT max(last_position) FROM batchtrail_log), "
            "(SELECT max(notification_id) FROM batchtrail_events), 0)"
        )

    def checkpoint(self) -> int:
        """How much of the log the views hold; nothing, when they are to be made anew."""
        if not self._has_views:
            return 0
        return self._number("SELECT coalesce(max(position), 0) FROM batchtrail_view_checkpoint")

    @cached_property
    def _has_views(self) -> bool:
        """Whether the views are of this version; who opens the log to write makes others anew."""
        return self._rows("SELECT version FROM batchtrail_view_checkpoint") == [(VERSION,)]

    def log_page(self, *, after: int, max_bytes: int) -> Sequence[EventRecord]:
        """The events behind a position, with bodies."""
        page = read_page(
            self._cursor, "notification_id", _LOG, {"after": after}, max_bytes=max_bytes
        )
        return [
            EventRecord(batch_id, version, topic, state, digest, body, position)
            for position, batch_id, version, topic, state, digest, body in page
        ]

    def stream_page(
        self, batch_id: UUID, *, after: int, max_bytes: int, bodies: bool = False
    ) -> Sequence[EventRecord]:
        """The events of a batch behind a version."""
        page = read_page(
            self._cursor,
            "originator_version",
            _STREAM_WITH_BODIES if bodies else _STREAM,
            {"id": batch_id, "after": after},
            max_bytes=max_bytes,
        )
        return [
            EventRecord(batch_id, version, topic, state, digest, body, position)
            for version, position, topic, state, digest, body in page
        ]

    def snapshots(self, batch_id: UUID, *, after: int, to: int) -> Sequence[StoredEvent]:
        """The snapshots of a batch behind one version and up to another."""
        rows = self._rows(
            "SELECT originator_version, topic, state FROM batchtrail_snapshots "
            "WHERE originator_id=%s AND originator_version>%s AND originator_version<=%s",
            batch_id,
            after,
            to,
        )
        return [StoredEvent(batch_id, *row) for row in rows]

    def next_batch(self, after: UUID | None) -> UUID | None:
        """The batch in the log whose id follows."""
        return self._next(
            "SELECT originator_id FROM batchtrail_events WHERE originator_id>%s "
            "ORDER BY originator_id LIMIT 1",
            after,
        )

    def next_view(self, after: UUID | None) -> UUID | None:
        """The batch in the views whose id follows."""
        if not self._has_views:
            return None
        return self._next(
            "SELECT batch_id FROM batchtrail_batches WHERE batch_id>%s ORDER BY batch_id LIMIT 1",
            after,
        )

    def _next(self, statement: LiteralString, after: UUID | None) -> UUID | None:
        rows = self._rows(statement, after or _FIRST_ID)
        return rows[0][0] if rows else None

    def differing_columns(self, summary: BatchSummary, first_position: int) -> list[str] | None:
        """The columns of a batch's row that are not those of the summary."""
        wanted = batch_row(summary, first_position)
        names = SQL(", ").join(map(Identifier, wanted))
        statement = SQL("SELECT {} FROM batchtrail_batches WHERE batch_id=%s").format(names)
        self._cursor.execute(statement, (summary.id,))
        row = self._cursor.fetchone()
        if row is None:
            return None
        return differing_columns(wanted, dict(zip(wanted, row, strict=True)))

    def view_page(self, batch_id: UUID, *, after: int, limit: int) -> Sequence[ViewRow]:
        """Rows of the completions view behind a number."""
        rows = self._rows(
            "SELECT number, custom_id, outcome, position FROM batchtrail_completions "
            "WHERE batch_no=(SELECT batch_no FROM batchtrail_batches WHERE batch_id=%s) "
            "AND number>%s ORDER BY number LIMIT %s",
            batch_id,
            after,
            limit,
        )
        return [ViewRow(number, _shown(custom_id), *rest) for number, custom_id, *rest in rows]

    def stray_rows(self) -> int:
        """How many rows of the views belong to no batch that the views can have."""
        if not self._has_views:
            return 0
        return self._number(
            "SELECT count(*) FROM batchtrail_completions AS row WHERE NOT EXISTS "
            "(SELECT FROM batchtrail_batches AS batch WHERE batch.batch_no=row.batch_no)"
        )

    def seals(self) -> Sequence[KeptSeal]:
        """The seals that were taken of this log."""
        rows = self._rows(
            "SELECT position, link, sealed_at, sealed_by FROM batchtrail_seals ORDER BY position"
        )
        return [
            KeptSeal(Seal(position, link), moment.isoformat(), text_of(by))
            for position, link, moment, by in rows
        ]


def _shown(custom_id: bytes) -> str:
    """A custom_id; one that was damaged is no text that could be right."""
    try:
        return text_of(custom_id)
    except UnicodeDecodeError:
        return repr(custom_id)
