"""Stores on a server, and what stands in their tables."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from tests.laboratory.author import Author
from tests.laboratory.forks import Forks
from tests.laboratory.store_processes import Spawn, spawning

from batchtrail.adapters.postgres import PostgresBatchFactory
from batchtrail.application.store import Batches

OpenURL = Callable[[str], Batches]
Query = Callable[..., list[tuple[Any, ...]]]

_PROCESS = "tests.postgres.store_process"


@pytest.fixture
def author() -> Author:
    """Give somebody who commands."""
    return Author()


@pytest.fixture
def open_url() -> Iterator[OpenURL]:
    """Give what opens stores; they are closed after the test."""
    with ExitStack() as stack:

        def open_url(url: str) -> Batches:
            factory = PostgresBatchFactory(url)
            stack.callback(factory.close)
            return Batches(factory)

        yield open_url


@pytest.fixture
def query(postgres_url: str) -> Query:
    """Give what runs a statement past the store."""

    def query(statement: Any, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    return query


@pytest.fixture
def spawn(store_forks: Forks, postgres_url: str) -> Iterator[Spawn]:
    """Give what starts another process at work; it waits for a line to begin."""
    with spawning(store_forks, _PROCESS, postgres_url) as spawn:
        yield spawn
