"""Several processes on one file, and processes that are killed at work."""

import signal
from collections import Counter
from pathlib import Path

import pytest
from tests.laboratory.author import Author, request_line
from tests.laboratory.databases import SQLITE_VIEWS
from tests.laboratory.store_processes import (
    SHARED,
    Spawn,
    check_whole,
    run_together,
    start_together,
)
from tests.sqlite.conftest import OpenFile, Query

from batchtrail.domain import events
from batchtrail.domain.batch import Batch


def test_eight_processes_open_a_new_file(
    path: Path, open_file: OpenFile, query: Query, spawn: Spawn
) -> None:
    """Whoever is first makes the file; all of them can use it."""
    run_together([spawn("open") for _ in range(8)])
    store = open_file(path)
    assert len(store.views.summaries(limit=99)) == 8
    assert query("PRAGMA page_size") == [(32_768,)]
    check_whole(store, SQLITE_VIEWS)


def test_processes_save_at_once(
    path: Path, open_file: OpenFile, query: Query, author: Author, spawn: Spawn
) -> None:
    """Four processes, batches of their own and one in common: no event is lost or doubled."""
    names, count = "abcd", 6
    store = open_file(path)
    batch = author.draft([request_line("x")], identity=SHARED)
    store.save_batch(batch)
    run_together([spawn("save", name, count) for name in names])
    history = list(store.history(batch.id))
    added = [event.file_id for event in history if isinstance(event, events.InputDiscarded)]
    assert Counter(added) == Counter(f"{name}-{n}" for name in names for n in range(count))
    assert [event.originator_version for event in history] == list(range(1, len(history) + 1))
    for name in names:
        own = [int(file_id[2:]) for file_id in added if file_id.startswith(name)]
        assert own == list(range(count))
    assert len(store.views.summaries(limit=999)) == len(names) * count + 1
    positions = [position for (position,) in query("SELECT position FROM events ORDER BY position")]
    assert positions == list(range(1, len(positions) + 1))
    check_whole(store, SQLITE_VIEWS)


@pytest.mark.parametrize(
    ("kill", "left"),
    [
        ((1, "before"), 0),
        ((2, "before"), 1),
        ((3, "after"), 10),
        ((5, "after"), 28),
        ((6, "before"), 28),
        ((7, "after"), 38),
    ],
)
def test_killed_at_work(
    path: Path, open_file: OpenFile, spawn: Spawn, kill: tuple[int, str], left: int
) -> None:
    """Killed around any commit, a process leaves all of a save or nothing of it."""
    process = spawn("die", *kill)
    start_together([process])
    _, complaints = process.communicate()
    assert (complaints, process.returncode) == (b"", -signal.SIGKILL)
    store = open_file(path)
    history = list(store.history(Batch.id_for(SHARED)))
    assert [event.originator_version for event in history] == list(range(1, left + 1))
    check_whole(store, SQLITE_VIEWS)
    if history:
        batch = store.get(Batch.id_for(SHARED))
        Author().discard(batch, "later")
        store.save_batch(batch)
        check_whole(store, SQLITE_VIEWS)


def test_killed_while_others_work(path: Path, open_file: OpenFile, spawn: Spawn) -> None:
    """A process killed with the write lock in its hands stops nobody."""
    dying = [spawn("die", 4, "before")]
    others = [spawn("open") for _ in range(3)]
    start_together([*dying, *others])
    assert [process.communicate() for process in [*dying, *others]] == [(b"", b"")] * 4
    assert [process.returncode for process in [*dying, *others]] == [-signal.SIGKILL, 0, 0, 0]
    store = open_file(path)
    assert len(store.views.summaries(limit=99)) == 4
    check_whole(store, SQLITE_VIEWS)
