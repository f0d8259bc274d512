"""Makes the recorders of one SQLite database for the event store."""

from pathlib import Path

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    ProcessRecorder,
    TrackingRecorder,
)
from eventsourcing.sqlite import SQLiteAggregateRecorder

from .database import MEMORY, BatchDatastore, prepare_file
from .recorder import SQLiteBatchRecorder


class SQLiteBatchFactory(InfrastructureFactory[TrackingRecorder]):
    """The database at `path`, made when it is missing; `:memory:` is gone when it is closed.

    Raises `StoreError` for a file that is not ours, not writable or too new.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__({})
        if str(path) != MEMORY:
            prepare_file(Path(path))
            path = Path(path).absolute()  # which is never taken for a URI
        self.datastore = BatchDatastore(str(path))

    def is_snapshotting_enabled(self) -> bool:
        """Always: loading a batch must not read its bodies."""
        return True

    def application_recorder(self) -> ApplicationRecorder:
        """The event log with its views."""
        recorder = SQLiteBatchRecorder(self.datastore)
        recorder.create_table()
        return recorder

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """The snapshots."""
        recorder = SQLiteAggregateRecorder(self.datastore, purpose)
        recorder.create_table()
        return recorder

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
