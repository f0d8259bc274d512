"""Processes at work on one database: what they do there, and how a test leads them."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE

import pytest
from tests.laboratory.author import Author, answer, request_line
from tests.laboratory.stores import forget_snapshots, forget_views, image_of, positions_of, state_of

from batchtrail.application.errors import ConflictError
from batchtrail.application.store import Batches

from .forks import Fork, Forks, forking

Spawn = Callable[..., Fork]

_ROOT = Path(__file__).parents[2]
"""Where `tests` can be imported from."""

_IMPORTS = (
    "batchtrail.adapters.postgres",
    "batchtrail.adapters.sqlite",
    "tests.laboratory.store_processes",
)

IDS = [f"r{n}" for n in range(30)]
SHARED = "shared"
"""The identity of the batch that all the processes change."""


def wait_for_start() -> None:
    """Say that this process is ready, and wait for the word to begin."""
    print("ready", flush=True)  # noqa: T201 (the test waits for it)
    sys.stdin.readline()


def new_author() -> Author:
    """An author whose moments are those of no other process."""
    return Author(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=os.getpid()))


def one_batch(store: Batches) -> None:
    """Begin a batch."""
    store.save_batch(new_author().draft([request_line("a")]))


def own_batches(store: Batches, name: str, count: int) -> None:
    """Lead batches that nobody else touches through their lives, and read the views between."""
    author = new_author()
    for number in range(count):
        batch = author.draft(map(request_line, IDS), identity=f"{name}-{number}")
        store.save_batch(batch)
        author.end(batch)
        store.save_batch(batch)
        author.apply(batch, store.request_index(batch.id), map(answer, IDS))
        store.save_batch(batch)
        assert store.views.summaries(limit=count)


def shared_batch(store: Batches, name: str, count: int) -> None:
    """Add events to the batch that all the processes change."""
    author = new_author()
    (batch_id,) = (s.id for s in store.views.summaries(limit=99) if s.identity == SHARED)
    for number in range(count):
        while True:
            batch = store.get(batch_id)
            author.discard(batch, f"{name}-{number}")
            try:
                store.save_batch(batch)
            except ConflictError:
                continue
            break


@pytest.fixture(scope="session")
def store_forks() -> Iterator[Forks]:
    """What forks into processes at work; in them every warning is an error."""
    with forking(_IMPORTS, "-W", "error", PYTHONPATH=str(_ROOT)) as forks:
        yield forks


@contextmanager
def spawning(forks: Forks, module: str, database: object) -> Iterator[Spawn]:
    """Give what starts a module at work on a database; what still runs at the end is killed."""
    processes: list[Fork] = []

    def spawn(*arguments: object) -> Fork:
        process = forks.start(
            [module, str(database), *map(str, arguments)],
            cwd=_ROOT,
            environment=os.environ,
            patience=60,
            stdin=PIPE,
        )
        processes.append(process)
        return process

    yield spawn
    for process in processes:
        process.kill()
        process.communicate()


def start_together(processes: Sequence[Fork]) -> None:
    """Let all begin when all are ready."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()


def run_together(processes: Sequence[Fork]) -> None:
    """Wait until all have done their work without a word."""
    start_together(processes)
    reports = [(*process.communicate(), process.returncode) for process in processes]
    assert reports == [(b"", b"", 0)] * len(processes)


def check_whole(store: Batches, views: Sequence[str], prefix: str = "") -> None:
    """Log, snapshots and views agree; `views` are tables, and names begin with the prefix."""
    assert positions_of(store)[0] == positions_of(store)[1]
    image = image_of(store)
    ids = [summary.id for summary in store.views.summaries(limit=999)]
    states = [state_of(store.get(batch_id)) for batch_id in ids]
    forget_snapshots(store, prefix)
    assert [state_of(store.get(batch_id)) for batch_id in ids] == states
    forget_views(store, views, prefix)
    assert image_of(store) == image
