"""Another process at work on a server: run by the tests, told by its arguments what to do."""

import os
import signal
import sys
from typing import Any

from tests.laboratory.store_processes import one_batch, own_batches, shared_batch, wait_for_start

from batchtrail.adapters.postgres import PostgresBatchFactory
from batchtrail.adapters.postgres.views import PostgresViewWriter
from batchtrail.application.store import Batches


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
    wait_for_start()
    store = Batches(PostgresBatchFactory(url))
    if work == "open":
        one_batch(store)
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
