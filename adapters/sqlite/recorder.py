"""The event log in SQLite: events, snapshot, views and checkpoint in one transaction."""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from eventsourcing.persistence import DataError, Notification, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore

from ...application.checkpoints import Checkpoints
from ...application.store import BatchRecorder, WriteViews
from ...application.views import CompletionRow, ViewReader, ViewWriter
from ...domain.status import Outcome
from .checkpoints import CREATE as CREATE_CHECKPOINTS, SQLiteCheckpoints
from .views import SQLiteViewReader, SQLiteViewWriter, moment_key, prepare_views

_SELECT = "SELECT position, originator_id, originator_version, topic, state FROM events"
_LAST_POSITION = (1 << 63) - 1
_ROW_BYTES = 500
"""What a row weighs beside its body, so that pages without bodies end as well."""


class SQLiteBatchRecorder(SQLiteApplicationRecorder, BatchRecorder):
    """The library's recorder on a table with its own key.

    The library numbers notifications by bare rowids, which VACUUM may renumber and a deleted
    tail may hand out again; the positions of a log that serves as evidence may do neither.
    """

    def __init__(self, datastore: SQLiteDatastore) -> None:
        super().__init__(datastore, "events")
        self.insert_events_statement = (
            "INSERT INTO events (originator_id, originator_version, topic, state) "
            "VALUES (?, ?, ?, ?)"
        )
        self._reader = SQLiteViewReader(datastore)
        self._checkpoints = SQLiteCheckpoints(datastore)

    def construct_create_table_statements(self) -> list[str]:
        """The log's table; `position` only grows and is never used twice."""
        statement = (
            "CREATE TABLE IF NOT EXISTS events ("
            "position INTEGER PRIMARY KEY AUTOINCREMENT, "
            "originator_id TEXT NOT NULL, "
            "originator_version INTEGER NOT NULL, "
            "topic TEXT NOT NULL, "
            "state BLOB NOT NULL, "
            "UNIQUE (originator_id, originator_version))"
        )
        leases = (
            "CREATE TABLE IF NOT EXISTS leases ("
            "name TEXT PRIMARY KEY, holder TEXT NOT NULL, until TEXT NOT NULL) WITHOUT ROWID"
        )
        return [statement, leases, CREATE_CHECKPOINTS]

    def _create_table(self, c: SQLiteCursor) -> None:
        super()._create_table(c)
        prepare_views(c)

    @property
    def reader(self) -> ViewReader:
        """The views, for reading."""
        return self._reader

    @property
    def checkpoints(self) -> Checkpoints:
        """How far users' own projections have come."""
        return self._checkpoints

    def _insert_events(
        self,
        c: SQLiteCursor,
        stored_events: Sequence[StoredEvent],
        *,
        snapshot: StoredEvent | None = None,
        write_views: WriteViews | None = None,
        **_: Any,
    ) -> Sequence[int] | None:
        views = SQLiteViewWriter(c)
        up_to_date = views.checkpoint() >= _last_position(c)
        rows = [(_key(s.originator_id), *_content(s)) for s in stored_events]
        c.execute(self.insert_events_statement, rows[0])
        # The write lock is held, so the positions follow the first one without a gap.
        positions = range(c.lastrowid, c.lastrowid + len(rows))
        c.executemany(self.insert_events_statement, rows[1:])
        if snapshot is not None:
            row = (_key(snapshot.originator_id), *_content(snapshot))
            c.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)", row)
        # Views that lag are being rebuilt: the rebuild comes to these events in their order.
        if write_views is not None and up_to_date:
            try:
                write_views(views, positions)
            except sqlite3.IntegrityError as error:
                # Not to be taken for a conflict of versions, which is worth another attempt.
                raise DataError(
                    f"its views do not fit its log ({error}); drop the table view_checkpoint, "
                    "and they are rebuilt"
                ) from error
            views.move_checkpoint(positions[-1])
        return positions

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """A part of the log; the library's own statement does not know our key."""
        first = 0 if start is None else start if inclusive_of_start else start + 1
        marks = ",".join("?" * len(topics))
        wanted = f"AND topic IN ({marks})" if topics else ""
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute(
                f"{_SELECT} WHERE position>=? AND position<=? {wanted} ORDER BY position LIMIT ?",
                (first, _LAST_POSITION if stop is None else stop, *topics, limit),
            )
            return [_notification(row) for row in cursor.fetchall()]

    def lagging(self, *, max_bytes: int) -> tuple[int, Sequence[Notification]]:
        """The views' checkpoint, and the next events behind it, up to a size."""
        page: list[Notification] = []
        size = 0
        with self.datastore.transaction(commit=False) as cursor:
            checkpoint = SQLiteViewWriter(cursor).checkpoint()
            cursor.execute(f"{_SELECT} WHERE position>? ORDER BY position", (checkpoint,))
            while size <= max_bytes and (row := cursor.fetchone()) is not None:
                page.append(_notification(row))
                size += len(row["state"])
        return checkpoint, page

    def advance_views(self, checkpoint: int, to: int, write: Callable[[ViewWriter], None]) -> None:
        """Write rows and move the checkpoint, unless another process has moved it since."""
        with self.datastore.transaction(commit=True) as cursor:
            views = SQLiteViewWriter(cursor)
            if views.checkpoint() == checkpoint:
                write(views)
                views.move_checkpoint(to)

    def select_page(self, originator_id: UUID, *, gt: int, max_bytes: int) -> Sequence[StoredEvent]:
        """The events behind version `gt`, ended by the one that passes `max_bytes` of state."""
        page: list[StoredEvent] = []
        size = 0
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute(
                "SELECT originator_version, topic, state FROM events "
                "WHERE originator_id=? AND originator_version>? ORDER BY originator_version",
                (_key(originator_id), gt),
            )
            while size <= max_bytes and (row := cursor.fetchone()) is not None:
                page.append(StoredEvent(originator_id, *row))
                size += len(row["state"])
        return page

    def select_completions(
        self, batch_id: UUID, *, after: int, max_bytes: int
    ) -> Sequence[tuple[CompletionRow, StoredEvent | None]]:
        """Requests behind number `after` in input order, each with the event of its result."""
        page: list[tuple[CompletionRow, StoredEvent | None]] = []
        size = 0
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute(
                "SELECT number, custom_id, outcome, c.position, originator_version, topic, state "
                "FROM completions AS c LEFT JOIN events AS e ON e.position=c.position "
                "WHERE batch_no=(SELECT batch_no FROM batches WHERE batch_id=?) AND number>? "
                "ORDER BY number",
                (_key(batch_id), after),
            )
            while size <= max_bytes and (row := cursor.fetchone()) is not None:
                number, custom_id, outcome, position, *result = row
                completion = CompletionRow(number, custom_id, Outcome(outcome), position)
                page.append((completion, StoredEvent(batch_id, *result) if position else None))
                size += _ROW_BYTES + len(row["state"] or b"")
        return page

    def claim(self, name: str, holder: str, *, now: datetime, until: datetime) -> bool:
        """Take or renew the lease of this name, unless another holder has it beyond `now`."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(
                "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
                "SET holder=excluded.holder, until=excluded.until "
                "WHERE leases.holder=excluded.holder OR leases.until<=? RETURNING holder",
                (name, holder, moment_key(until), moment_key(now)),
            )
            return cursor.fetchone() is not None

    def release(self, name: str, holder: str) -> None:
        """Give a lease back; that of another holder stays."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("DELETE FROM leases WHERE name=? AND holder=?", (name, holder))


def _notification(row: sqlite3.Row) -> Notification:
    return Notification(
        id=row["position"],
        originator_id=UUID(row["originator_id"]),
        originator_version=row["originator_version"],
        topic=row["topic"],
        state=row["state"],
    )


def _key(originator_id: UUID | str) -> str:
    return originator_id.hex if isinstance(originator_id, UUID) else originator_id


def _content(stored: StoredEvent) -> tuple[int, str, bytes]:
    return stored.originator_version, stored.topic, stored.state


def _last_position(cursor: SQLiteCursor) -> int:
    cursor.execute("SELECT coalesce(max(position), 0) FROM events")
    position: int = cursor.fetchone()[0]
    return position
