"""The views in SQLite, and the checkpoint that says how much of the log they hold."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from eventsourcing.sqlite import SQLiteCursor, SQLiteDatastore

from ...application.errors import DatabaseRefusedError
from ...application.views import BatchSummary, OpenBatch
from ...domain.status import Outcome, WorkStep
from .completions import TABLES as COMPLETIONS, CompletionsWriter, drop_parts, next_part
from .database import table_names

if TYPE_CHECKING:
    from ...application.batch_check import CheckedBatch

VERSION = 6
"""Raise it when the tables or their content change: older views are thrown away and rebuilt."""

_TABLES = {
    "view_checkpoint": (
        "CREATE TABLE view_checkpoint (version INTEGER NOT NULL, position INTEGER NOT NULL)"
    ),
    "batches": (
        "CREATE TABLE batches ("
        "batch_no INTEGER PRIMARY KEY, "  # the position of its first event
        "batch_id TEXT NOT NULL UNIQUE, "
        "created_at TEXT NOT NULL, "
        "identity TEXT, "
        "generation INTEGER NOT NULL, "
        "provider TEXT NOT NULL, "
        "version INTEGER NOT NULL, "
        "updated_at TEXT NOT NULL, "
        "next_step TEXT, "
        "submitted_at TEXT, "
        "provider_batch_id TEXT, "
        "may_have_siblings INTEGER NOT NULL, "
        "deferred_until TEXT, "
        "summary TEXT NOT NULL)"
    ),
    **COMPLETIONS,
}
HAS_NO_ID = "typeof(batch_id)!='text' OR length(batch_id)!=32 OR batch_id GLOB '*[^0-9a-f]*'"
"""Rows of batches whose id is none as it is written here, so that nobody could ask for them."""

_INDEXES = (
    "CREATE INDEX batches_by_time ON batches (created_at)",
    "CREATE INDEX batches_by_identity ON batches (identity, generation)",
    "CREATE INDEX open_batches ON batches (provider, batch_no) WHERE next_step IS NOT NULL",
)

_PUT_BATCH = (
    "INSERT INTO batches (batch_no, batch_id, created_at, identity, generation, provider, version, "
    "updated_at, next_step, submitted_at, provider_batch_id, may_have_siblings, deferred_until, "
    "summary) "
    "VALUES (:batch_no, :batch_id, :created_at, :identity, :generation, :provider, :version, "
    ":updated_at, :next_step, :submitted_at, :provider_batch_id, :may_have_siblings, "
    ":deferred_until, :summary) "
    "ON CONFLICT (batch_id) DO UPDATE SET version=excluded.version, "
    "updated_at=excluded.updated_at, next_step=excluded.next_step, "
    "submitted_at=excluded.submitted_at, provider_batch_id=excluded.provider_batch_id, "
    "may_have_siblings=excluded.may_have_siblings, "
    "deferred_until=excluded.deferred_until, summary=excluded.summary"
)


def are_current(cursor: SQLiteCursor, path: object) -> bool:
    """Whether all tables are there, and of this version.

    Raises `DatabaseRefusedError` for tables that are newer: to replace them would take them away
    from whoever made them.
    """
    if not table_names(cursor).issuperset(_TABLES):
        return False
    cursor.execute("SELECT version FROM view_checkpoint")
    versions = [row["version"] for row in cursor.fetchall()]
    if versions and (newest := max(versions)) > VERSION:
        raise DatabaseRefusedError.of_newer(path, "views", newest, VERSION)
    return versions == [VERSION]


def prepare_views(cursor: SQLiteCursor, path: object) -> None:
    """Make the tables; when one is missing or old, begin all of them anew.

    They are filled from the log before anything reads them. Raises as `are_current` does.
    """
    if are_current(cursor, path):
        return
    for name, statement in _TABLES.items():
        cursor.execute(f"DROP TABLE IF EXISTS {name}")
        cursor.execute(statement)
    for statement in _INDEXES:
        cursor.execute(statement)
    cursor.execute("INSERT INTO view_checkpoint VALUES (?, 0)", (VERSION,))


def batch_row(summary: BatchSummary, batch_no: int | None) -> dict[str, Any]:
    """A batch's row, column by column."""
    return {
        "batch_no": batch_no,
        "batch_id": summary.id.hex,
        "created_at": moment_key(summary.created_at),
        "identity": summary.identity,
        "generation": summary.generation,
        "provider": summary.provider,
        "version": summary.version,
        "updated_at": moment_key(summary.updated_at),
        "next_step": summary.next_step,
        "submitted_at": _optional_key(summary.submitted_at),
        "provider_batch_id": summary.provider_batch_id,
        "may_have_siblings": summary.may_have_siblings,
        "deferred_until": _optional_key(summary.deferred_until),
        "summary": msgspec.json.encode(summary).decode(),
    }


class SQLiteViewWriter:
    """Writes view rows through the cursor of a transaction."""

    def __init__(self, cursor: SQLiteCursor) -> None:
        self._cursor = cursor

    def checkpoint(self) -> int:
        """The position of the last event that the views hold.

        Raises `DatabaseRefusedError` when a newer version has made them anew meanwhile.
        """
        self._cursor.execute("SELECT version, position FROM view_checkpoint")
        version, position = self._cursor.fetchone()
        if version > VERSION:
            raise DatabaseRefusedError.of_newer("the database", "views", version, VERSION)
        return int(position)

    def move_checkpoint(self, position: int) -> None:
        """Say that the views hold the log up to a position."""
        self._cursor.execute("UPDATE view_checkpoint SET position=?", (position,))

    def put_batch(self, summary: BatchSummary, first_position: int | None) -> None:
        """Insert or replace a batch's row."""
        self._cursor.execute(_PUT_BATCH, batch_row(summary, first_position))

    def replace_rows(self, checked: "CheckedBatch") -> None:
        """Put a batch's rows in the place of all that it has; nothing where it has no event."""
        if checked.summary is None:
            return
        first_position = checked.replay.first_position
        self.drop_rows(checked.batch_id)
        self._cursor.execute("DELETE FROM batches WHERE batch_no=?", (first_position,))
        self.put_batch(checked.summary, first_position)
        CompletionsWriter(self._cursor, first_position).replace(checked.replay.rows.rows())

    def drop_rows(self, batch_id: UUID) -> None:
        """Take a batch out of the views."""
        of_it = "batch_no=(SELECT batch_no FROM batches WHERE batch_id=?)"
        drop_parts(self._cursor, of_it, batch_id.hex)
        self._cursor.execute("DELETE FROM batches WHERE batch_id=?", (batch_id.hex,))

    def drop_strays(self) -> None:
        """Take out the rows that belong to no batch."""
        self._cursor.execute(f"DELETE FROM batches WHERE {HAS_NO_ID}")  # noqa: S608 (our own text)
        drop_parts(self._cursor, "batch_no NOT IN (SELECT batch_no FROM batches)")

    def add_requests(self, batch_id: UUID, first_number: int, custom_ids: Sequence[str]) -> None:
        """Insert pending requests."""
        self._completions(batch_id).add(first_number, custom_ids)

    def settle(
        self, batch_id: UUID, results: Iterable[tuple[int, Outcome, int]], *, behind: int
    ) -> None:
        """Give requests their outcome and the position of the event that brought it."""
        self._completions(batch_id).settle(results, behind)

    def settle_rest(self, batch_id: UUID, outcome: Outcome) -> None:
        """Give every request that is still pending this outcome."""
        self._completions(batch_id).settle_rest(outcome)

    def reopen(self, batch_id: UUID) -> None:
        """Make every request pending again that has no result line."""
        self._completions(batch_id).reopen()

    def _completions(self, batch_id: UUID) -> CompletionsWriter:
        """Writes the requests of a batch, which bear its short key."""
        self._cursor.execute("SELECT batch_no FROM batches WHERE batch_id=?", (batch_id.hex,))
        return CompletionsWriter(self._cursor, self._cursor.fetchone()[0])


class SQLiteViewReader:
    """Reads the views."""

    def __init__(self, datastore: SQLiteDatastore) -> None:
        self._datastore = datastore

    def _select(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        with self._datastore.transaction(commit=False) as cursor:
            cursor.execute(statement, parameters)
            rows: list[Any] = cursor.fetchall()
            return rows

    def summaries(self, *, limit: int, before: datetime | None = None) -> list[BatchSummary]:
        """Batches, newest first, `limit` at most, made before a moment."""
        rows = self._select(
            "SELECT summary FROM batches WHERE created_at<? "
            "ORDER BY created_at DESC, batch_no DESC LIMIT ?",
            ("~" if before is None else moment_key(before), limit),
        )
        return [msgspec.json.decode(row["summary"], type=BatchSummary) for row in rows]

    def summary(self, batch_id: UUID) -> BatchSummary | None:
        """One batch; None for an unknown one."""
        rows = self._select("SELECT summary FROM batches WHERE batch_id=?", (batch_id.hex,))
        return msgspec.json.decode(rows[0]["summary"], type=BatchSummary) if rows else None

    def open_batches(self, provider: str) -> list[OpenBatch]:
        """The batches at a provider with something left to do, oldest first."""
        rows = self._select(
            "SELECT batch_id, version, next_step, updated_at, submitted_at, provider_batch_id, "
            "may_have_siblings, deferred_until FROM batches "
            "WHERE next_step IS NOT NULL AND provider=? ORDER BY batch_no",
            (provider,),
        )
        return [
            OpenBatch(
                UUID(batch_id),
                version,
                WorkStep(next_step),
                datetime.fromisoformat(updated_at),
                _optional_moment(submitted_at),
                provider_batch_id,
                bool(siblings),
                _optional_moment(deferred_until),
            )
            for (
                batch_id,
                version,
                next_step,
                updated_at,
                submitted_at,
                provider_batch_id,
                siblings,
                deferred_until,
            ) in rows
        ]

    def open_elsewhere(self, provider: str) -> list[str]:
        """The other providers that have open batches."""
        rows = self._select(
            "SELECT DISTINCT provider FROM batches "
            "WHERE next_step IS NOT NULL AND provider<>? ORDER BY provider",
            (provider,),
        )
        return [row["provider"] for row in rows]

    def latest_generation(self, identity: str) -> int:
        """The highest generation of the batches with this identity; 0 when there is none."""
        rows = self._select(
            "SELECT coalesce(max(generation), 0) FROM batches WHERE identity=?", (identity,)
        )
        generation: int = rows[0][0]
        return generation

    def matching_ids(self, prefix: str) -> list[UUID]:
        """The ids that begin with these hex digits, at most ten."""
        rows = self._select(
            "SELECT batch_id FROM batches WHERE batch_id>=? AND batch_id<? LIMIT 10",
            (prefix, prefix + "~"),
        )
        return [UUID(row["batch_id"]) for row in rows]

    def index_page(self, batch_id: UUID, *, after: int) -> tuple[Sequence[str], Sequence[int]]:
        """The next custom_ids behind number `after`, and which numbers of theirs are settled."""
        with self._datastore.transaction(commit=False) as cursor:
            part = next_part(cursor, batch_id, after=after)
        return ((), ()) if part is None else (part.custom_ids, part.settled)


def _optional_key(moment: datetime | None) -> str | None:
    return None if moment is None else moment_key(moment)


def _optional_moment(key: str | None) -> datetime | None:
    return None if key is None else datetime.fromisoformat(key)


def moment_key(moment: datetime) -> str:
    """UTC with all six digits, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
