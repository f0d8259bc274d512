"""Several processes on one database, and processes that are killed at work."""

import signal
from collections import Counter

import pytest
from tests.laboratory.author import Author, request_line
from tests.laboratory.store_processes import (
    SHARED,
    Spawn,
    check_whole,
    run_together,
    start_together,
)
from tests.postgres.conftest import OpenURL, Query
from tests.stores.base import StoreContract

from batchtrail.domain import events


def test_processes_begin_on_an_empty_database(
    postgres_url: str, open_url: OpenURL, query: Query, spawn: Spawn
) -> None:
    """Whoever is first makes the tables; all of them can use it."""
    run_together([spawn("open") for _ in range(4)])
    store = open_url(postgres_url)
    assert len(store.views.summaries(limit=99)) == 4
    assert query("SELECT schema_version, last_position FROM batchtrail_log") == [(1, 8)]
    check_whole(store, StoreContract.view_tables, "batchtrail_")


def test_processes_save_at_once(
    postgres_url: str, open_url: OpenURL, query: Query, author: Author, spawn: Spawn
) -> None:
    """Three processes, batches of their own and one in common: no event is lost or doubled."""
    names, count = "abc", 8
    store = open_url(postgres_url)
    batch = author.draft([request_line("x")], identity=SHARED)
    store.save_batch(batch)
    run_together([spawn("save", name, count) for name in names])
    history = list(store.history(batch.id))
    added = [event.file_id for event in history if isinstance(event, events.InputDiscarded)]
    assert Counter(added) == Counter(f"{name}-{n}" for name in names for n in range(count))
    assert [event.originator_version for event in history] == list(range(1, len(history) + 1))
    assert len(store.views.summaries(limit=999)) == len(names) * count + 1
    found = query("SELECT notification_id FROM batchtrail_events ORDER BY notification_id")
    assert [position for (position,) in found] == list(range(1, len(found) + 1))
    check_whole(store, StoreContract.view_tables, "batchtrail_")


@pytest.mark.parametrize(("number", "left"), [(1, 0), (3, 1)])
def test_killed_before_a_commit(
    postgres_url: str, open_url: OpenURL, spawn: Spawn, number: int, left: int
) -> None:
    """A process killed with a whole save written leaves nothing of it, and stops nobody."""
    process = spawn("die", number)
    start_together([process])
    _, complaints = process.communicate()
    assert (complaints, process.returncode) == (b"", -signal.SIGKILL)
    store = open_url(postgres_url)
    assert len(store.views.summaries(limit=9)) == left
    store.save_batch(Author().draft([request_line("a")]))
    check_whole(store, StoreContract.view_tables, "batchtrail_")
