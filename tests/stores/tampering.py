"""A store with every kind of event, and ways to damage its database past it, by SQL."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

import pytest
from tests.laboratory.author import Author
from tests.laboratory.stores import run_sql, save_all

from batchtrail.application.differences import Difference
from batchtrail.application.rebuilding import Rebuilt, rebuild
from batchtrail.application.records import EventRecord, event_digest
from batchtrail.application.sealing import Seal, seal_store
from batchtrail.application.store import Batches
from batchtrail.application.verification import Verification, verify_store
from batchtrail.domain.batch import Batch

from .base import OpenStore, StoreContract

LATER = datetime(2026, 6, 1, tzinfo=UTC)
FAR = datetime(2027, 1, 1, tzinfo=UTC)


class TamperedStore(StoreContract):
    """What tests of evidence do to a database, and what finds it out."""

    position_column: ClassVar[str] = "position"
    """What the positions of events are called in their table."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Batches:
        """Give a store whose log has every kind of event."""
        store = open_store()
        save_all(store, Author().interleaved())
        return store

    def verify(self, store: Batches, against: Seal | None = None) -> Verification:
        """Verify everything."""
        return verify_store(store, against=against, limit=1_000)

    def seal(self, store: Batches, *, full: bool = False) -> Seal:
        """Seal the log as somebody does."""
        return seal_store(store, Author(datetime.now(UTC)).stamp(), full=full)

    def rebuild(self, store: Batches) -> Rebuilt:
        """Rebuild all views."""
        return rebuild(store, lambda *_: None)

    def log(self, store: Batches) -> list[EventRecord]:
        """Every event, with its body and position."""
        with store.recorder.reading() as reader:
            return list(reader.log_page(after=0, max_bytes=1 << 30))

    def sql(self, store: Batches, statement: str) -> None:
        """Run a statement that names tables without their prefix, as `{events}`."""
        names = ("events", *self.view_tables, "snapshots", "seals", "view_checkpoint")
        run_sql(store, statement.format(**{name: self.table_prefix + name for name in names}))

    def change(self, store: Batches, position: int, **columns: Any) -> None:
        """Change columns of an event."""
        values = ", ".join(f"{name}={self.literal(value)}" for name, value in columns.items())
        where = f"{self.position_column}={position}"
        run_sql(store, f"UPDATE {self.table_prefix}events SET {values} WHERE {where}")

    def remove(self, store: Batches, position: int) -> None:
        """Remove an event from the log."""
        where = f"{self.position_column}={position}"
        run_sql(store, f"DELETE FROM {self.table_prefix}events WHERE {where}")

    def swap(self, store: Batches, one: int, other: int) -> None:
        """Let two events change places."""
        table, column = f"{self.table_prefix}events", self.position_column
        for place, now in ((-1, one), (one, other), (other, -1)):
            run_sql(store, f"UPDATE {table} SET {column}={place} WHERE {column}={now}")

    def forge(self, store: Batches, record: EventRecord) -> None:
        """Change what an event says, and its digest with it."""
        assert isinstance(record.originator_id, UUID)
        state = record.state.replace(b"test:ada", b"test:eve")
        assert state != record.state
        version, topic = record.originator_version, record.topic
        digest = event_digest(record.originator_id, version, topic, state)
        self.change(store, record.position, state=state, digest=digest)

    def finished(self, store: Batches, *more: str) -> Batch:
        """A batch that is done, with a result line for each request: "a", 'b"é' and more."""
        return Author().finished(store, ["a", 'b"é', *more])


def events_in(found: Verification) -> list[Difference]:
    """What differs in single events."""
    return [each for each in found.differences if each.version is not None and each.position]


def flipped(content: bytes) -> Iterator[bytes]:
    """The content with one bit turned in each of its bytes."""
    for place in range(len(content)):
        bit = 1 << (place % 8)
        yield content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]


def spoiled(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1]) if value else b"x"
    return value[:-1] + "~" if isinstance(value, str) else value + 1_000


def replaced(record: EventRecord, column: str, value: Any) -> EventRecord:
    """The event with another value in a column."""
    return replace(record, **{column: value})
