"""Makes the recorders of one SQLite database for the event store."""

from pathlib import Path
from typing import TypeVar

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    ProcessRecorder,
    TrackingRecorder,
)
from eventsourcing.sqlite import SQLiteAggregateRecorder

from .database import MEMORY, BatchDatastore, check_readable, has_tables, prepare_file
from .recorder import SQLiteBatchRecorder
from .views import are_current

_Recorder = TypeVar("_Recorder", bound=SQLiteAggregateRecorder)


class SQLiteBatchFactory(InfrastructureFactory[TrackingRecorder]):
    """The database at `path`, made when it is missing; `:memory:` is gone when it is closed.

    Without `makes_database` a missing one is refused. With `read_only` nothing is made or changed:
    it is good for reading the log alone. Raises `StoreError` for a file that is not there, not
    ours, not writable or too new.
    """

    def __init__(
        self, path: Path | str, *, read_only: bool = False, makes_database: bool = True
    ) -> None:
        super().__init__({})
        self._read_only = read_only
        if str(path) != MEMORY:
            if read_only:
                check_readable(Path(path))
            else:
                prepare_file(Path(path), makes_database=makes_database)
            path = Path(path).absolute()  # which is never taken for a URI
        self.datastore = BatchDatastore(str(path))

    def is_snapshotting_enabled(self) -> bool:
        """Always: loading a batch must not read its bodies."""
        return True

    def application_recorder(self) -> ApplicationRecorder:
        """The event log with its views."""
        return self._prepared(SQLiteBatchRecorder(self.datastore))

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """The snapshots."""
        return self._prepared(SQLiteAggregateRecorder(self.datastore, purpose))

    def _prepared(self, recorder: _Recorder) -> _Recorder:
        if not self._read_only and not self._has_all(recorder):
            recorder.create_table()
        return recorder

    def _has_all(self, recorder: SQLiteAggregateRecorder) -> bool:
        """Whether nothing is to be made: who only reads must not wait for who writes."""
        with self.datastore.transaction(commit=False) as cursor:
            return has_tables(cursor, recorder.create_table_statements) and are_current(
                cursor, self.datastore.pool.db_name
            )

    def tracking_recorder(
        self, tracking_recorder_class: type[TrackingRecorder] | None = None
    ) -> TrackingRecorder:
        """Not offered: the views keep their own checkpoint."""
        raise NotImplementedError

    def process_recorder(self) -> ProcessRecorder:
        """Not offered: the views keep their own checkpoint."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the database."""
        self.datastore.close()
