"""The pool of connections to the server, which goes on by itself when the server restarts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from eventsourcing.persistence import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    PersistenceError,
)
from eventsourcing.postgres import ConnectionPool, PostgresDatastore
from eventsourcing.utils import retry
from psycopg import Connection, IsolationLevel
from psycopg.rows import DictRow, dict_row
from psycopg.sql import SQL, Identifier
from psycopg_pool import PoolTimeout

from .address import Address

_PATIENCE = 3.0
"""Seconds that one attempt waits for a connection; `surviving_restarts` makes ten of them."""

_SESSION = (
    # An intent that was committed survives a power cut, or a batch is paid for twice.
    (
        "SELECT set_config('synchronous_commit', 'on', false) "
        "WHERE current_setting('synchronous_commit') = 'off'"
    ),
    "SET lock_timeout = '60s'",
    # A machine that vanishes in the midst of a save must not keep the others from theirs: neither
    # between two statements nor within a COPY, where the server reads on for as long as TCP does.
    "SET idle_in_transaction_session_timeout = '60s'",
    "SET tcp_keepalives_idle = '30s'",
    "SET tcp_keepalives_interval = '5s'",
    "SET tcp_keepalives_count = 3",
    "SET tcp_user_timeout = '30s'",
)
SESSION: LiteralString = "; ".join(_SESSION)
"""What every session is set to that may hold a lock, in one round trip."""

_LOST = ("08", "40", "57P01", "57P02", "57P03")
"""SQLSTATEs of what is over with another connection or attempt: lost, deadlocked, starting up."""

surviving_restarts = retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
"""Repeats a call whose connection was lost; for calls that may be repeated as they are."""


class BatchDatastore(PostgresDatastore):
    """The library's datastore on our connections, with the tables in one schema.

    One connection, as the store is used by one thread at a time. Of several dead ones the pool
    would wait a second before it tried the next.
    """

    def __init__(self, address: Address, schema: str) -> None:
        super().__init__("", "", "", "", "", schema=schema)
        self.address = address
        self.pool = ConnectionPool(
            connection_class=Connection[DictRow],
            kwargs={**address.parameters, "autocommit": True, "row_factory": dict_row},
            min_size=1,
            max_size=1,
            open=False,
            configure=_configure(schema),
            check=ConnectionPool.check_connection,
            timeout=_PATIENCE,
            # Beyond, the pauses between its attempts would grow with the outage, and outlast it.
            reconnect_timeout=_PATIENCE,
            num_workers=1,
        )

    def register_type_adapters(self) -> None:
        """Nothing to do: our statements need no composite types."""

    @contextmanager
    def get_connection(self) -> Iterator[Connection[DictRow]]:
        """A connection that was alive just now. Raises `PersistenceError` in one sentence."""
        try:
            with super().get_connection() as connection:
                yield connection
        except PersistenceError as error:
            raise self._translated(error) from error.__cause__

    def _translated(self, error: PersistenceError) -> PersistenceError:
        cause = error.__cause__
        if isinstance(cause, PoolTimeout):
            return OperationalError(f"there is no connection to {self.address}")
        sentence = self.address.sentence(error)
        if isinstance(cause, psycopg.errors.IdleInTransactionSessionTimeout):
            return OperationalError(sentence)  # lost as well, whatever psycopg calls it
        if isinstance(cause, psycopg.OperationalError) and not _is_lost(cause):
            return DatabaseError(sentence)
        return type(error)(sentence)


def _is_lost(error: psycopg.OperationalError) -> bool:
    """Whether another attempt is worth it; without a SQLSTATE the server said nothing more."""
    return error.sqlstate is None or error.sqlstate.startswith(_LOST)


def _configure(schema: str) -> Any:
    search_path = SQL("SET search_path TO {}").format(Identifier(schema))

    def configure(connection: Connection[DictRow]) -> None:
        # Each statement sees what was committed before it, also after it waited for a lock.
        connection.isolation_level = IsolationLevel.READ_COMMITTED
        connection.execute(search_path)
        connection.execute(SESSION)

    return configure
