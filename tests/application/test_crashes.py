"""The process dies at every boundary of a life; the next process goes on as if nothing was."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define

from batchtrail.adapters.fake import Answer, FakeBatchProvider
from batchtrail.application import collection
from batchtrail.application.store import Batches
from batchtrail.domain.errors import DomainError
from batchtrail.domain.status import BatchStatus

if TYPE_CHECKING:
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.adapters.fake import InputRequest
    from batchtrail.application.saving import Steps
    from batchtrail.application.service import BatchService
    from batchtrail.domain.batch import Batch

REQUESTS = ("a", "b", "c", "d")


@define
class Tripwire:
    """Counts boundaries and crashes at one of them."""

    crash: type[BaseException]
    crash_at: int | None = None
    passed: int = 0
    last: str = ""

    def cross(self, boundary: str) -> None:
        self.passed += 1
        self.last = boundary
        if self.passed == self.crash_at:
            raise self.crash(boundary)


def crashing_batches(wire: Tripwire) -> type[Batches]:
    """Make a store with a boundary before and after each commit."""

    class CrashingBatches(Batches):
        def save_batch(self, batch: Batch, steps: Steps | None = None, **more: Any) -> None:
            pending = steps is not None or bool(batch.pending_events)
            if pending:
                wire.cross("before save")
            super().save_batch(batch, steps, **more)
            if pending:
                wire.cross("after save")

    return CrashingBatches


def process(lab: Lab, wire: Tripwire) -> BatchService:
    """Start a process that dies at the wire."""

    async def hook(boundary: str) -> None:
        wire.cross(boundary)

    return lab.watched(hook, batches=crashing_batches(wire))


# The ends of a batch: each brings the provider's one batch a step towards its end, as often as
# it is asked to, whatever was reached before.


def to_completed(lab: Lab) -> None:
    for batch_id in lab.provider.batch_ids:
        if lab.provider.look(batch_id).report.raw_status == "validating":
            lab.provider.complete(batch_id)


def to_expired(lab: Lab) -> None:
    for batch_id in lab.provider.batch_ids:
        if lab.provider.look(batch_id).report.raw_status == "validating":
            lab.provider.expire(batch_id, finished=3)


def to_failed(lab: Lab) -> None:
    for batch_id in lab.provider.batch_ids:
        if lab.provider.look(batch_id).report.raw_status == "validating":
            lab.provider.fail(batch_id)


def to_cancelled(lab: Lab) -> None:
    for batch_id in lab.provider.batch_ids:
        match lab.provider.look(batch_id).report.raw_status:
            case "validating":
                lab.provider.work(batch_id, finished=2)
            case "cancelling":
                lab.provider.finish_cancel(batch_id, finished=3)


ENDS = {
    BatchStatus.ENDED: to_completed,
    BatchStatus.EXPIRED: to_expired,
    BatchStatus.FAILED: to_failed,
    BatchStatus.CANCELED: to_cancelled,
}


async def life(lab: Lab, service: BatchService, end: BatchStatus) -> UUID:
    """Do what a user does, who after a crash simply does the same again."""
    batch_id = await service.submit(lab.lines(*REQUESTS))
    ENDS[end](lab)
    if end is BatchStatus.CANCELED:
        with suppress(DomainError):
            await service.cancel(batch_id)
        ENDS[end](lab)
    await service.wait(batch_id)
    return batch_id


def timeless(request: InputRequest) -> Answer:
    """Answer the same at whatever time."""
    return Answer(body={"id": f"resp_{request.number}", "model": request.model})


def renewed(lab: Lab) -> None:
    """Begin with an empty database and an empty account."""
    lab.close()
    lab.database.renew()
    lab.provider = FakeBatchProvider(now=lab.clock.now, chunk_size=500, answering=timeless)
    lab.provider.answer_with("b", status_code=400)


async def crashed_life(lab: Lab, end: BatchStatus, *wires: Tripwire) -> tuple[BatchService, UUID]:
    """Live until all wires are passed, each in a process of its own; give the last process."""
    renewed(lab)
    for wire in wires:
        with suppress(lab.Crash):
            await life(lab, process(lab, wire), end)
        lab.close()
    service = lab.service()
    return service, await life(lab, service, end)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apply results two lines a transaction, so that four requests have boundaries within."""
    monkeypatch.setattr(collection, "CHUNK_LINES", 2)


@pytest.mark.parametrize("end", ENDS)
async def test_crash_at_every_boundary(lab: Lab, end: BatchStatus) -> None:
    """One provider batch, each result once, and the very OUT lines of an undisturbed life."""
    quiet = Tripwire(lab.Crash)
    service, batch_id = await crashed_life(lab, end, quiet)
    expected = await lab.out(service, batch_id)
    assert expected.count(b"\n") == len(REQUESTS)
    assert (await service.status(batch_id)).status is end
    assert quiet.passed >= 20
    for boundary in range(1, quiet.passed + 1):
        wire = Tripwire(lab.Crash, boundary)
        service, batch_id = await crashed_life(lab, end, wire)
        where = f"{end.value}: {boundary} {wire.last}"
        assert wire.passed == boundary, where
        assert (len(lab.provider.batch_ids), lab.provider.count("create")) == (1, 1), where
        assert (await service.status(batch_id)).status is end, where
        assert await lab.out(service, batch_id) == expected, where
        await lab.assert_each_once(service, batch_id)


async def test_crash_again_in_the_recovery(lab: Lab) -> None:
    """A recovery that dies at each of its own boundaries is recovered from as well."""
    quiet = Tripwire(lab.Crash)
    service, batch_id = await crashed_life(lab, BatchStatus.ENDED, quiet)
    expected = await lab.out(service, batch_id)
    first = Tripwire(lab.Crash)
    while first.last != "after create":  # the boundary after which most is at stake
        first = Tripwire(lab.Crash, first.passed + 1)
        await crashed_life(lab, BatchStatus.ENDED, first)
    recovery = Tripwire(lab.Crash)
    await crashed_life(lab, BatchStatus.ENDED, Tripwire(lab.Crash, first.passed), recovery)
    for boundary in range(1, recovery.passed + 1):
        wires = [Tripwire(lab.Crash, first.passed), Tripwire(lab.Crash, boundary)]
        service, batch_id = await crashed_life(lab, BatchStatus.ENDED, *wires)
        assert len(lab.provider.batch_ids) == 1, wires[1]
        assert await lab.out(service, batch_id) == expected, wires[1]
        await lab.assert_each_once(service, batch_id)


async def test_crash_every_time_a_little_later(lab: Lab) -> None:
    """Death after death, each after a step more than the last, ends in one whole batch."""
    deaths = [Tripwire(lab.Crash, steps) for steps in range(1, 25)]
    service, batch_id = await crashed_life(lab, BatchStatus.EXPIRED, *deaths)
    assert sum(wire.passed == wire.crash_at for wire in deaths) > 5
    assert len(lab.provider.batch_ids) == 1
    await lab.assert_each_once(service, batch_id)


async def test_crash_before_the_create_is_sent(lab: Lab) -> None:
    """A create that was never sent is looked for, and made once the list had its time."""
    wire = Tripwire(lab.Crash)

    async def hook(boundary: str) -> None:
        if boundary == "before create":
            raise lab.Crash(boundary)

    with pytest.raises(lab.Crash):
        await lab.watched(hook, batches=crashing_batches(wire)).submit(lab.lines())
    lab.close()
    service = lab.service(reconcile_wait=90)
    await service.submit(lab.lines())
    assert lab.provider.count("create") == 1
    # As long as the dead process may still have been in its call, and then the wait.
    assert lab.clock.elapsed == pytest.approx(60 + 90)


async def test_interrupt_at_every_boundary_of_the_same_process(lab: Lab) -> None:
    """Ctrl-C anywhere: the same service, still alive, goes on with the same batch."""
    passed = 0
    renewed(lab)

    async def count(_: str) -> None:
        nonlocal passed
        passed += 1

    batch_id = await life(lab, lab.watched(count), BatchStatus.EXPIRED)
    expected = await lab.out(lab.service(), batch_id)
    for boundary in range(1, passed + 1):
        renewed(lab)
        left = boundary

        async def interrupt(_: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise asyncio.CancelledError

        service = lab.watched(interrupt)
        with pytest.raises(asyncio.CancelledError):
            await life(lab, service, BatchStatus.EXPIRED)
        batch_id = await life(lab, service, BatchStatus.EXPIRED)
        assert len(lab.provider.batch_ids) == 1, boundary
        assert await lab.out(service, batch_id) == expected, boundary
