"""Removing bodies from a PostgreSQL database."""

from uuid import UUID

from psycopg import Cursor
from psycopg.rows import TupleRow


class PostgresBodyWriter:
    """Removes bodies within a transaction; the server's vacuum overwrites where they stood."""

    def __init__(self, cursor: Cursor[TupleRow]) -> None:
        self._cursor = cursor

    def prune(self, batch_id: UUID, through: int) -> None:
        """Remove every body up to an event."""
        self._cursor.execute(
            "UPDATE batchtrail_events SET body=NULL WHERE originator_id=%s "
            "AND originator_version<=%s AND body IS NOT NULL",
            (batch_id, through),
        )

    def replace(self, batch_id: UUID, version: int, body: bytes | None) -> None:
        """Put another body, as it is stored, in the place of an event's; None removes it."""
        self._cursor.execute(
            "UPDATE batchtrail_events SET body=%s WHERE originator_id=%s AND originator_version=%s",
            (body, batch_id, version),
        )
