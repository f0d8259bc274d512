"""An empty PostgreSQL database that is being filled with a log from elsewhere."""

from collections.abc import Sequence

from eventsourcing.persistence import StoredEvent
from psycopg import Cursor
from psycopg.rows import TupleRow

from ...application.batch_check import CheckedBatch
from ...application.records import EventRecord
from ...application.sealing import KeptSeal
from ...application.stored_log import StoredLog
from .reader import PostgresStoredLog
from .statements import KEEP_SEAL, PUT_SNAPSHOT, copy_events, seal_row, snapshot_row
from .views import PostgresViewWriter


class PostgresNewLog:
    """Writes through the cursor of one transaction, on which the counter's row is locked."""

    def __init__(self, cursor: Cursor[TupleRow]) -> None:
        self._cursor = cursor
        self._views = PostgresViewWriter(cursor)

    @property
    def log(self) -> StoredLog:
        """What the database holds by now."""
        return PostgresStoredLog(self._cursor)

    def add(self, records: Sequence[EventRecord]) -> None:
        """Add events at their positions."""
        copy_events(self._cursor, records, [record.position for record in records])

    def keep_seal(self, kept: KeptSeal) -> None:
        """Remember a seal."""
        self._cursor.execute(KEEP_SEAL, seal_row(kept))

    def put_batch(self, checked: CheckedBatch, snapshot: StoredEvent) -> None:
        """Write the rows of a batch and its snapshot."""
        self._views.replace_rows(checked)
        self._cursor.execute(PUT_SNAPSHOT, snapshot_row(snapshot))

    def end(self, position: int) -> None:
        """The views hold the log up to here, and the next event gets the position behind it."""
        self._views.move_checkpoint(position)
        self._cursor.execute("UPDATE batchtrail_log SET last_position = %s", (position,))
