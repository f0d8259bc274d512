"""A log of 20,000 results is replayed, visited and projected in constant memory."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.laboratory.author import Author

from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application.store import Batches

RESULTS = 20_000
MEGABYTE = 1 << 20
SCRIPT = Path(__file__).with_name("replay_process.py")


@pytest.mark.timeout(400)
def test_constant_memory(tmp_path: Path) -> None:
    """Reading the log in every way takes much less memory than it has bytes."""
    path = tmp_path / "batches.db"
    batches = Batches(SQLiteBatchFactory(path))
    batch = Author().finished(batches, [f"r{number}" for number in range(RESULTS)], chunk=2_000)
    batches.close()

    done = subprocess.run(
        [sys.executable, SCRIPT, f"sqlite:///{path}", str(batch.id), str(RESULTS)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )

    assert path.stat().st_size > 10 * MEGABYTE
    assert int(done.stdout) < 4 * MEGABYTE
