import subprocess
import sys
from pathlib import Path

from batchtrail.adapters.sqlite import SQLiteBatchFactory
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
