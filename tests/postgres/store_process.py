"""Another process at work on a database: run by the tests, told by its arguments what to do.

It says `ready`, waits for a line, and then works; what it prints is its report.
"""

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from batchtrail.adapters.postgres import PostgresBatchFactory
from batchtrail.adapters.postgres.views import PostgresViewWriter
from batchtrail.adapters.store_contract import Author, answer, request_line
from batchtrail.application.errors import ConflictError
from batchtrail.application.store import Batches

IDS = [f"r{n}" for n in range(30)]
IDENTITY = "shared"


def new_author() -> Author:
    """An author whose moments are those of no other process."""
    return Author(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=os.getpid()))


def own_batches(store: Batches, name: str, count: int) -> None:
    """Lead batches that nobody else touches through their lives."""
    author = new_author()
    for number in range(count):
        batch = author.draft(map(request_line, IDS), identity=f"{name}-{number}")
        store.save_batch(batch)
        author.end(batch)
        store.save_batch(batch)
        author.apply(batch, store.request_index(batch.id), map(answer, IDS))
        store.save_batch(batch)


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


def die_before_commit(number: int) -> None:
    """Be killed with everything of a transaction written, but for its commit."""
    move_checkpoint = PostgresViewWriter.move_checkpoint
    saves = iter(range(1, number + 1))

    def counted(self: Any, position: int) -> None:
        move_checkpoint(self, position)
        if next(saves) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    PostgresViewWriter.move_checkpoint = counted  # type: ignore[method-assign]


def main(url: str, work: str, *arguments: str) -> None:
    """Do what the arguments say."""
    print("ready", flush=True)  # noqa: T201 (the test waits for it)
    sys.stdin.readline()
    store = Batches(PostgresBatchFactory(url))
    if work == "open":
        store.save_batch(new_author().draft([request_line("a")]))
    elif work == "save":
        name, count = arguments[0], int(arguments[1])
        own_batches(store, name, count)
        shared_batch(store, name, count)
    elif work == "die":
        die_before_commit(int(arguments[0]))
        own_batches(store, "dying", 1)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
