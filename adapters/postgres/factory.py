"""Makes the recorders of one PostgreSQL database for the event store."""

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    ProcessRecorder,
    TrackingRecorder,
)
from eventsourcing.postgres import PostgresAggregateRecorder

from .address import Address
from .database import BatchDatastore
from .recorder import PostgresBatchRecorder
from .schema import find_database, prepare_database


class PostgresBatchFactory(InfrastructureFactory[TrackingRecorder]):
    """The database at a `postgresql://` URL; its tables are made when they are missing.

    Without `makes_database` they are only brought up to date.

    Raises `InputError` for a URL that cannot be read, `DatabaseRefusedError` for a database that is
    not there, not ours or too new, and `StoreError` for one that is out of reach. No error and no
    repr shows the password.
    With `read_only` nothing is made or changed: it is good for reading the log alone.
    """

    def __init__(self, url: str, *, read_only: bool = False, makes_database: bool = True) -> None:
        super().__init__({})
        address = Address.parse(url)
        if read_only:
            schema = find_database(address)
        else:
            schema = prepare_database(address, makes_database=makes_database)
        self.datastore = BatchDatastore(address, schema)

    def is_snapshotting_enabled(self) -> bool:
        """Always: loading a batch must not read its bodies."""
        return True

    def application_recorder(self) -> ApplicationRecorder:
        """The event log with its views."""
        return PostgresBatchRecorder(self.datastore)

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """The snapshots."""
        return PostgresAggregateRecorder(self.datastore, events_table_name=f"batchtrail_{purpose}")

    def tracking_recorder(
        self, tracking_recorder_class: type[TrackingRecorder] | None = None
    ) -> TrackingRecorder:
        """Not offered: the views keep their own checkpoint."""
        raise NotImplementedError

    def process_recorder(self) -> ProcessRecorder:
        """Not offered: the views keep their own checkpoint."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""
        self.datastore.close()
