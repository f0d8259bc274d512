"""Removing bodies from a SQLite file."""

from uuid import UUID

from eventsourcing.sqlite import SQLiteCursor

from .pieces import Pieces
from .statements import key

_PLACES = "SELECT position FROM events WHERE originator_id=? AND originator_version<=?"
_PRUNE = (
    "UPDATE events SET body=NULL WHERE originator_id=? AND originator_version<=? "
    "AND body IS NOT NULL"
)
_PLACE = "SELECT position FROM events WHERE originator_id=? AND originator_version=?"
_REPLACE = "UPDATE events SET body=? WHERE position=?"


class SQLiteBodyWriter:
    """Removes bodies within a transaction; SQLite overwrites where they stood in the file."""

    def __init__(self, cursor: SQLiteCursor) -> None:
        self._cursor = cursor
        self._pieces = Pieces(cursor)

    def prune(self, batch_id: UUID, through: int) -> None:
        """Remove every body up to an event."""
        those = key(batch_id), through
        self._cursor.execute(_PLACES, those)
        for (position,) in self._cursor.fetchall():
            self._pieces.drop(position)
        self._cursor.execute(_PRUNE, those)

    def replace(self, batch_id: UUID, version: int, body: bytes | None) -> None:
        """Put another body, as it is stored, in the place of an event's; None removes it."""
        self._cursor.execute(_PLACE, (key(batch_id), version))
        (position,) = self._cursor.fetchone()
        self._pieces.drop(position)
        self._cursor.execute(_REPLACE, (self._pieces.keep(position, body), position))
