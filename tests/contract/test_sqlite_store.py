"""The SQLite store passes the suite that every event store must pass, in a file and in memory."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from batchtrail.adapters.evidence_contract import EvidenceContract
from batchtrail.adapters.moving_contract import MovingContract
from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.adapters.store_contract import BatchStoreContract, OpenStore
from batchtrail.application.store import Batches


class _OnFiles:
    """Each store has a connection of its own to one file."""

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[OpenStore]:
        with ExitStack() as stack:

            def open_store() -> Batches:
                factory = SQLiteBatchFactory(tmp_path / "batches.db")
                stack.callback(factory.close)
                return Batches(factory)

            yield open_store


class SharedFactory(SQLiteBatchFactory):
    """Outlives the stores that are opened on it: closing one would close them all."""

    def close(self) -> None:
        """Leave it to the fixture."""


class _InMemory:
    """The stores share the one connection, because a memory database has no other."""

    @pytest.fixture
    def open_store(self) -> Iterator[OpenStore]:
        factory = SharedFactory(":memory:")
        yield lambda: Batches(factory)
        factory.datastore.close()


class TestSQLiteFileStore(_OnFiles, BatchStoreContract):
    """The log in a file."""


class TestSQLiteMemoryStore(_InMemory, BatchStoreContract):
    """The log in memory."""


class TestSQLiteFileEvidence(_OnFiles, EvidenceContract):
    """A file as evidence."""


class TestSQLiteMemoryEvidence(_InMemory, EvidenceContract):
    """Memory as evidence."""


class TestSQLiteFileMoving(_OnFiles, MovingContract):
    """A file moves."""


class TestSQLiteMemoryMoving(_InMemory, MovingContract):
    """Memory moves."""
