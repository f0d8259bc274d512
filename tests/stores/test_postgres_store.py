"""The PostgreSQL store passes the suite that every event store must pass."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import ClassVar

import pytest
from tests.stores.base import OpenStore
from tests.stores.contract import BatchStoreContract, EvidenceContract, MovingContract

from batchtrail.adapters.postgres import PostgresBatchFactory
from batchtrail.application.store import Batches


class _OnAServer:
    """Each store has connections of its own to one database."""

    table_prefix: ClassVar[str] = "batchtrail_"
    bytes_literal: ClassVar[str] = "'\\x{}'"

    @pytest.fixture
    def open_store(self, postgres_url: str) -> Iterator[OpenStore]:
        with ExitStack() as stack:

            def open_store() -> Batches:
                factory = PostgresBatchFactory(postgres_url)
                stack.callback(factory.close)
                return Batches(factory)

            yield open_store


class TestPostgresStore(_OnAServer, BatchStoreContract):
    """The log on a server."""


class TestPostgresEvidence(_OnAServer, EvidenceContract):
    """A server as evidence."""

    position_column: ClassVar[str] = "notification_id"


class TestPostgresMoving(_OnAServer, MovingContract):
    """A server's log moves."""
