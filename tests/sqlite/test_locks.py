import subprocess
import sys
from pathlib import Path

import pytest
from eventsourcing.persistence import OperationalError

from batchtrail.adapters.sqlite import SQLiteBatchFactory, database
from batchtrail.adapters.store_contract import Author, request_line
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
