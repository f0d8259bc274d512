"""The tables of the log, made and upgraded under a lock, so that any number may begin at once."""

from typing import LiteralString

import psycopg
from psycopg import Connection, Cursor, IsolationLevel
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from ...application.errors import DatabaseRefusedError, NoDatabaseError, StoreError
from .address import Address
from .database import SESSION
from .views import VIEW_TABLES, prepare_views

_MISTAKES = (
    "does not exist",
    "authentication failed",
    "no password supplied",
    "not permitted",
    "permission denied",
    "pg_hba.conf",
    "invalid ",
    "unrecognized ",
)
"""What is said of a URL that will never do; a connection that fails has no SQLSTATE in libpq."""

_EVENTS: LiteralString = (
    "CREATE TABLE batchtrail_events ("
    "notification_id bigint PRIMARY KEY, "
    "originator_id uuid NOT NULL, "
    "originator_version bigint NOT NULL, "
    "topic text NOT NULL, "
    "digest bytea NOT NULL, "
    "state bytea NOT NULL, "
    "body bytea, "
    "CONSTRAINT batchtrail_events_version UNIQUE (originator_id, originator_version)) "
    "WITH (toast_tuple_target = 8160)"
)
_SNAPSHOTS: LiteralString = (
    "CREATE TABLE batchtrail_snapshots ("
    "originator_id uuid NOT NULL, "
    "originator_version bigint NOT NULL, "
    "topic text NOT NULL, "
    "state bytea NOT NULL, "
    "PRIMARY KEY (originator_id, originator_version))"
)
_LEASES: LiteralString = (
    "CREATE TABLE batchtrail_leases ("
    "name bytea PRIMARY KEY, holder bytea NOT NULL, until timestamptz NOT NULL)"
)
_PROJECTIONS: LiteralString = (
    "CREATE TABLE batchtrail_projections (name bytea PRIMARY KEY, position bigint)"
)
_SEALS: LiteralString = (
    "CREATE TABLE batchtrail_seals (position bigint PRIMARY KEY, link bytea NOT NULL, "
    "sealed_at timestamptz NOT NULL, sealed_by bytea NOT NULL)"
)
MIGRATIONS: list[tuple[LiteralString, ...]] = [
    (
        "CREATE TABLE batchtrail_log (schema_version int NOT NULL, last_position bigint NOT NULL)",
        "INSERT INTO batchtrail_log VALUES (0, 0)",
        _EVENTS,
        # Rows are some kilobytes long: within the page, uncompressed, they are written twice as
        # fast as the server's own rules would have it.
        "ALTER TABLE batchtrail_events ALTER state SET STORAGE EXTERNAL",
        "ALTER TABLE batchtrail_events ALTER body SET STORAGE EXTERNAL",
        _SNAPSHOTS,
        _LEASES,
        _PROJECTIONS,
        _SEALS,
    ),
]
"""What leads from each version of the log's tables to the next; views are rebuilt instead.

What was released is never changed, only added to.
"""

_LOG_TABLES = (
    "batchtrail_log",
    "batchtrail_events",
    "batchtrail_snapshots",
    "batchtrail_leases",
    "batchtrail_projections",
    "batchtrail_seals",
)
_LOCK = 0x62747261
"""The advisory lock of whoever prepares a database ("btra")."""


def prepare_database(address: Address, *, makes_database: bool) -> str:
    """Make or upgrade the tables where that is needed; gives the schema that they stand in.

    Raises `DatabaseRefusedError` when the database cannot be used, `NoDatabaseError` without
    `makes_database` when there is no table of ours yet, and `StoreError` when it cannot be used
    now, such as for a server that restarts. Safe beside other processes.
    """
    try:
        with (
            connect(address) as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            return _prepare(cursor, address, makes_database=makes_database)
    except psycopg.Error as error:
        raise _unusable(address, error) from None


def find_database(address: Address) -> str:
    """The schema that the tables stand in; nothing is made or changed.

    Raises `NoDatabaseError` when there are none, `DatabaseRefusedError` when they cannot be used,
    and `StoreError` for what passes.
    """
    try:
        with connect(address) as connection, connection.cursor() as cursor:
            schema = _schema_of_log(cursor)
            if schema is None:
                raise _no_log(address)
            _version(cursor, address)
            return schema
    except psycopg.Error as error:
        raise _unusable(address, error) from None


def connect(address: Address) -> Connection[TupleRow]:
    """A connection of its own, on which each statement sees what was committed before it.

    It has the limits of every other.
    """
    connection = psycopg.connect(**address.parameters, autocommit=True)
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    connection.execute(SESSION)
    return connection


def _unusable(address: Address, error: psycopg.Error) -> StoreError:
    """The database is refused, unless what keeps it from us passes, as a restart does."""
    said = address.sentence(error)
    is_mistake = any(words in said for words in _MISTAKES)
    passes = isinstance(error, psycopg.OperationalError) and not is_mistake
    hint = ""
    if said.endswith("does not exist"):
        hint = "; name another user" if " role " in said else "; make it with `createdb`"
    kind = StoreError if passes else DatabaseRefusedError
    return kind(f"cannot use {address}: {said}{hint}")


def _no_log(address: Address) -> NoDatabaseError:
    return NoDatabaseError(f"there is no batchtrail log in {address}; `run` and `submit` begin one")


def _prepare(cursor: Cursor[TupleRow], address: Address, *, makes_database: bool) -> str:
    schema = _schema_of_log(cursor)
    if schema is None:
        if not makes_database:
            raise _no_log(address)
        schema = _schema_for_new_tables(cursor, address)
        version = 0
    else:
        version = _version(cursor, address)
    cursor.execute(SQL("SET LOCAL search_path TO {}").format(Identifier(schema)))
    _upgrade(cursor, version)
    prepare_views(cursor, address)
    return schema


def _schema_of_log(cursor: Cursor[TupleRow]) -> str | None:
    """Where the log is, wherever on the search path that may be; None when there is none."""
    cursor.execute(
        "SELECT nspname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace "
        "WHERE pg_class.oid = to_regclass(%s)",
        (_LOG_TABLES[0],),
    )
    row = cursor.fetchone()
    return None if row is None else str(row[0])


def _schema_for_new_tables(cursor: Cursor[TupleRow], address: Address) -> str:
    cursor.execute("SELECT current_schema()")
    row = cursor.fetchone()
    if row is None or row[0] is None:
        raise DatabaseRefusedError(
            f"cannot use {address}: no schema on its search path exists; make one"
        )
    names = [*_LOG_TABLES, *VIEW_TABLES]
    cursor.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname=%s AND tablename=ANY(%s)", (row[0], names)
    )
    if taken := [name for (name,) in cursor.fetchall()]:
        raise DatabaseRefusedError(
            f"{address} has a table {taken[0]} of another program; name another database or schema"
        )
    return str(row[0])


def _version(cursor: Cursor[TupleRow], address: Address) -> int:
    try:
        cursor.execute("SELECT schema_version, last_position FROM batchtrail_log")
        ((version, _),) = cursor.fetchall()
    except (psycopg.errors.UndefinedColumn, ValueError):
        raise DatabaseRefusedError(
            f"{address} has a table batchtrail_log that is not of batchtrail; "
            "name another database or schema"
        ) from None
    if version > len(MIGRATIONS):
        raise DatabaseRefusedError.of_newer(address, "schema", version, len(MIGRATIONS))
    return int(version)


def _upgrade(cursor: Cursor[TupleRow], version: int) -> None:
    if version == len(MIGRATIONS):
        return
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            cursor.execute(statement)
    cursor.execute("UPDATE batchtrail_log SET schema_version=%s", (len(MIGRATIONS),))
