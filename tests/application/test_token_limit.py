"""A queue without room: the batch waits by itself, and the user sees why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchtrail.adapters.fake.script import TOKEN_LIMIT
from batchtrail.application.progress import Delayed
from batchtrail.domain.events import TokenLimitReached
from batchtrail.domain.status import BatchStatus

if TYPE_CHECKING:
    from uuid import UUID

    from tests.application.conftest import Lab, Live

    from batchtrail.application.progress import Progress

SCHEDULE = (60.0, 120.0, 300.0, 600.0, 1_800.0)


class FullQueue:
    """Fails the first batches for want of tokens, and completes those that come later."""

    def __init__(self, lab: Lab, times: int) -> None:
        self.lab = lab
        self.times = times
        self.creates: list[float] = []
        self.failures: list[float] = []

    async def note(self, boundary: str) -> None:
        provider = self.lab.provider
        if boundary == "before create":
            self.creates.append(self.lab.clock.elapsed)
        elif boundary in {"before retrieve", "before list"} and provider.batch_ids:
            newest = provider.batch_ids[-1]
            if provider.look(newest).report.raw_status == "validating":
                if len(provider.batch_ids) <= self.times:
                    provider.fail(newest, [TOKEN_LIMIT])
                    self.failures.append(self.lab.clock.elapsed)
                else:
                    provider.complete(newest)


async def test_it_waits_and_creates_again(lab: Lab) -> None:
    """The waits follow the poll schedule, the upload is made once, and each wait is told."""
    told: list[Progress] = []
    queue = FullQueue(lab, times=3)
    schedule = (50.0, 70.0, 130.0)
    service = lab.watched(queue.note, poll_schedule=schedule)
    batch_id = await service.submit(lab.lines())
    summary = await service.wait(batch_id, told.append)
    assert (summary.status, summary.deferral) == (BatchStatus.ENDED, None)
    assert (lab.provider.count("upload"), lab.provider.count("create")) == (1, 4)
    again = zip(queue.failures, queue.creates[1:], strict=True)
    assert [create - failure for failure, create in again] == pytest.approx(schedule)
    words = {each.reason for each in told if isinstance(each, Delayed)}
    assert words == {TOKEN_LIMIT.message}
    await lab.assert_each_once(service, batch_id)


async def deferred(lab: Lab) -> UUID:
    """Submit a batch for which there was no room at its first poll."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.provider.fail(lab.provider.batch_ids[0], [TOKEN_LIMIT])
    await service.refresh(batch_id)
    return batch_id


async def test_status_says_why(lab: Lab) -> None:
    batch_id = await deferred(lab)
    summary = await lab.service().status(batch_id)
    assert summary.status is BatchStatus.PENDING
    assert summary.deferral is not None
    assert (summary.deferral.problem, summary.deferral.times) == (TOKEN_LIMIT, 1)
    assert (summary.deferral.until - lab.clock.now()).total_seconds() == SCHEDULE[0]


async def test_the_same_command_does_not_hurry(lab: Lab) -> None:
    """A second submit of the same input sends nothing before its time."""
    batch_id = await deferred(lab)
    assert await lab.service().submit(lab.lines()) == batch_id
    assert lab.provider.count("create") == 1
    lab.clock.pass_time(SCHEDULE[0])
    await lab.service().submit(lab.lines())
    assert lab.provider.count("create") == 2


async def test_it_can_be_canceled_at_once(lab: Lab) -> None:
    """Nothing is at the provider but the upload, which is deleted."""
    batch_id = await deferred(lab)
    begin = lab.clock.elapsed
    await lab.service().cancel(batch_id)
    summary = await lab.service().status(batch_id)
    assert (summary.status, summary.results_collected) == (BatchStatus.CANCELED, True)
    assert lab.clock.elapsed == begin
    assert (lab.provider.count("create"), lab.provider.count("delete")) == (1, 1)


def test_a_worker_goes_on_by_itself(world: Lab, live: Live) -> None:
    """It leaves its place to other batches meanwhile, and so does the next worker."""

    async def life() -> None:
        batch_id = await deferred(world)
        others = [await world.service().submit(world.lines(name)) for name in "xyz"]
        queue = FullQueue(world, times=0)
        worker = world.watched(queue.note).worker(parallel=1, look_interval=60)
        world.clock.after(30, world.complete_all)
        await worker.run(until_idle=True)
        service = world.service()
        for each in (batch_id, *others):
            assert (await service.status(each)).status is BatchStatus.ENDED
        assert queue.creates[0] >= SCHEDULE[0]
        assert world.provider.count("create") == 5

    live(life())


async def test_a_request_tells_of_the_wait(lab: Lab) -> None:
    """What its batch ran into belongs to the history of each of its requests."""
    service = lab.watched(FullQueue(lab, times=2).note)
    batch_id = await service.submit(lab.lines())
    await service.wait(batch_id)
    (life,) = await service.request_history(batch_id, "b")
    assert sum(isinstance(event, TokenLimitReached) for event in life.events) == 2
