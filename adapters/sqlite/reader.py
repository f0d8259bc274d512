"""The database file as those read it who check it: without a lock, and without a write."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteCursor

from ...application.errors import StoreError
from ...application.records import EventRecord
from ...application.sealing import KeptSeal, Seal
from ...application.stored_log import ViewRow, differing_columns
from ...application.views import BatchSummary
from .beginnings import JOIN, STATE, TOPIC
from .completions import TABLES as COMPLETIONS, readable_parts
from .database import read_only_uri
from .older import add_missing
from .pieces import Pieces
from .statements import last_given
from .views import HAS_NO_ID, VERSION, batch_row

# What a flipped byte may have made a text is read as the bytes that it is.
_EVENTS = (
    f"SELECT CAST(originator_id AS TEXT), originator_version, {TOPIC}, {STATE}, "  # noqa: S608
    f"CAST(digest AS BLOB), {{}}, position FROM events {JOIN} "
)
_EVENT, _EVENT_WITH_BODY = _EVENTS.format("NULL"), _EVENTS.format("CAST(body AS BLOB)")
_OF_BATCH = "WHERE originator_id=? AND originator_version>? ORDER BY originator_version"
_LOG = f"{_EVENT_WITH_BODY} WHERE position>? ORDER BY position"
_STREAM, _STREAM_WITH_BODIES = _EVENT + _OF_BATCH, _EVENT_WITH_BODY + _OF_BATCH

# Blobs stand behind all texts, and no text is behind a blob.
_NEXT_BATCH = (
    "SELECT originator_id FROM events WHERE originator_id>CAST(? AS TEXT) "
    "AND typeof(originator_id)='text' ORDER BY originator_id LIMIT 1"
)
_NEXT_VIEW = (
    "SELECT batch_id FROM batches WHERE batch_id>CAST(? AS TEXT) "
    "AND typeof(batch_id)='text' ORDER BY batch_id LIMIT 1"
)


@contextmanager
def reading(path: Path) -> Iterator["SQLiteStoredLog"]:
    """A reader of the file as it is now; raises `StoreError` when it cannot be read on."""
    try:
        with read_only_uri(path) as uri, closing(open_read_only(uri)) as connection:
            cursor = connection.cursor()
            cursor.execute("BEGIN")
            # Within the transaction: somebody may be bringing the file up to date.
            add_missing(cursor)
            yield SQLiteStoredLog(cursor)
    except sqlite3.Error as error:
        raise StoreError(f"the database {path} cannot be read: {error}") from error


def open_read_only(uri: str) -> sqlite3.Connection:
    """A connection that cannot write, and reads texts that are no UTF-8."""
    connection = sqlite3.connect(uri, uri=True, timeout=60)
    connection.isolation_level = None
    connection.text_factory = lambda text: text.decode(errors="surrogateescape")
    return connection


class SQLiteStoredLog:
    """Reads the log and the views through the cursor of one transaction."""

    def __init__(self, cursor: sqlite3.Cursor | SQLiteCursor) -> None:
        self._cursor = cursor
        self._pieces = Pieces(cursor)

    def _value(self, statement: str, *parameters: Any) -> Any:
        self._cursor.execute(statement, parameters)
        row = self._cursor.fetchone()
        return None if row is None else row[0]

    def _rows(self, statement: str, *parameters: Any) -> list[Any]:
        self._cursor.execute(statement, parameters)
        return self._cursor.fetchall()

    def last_position(self) -> int:
        """The highest position that was ever given to an event."""
        return last_given(self._cursor)

    def checkpoint(self) -> int:
        """How much of the log the views hold; nothing, when they are to be made anew."""
        if not self._has_views:
            return 0
        return self._value("SELECT position FROM view_checkpoint") or 0

    @cached_property
    def _has_views(self) -> bool:
        """Whether the views are of this version; who opens the file to write makes others anew."""
        return bool(self._value("SELECT version FROM view_checkpoint") == VERSION)

    def log_page(self, *, after: int, max_bytes: int) -> Sequence[EventRecord]:
        """The events behind a position, with bodies."""
        self._cursor.execute(_LOG, (after,))
        return self._page(max_bytes)

    def stream_page(
        self, batch_id: UUID, *, after: int, max_bytes: int, bodies: bool = False
    ) -> Sequence[EventRecord]:
        """The events of a batch behind a version."""
        statement = _STREAM_WITH_BODIES if bodies else _STREAM
        self._cursor.execute(statement, (batch_id.hex, after))
        return self._page(max_bytes)

    def _page(self, max_bytes: int) -> list[EventRecord]:
        page: list[EventRecord] = []
        size = 0
        while size <= max_bytes and (row := self._cursor.fetchone()) is not None:
            originator_id, version, topic, state, digest, head, position = row
            batch_id = _batch_id(originator_id) or str(originator_id)
            body = self._pieces.whole(position, head)
            record = EventRecord(batch_id, version, topic, state, digest, body, position)
            page.append(record)
            size += len(record.state) + len(record.body or b"")
        return page

    def snapshots(self, batch_id: UUID, *, after: int, to: int) -> Sequence[StoredEvent]:
        """The snapshots of a batch behind one version and up to another."""
        rows = self._rows(
            "SELECT originator_version, topic, CAST(state AS BLOB) FROM snapshots WHERE "
            "originator_id=? AND originator_version>? AND originator_version<=?",
            batch_id.hex,
            after,
            to,
        )
        return [StoredEvent(batch_id, *row) for row in rows]

    def next_batch(self, after: UUID | None) -> UUID | None:
        """The batch in the log whose id follows."""
        return self._next(_NEXT_BATCH, after)

    def next_view(self, after: UUID | None) -> UUID | None:
        """The batch in the views whose id follows."""
        return self._next(_NEXT_VIEW, after) if self._has_views else None

    def _next(self, statement: str, after: UUID | None) -> UUID | None:
        """What is no id is passed over: looking at each event by itself names it."""
        found = "" if after is None else after.hex
        while (found := self._value(statement, found.encode(errors="surrogateescape"))) is not None:
            if (batch_id := _batch_id(found)) is not None:
                return batch_id
        return None

    def differing_columns(self, summary: BatchSummary, first_position: int) -> list[str] | None:
        """The columns of a batch's row that are not those of the summary."""
        wanted = batch_row(summary, first_position)
        names = ", ".join(wanted)
        rows = self._rows(f"SELECT {names} FROM batches WHERE batch_id=?", summary.id.hex)  # noqa: S608 (our own names)
        return differing_columns(wanted, dict(zip(wanted, rows[0], strict=True))) if rows else None

    def view_page(self, batch_id: UUID, *, after: int, limit: int) -> Sequence[ViewRow]:
        """Rows of the completions view behind a number, ended by the part that passes `limit`."""
        rows: list[ViewRow] = []
        for part in readable_parts(self._cursor, batch_id, after=after):
            rows += [ViewRow(*row) for row in part.rows()]
            if len(rows) >= limit:
                break
        return rows

    def stray_rows(self) -> int:
        """How many rows of the views belong to no batch that the views can have."""
        if not self._has_views:
            return 0
        strays = "SELECT count(*) FROM {} WHERE batch_no NOT IN (SELECT batch_no FROM batches)"
        counts: list[int] = [self._value(strays.format(table)) for table in COMPLETIONS]
        nameless: int = self._value(f"SELECT count(*) FROM batches WHERE {HAS_NO_ID}")  # noqa: S608 (our own text)
        return max(counts) + nameless

    def seals(self) -> Sequence[KeptSeal]:
        """The seals that were taken of this log."""
        rows = self._rows(
            "SELECT position, link, sealed_at, sealed_by FROM seals ORDER BY position"
        )
        return [KeptSeal(Seal(position, link), *by) for position, link, *by in rows]


@lru_cache
def _batch_id(text: Any) -> UUID | None:
    """The id that a text is, as we write it; None for any other text.

    Remembered: each of a million events of a batch names it.
    """
    try:
        batch_id = UUID(hex=text)
    except (AttributeError, TypeError, ValueError):
        return None
    return batch_id if batch_id.hex == text else None
