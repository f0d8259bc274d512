"""Databases that outlive the processes which open them; whoever adds a store adds one here."""

from pathlib import Path
from typing import Protocol

import psycopg
from attrs import define
from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.sqlite import SQLiteDatastore
from psycopg.sql import SQL, Identifier

from batchtrail.adapters.postgres import PostgresBatchFactory
from batchtrail.adapters.sqlite import SQLiteBatchFactory

SQLITE_VIEWS = ("batches", "request_ids", "completions")
"""The tables of the views, but for that of their checkpoint."""


class Database(Protocol):
    """The one database of a laboratory, which every process opens anew."""

    def open(self) -> InfrastructureFactory:
        """A connection of a process of its own, which closes it."""
        ...

    def renew(self) -> None:
        """Begin with an empty one; every process has ended."""
        ...

    def drop_views(self) -> None:
        """Make the views those of an older version: the next process rebuilds them."""
        ...

    def close(self) -> None:
        """Give the database up."""
        ...


_DROP_VIEWS = "UPDATE view_checkpoint SET version=0"


def _drop_views(datastore: SQLiteDatastore) -> None:
    with datastore.transaction(commit=True) as cursor:
        cursor.execute(_DROP_VIEWS)


@define
class FileDatabase:
    """SQLite in a file: every process has a connection of its own."""

    path: Path

    def open(self) -> InfrastructureFactory:
        return SQLiteBatchFactory(self.path)

    def renew(self) -> None:
        for file in self.path.parent.glob(f"{self.path.name}*"):
            file.unlink()

    def drop_views(self) -> None:
        factory = SQLiteBatchFactory(self.path)
        _drop_views(factory.datastore)
        factory.close()

    def close(self) -> None:
        self.renew()


class _SharedMemory(SQLiteBatchFactory):
    """Outlives the processes on it: a memory database has no other connection."""

    def close(self) -> None:
        """Leave it to the database."""


class MemoryDatabase:
    """SQLite in memory: opening it costs a third of what a file costs."""

    def __init__(self) -> None:
        self._factory = _SharedMemory(":memory:")

    def open(self) -> InfrastructureFactory:
        return self._factory

    def renew(self) -> None:
        self.close()
        self._factory = _SharedMemory(":memory:")

    def drop_views(self) -> None:
        _drop_views(self._factory.datastore)

    def close(self) -> None:
        self._factory.datastore.close()


@define
class PostgresDatabase:
    """A schema of a PostgreSQL server."""

    url: str

    def open(self) -> InfrastructureFactory:
        return PostgresBatchFactory(self.url)

    def renew(self) -> None:
        PostgresBatchFactory(self.url).close()  # the first time, there are no tables yet
        with psycopg.connect(self.url) as connection:
            for name in ("events", "snapshots", "batches", "completions"):
                connection.execute(SQL("DELETE FROM {}").format(Identifier(f"batchtrail_{name}")))
            connection.execute("UPDATE batchtrail_view_checkpoint SET position=0")

    def drop_views(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("UPDATE batchtrail_view_checkpoint SET version=0")

    def close(self) -> None:
        self.renew()
