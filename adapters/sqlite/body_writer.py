"""Removing bodies from a SQLite file."""

from uuid import UUID

from eventsourcing.sqlite import SQLiteCursor

from .statements import key


class SQLiteBodyWriter:
    """Removes bodies within a transaction, and overwrites where they stood in the file."""

    def __init__(self, cursor: SQLiteCursor) -> None:
        self._cursor = cursor
        cursor.execute("PRAGMA secure_delete=ON")  # for this connection, from now on

    def prune(self, batch_id: UUID, through: int) -> None:
        """Remove every body up to an event."""
        self._cursor.execute(
            "UPDATE events SET body=NULL WHERE originator_id=? AND originator_version<=? "
            "AND body IS NOT NULL",
            (key(batch_id), through),
        )

    def replace(self, batch_id: UUID, version: int, body: bytes | None) -> None:
        """Put another body, as it is stored, in the place of an event's; None removes it."""
        self._cursor.execute(
            "UPDATE events SET body=? WHERE originator_id=? AND originator_version=?",
            (body, key(batch_id), version),
        )
