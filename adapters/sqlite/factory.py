"""Makes the recorders of one SQLite database for the event store."""

from contextlib import ExitStack, suppress
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

from ...application.errors import DatabaseRefusedError
from .database import (
    MEMORY,
    ONLY_READ,
    BatchDatastore,
    check_readable,
    has_tables,
    is_writable,
    prepare_file,
    read_only_uri,
)
from .recorder import SQLiteBatchRecorder
from .views import are_current

_Recorder = TypeVar("_Recorder", bound=SQLiteAggregateRecorder)


class SQLiteBatchFactory(InfrastructureFactory[TrackingRecorder]):
    """The database at `path`, made when it is missing; `:memory:` is gone when it is closed.

    Without `makes_database` a missing one is refused. With `read_only` nothing is made or changed:
    it is good for reading the log alone. With `may_only_read` a file that cannot be written is
    read, where nothing in it is to be brought up to date. Raises `StoreError` for a file that is
    not there, not ours, not writable or too new, and when a file that is read without locks was
    changed, at the end.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        read_only: bool = False,
        makes_database: bool = True,
        may_only_read: bool = False,
    ) -> None:
        super().__init__({})
        self._read_only = read_only
        self._reading = ExitStack()
        self._uri = None
        if str(path) != MEMORY:
            path = Path(path)
            with suppress(OSError, RuntimeError):  # whoever opens it says what is wrong
                # SQLite's log stands beside the file, and not beside a link to it.
                path = path.resolve() if path.is_symlink() else path
            looks_back = may_only_read and not is_writable(path)
            if read_only or looks_back:
                check_readable(path)
            else:
                prepare_file(path, makes_database=makes_database)
            if looks_back:
                self._uri = self._reading.enter_context(read_only_uri(path))
            path = path.absolute()  # which is never taken for a URI
        self.datastore = BatchDatastore(str(path), uri=self._uri)

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
            if self._uri is not None:
                path = self.datastore.pool.db_name
                raise DatabaseRefusedError(
                    f"the database {path} is to be upgraded, and {ONLY_READ}"
                )
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
        """Close the database. Raises `StoreError` when it was read without locks and changed."""
        self.datastore.close()
        self._reading.close()
