"""Several workers on one database: nobody does what somebody else is doing."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from batchtrail.application.errors import StoreError
from batchtrail.application.leases import DEFAULT_LEASE, Leases, batch_lease, polls_lease

if TYPE_CHECKING:
    from tests.application.conftest import Lab, Live, VirtualClock

    from batchtrail.application.service import BatchService
    from batchtrail.application.views import BatchSummary


class Slow:
    """A handler that takes a while, and knows when two calls overlap."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.calls = 0
        self.running = Counter[UUID]()
        self.overlaps = 0

    def load(self, reference: str) -> object:
        del reference
        return self

    async def on_batch_completion(self, batch: BatchSummary, _: Any) -> None:
        self.calls += 1
        self.running[batch.id] += 1
        self.overlaps += self.running[batch.id] > 1
        await self.clock.sleep(30)
        self.running[batch.id] -= 1


async def workers(*services: BatchService) -> None:
    await asyncio.gather(
        *(service.worker(look_interval=2).run(until_idle=True) for service in services)
    )


def test_two_workers_share_the_work(world: Lab, live: Live) -> None:
    """Each file goes up once and comes down once, each handler runs once, one worker polls."""

    async def life() -> None:
        provider = world.provider
        for name in "xyz":
            provider.fail_next("upload", world.Crash())
            with pytest.raises(world.Crash):
                await world.service().submit(world.lines(name), completion_handler="shop:Done")
        world.close()
        handler = Slow(world.clock)
        services = [world.service(handlers=handler) for _ in range(2)]
        world.clock.after(120, world.complete_all)
        before = provider.count("upload")
        await workers(*services)
        assert provider.count("upload") - before == 3
        assert provider.count("create") == 3
        assert provider.count("download") == 3
        assert (handler.calls, handler.overlaps) == (3, 0)
        # Two moments at which one worker asks for all three batches at once.
        assert provider.count("list") + provider.count("retrieve") == 2
        for summary in await services[0].batches():
            await world.assert_each_once(services[0], summary.id)
            facts = await world.facts(services[0], summary.id)
            assert facts.count("HandlerDispatched") == 1

    live(life())


def test_a_dead_worker_is_replaced_within_a_minute(world: Lab, live: Live) -> None:
    """Its leases end by themselves; until then nobody waits for anything else."""

    async def life() -> None:
        service = world.service()
        batch_id = await service.submit(world.lines())
        world.complete_all()
        dead = Leases(world.runtimes[-1])
        assert await dead.claim(batch_lease(batch_id))
        assert await dead.claim(polls_lease("fake"))
        begin = world.clock.elapsed
        await workers(world.service(lease=DEFAULT_LEASE))
        assert DEFAULT_LEASE <= world.clock.elapsed - begin <= 60
        await world.assert_each_once(service, batch_id)

    live(life())


def test_a_worker_that_died_with_a_wrong_clock(world: Lab, live: Live) -> None:
    """Its leases end in a year; nobody waits for that."""

    async def life() -> None:
        service = world.service()
        batch_id = await service.submit(world.lines())
        world.complete_all()
        dead = Leases(world.runtimes[-1])
        world.clock.set_by(365 * 86_400)
        assert await dead.claim(batch_lease(batch_id))
        assert await dead.claim(polls_lease("fake"))
        world.clock.set_by(-365 * 86_400)
        begin = world.clock.elapsed
        await workers(world.service(lease=DEFAULT_LEASE))
        assert world.clock.elapsed - begin <= 90
        await world.assert_each_once(service, batch_id)

    live(life())


def test_a_command_does_not_wait_for_a_dead_worker(world: Lab, live: Live) -> None:
    """Who types the command again after a kill goes on at once: versions keep it correct."""

    async def life() -> None:
        service = world.service()
        batch_id = await service.submit(world.lines())
        world.complete_all()
        world.clock.pass_time(100)
        dead = Leases(world.runtimes[-1])
        assert await dead.claim(batch_lease(batch_id))
        begin = world.clock.elapsed
        await world.service().wait(batch_id)
        assert world.clock.elapsed == begin
        await world.assert_each_once(service, batch_id)

    live(life())


def test_wait_leaves_the_handler_to_who_is_at_it(world: Lab, live: Live) -> None:
    """A worker that calls the handler now is waited for; it is not called twice."""

    async def life() -> None:
        handler = Slow(world.clock)
        service = world.service(handlers=handler)
        batch_id = await service.submit(world.lines(), completion_handler="shop:Done")
        world.complete_all()
        world.clock.pass_time(100)
        work = asyncio.ensure_future(workers(world.service(handlers=handler)))
        while not handler.calls:
            await world.clock.sleep(0.1)
        await world.service(handlers=handler).wait(batch_id)
        await work
        assert (handler.calls, handler.overlaps) == (1, 0)
        assert (await service.status(batch_id)).handler_dispatched

    live(life())


@pytest.mark.parametrize("processes", [1, 2])
def test_a_lease_is_given_back(world: Lab, live: Live, processes: int) -> None:
    """At the end of its block, also when that fails; one of somebody else stays."""

    async def life() -> None:
        world.service()
        one, *others = (Leases(world.runtimes[-1]) for _ in range(processes))
        other = others[0] if others else one
        with pytest.raises(RuntimeError):
            await _failing(one)
        async with other.held("a") as is_mine, one.held("a") as also:
            assert (is_mine, also) == (True, False)
        async with one.held("a") as is_mine:
            assert is_mine

    live(life())


def test_tasks_of_one_process_are_others_to_each_other(world: Lab, live: Live) -> None:
    """Who waits twice, or waits beside a worker of the same service, has one handler called."""

    async def life() -> None:
        handler = Slow(world.clock)
        service = world.service(handlers=handler)
        batch_id = await service.submit(world.lines(), completion_handler="shop:Done")
        world.complete_all()
        world.clock.pass_time(100)
        work = service.wait(batch_id), service.wait(batch_id), workers(service)
        await asyncio.gather(*work)
        assert (handler.calls, handler.overlaps) == (1, 0)

    live(life())


class _InTurns(Leases):
    """Leases without a database, whose every call takes one turn of the loop."""

    is_taken = False

    async def claim(self, name: str) -> bool:
        await asyncio.sleep(0)
        self.is_taken = True
        return bool(name)

    async def release(self, name: str) -> None:
        del name
        self.is_taken = False
        await asyncio.sleep(0)


async def test_a_cancellation_at_any_turn_takes_effect(lab: Lab) -> None:
    """Also while the lease is being given back."""
    lab.service()
    came_through = False

    async def hold(leases: Leases) -> None:
        nonlocal came_through
        async with leases.held("a"):
            await asyncio.sleep(0)
        came_through = True
        await asyncio.Event().wait()

    for turns in count(1):
        leases = _InTurns(lab.runtimes[-1])
        task = asyncio.ensure_future(hold(leases))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.cancelled()
        assert not leases.is_taken
        if came_through:
            break


async def test_a_cancellation_while_the_lease_is_claimed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store goes on with the claim; it is given back, and another one need not wait for it."""
    lab.service()
    one, other = (Leases(lab.runtimes[-1]) for _ in range(2))
    recorder, loop = lab.batches.recorder, asyncio.get_running_loop()
    claim, begun, go_on = recorder.claim, asyncio.Event(), threading.Event()

    def slow(*args: Any, **options: Any) -> bool:
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(30)
        return claim(*args, **options)

    monkeypatch.setattr(recorder, "claim", slow)
    task = asyncio.ensure_future(_failing(one))
    await begun.wait()
    task.cancel()
    go_on.set()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()
    assert await other.claim("a")


async def _failing(leases: Leases) -> None:
    async with leases.held("a") as is_mine:
        assert is_mine
        raise RuntimeError


async def test_a_submission_is_nobody_elses_meanwhile(lab: Lab) -> None:
    """Who submits holds the batch, and gives it back."""
    taken: list[bool] = []

    async def note(boundary: str) -> None:
        if boundary == "before create":
            (summary,) = await other.batches()
            taken.append(not await worker.claim(batch_lease(summary.id)))

    other = lab.service()
    worker = Leases(lab.runtimes[-1])
    batch_id = await lab.watched(note).submit(lab.lines())
    assert taken == [True]
    assert await worker.claim(batch_lease(batch_id))


def test_what_somebody_else_has_done_is_looked_at_soon(world: Lab, live: Live) -> None:
    """A batch that was in somebody's hands is taken up within seconds of its release."""

    async def life() -> None:
        world.provider.fail_next("upload", world.Crash())
        with pytest.raises(world.Crash):
            await world.service().submit(world.lines())
        world.close()
        service = world.service()
        (summary,) = await service.batches()
        other = Leases(world.runtimes[-1])
        begin = world.clock.elapsed
        assert await other.claim(batch_lease(summary.id))
        release = partial(world.batches.recorder.release, batch_lease(summary.id), other._holder)
        world.clock.after(20, release)
        uploaded: list[float] = []

        async def note(boundary: str) -> None:
            if boundary == "before upload":
                uploaded.append(world.clock.elapsed - begin)
                world.clock.after(10, world.complete_all)

        await workers(world.watched(note, lease=DEFAULT_LEASE))
        assert len(uploaded) == 1
        assert 20 <= uploaded[0] <= 30

    live(life())


async def test_a_long_lease_is_not_from_a_wrong_clock(lab: Lab) -> None:
    """However long it is: nobody takes it over before its end."""
    lab.service()
    one, other = (Leases(lab.runtimes[-1], seconds=3_600) for _ in range(2))
    assert await one.claim("a")
    assert not await other.claim("a")
    lab.clock.pass_time(3_601)
    assert await other.claim("a")


async def test_a_renewal_that_fails_is_tried_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is out of reach for a moment costs nobody the lease."""
    lab.service()
    leases = Leases(lab.runtimes[-1], seconds=0.003)
    recorder, claims = lab.batches.recorder, count()
    claim, is_renewed = recorder.claim, asyncio.Event()

    def failing_once(*args: Any, **options: Any) -> bool:
        number = next(claims)
        if number == 1:
            raise StoreError("gone for a moment")
        if number == 2:
            is_renewed.set()
        return claim(*args, **options)

    monkeypatch.setattr(recorder, "claim", failing_once)
    async with leases.held("a") as is_mine, asyncio.timeout(10):
        assert is_mine
        await is_renewed.wait()


async def test_a_release_that_fails(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was done under the lease is done; the lease ends by itself."""
    service = lab.service()

    def fail(*_: Any) -> None:
        raise StoreError("gone for a moment")

    monkeypatch.setattr(lab.batches.recorder, "release", fail)
    batch_id = await service.submit(lab.lines())
    assert (await service.status(batch_id)).submitted_at is not None
    assert "a lease ends by itself only: gone for a moment" in caplog.text
