"""What every part of the contract for stores asks of a test class, and has in common."""

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pytest
from eventsourcing.persistence import StoredEvent
from tests.laboratory.author import Author
from tests.laboratory.stores import forget_snapshots, forget_views, size_of

from batchtrail.application.store import Batches

OpenStore = Callable[[], Batches]
"""Opens a store on the test's database: each call another store, always the same database."""

KILOBYTE = 1 << 10
MEGABYTE = 1 << 20
BODY_SIZES = (
    *(3_599, 3_600, 3_601, 3_899, 3_900, 3_949, 3_950, 7_898, 7_899, 12_345),
    *(30_500, 30_501, 40_000),
)
"""Bytes: a store may cut bodies by their length."""


class StoreContract:
    """Inherit as `Test...` and override `open_store`.

    The tests reach past the store for what is lost or damaged there. They do it by SQL, through
    `recorder.datastore.transaction(commit=True)`, in tables whose names may begin with
    `table_prefix`.
    """

    table_prefix: ClassVar[str] = ""
    """What the names of the tables begin with."""

    view_tables: ClassVar[Sequence[str]] = ("batches", "completions")
    """The tables of the views, but for that of their checkpoint, without the prefix."""

    bytes_literal: ClassVar[str] = "x'{}'"
    """How bytes are written in SQL, of which the hex digits are given."""

    @pytest.fixture
    def open_store(self) -> Iterator[OpenStore]:
        """Give what opens stores on one new database; close them after the test."""
        raise NotImplementedError("override the fixture `open_store`")

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Batches:
        """Give a store on the new database."""
        return open_store()

    @pytest.fixture
    def author(self) -> Author:
        """Give somebody who commands."""
        return Author()

    def forget_views(self, store: Batches) -> None:
        """Leave the views as they are before anything was read from the log."""
        forget_views(store, self.view_tables, self.table_prefix)

    def forget_snapshots(self, store: Batches) -> None:
        """Leave nothing but the log to load batches from."""
        forget_snapshots(store, self.table_prefix)

    def literal(self, value: Any) -> str:
        """A value in SQL."""
        if value is None:
            return "NULL"
        if isinstance(value, bytes):
            return self.bytes_literal.format(value.hex())
        return f"'{value}'" if isinstance(value, str) else str(value)


class Reading:
    """Counts what a store reads from its log and its snapshots."""

    def __init__(self, store: Batches, patch: pytest.MonkeyPatch) -> None:
        self.events = 0
        self.size = 0
        assert store.snapshots is not None
        for recorder in (store.recorder, store.snapshots.recorder):
            self._watch(recorder, "select_events", patch)
        self._watch(store.recorder, "select_page", patch)

    def _watch(self, recorder: Any, name: str, patch: pytest.MonkeyPatch) -> None:
        select = getattr(recorder, name)

        def watched(*args: Any, **options: Any) -> Sequence[StoredEvent]:
            page: Sequence[StoredEvent] = select(*args, **options)
            self.events += len(page)
            self.size += sum(map(size_of, page))
            return page

        patch.setattr(recorder, name, watched)


def traced(work: Callable[[], object]) -> int:
    """The most memory, in bytes, that some work holds at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
