"""The checkpoints of users' own projections in SQLite."""

from collections.abc import Callable
from typing import Any

from eventsourcing.sqlite import SQLiteCursor, SQLiteDatastore

CREATE = (
    "CREATE TABLE IF NOT EXISTS projections ("
    "name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID"
)


class SQLiteCheckpoints:
    """A row for each projection; the write lock keeps two processes apart."""

    def __init__(self, datastore: SQLiteDatastore) -> None:
        self._datastore = datastore

    def position(self, name: str) -> int | None:
        """The position of the last event that a projection has taken in."""
        with self._datastore.transaction(commit=False) as cursor:
            return _position(cursor, name)

    def advance(self, name: str, before: int | None, to: int, write: Callable[[Any], None]) -> None:
        """Write rows and move a checkpoint, unless another process was first."""
        with self._datastore.transaction(commit=True) as cursor:
            if _position(cursor, name) != before:
                return
            write(cursor.sqlite_cursor.connection.cursor())
            cursor.execute(
                "INSERT INTO projections VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET position=excluded.position",
                (name, to),
            )


def _position(cursor: SQLiteCursor, name: str) -> int | None:
    cursor.execute("SELECT position FROM projections WHERE name=?", (name,))
    row = cursor.fetchone()
    return None if row is None else int(row[0])
