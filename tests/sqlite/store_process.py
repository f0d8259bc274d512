"""Another process at work on a file: run by the tests, told by its arguments what to do."""

import os
import signal
import sys
from typing import Any

from tests.laboratory.author import Author, answer, request_line
from tests.laboratory.store_processes import (
    IDS,
    SHARED,
    new_author,
    one_batch,
    own_batches,
    shared_batch,
    wait_for_start,
)

from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application.store import Batches
from batchtrail.domain.requests import RequestIndex


def whole_life(store: Batches, author: Author) -> None:
    """Lead one batch through its life, with many commits."""
    batch = author.draft(identity=SHARED)
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
    wait_for_start()
    store = Batches(SQLiteBatchFactory(path))
    if work == "open":
        one_batch(store)
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
