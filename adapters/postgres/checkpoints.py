"""The checkpoints of users' own projections in PostgreSQL."""

from collections.abc import Callable
from typing import Any

from psycopg.rows import tuple_row

from .database import BatchDatastore, surviving_restarts
from .texts import bytes_of


class PostgresCheckpoints:
    """A row for each projection, whose lock keeps two processes apart; writers of events go on."""

    def __init__(self, datastore: BatchDatastore) -> None:
        self._datastore = datastore

    @surviving_restarts
    def position(self, name: str) -> int | None:
        """The position of the last event that a projection has taken in."""
        with (
            self._datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row) as cursor,
        ):
            cursor.execute(
                "SELECT position FROM batchtrail_projections WHERE name=%s", (bytes_of(name),)
            )
            row = cursor.fetchone()
        return None if row is None else row[0]

    def advance(self, name: str, before: int | None, to: int, write: Callable[[Any], None]) -> None:
        """Write rows and move a checkpoint, unless another process was first.

        Never attempted twice by itself: what a projection wrote elsewhere is not undone.
        """
        key = bytes_of(name)
        with (
            self._datastore.get_connection() as connection,
            connection.transaction(),
            connection.cursor(row_factory=tuple_row) as cursor,
        ):
            # Without a row there would be nothing to lock: two could begin at once.
            cursor.execute(
                "INSERT INTO batchtrail_projections VALUES (%s, NULL) ON CONFLICT DO NOTHING",
                (key,),
            )
            cursor.execute(
                "SELECT position FROM batchtrail_projections WHERE name=%s FOR UPDATE", (key,)
            )
            if cursor.fetchone() != (before,):
                return
            with connection.cursor(row_factory=tuple_row) as own:
                write(own)
            cursor.execute("UPDATE batchtrail_projections SET position=%s WHERE name=%s", (to, key))
