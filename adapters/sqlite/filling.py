"""An empty SQLite database that is being filled with a log from elsewhere."""

from collections.abc import Sequence

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteCursor

from ...application.batch_check import CheckedBatch
from ...application.records import EventRecord
from ...application.sealing import KeptSeal
from ...application.stored_log import StoredLog
from .reader import SQLiteStoredLog
from .statements import (
    KEEP_SEAL,
    PUT_SNAPSHOT,
    insert_events,
    seal_row,
    snapshot_row,
)
from .views import SQLiteViewWriter


class SQLiteNewLog:
    """Writes through the cursor of one transaction; the sequence follows the given positions."""

    def __init__(self, cursor: SQLiteCursor) -> None:
        self._cursor = cursor
        self._views = SQLiteViewWriter(cursor)

    @property
    def log(self) -> StoredLog:
        """What the database holds by now."""
        return SQLiteStoredLog(self._cursor)

    def add(self, records: Sequence[EventRecord]) -> None:
        """Add events at their positions."""
        insert_events(self._cursor, records, (record.position for record in records))

    def keep_seal(self, kept: KeptSeal) -> None:
        """Remember a seal."""
        self._cursor.execute(KEEP_SEAL, seal_row(kept))

    def put_batch(self, checked: CheckedBatch, snapshot: StoredEvent) -> None:
        """Write the rows of a batch and its snapshot."""
        self._views.replace_rows(checked)
        self._cursor.execute(PUT_SNAPSHOT, snapshot_row(snapshot))

    def end(self, position: int) -> None:
        """The views hold the log up to here."""
        self._views.move_checkpoint(position)
