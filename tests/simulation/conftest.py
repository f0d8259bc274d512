"""The databases on which lives are lived."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.simulation.cells import SMALL_CHUNK, STORES, NewDatabase, new_databases

from batchtrail.application import collection

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=STORES)
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """Make an empty database; the test closes it."""
    return new_databases(tmp_path, lambda: request.getfixturevalue("postgres_url"))[request.param]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apply results a few lines a transaction."""
    monkeypatch.setattr(collection, "CHUNK_LINES", SMALL_CHUNK)
