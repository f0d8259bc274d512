"""Another process at work on a database: run by the tests, told by its arguments what to do.

It says `ready`, waits for a line, and then works; what it prints is its report.
"""

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.adapters.store_contract import Author, answer, request_line
from batchtrail.application.errors import ConflictError
from batchtrail.application.store import Batches
from batchtrail.domain.requests import RequestIndex

IDS = [f"r{n}" for n in range(30)]
IDENTITY = "shared"


def new_author() -> Author:
    """An author whose moments are those of no other process."""
    return Author(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=os.getpid()))


def whole_life(store: Batches, author: Author) -> None:
    """Lead one batch through its life, with many commits."""
    batch = author.draft(identity=IDENTITY)
    store.save_batch(batch)
    author.add(batch, map(request_line, IDS), chunk_bytes=1_000)
    store.save_batch(batch)
    author.end(batch)
    store.save_batch(batch)
    index = RequestIndex(IDS)
    for first in range(0, len(IDS), 10):
        author.apply(batch, index, map(answer, IDS[first : first + 9]))
        store.save_batch(batch)
    batch.finish_collection(stamp=author.stamp())
    store.save_batch(batch)


def own_batches(store: Batches, name: str, count: int) -> None:
    """Save batches that nobody else touches, and read the views between."""
    author = new_author()
    for number in range(count):
        batch = author.draft(map(request_line, IDS), identity=f"{name}-{number}")
        store.save_batch(batch)
        author.end(batch)
        store.save_batch(batch)
        index = store.request_index(batch.id)
        author.apply(batch, index, map(answer, IDS))
        store.save_batch(batch)
        assert store.views.summaries(limit=count)


def shared_batch(store: Batches, name: str, count: int) -> None:
    """Add events to a batch that all the processes change."""
    author = new_author()
    (batch_id,) = (s.id for s in store.views.summaries(limit=99) if s.identity == IDENTITY)
    for number in range(count):
        while True:
            batch = store.get(batch_id)
            author.discard(batch, f"{name}-{number}")
            try:
                store.save_batch(batch)
            except ConflictError:
                continue
            break


def die_at(store: Batches, number: int, when: str) -> None:
    """Be killed before or after so many transactions of writing."""
    connection: Any
    datastore: Any = store.recorder
    with datastore.datastore.get_connection(commit=True) as connection:
        commit = connection.commit
    commits = iter(range(1, number + 1))

    def counted() -> None:
        is_last = next(commits) == number
        if is_last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        commit()
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)

    connection.commit = counted


def main(path: str, work: str, *arguments: str) -> None:
    """Do what the arguments say."""
    print("ready", flush=True)  # noqa: T201 (the test waits for it)
    sys.stdin.readline()
    factory = SQLiteBatchFactory(path)
    store = Batches(factory)
    if work == "open":
        store.save_batch(new_author().draft([request_line("a")]))
    elif work == "save":
        name, count = arguments[0], int(arguments[1])
        own_batches(store, name, count)
        shared_batch(store, name, count)
    elif work == "die":
        die_at(store, int(arguments[0]), arguments[1])
        whole_life(store, new_author())
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
