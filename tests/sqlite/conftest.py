"""Stores on files, and what stands in the files."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from tests.laboratory.author import Author
from tests.laboratory.forks import Forks
from tests.laboratory.store_processes import Spawn, spawning

from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application.store import Batches

OpenFile = Callable[[Path | str], Batches]
Query = Callable[..., list[tuple[Any, ...]]]

_PROCESS = "tests.sqlite.store_process"


@pytest.fixture
def author() -> Author:
    """Give somebody who commands."""
    return Author()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a database that is not there yet."""
    return tmp_path / "batches.db"


@pytest.fixture
def open_file() -> Iterator[OpenFile]:
    """Give what opens stores on files; they are closed after the test."""
    with ExitStack() as stack:

        def open_file(path: Path | str) -> Batches:
            factory = SQLiteBatchFactory(path)
            stack.callback(factory.close)
            return Batches(factory)

        yield open_file


@pytest.fixture
def query(path: Path) -> Query:
    """Give what runs a statement on the file, past the store."""

    def query(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
            return connection.execute(statement, parameters).fetchall()

    return query


@pytest.fixture
def spawn(store_forks: Forks, path: Path) -> Iterator[Spawn]:
    """Give what starts another process at work on the file; it waits for a line to begin."""
    with spawning(store_forks, _PROCESS, path) as spawn:
        yield spawn


def read_only(path: Path) -> Batches:
    """A store that may read the file and nothing else."""
    return Batches(SQLiteBatchFactory(path, read_only=True), as_it_is=True)
