"""Reads a log in every way, and prints by how many bytes its memory grew meanwhile."""

import asyncio
import resource
import sys
from datetime import timedelta
from typing import Any
from uuid import UUID

from batchtrail import BatchService, Projection, Recorded, open_trail
from batchtrail.adapters.fake import FakeBatchProvider
from batchtrail.application import projecting, store

PAGE = 64 << 10


class Count(Projection):
    """Counts the events."""

    name = "count"

    def __init__(self) -> None:
        self.seen = 0

    def process(self, recorded: Recorded, cursor: Any) -> None:
        """Count one more."""
        del cursor
        self.seen += 1
        assert recorded.position == self.seen


async def replay(trail: BatchService, batch_id: UUID, results: int) -> None:
    """Go to the end, and to just before it."""
    collected = await trail.replay(batch_id)
    assert collected.totals.outcomes.succeeded == results
    before = collected.updated_at - timedelta(microseconds=1)
    assert not (await trail.replay(batch_id, at=before)).results_collected
    (life,) = await trail.request_history(batch_id, f"r{results - 1}")
    assert life.completion.number == results


async def visit(trail: BatchService, results: int) -> None:
    """Visit every event, and let a projection do so."""
    last = 0
    async for recorded in trail.log():
        last += 1
        assert recorded.position == last
    assert last > results
    count = Count()
    assert await trail.project(count) == count.seen == last


def peak() -> int:
    """The most memory that this process has had so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1_024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


async def main(url: str, batch_id: UUID, results: int) -> None:
    """Read all of it."""
    store._PAGE_BYTES = projecting._PAGE_BYTES = PAGE
    async with open_trail(url, provider=FakeBatchProvider()) as trail:
        await trail.replay(batch_id, at=20)
        await trail.status(batch_id)
        before = peak()
        await replay(trail, batch_id, results)
        await visit(trail, results)
        sys.stdout.write(f"{peak() - before}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], UUID(sys.argv[2]), int(sys.argv[3])))
