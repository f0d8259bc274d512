"""The PostgreSQL store passes the suite that every event store must pass."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import ClassVar

import pytest
from tests.stores.evidence_contract import EvidenceContract
from tests.stores.moving_contract import MovingContract
from tests.stores.store_contract import BatchStoreContract, OpenStore

from batchtrail.adapters.postgres import PostgresBatchFactory
from batchtrail.application.store import Batches


class _OnAServer:
    """Each store has connections of its own to one database."""

    table_prefix: ClassVar[str] = "batchtrail_"

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
    bytes_literal: ClassVar[str] = "'\\x{}'"


class TestPostgresMoving(_OnAServer, MovingContract):
    """A server's log moves."""
