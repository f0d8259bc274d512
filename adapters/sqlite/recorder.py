"""The event log in SQLite: events, snapshot, views and checkpoint in one transaction."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import msgspec
from eventsourcing.persistence import DataError, Notification, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore

from ...application.records import EventColumns, EventRecord, Stored
from ...application.store import BatchRecorder, ChangeBodies, TakeSnapshot, WriteViews
from ...application.views import ROW_BYTES, CompletionRow, ViewReader, ViewWriter
from .beginnings import CREATE as CREATE_BEGINNINGS, JOIN, STATE, TOPIC
from .body_writer import SQLiteBodyWriter
from .checkpoints import CREATE as CREATE_CHECKPOINTS, SQLiteCheckpoints
from .completions import next_part
from .database import MEMORY
from .pieces import CREATE as CREATE_PIECES, Pieces
from .statements import (
    KEEP_SEAL,
    PUT_SNAPSHOT,
    insert_events,
    key,
    last_given,
    seal_row,
    snapshot_row,
)
from .views import SQLiteViewReader, SQLiteViewWriter, moment_key, prepare_views

if TYPE_CHECKING:
    from ...application.batch_check import CheckedBatch
    from ...application.checkpoints import Checkpoints
    from ...application.new_log import NewLog
    from ...application.sealing import KeptSeal
    from ...application.stored_log import StoredLog

_WHOLE = f"originator_version, {TOPIC} AS topic, {STATE} AS state"
_SELECT = f"SELECT position, originator_id, {_WHOLE} FROM events {JOIN}"  # noqa: S608 (our own names)
_STREAM_OF = (
    f"SELECT position, {_WHOLE}, digest, {{}} FROM events {JOIN} "  # noqa: S608
    "WHERE originator_id=? AND originator_version>? ORDER BY originator_version"
)
_STREAM, _STREAM_WITH_BODIES = _STREAM_OF.format("NULL"), _STREAM_OF.format("body")
_EVENT = f"{_WHOLE}, digest, body"
_AT_POSITIONS = f"FROM json_each(?) AS wanted LEFT JOIN events ON position=wanted.value {JOIN}"
_MOST_EVENTS = 1 << 50
"""Beyond what any disk holds, and a good way below where SQLite's numbers end."""
_LAST_POSITION = (1 << 63) - 1

_CLAIM = (
    "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
    "SET holder=excluded.holder, until=excluded.until "
    "WHERE leases.holder=excluded.holder OR leases.until<=? OR leases.until>? RETURNING holder"
)


class SQLiteBatchRecorder(SQLiteApplicationRecorder, BatchRecorder):
    """The library's recorder on a table with its own key.

    The library numbers notifications by bare rowids, which VACUUM may renumber and a deleted
    tail may hand out again; the positions of a log that serves as evidence may do neither.
    """

    def __init__(self, datastore: SQLiteDatastore) -> None:
        super().__init__(datastore, "events")
        self.select_events_statement = (
            f"SELECT originator_id, {_WHOLE} FROM events {JOIN} WHERE originator_id=? "  # noqa: S608
        )
        self._reader = SQLiteViewReader(datastore)
        self._checkpoints = SQLiteCheckpoints(datastore)

    def construct_create_table_statements(self) -> list[str]:
        """The log's table; `position` only grows and is never used twice.

        The body is the last column: SQLite reads a row as far as it is asked to.
        """
        statement = (
            "CREATE TABLE IF NOT EXISTS events ("
            "position INTEGER PRIMARY KEY AUTOINCREMENT, "
            "originator_id TEXT NOT NULL, "
            "originator_version INTEGER NOT NULL, "
            "topic TEXT NOT NULL, "
            "digest BLOB NOT NULL, "
            "state BLOB NOT NULL, "
            "body BLOB, "
            "UNIQUE (originator_id, originator_version))"
        )
        leases = (
            "CREATE TABLE IF NOT EXISTS leases ("
            "name TEXT PRIMARY KEY, holder TEXT NOT NULL, until TEXT NOT NULL) WITHOUT ROWID"
        )
        seals = (
            "CREATE TABLE IF NOT EXISTS seals (position INTEGER PRIMARY KEY, link BLOB NOT NULL, "
            "sealed_at TEXT NOT NULL, sealed_by TEXT NOT NULL)"
        )
        return [statement, CREATE_BEGINNINGS, CREATE_PIECES, leases, seals, CREATE_CHECKPOINTS]

    def _create_table(self, c: SQLiteCursor) -> None:
        super()._create_table(c)
        prepare_views(c, self.datastore.pool.db_name)

    @property
    def reader(self) -> ViewReader:
        """The views, for reading."""
        return self._reader

    @property
    def checkpoints(self) -> "Checkpoints":
        """How far users' own projections have come."""
        return self._checkpoints

    def insert_events(
        self, stored_events: Iterable[StoredEvent | EventColumns], **what: Any
    ) -> Sequence[int] | None:
        """Record events of one batch, any number of them."""
        stored = iter(cast(Iterable[Stored], stored_events))
        # Before anything is locked: making the first may have to look up a price, or import one.
        if not (first := list(islice(stored, 1))):
            return None
        stored = chain(iter(first), stored)
        del first  # thousands of bytes, which need not be held until the end
        with self.datastore.transaction(commit=True) as cursor:
            return self._insert(cursor, stored, **what)

    def _insert(
        self,
        c: SQLiteCursor,
        stored: Iterable[Stored],
        *,
        snapshot: TakeSnapshot | None = None,
        write_views: WriteViews | None = None,
        change_bodies: ChangeBodies | None = None,
        **_: Any,
    ) -> Sequence[int]:
        views = SQLiteViewWriter(c)
        up_to_date = views.checkpoint() >= _last_position(c)
        begin = _next_position(c)  # which nobody else takes: the write lock is held
        # As they are made: the events of a save need not be held.
        written = insert_events(c, stored, count(begin))
        positions = range(begin, begin + written)
        if change_bodies is not None:
            change_bodies(SQLiteBodyWriter(c))
        if snapshot is not None and (taken := snapshot()) is not None:
            c.execute(PUT_SNAPSHOT, snapshot_row(taken))
        # Views that lag are being rebuilt: the rebuild comes to these events in their order.
        if write_views is not None and up_to_date:
            with _naming_misfits():
                write_views(views, positions)
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
        wanted = f"AND {TOPIC} IN ({marks})" if topics else ""
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
                with _naming_misfits():
                    write(views)
                views.move_checkpoint(to)

    def select_page(
        self, originator_id: UUID, *, gt: int, max_bytes: int, bodies: bool = False
    ) -> Sequence[EventRecord]:
        """The events behind version `gt`, ended by the one that passes `max_bytes`."""
        page: list[EventRecord] = []
        size = 0
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute(
                _STREAM_WITH_BODIES if bodies else _STREAM,
                (key(originator_id), gt),
            )
            pieces = Pieces(cursor)
            while size <= max_bytes and (row := cursor.fetchone()) is not None:
                position, version, topic, state, digest, head = row
                body = pieces.whole(position, head)
                record = EventRecord(originator_id, version, topic, state, digest, body)
                page.append(record)
                size += _size(record)
        return page

    def select_completions(
        self, batch_id: UUID, *, after: int, max_bytes: int
    ) -> Sequence[tuple[CompletionRow, EventRecord | None]]:
        """Requests behind number `after` in input order, each with the event of its result."""
        page: list[tuple[CompletionRow, EventRecord | None]] = []
        size = 0
        with self.datastore.transaction(commit=False) as cursor:
            whole = Pieces(cursor).whole
            for row, event in _with_results(cursor, batch_id, after, _EVENT):
                record = None
                if row.position is not None:
                    _, version, topic, state, digest, head = event
                    body = whole(row.position, head)
                    record = EventRecord(batch_id, version, topic, state, digest, body)
                page.append((row, record))
                size += ROW_BYTES + (0 if record is None else _size(record))
                if size > max_bytes:
                    break
        return page

    def select_lines(
        self, batch_id: UUID, *, after: int, max_bytes: int
    ) -> Sequence[tuple[CompletionRow, bytes | None]]:
        """Requests behind number `after` in input order, each with the body of its result."""
        page: list[tuple[CompletionRow, bytes | None]] = []
        size = 0
        with self.datastore.transaction(commit=False) as cursor:
            whole = Pieces(cursor).whole
            for row, (_, head) in _with_results(cursor, batch_id, after, "body"):
                body = head if row.position is None else whole(row.position, head)
                page.append((row, body))
                size += ROW_BYTES + (0 if body is None else len(body))
                if size > max_bytes:
                    break
        return page

    @contextmanager
    def reading(self) -> Iterator["StoredLog"]:
        """The log and the views as they are now; a memory database is locked meanwhile."""
        from .reader import SQLiteStoredLog, reading  # noqa: PLC0415 (start-up time)

        path = self.datastore.pool.db_name
        if path == MEMORY:
            with self.datastore.transaction(commit=False) as cursor:
                yield SQLiteStoredLog(cursor)
        else:
            with reading(Path(path)) as reader:
                yield reader

    def rewrite_views(self, batches: Sequence["CheckedBatch"]) -> Sequence[UUID]:
        """Put the rows of batches in the place of what the views hold."""
        with self.datastore.transaction(commit=True) as cursor:
            views = SQLiteViewWriter(cursor)
            checkpoint = views.checkpoint()
            left = []
            for each in batches:
                if _has_events(cursor, each.batch_id, each.version, checkpoint):
                    left.append(each.batch_id)
                    continue
                _forget_snapshots(cursor, each)
                views.replace_rows(each)
        return left

    def clean_views(self, strays: Sequence[UUID]) -> None:
        """Take out what belongs to no batch of the log."""
        with self.datastore.transaction(commit=True) as cursor:
            views = SQLiteViewWriter(cursor)
            checkpoint = min(views.checkpoint(), _last_position(cursor))
            views.move_checkpoint(checkpoint)
            for batch_id in strays:
                if not _has_events(cursor, batch_id, 0, checkpoint):
                    views.drop_rows(batch_id)
            views.drop_strays()

    @contextmanager
    def filling(self) -> Iterator["NewLog"]:
        """One transaction in which an empty database is filled with a log."""
        from .filling import SQLiteNewLog  # noqa: PLC0415 (start-up time)

        with self.datastore.transaction(commit=True) as cursor:
            yield SQLiteNewLog(cursor)

    def keep_seal(self, kept: "KeptSeal") -> None:
        """Remember a seal; one of the same position stays."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(KEEP_SEAL, seal_row(kept))

    def claim(
        self, name: str, holder: str, *, now: datetime, until: datetime, latest: datetime
    ) -> bool:
        """Take or renew the lease of this name, unless another holder has it beyond `now`.

        One that ends after `latest` was begun by a wrong clock, and is over.
        """
        moments = map(moment_key, (until, now, latest))
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(_CLAIM, (name, holder, *moments))
            return cursor.fetchone() is not None

    def release(self, name: str, holder: str) -> None:
        """Give a lease back; that of another holder stays."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("DELETE FROM leases WHERE name=? AND holder=?", (name, holder))


@contextmanager
def _naming_misfits() -> Iterator[None]:
    """Say of views that take no row what mends them.

    Not to be taken for a conflict of versions, which is worth another attempt.
    """
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise DataError(
            f"its views do not fit its log ({error}); `batchtrail rebuild` mends them"
        ) from error


def _with_results(
    cursor: SQLiteCursor, batch_id: UUID, after: int, columns: str
) -> Iterator[tuple[CompletionRow, Any]]:
    """Requests behind a number, each with the position and columns of its result's event."""
    cursor.sqlite_cursor.row_factory = None  # plain tuples, in less time
    while (part := next_part(cursor, batch_id, after=after)) is not None:
        wanted = msgspec.json.encode(part.positions).decode()
        cursor.execute(f"SELECT wanted.value, {columns} {_AT_POSITIONS}", (wanted,))
        for row in part.rows():
            event = cursor.fetchone()
            if event[0] != row.position:  # rather none than the answer to another request
                raise DataError("SQLite gives the events of results in another order than asked")
            yield row, event
        after = row.number


def _notification(row: sqlite3.Row) -> Notification:
    return Notification(
        id=row["position"],
        originator_id=UUID(row["originator_id"]),
        originator_version=row["originator_version"],
        topic=row["topic"],
        state=row["state"],
    )


def _size(record: EventRecord) -> int:
    return len(record.state or b"") + (0 if record.body is None else len(record.body))


def _has_events(cursor: SQLiteCursor, batch_id: UUID, after: int, to: int) -> bool:
    """Whether a batch has events behind a version and up to a position of the log."""
    cursor.execute(
        "SELECT 1 FROM events WHERE originator_id=? AND originator_version>? AND position<=?",
        (batch_id.hex, after, to),
    )
    return cursor.fetchone() is not None


def _forget_snapshots(cursor: SQLiteCursor, checked: "CheckedBatch") -> None:
    cursor.executemany(
        "DELETE FROM snapshots WHERE originator_id=? AND originator_version=?",
        [(checked.batch_id.hex, version) for version in checked.bad_snapshots],
    )


def _next_position(cursor: SQLiteCursor) -> int:
    """The position of the next event; `DataError` when only damage can have brought it there."""
    last = last_given(cursor)
    if last >= _MOST_EVENTS:
        raise DataError(f"there is no position behind {last:,}; the log is damaged")
    return last + 1


def _last_position(cursor: SQLiteCursor) -> int:
    cursor.execute("SELECT coalesce(max(position), 0) FROM events")
    position: int = cursor.fetchone()[0]
    return position
