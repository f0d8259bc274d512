"""The views in PostgreSQL, and the checkpoint that says how much of the log they hold."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg import Cursor
from psycopg.rows import TupleRow, tuple_row
from psycopg.sql import SQL, Identifier

from ...application.batch_check import CheckedBatch
from ...application.errors import DatabaseRefusedError
from ...application.store import ID_DIGITS
from ...application.views import BatchSummary, OpenBatch
from ...domain.status import Outcome, WorkStep
from .database import BatchDatastore, surviving_restarts
from .texts import bytes_of, text_of

VERSION = 2
"""Raise it when the tables or their content change: older views are thrown away and rebuilt."""

_INDEX_ROWS = 10_000

VIEW_TABLES: dict[str, LiteralString] = {
    "batchtrail_view_checkpoint": (
        "CREATE TABLE batchtrail_view_checkpoint ("
        "version integer NOT NULL, position bigint NOT NULL)"
    ),
    "batchtrail_batches": (
        "CREATE TABLE batchtrail_batches ("
        "batch_no bigint PRIMARY KEY, "
        "batch_id uuid NOT NULL UNIQUE, "
        "created_at timestamptz NOT NULL, "
        "identity bytea, "
        "generation integer NOT NULL, "
        "provider bytea NOT NULL, "
        "version bigint NOT NULL, "
        "updated_at timestamptz NOT NULL, "
        "next_step text, "
        "submitted_at timestamptz, "
        "provider_batch_id bytea, "
        "may_have_siblings boolean NOT NULL, "
        "deferred_until timestamptz, "
        "summary bytea NOT NULL)"
    ),
    # Room in each page for the outcomes that come later: their rows need no new index entries.
    "batchtrail_completions": (
        "CREATE TABLE batchtrail_completions ("
        "batch_no bigint NOT NULL, "
        "number integer NOT NULL, "
        "custom_id bytea NOT NULL, "
        "outcome text NOT NULL, "
        "position bigint, "
        "PRIMARY KEY (batch_no, number)) WITH (fillfactor = 50)"
    ),
}
_INDEXES: tuple[LiteralString, ...] = (
    "CREATE INDEX ON batchtrail_batches (created_at, batch_no)",
    "CREATE INDEX ON batchtrail_batches (identity, generation)",
    "CREATE INDEX ON batchtrail_batches (provider, batch_no) WHERE next_step IS NOT NULL",
)

# The number of a batch is the position of its first event; only a damaged view lacks a row later.
_PUT_BATCH = (
    "INSERT INTO batchtrail_batches VALUES ("
    "coalesce(%(batch_no)s, (SELECT max(batch_no) + 1 FROM batchtrail_batches), 1), "
    "%(batch_id)s, %(created_at)s, %(identity)s, "
    "%(generation)s, %(provider)s, %(version)s, %(updated_at)s, %(next_step)s, "
    "%(submitted_at)s, %(provider_batch_id)s, %(may_have_siblings)s, %(deferred_until)s, "
    "%(summary)s) "
    "ON CONFLICT (batch_id) DO UPDATE SET version=excluded.version, "
    "updated_at=excluded.updated_at, next_step=excluded.next_step, "
    "submitted_at=excluded.submitted_at, provider_batch_id=excluded.provider_batch_id, "
    "may_have_siblings=excluded.may_have_siblings, "
    "deferred_until=excluded.deferred_until, summary=excluded.summary"
)
_ADD_REQUESTS = (
    "INSERT INTO batchtrail_completions "
    "SELECT batch_no, %(before)s + place, custom_id, 'pending', NULL "
    "FROM batchtrail_batches, "
    "unnest(%(custom_ids)b::bytea[]) WITH ORDINALITY AS new (custom_id, place) "
    "WHERE batch_id=%(batch_id)s"
)
_SETTLE = (
    "UPDATE batchtrail_completions AS old SET outcome=new.outcome, position=new.position "
    "FROM batchtrail_batches AS batch, "
    "unnest(%(numbers)b::integer[], %(outcomes)s::text[], %(positions)b::bigint[]) "
    "AS new (number, outcome, position) "
    "WHERE batch_id=%(batch_id)s AND old.batch_no=batch.batch_no AND old.number=new.number"
)
_SETTLE_REST = (
    "UPDATE batchtrail_completions SET outcome=%(outcome)s WHERE outcome='pending' "
    "AND batch_no=(SELECT batch_no FROM batchtrail_batches WHERE batch_id=%(batch_id)s)"
)
_REOPEN = (
    "UPDATE batchtrail_completions SET outcome='pending' WHERE position IS NULL "
    "AND batch_no=(SELECT batch_no FROM batchtrail_batches WHERE batch_id=%(batch_id)s)"
)


def prepare_views(cursor: Cursor[TupleRow], address: object) -> None:
    """Make the tables; when one is missing or old, begin all of them anew.

    They are filled from the log before anything reads them. Raises `DatabaseRefusedError` for
    tables that are newer: to replace them would take them away from whoever made them.
    """
    cursor.execute(
        "SELECT count(to_regclass(name)) FROM unnest(%s::text[]) AS name", (list(VIEW_TABLES),)
    )
    if cursor.fetchone() == (len(VIEW_TABLES),):
        cursor.execute("SELECT version FROM batchtrail_view_checkpoint")
        versions = [version for (version,) in cursor.fetchall()]
        if versions == [VERSION]:
            return
        if versions and (newest := max(versions)) > VERSION:
            raise DatabaseRefusedError.of_newer(address, "views", newest, VERSION)
    cursor.execute("SELECT FROM batchtrail_log FOR UPDATE")  # nobody writes meanwhile
    cursor.execute("DROP TABLE IF EXISTS " + ", ".join(VIEW_TABLES))
    for statement in (*VIEW_TABLES.values(), *_INDEXES):
        cursor.execute(statement)
    cursor.execute("INSERT INTO batchtrail_view_checkpoint VALUES (%s, 0)", (VERSION,))


def batch_row(summary: BatchSummary, batch_no: int | None) -> dict[str, Any]:
    """A batch's row, column by column."""
    return {
        "batch_no": batch_no,
        "batch_id": summary.id,
        "created_at": summary.created_at,
        "identity": _stored(summary.identity),
        "generation": summary.generation,
        "provider": _stored(summary.provider),
        "version": summary.version,
        "updated_at": summary.updated_at,
        "next_step": summary.next_step and summary.next_step.value,
        "submitted_at": summary.submitted_at,
        "provider_batch_id": _stored(summary.provider_batch_id),
        "may_have_siblings": summary.may_have_siblings,
        "deferred_until": summary.deferred_until,
        "summary": msgspec.json.encode(summary),
    }


class PostgresViewWriter:
    """Writes view rows through the cursor of a transaction."""

    def __init__(self, cursor: Cursor[TupleRow]) -> None:
        self._cursor = cursor

    def checkpoint(self) -> int:
        """The position of the last event that the views hold.

        Raises `DatabaseRefusedError` when a newer version has made them anew meanwhile.
        """
        self._cursor.execute("SELECT version, position FROM batchtrail_view_checkpoint")
        row = self._cursor.fetchone()
        assert row is not None
        if row[0] > VERSION:
            raise DatabaseRefusedError.of_newer("the database", "views", row[0], VERSION)
        return int(row[1])

    def move_checkpoint(self, position: int) -> None:
        """Say that the views hold the log up to a position."""
        self._cursor.execute("UPDATE batchtrail_view_checkpoint SET position=%s", (position,))

    def put_batch(self, summary: BatchSummary, first_position: int | None) -> None:
        """Insert or replace a batch's row."""
        self._cursor.execute(_PUT_BATCH, batch_row(summary, first_position))

    def replace_rows(self, checked: CheckedBatch) -> None:
        """Put a batch's rows in the place of all that it has; nothing where it has no event."""
        if checked.summary is None:
            return
        first_position = checked.replay.first_position
        self.drop_rows(checked.batch_id)
        for table in ("batchtrail_completions", "batchtrail_batches"):
            delete = SQL("DELETE FROM {} WHERE batch_no=%s").format(Identifier(table))
            self._cursor.execute(delete, (first_position,))
        self.put_batch(checked.summary, first_position)
        with self._cursor.copy("COPY batchtrail_completions FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "int4", "bytea", "text", "int8"])
            for row in checked.replay.rows.rows():
                custom_id = bytes_of(row.custom_id)
                copy.write_row((first_position, row.number, custom_id, row.outcome, row.position))

    def drop_rows(self, batch_id: UUID) -> None:
        """Take a batch out of the views."""
        self._cursor.execute(
            "DELETE FROM batchtrail_completions "
            "WHERE batch_no=(SELECT batch_no FROM batchtrail_batches WHERE batch_id=%s)",
            (batch_id,),
        )
        self._cursor.execute("DELETE FROM batchtrail_batches WHERE batch_id=%s", (batch_id,))

    def drop_strays(self) -> None:
        """Take out the rows that belong to no batch."""
        self._cursor.execute(
            "DELETE FROM batchtrail_completions "
            "WHERE batch_no NOT IN (SELECT batch_no FROM batchtrail_batches)"
        )

    def add_requests(self, batch_id: UUID, first_number: int, custom_ids: Sequence[str]) -> None:
        """Insert a pending row for each request."""
        self._cursor.execute(
            _ADD_REQUESTS,
            {
                "batch_id": batch_id,
                "before": first_number - 1,
                "custom_ids": [bytes_of(custom_id) for custom_id in custom_ids],
            },
        )

    def settle(
        self, batch_id: UUID, results: Iterable[tuple[int, Outcome, int]], *, behind: int
    ) -> None:
        """Give requests their outcome and the position of the event that brought it."""
        rows = sorted(results)
        self._cursor.execute(
            _SETTLE,
            {
                "batch_id": batch_id,
                "numbers": [number for number, _, _ in rows],
                "outcomes": [outcome.value for _, outcome, _ in rows],
                "positions": [behind + position for _, _, position in rows],
            },
        )

    def settle_rest(self, batch_id: UUID, outcome: Outcome) -> None:
        """Give every request that is still pending this outcome."""
        self._cursor.execute(_SETTLE_REST, {"batch_id": batch_id, "outcome": outcome.value})

    def reopen(self, batch_id: UUID) -> None:
        """Make every request pending again that has no result line."""
        self._cursor.execute(_REOPEN, {"batch_id": batch_id})


class PostgresViewReader:
    """Reads the views."""

    def __init__(self, datastore: BatchDatastore) -> None:
        self._datastore = datastore

    @surviving_restarts
    def _select(self, statement: LiteralString, *parameters: Any) -> list[TupleRow]:
        with (
            self._datastore.get_connection() as connection,
            connection.cursor(binary=True, row_factory=tuple_row) as cursor,
        ):
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    def summaries(self, *, limit: int, before: datetime | None = None) -> list[BatchSummary]:
        """Batches, newest first, `limit` at most, made before a moment."""
        rows = self._select(
            "SELECT summary FROM batchtrail_batches "
            "WHERE created_at < coalesce(%s::timestamptz, 'infinity') "
            "ORDER BY created_at DESC, batch_no DESC LIMIT %s",
            before,
            limit,
        )
        return [msgspec.json.decode(summary, type=BatchSummary) for (summary,) in rows]

    def summary(self, batch_id: UUID) -> BatchSummary | None:
        """One batch; None for an unknown one."""
        rows = self._select("SELECT summary FROM batchtrail_batches WHERE batch_id=%s", batch_id)
        return msgspec.json.decode(rows[0][0], type=BatchSummary) if rows else None

    def open_batches(self, provider: str) -> list[OpenBatch]:
        """The batches at a provider with something left to do, oldest first."""
        rows = self._select(
            "SELECT batch_id, version, next_step, updated_at, submitted_at, provider_batch_id, "
            "may_have_siblings, deferred_until FROM batchtrail_batches "
            "WHERE next_step IS NOT NULL AND provider=%s ORDER BY batch_no",
            bytes_of(provider),
        )
        return [_open_batch(row) for row in rows]

    def open_elsewhere(self, provider: str) -> list[str]:
        """The other providers that have open batches."""
        rows = self._select(
            "SELECT DISTINCT provider FROM batchtrail_batches "
            "WHERE next_step IS NOT NULL AND provider<>%s ORDER BY provider",
            bytes_of(provider),
        )
        return [text_of(name) for (name,) in rows]

    def latest_generation(self, identity: str) -> int:
        """The highest generation of the batches with this identity; 0 when there is none."""
        rows = self._select(
            "SELECT coalesce(max(generation), 0) FROM batchtrail_batches WHERE identity=%s",
            bytes_of(identity),
        )
        generation: int = rows[0][0]
        return generation

    def matching_ids(self, prefix: str) -> list[UUID]:
        """The ids that begin with these hex digits, at most ten."""
        first, last = (UUID(hex=prefix.ljust(ID_DIGITS, digit)) for digit in "0f")
        rows = self._select(
            "SELECT batch_id FROM batchtrail_batches WHERE batch_id BETWEEN %s AND %s LIMIT 10",
            first,
            last,
        )
        return [batch_id for (batch_id,) in rows]

    def index_page(self, batch_id: UUID, *, after: int) -> tuple[Sequence[str], Sequence[int]]:
        """The next custom_ids behind number `after`, and which numbers of theirs are settled."""
        rows = self._select(
            "SELECT number, custom_id, outcome<>'pending' FROM batchtrail_completions "
            "WHERE batch_no=(SELECT batch_no FROM batchtrail_batches WHERE batch_id=%s) "
            "AND number>%s ORDER BY number LIMIT %s",
            batch_id,
            after,
            _INDEX_ROWS,
        )
        custom_ids = [text_of(custom_id) for _, custom_id, _ in rows]
        return custom_ids, [number for number, _, is_settled in rows if is_settled]


def _open_batch(row: TupleRow) -> OpenBatch:
    batch_id, version, next_step, updated_at, submitted_at, name, siblings, deferred_until = row
    return OpenBatch(
        batch_id,
        version,
        WorkStep(next_step),
        updated_at.astimezone(UTC),
        submitted_at and submitted_at.astimezone(UTC),
        None if name is None else text_of(name),
        siblings,
        deferred_until and deferred_until.astimezone(UTC),
    )


def _stored(text: str | None) -> bytes | None:
    return None if text is None else bytes_of(text)
