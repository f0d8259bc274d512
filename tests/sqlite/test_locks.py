"""Who waits for whom: readers for nobody, writers for each other and not for ever."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from eventsourcing.persistence import OperationalError
from tests.laboratory.author import Author, request_line

from batchtrail.adapters.sqlite import SQLiteBatchFactory, database
from batchtrail.application.errors import DatabaseRefusedError, StoreError
from batchtrail.application.store import Batches

COUNT = """
import sys
from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application.store import Batches
store = Batches(SQLiteBatchFactory(sys.argv[1]))
print(len(store.views.summaries(limit=9)))
store.close()
"""


def count_elsewhere(path: Path) -> int:
    """How many batches another process sees, that opens and closes the database."""
    command = [sys.executable, "-c", COUNT, str(path)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_second_store_of_a_process_drops_no_locks(tmp_path: Path) -> None:
    """What the first store saves after another process came and went is there for all."""
    path = tmp_path / "trail.db"
    first = Batches(SQLiteBatchFactory(path))
    first.save_batch(Author().draft([request_line("a")]))
    second = Batches(SQLiteBatchFactory(path))

    assert count_elsewhere(path) == 1
    first.save_batch(Author().draft([request_line("b")]))

    assert count_elsewhere(path) == 2
    first.close()
    second.close()
    assert count_elsewhere(path) == 2


def test_transaction_within_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one connection: it waits for its turn, but not for ever, and goes on afterwards."""
    monkeypatch.setattr(database, "_LOCK_TIMEOUT", 0.01)
    datastore = SQLiteBatchFactory(":memory:").datastore
    with datastore.transaction(commit=False):
        with pytest.raises(OperationalError), datastore.transaction(commit=True):
            pass
        with pytest.raises(OperationalError), datastore.get_connection(commit=False):
            pass
    with datastore.transaction(commit=True) as cursor:
        cursor.execute("SELECT 1")
    datastore.close()


@contextmanager
def writing(path: Path, *statements: str) -> Iterator[None]:
    """Another program holds the write lock, after it has changed something."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in (*statements, "BEGIN IMMEDIATE"):
            connection.execute(statement)
        yield


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database for which nobody waits long."""
    path = tmp_path / "trail.db"
    store = Batches(SQLiteBatchFactory(path))
    store.save_batch(Author().draft([request_line("a")]))
    store.close()
    monkeypatch.setattr(database, "_LOCK_TIMEOUT", 0.01)
    return path


def test_who_reads_does_not_wait_for_who_writes(path: Path) -> None:
    """A database that is as it should be is opened without the write lock."""
    with writing(path):
        store = Batches(SQLiteBatchFactory(path))
        assert len(store.views.summaries(limit=9)) == 1
        store.close()


@pytest.mark.parametrize(
    "change",
    [
        "PRAGMA user_version=2",
        "DROP TABLE leases",
        "DROP TABLE snapshots",
        "UPDATE view_checkpoint SET version=1",
    ],
)
def test_a_busy_database_is_no_bad_input(path: Path, change: str) -> None:
    """Where something is to be made or renewed first, the sentence says what helps."""
    with writing(path, change), pytest.raises(StoreError, match="try again") as caught:
        Batches(SQLiteBatchFactory(path))
    assert not isinstance(caught.value, DatabaseRefusedError)
    assert "another process is writing to it" in str(caught.value)
    store = Batches(SQLiteBatchFactory(path))
    assert len(store.views.summaries(limit=9)) == 1
    store.close()


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (sqlite3.SQLITE_BUSY_RECOVERY, "another process is writing to it; try again"),
        (sqlite3.SQLITE_FULL, "no room"),
        (sqlite3.SQLITE_IOERR_FSYNC, "no room"),
    ],
)
def test_what_passes_is_no_bad_input(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int, sentence: str, read_only: bool
) -> None:
    """Neither is a full disk, or one that fails."""

    def fail(*_: object) -> None:
        error = sqlite3.OperationalError("no room")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(database, "_check_marks", fail)
    with pytest.raises(StoreError, match=f"{path}.*{sentence}") as caught:
        SQLiteBatchFactory(path, read_only=read_only)
    assert not isinstance(caught.value, DatabaseRefusedError)
