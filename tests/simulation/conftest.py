"""The databases on which lives are lived: another store joins by one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from tests.laboratory.databases import Database, FileDatabase, MemoryDatabase, PostgresDatabase

from batchtrail.application import collection

if TYPE_CHECKING:
    from pathlib import Path

NewDatabase = Callable[[], Database]


@pytest.fixture(params=["memory", "file", "postgres"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """Make an empty database; the test closes it."""
    kinds: dict[str, NewDatabase] = {
        "memory": MemoryDatabase,
        "file": lambda: FileDatabase(tmp_path / "trail.db"),
        "postgres": lambda: PostgresDatabase(request.getfixturevalue("postgres_url")),
    }
    return kinds[request.param]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apply results two lines a transaction, so that four requests have boundaries within."""
    monkeypatch.setattr(collection, "CHUNK_LINES", 2)
