"""The SQLite store passes the suite that every event store must pass, in a file and in memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pytest
from tests.laboratory.databases import SQLITE_VIEWS
from tests.stores.base import OpenStore
from tests.stores.contract import BatchStoreContract, EvidenceContract, MovingContract

from batchtrail.adapters.sqlite import SQLiteBatchFactory, completions
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


class _Tables:
    """What the tables are called, and what may happen to their rows."""

    view_tables: ClassVar[Sequence[str]] = SQLITE_VIEWS
    row_damages: ClassVar[Mapping[str, str]] = {
        "no row": "DELETE FROM {completions} WHERE batch_no=1",
        "another outcome": "UPDATE {completions} SET outcomes='e'||substr(outcomes, 2)",
        "another position": "UPDATE {completions} SET positions=x'03'||substr(positions, 2)",
        "another number": "UPDATE {completions} SET first_number=first_number+70 WHERE rowid=1",
        "another batch": "UPDATE {completions} SET batch_no=batch_no+9999",
        "a stray": "INSERT INTO {completions} VALUES (9999, 1, 'p', zeroblob(8))",
    }


class TestSQLiteFileStore(_Tables, _OnFiles, BatchStoreContract):
    """The log in a file."""


class TestSQLiteMemoryStore(_Tables, _InMemory, BatchStoreContract):
    """The log in memory."""


class TestSQLiteStoreInSmallParts(_Tables, _InMemory, BatchStoreContract):
    """The log in memory, with a batch's requests in many rows of the views."""

    @pytest.fixture(autouse=True)
    def small_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a row hold two requests."""
        monkeypatch.setattr(completions, "PART", 2)


class TestSQLiteFileEvidence(_Tables, _OnFiles, EvidenceContract):
    """A file as evidence."""

    @pytest.mark.parametrize(
        "batch_id", ["upper(batch_id)", "batch_id||'0'", "''", "5", "x'5c'", "'5c-'||batch_id"]
    )
    def test_a_batch_by_another_name(self, store: Batches, batch_id: str) -> None:
        """A file takes anything for an id; nobody could ask for such a batch, but a list has it."""
        columns = (
            "created_at, generation, provider, version, updated_at, may_have_siblings, summary"
        )
        row = f"SELECT 9999, {batch_id}, {columns} FROM {{batches}} LIMIT 1"
        self.damage_and_heal(
            store, f"INSERT INTO {{batches}} (batch_no, batch_id, {columns}) {row}"
        )


class TestSQLiteMemoryEvidence(_Tables, _InMemory, EvidenceContract):
    """Memory as evidence."""


class TestSQLiteFileMoving(_Tables, _OnFiles, MovingContract):
    """A file moves."""


class TestSQLiteMemoryMoving(_Tables, _InMemory, MovingContract):
    """Memory moves."""
