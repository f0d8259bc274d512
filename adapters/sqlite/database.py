"""The database file: made with our page size and marks, opened only when it bears them."""

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from threading import Lock
from types import TracebackType

from eventsourcing.persistence import ConnectionPoolClosedError, OperationalError
from eventsourcing.sqlite import (
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
    SQLiteTransaction,
)

from ...application.errors import (
    DatabaseMovedError,
    DatabaseRefusedError,
    NoDatabaseError,
    StoreError,
)

APPLICATION_ID = 0x62747261
"""Marks a SQLite file as a batchtrail database ("btra")."""

SCHEMA_VERSION = 3
"""The layout of the event log; views have a version of their own, because they can be rebuilt."""

_PAGE_SIZE = 32_768
"""Bytes. Result rows are some kilobytes long and fill large pages better than small ones."""

_CACHED_STATEMENTS = 128
_LOCK_TIMEOUT = 60
_LOCK_PAUSE = 0.01
_HEADER_BYTES = 100
"""A database that holds anything is longer; SQLite takes some shorter files for its own."""

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_PASSING = _BUSY | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
"""What says nothing about the file: the same command may do later."""

_CREATE = "CREATE TABLE IF NOT EXISTS "
_FILES = ("", "-wal", "-shm", "-journal")
_MAY_MAKE = os.R_OK | os.W_OK | os.X_OK

MEMORY = ":memory:"

ONLY_READ = (
    "it cannot be written; `verify` and `export` read it as it is, and every command a copy of it"
)


class _Transaction(SQLiteTransaction):
    """One transaction on the one connection, and a cursor for it.

    It takes the write lock at its beginning when it is going to write: a deferred transaction
    that has read cannot wait for the lock any more, it fails at once.
    """

    def __init__(self, connection: SQLiteConnection, turn: Lock, *, commit: bool) -> None:
        super().__init__(connection, commit=commit)
        self._turn = turn

    def __enter__(self) -> SQLiteCursor:
        _take(self._turn)
        try:
            self._cursor = self.connection.cursor()
            self._cursor.execute("BEGIN IMMEDIATE" if self.commit else "BEGIN")
        except BaseException as error:
            self._turn.release()
            if isinstance(error, sqlite3.OperationalError):
                raise OperationalError(problem_of(error)) from error
            raise
        return self._cursor

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        try:
            self._cursor.sqlite_cursor.close()
            super().__exit__(exc_type, exc_val, exc_tb)
        finally:
            self._turn.release()


def _take(turn: Lock) -> None:
    if not turn.acquire(timeout=_LOCK_TIMEOUT):
        raise OperationalError("the connection is in use by another transaction")


class BatchConnectionPool(SQLiteConnectionPool):
    """The library's pool, with our settings on each connection."""

    uri: str | None = None
    """How the file is opened; None by its name."""

    @staticmethod
    def detect_memory_mode(db_name: str) -> bool:
        """The library looks for certain words anywhere in a path."""
        return db_name == MEMORY

    def _create_connection(self) -> SQLiteConnection:
        try:
            return SQLiteConnection(self._connect(), self.max_age)
        except sqlite3.Error as error:
            raise OperationalError(error) from error

    def _connect(self) -> sqlite3.Connection:
        # The library's own connection would compile nearly every statement anew.
        raw = sqlite3.connect(
            self.uri or self.db_name,
            uri=self.uri is not None,
            timeout=_LOCK_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_CACHED_STATEMENTS,
        )
        raw.row_factory = sqlite3.Row
        # FULL: an intent that was committed survives a power cut, or a batch is paid for twice.
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA temp_store=MEMORY")
        # From the first write on: a table that grows would leave copies of bodies in its pages,
        # where nobody finds them again to remove them.
        raw.execute("PRAGMA secure_delete=ON")
        return raw


class BatchDatastore(SQLiteDatastore):
    """One connection for as long as the store is open: it is used by one thread at a time.

    The library's pool hands it out once; its queues for many readers and writers would cost
    each transaction several times what SQLite itself does.
    """

    def __init__(self, path: str, *, uri: str | None = None) -> None:
        super().__init__(path, pool_size=1, max_overflow=0, lock_timeout=_LOCK_TIMEOUT)
        self.pool.close()
        self.pool = BatchConnectionPool(
            db_name=path, pool_size=1, max_overflow=0, lock_timeout=_LOCK_TIMEOUT
        )
        self.pool.uri = uri
        self._may_write = uri is None
        self._turn = Lock()
        self._connection: SQLiteConnection | None = None
        self._opened: tuple[int, int] | None = None

    def transaction(self, *, commit: bool) -> AbstractContextManager[SQLiteCursor]:  # type: ignore[override]
        """A transaction of its own; nobody else has one meanwhile.

        Raises `OperationalError`, and `DatabaseMovedError` where others would not see it.
        """
        if commit and not self._may_write:
            raise OperationalError(ONLY_READ)
        return _Transaction(self._connected(), self._turn, commit=commit)

    @contextmanager
    def get_connection(self, *, commit: bool) -> Iterator[SQLiteConnection]:
        """The connection, for as long as nobody has a transaction on it."""
        del commit
        _take(self._turn)
        try:
            yield self._connected()
        finally:
            self._turn.release()

    def _connected(self) -> SQLiteConnection:
        if self.pool.closed:
            raise ConnectionPoolClosedError
        if self._connection is None:
            self._connection = self.pool.get_connection()
            self._opened = self._found()
        elif self._found() != self._opened:
            raise DatabaseMovedError(
                f"the database {self.pool.db_name} was moved, deleted or replaced while it was in "
                "use; see that the right one is there, with its own `-wal` beside it, where its "
                "newest events are, and start again"
            )
        return self._connection

    def _found(self) -> tuple[int, int] | None:
        """Which file stands under our name; None for none.

        With a write-ahead log SQLite does not look for itself, as it does without one.
        """
        if self.pool.db_name == MEMORY:
            return None
        try:
            found = os.stat(self.pool.db_name)  # noqa: PTH116 (each transaction pays for it)
        except FileNotFoundError:
            return None
        except OSError:  # nobody can tell
            return self._opened
        return found.st_dev, found.st_ino


def prepare_file(path: Path, *, makes_database: bool) -> None:
    """Make the file if there is none, readable by its owner only, and check whose it is.

    Raises `NoDatabaseError` for a missing or empty file without `makes_database`,
    `DatabaseRefusedError` when the file cannot be used, and `StoreError` when it cannot be used
    now, such as for a lock. Safe beside other processes.
    """
    try:
        _refuse_directory(path)
        if makes_database:
            _refuse_left_log(path)
            _make_private(path)
        size = path.stat().st_size
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not makes_database:
            raise _no_database(path) from None
        raise _cannot_open(path, error) from error
    if size == 0 and not makes_database:
        raise _no_database(path)
    if not os.access(path, os.R_OK):
        raise DatabaseRefusedError(f"the database {path} cannot be read")
    if not os.access(path, os.W_OK):
        raise DatabaseRefusedError(f"the database {path} is to be changed, and {ONLY_READ}")
    if 0 < size < _HEADER_BYTES:
        raise DatabaseRefusedError(f"{path} is no database; name another file")
    connection = sqlite3.connect(path.absolute(), timeout=_LOCK_TIMEOUT, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size={_PAGE_SIZE}")
        if not _is_marked(connection, path):
            _mark(connection, path)
        _switch_to_wal(connection)
    except sqlite3.DatabaseError as error:
        raise _unusable(f"cannot use {path} as a batchtrail database", error) from error
    finally:
        connection.close()


def _cannot_open(path: Path, error: OSError) -> DatabaseRefusedError:
    return DatabaseRefusedError(f"cannot open the database {path}: {error.strerror}")


def _no_database(path: Path) -> NoDatabaseError:
    return NoDatabaseError(f"there is no database {path}; `run` and `submit` make one")


def problem_of(error: sqlite3.Error) -> str:
    """What SQLite met with, in words that say what helps."""
    if _code_of(error) in _BUSY:
        return "another process is writing to it; try again"
    if _code_of(error) == sqlite3.SQLITE_READONLY:
        return ONLY_READ
    return str(error)


def _code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for what comes from Python's module itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _unusable(what: str, error: sqlite3.Error) -> StoreError:
    """The file is refused, unless what keeps it from us passes."""
    passes = _code_of(error) in _PASSING
    return (StoreError if passes else DatabaseRefusedError)(f"{what}: {problem_of(error)}")


def check_readable(path: Path) -> None:
    """Check whose file it is without changing it.

    Raises `NoDatabaseError` for a missing or empty one, `DatabaseRefusedError`, and `StoreError`
    for what passes, such as a lock.
    """
    try:
        _refuse_directory(path)
        if not _size_of(path):  # beside an empty file SQLite deletes a log even for a reader
            raise _no_database(path)
        with read_only_uri(path) as uri, closing(sqlite3.connect(uri, uri=True)) as connection:
            _check_marks(connection, path)
    except sqlite3.DatabaseError as error:
        raise _unusable(f"cannot read {path} as a batchtrail database", error) from error
    except OSError as error:
        raise _cannot_open(path, error) from error


def is_writable(path: Path) -> bool:
    """Whether we may change the file, which takes a log beside it."""
    may_have_log = os.access(path.absolute().parent, _MAY_MAKE) or _has_log(path)
    return os.access(path, os.R_OK | os.W_OK) and may_have_log


def _has_log(path: Path) -> bool:
    return os.path.lexists(f"{path}-wal")


@contextmanager
def read_only_uri(path: Path) -> Iterator[str]:
    """How SQLite is to open a file that is only read, in the block.

    It makes its log beside it even so. It fails where it cannot, as on a file system that is
    read-only, and what a user makes who may only read keeps the owner of the file from writing.
    There, without a log that is left, the file is all there is. It is opened without locks, as what
    nobody changes. Raises `StoreError` when somebody did, whatever the block met.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    before = _state_of(path)
    if is_writable(path) or _has_log(path):
        yield uri
        return
    met: Exception | None = None
    try:
        yield f"{uri}&immutable=1"
    except Exception as error:  # noqa: BLE001 (raised below, unless it follows from a change)
        met = error
    if _state_of(path) != before or _has_log(path):
        raise StoreError(
            f"another process changed the database {path} while it was read; try again"
        ) from met
    if met is not None:
        raise met


def _state_of(path: Path) -> tuple[int, ...] | None:
    """What is another after any change; None for no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def new_file(path: Path | str) -> Iterator[Path | str]:
    """Where to make a database that is seen under its name only when the block came to its end.

    When there is something under the name already, it is that. Otherwise a file beside it, so
    that nobody begins to work in a database that is taken away again. Raises
    `DatabaseRefusedError` when another process made one meanwhile.
    """
    target = Path(path)
    if str(path) == MEMORY or not _is_free(target):
        yield path
        return
    made = target.with_name(f".{target.name}-{token_hex(4)}")
    try:
        yield made
        _give_name(made, target)
    finally:
        for suffix in _FILES:
            Path(f"{made}{suffix}").unlink(missing_ok=True)


def _is_free(path: Path) -> bool:
    """Whether a finished file can be put there; SQLite would play old logs beside it into it."""
    taken = any(os.path.lexists(f"{path}{suffix}") for suffix in _FILES)
    return not taken and os.access(path.parent, _MAY_MAKE)


def _give_name(made: Path, path: Path) -> None:
    try:
        os.link(made, path)
    except FileExistsError:
        raise DatabaseRefusedError(
            f"another process has made the database {path} meanwhile; name another file"
        ) from None
    except OSError:  # a file system without links
        made.rename(path)


def _make_private(path: Path) -> None:
    """Make the file when there is none, for its owner only.

    An existing file is never opened here: closing it would drop the locks that SQLite holds on
    it elsewhere in this process, and another process could then throw away its latest commits.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _refuse_directory(path: Path) -> None:
    if path.is_dir():
        raise DatabaseRefusedError(f"the database path {path} is a directory; name a file")


def _refuse_left_log(path: Path) -> None:
    """Refuse a new file beside the log of another: SQLite would delete that, with its events.

    The log is looked for first: whoever makes both makes the file before it.
    """
    if _size_of(f"{path}-wal") and not _size_of(path):
        raise DatabaseRefusedError(
            f"beside {path} stands the `-wal` of a database that was moved or deleted, with its "
            "newest events; put that database back, or take the `-wal` away as well"
        )


def _size_of(path: Path | str) -> int:
    """In bytes; 0 for no file."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 (the log has no path of its own)
    except FileNotFoundError:
        return 0


def _is_marked(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file bears all our marks; takes no lock that a writer would keep from us."""
    connection.execute("BEGIN")
    is_new = _is_new(connection)
    if not is_new:
        _check_marks(connection, path)
    is_marked = not is_new and _user_version(connection) == SCHEMA_VERSION
    connection.execute("COMMIT")
    return is_marked


def _mark(connection: sqlite3.Connection, path: Path) -> None:
    """Mark a new file as ours, and one of an older layout as one of this."""
    connection.execute("BEGIN IMMEDIATE")
    if _is_new(connection):
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    else:
        _check_marks(connection, path)  # of another process, meanwhile
    if _user_version(connection) < SCHEMA_VERSION:
        # What an older layout lacks is a table, which is made as all tables are.
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _is_new(connection: sqlite3.Connection) -> bool:
    return _application_id(connection) == 0 and _is_empty(connection)


def _application_id(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("PRAGMA application_id").fetchone()[0]
    return number


def _user_version(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return number


def _check_marks(connection: sqlite3.Connection, path: Path) -> None:
    version = _user_version(connection)
    if _application_id(connection) != APPLICATION_ID:
        raise DatabaseRefusedError(f"{path} is a database of another program; name another file")
    if version > SCHEMA_VERSION:
        raise DatabaseRefusedError.of_newer(path, "schema", version, SCHEMA_VERSION)


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch a new file to its write-ahead log, which lasts.

    SQLite does not wait for locks here, however long its time-out: the first processes on a new
    file would fail beside each other.
    """
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOCK_PAUSE)
        else:
            return


def table_names(cursor: sqlite3.Cursor | SQLiteCursor) -> set[str]:
    """The tables that the file has."""
    cursor.execute("SELECT name FROM sqlite_master WHERE type='table'")
    return {name for (name,) in cursor.fetchall()}


def has_tables(cursor: SQLiteCursor, statements: Iterable[str]) -> bool:
    """Whether the file has what these statements make."""
    names = {statement.removeprefix(_CREATE).split()[0] for statement in statements}
    return names <= table_names(cursor)


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None
