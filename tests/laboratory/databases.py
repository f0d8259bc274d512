"""Databases that outlive the processes which open them."""

from pathlib import Path
from typing import Any, Protocol

from eventsourcing.persistence import InfrastructureFactory

from batchtrail.adapters.sqlite import SQLiteBatchFactory


class Database(Protocol):
    """One database; whoever adds a store to the laboratory writes one of these."""

    def connect(self) -> InfrastructureFactory[Any]:
        """Open the database, as a process of its own would; its owner closes the connection."""
        ...

    def drop_views(self) -> None:
        """Throw the views away, so that the next to open the database rebuilds them."""
        ...

    def close(self) -> None:
        """Throw the database away."""
        ...


_DROP_VIEWS = "DROP TABLE view_checkpoint"


class MemoryDatabase:
    """SQLite in memory: all processes share one connection, each transaction has it for itself.

    Opening it costs a third of what a file costs, and there is nothing to clean up.
    """

    def __init__(self) -> None:
        self._first = SQLiteBatchFactory(":memory:")

    def connect(self) -> InfrastructureFactory[Any]:
        return _Shared(self._first)

    def drop_views(self) -> None:
        with self._first.datastore.transaction(commit=True) as cursor:
            cursor.execute(_DROP_VIEWS)

    def close(self) -> None:
        self._first.close()


class _Shared(SQLiteBatchFactory):
    def __init__(self, owner: SQLiteBatchFactory) -> None:
        InfrastructureFactory.__init__(self, {})
        self.datastore = owner.datastore

    def close(self) -> None:
        """Leave the connection to the others."""


class FileDatabase:
    """SQLite in a file: every process has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def connect(self) -> InfrastructureFactory[Any]:
        return SQLiteBatchFactory(self._path)

    def drop_views(self) -> None:
        factory = SQLiteBatchFactory(self._path)
        with factory.datastore.transaction(commit=True) as cursor:
            cursor.execute(_DROP_VIEWS)
        factory.close()

    def close(self) -> None:
        for file in self._path.parent.glob(f"{self._path.name}*"):
            file.unlink()
