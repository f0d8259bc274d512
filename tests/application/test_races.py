"""Two processes in each other's way: what one of them saw late must do no harm."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from batchtrail.application.errors import RefusedError
from batchtrail.domain.events import SiblingCanceled
from batchtrail.domain.status import BatchStatus
from batchtrail.domain.values import BatchProblem

if TYPE_CHECKING:
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.application.runtime import Decide, Runtime
    from batchtrail.application.service import BatchService
    from batchtrail.domain.batch import Batch

NOT_FOUND = BatchProblem("invalid_request", "Cannot find file file-1.", "file_id")


class Gate:
    """Holds a process at one boundary, the first time it comes there."""

    def __init__(self, boundary: str) -> None:
        self._boundary = boundary
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, boundary: str) -> None:
        if boundary == self._boundary and not self.reached.is_set():
            self.reached.set()
            await self.opened.wait()


async def test_report_of_a_forgotten_provider_batch(lab: Lab) -> None:
    """A late report of the batch that failed for its file is not taken for its successor's."""
    gate = Gate("after retrieve")
    slow, quick = lab.watched(gate), lab.service()
    batch_id = await quick.submit(lab.lines())
    lab.provider.fail(lab.provider.batch_ids[0], [NOT_FOUND])
    polling = asyncio.ensure_future(slow.refresh(batch_id))
    await gate.reached.wait()
    await quick.refresh(batch_id)
    await quick.submit(lab.lines())
    gate.opened.set()
    await polling
    lab.clock.after(400, lab.complete_all)
    await quick.submit(lab.lines())
    await quick.wait(batch_id)
    assert len(lab.live()) == 1


async def test_late_report_between_two_creates(lab: Lab) -> None:
    """Two processes that see the same failed batch at once both go on."""
    gate = Gate("after retrieve")
    slow, quick = lab.watched(gate), lab.service()
    batch_id = await quick.submit(lab.lines())
    lab.provider.fail(lab.provider.batch_ids[0], [NOT_FOUND])
    polling = asyncio.ensure_future(slow.refresh(batch_id))
    await gate.reached.wait()
    await quick.refresh(batch_id)
    gate.opened.set()
    assert (await polling).status is BatchStatus.PENDING


async def test_two_waits_see_a_batch_fail_for_its_file(lab: Lab) -> None:
    """Two waiting processes, whose polls come at the same moments, both come to the end."""
    meet = asyncio.Barrier(2)
    met = False

    async def poll_together(boundary: str) -> None:
        nonlocal met
        if boundary == "after retrieve" and not met:
            await meet.wait()
            met = True

    services = [lab.watched(poll_together), lab.watched(poll_together)]
    batch_id = await services[0].submit(lab.lines())
    lab.provider.fail(lab.provider.batch_ids[0], [NOT_FOUND])
    lab.clock.after(1_000, lab.complete_all)
    await lab.clock.together(*(service.wait(batch_id) for service in services))
    assert lab.provider.count("create") == 2
    await lab.assert_each_once(services[0], batch_id)


async def test_slow_create_and_an_impatient_searcher(lab: Lab) -> None:
    """A create that arrives after another process made its own is canceled when it is answered."""
    gate = Gate("before create")
    slow, quick = lab.watched(gate), lab.service(reconcile_wait=30)
    sending = asyncio.ensure_future(slow.submit(lab.lines()))
    await gate.reached.wait()
    batch_id = await quick.submit(lab.lines())
    gate.opened.set()
    assert await sending == batch_id
    assert len(lab.provider.batch_ids) == 2
    assert lab.live() == [lab.provider.batch_ids[0]]
    log = await lab.log(quick, batch_id)
    siblings = [e.provider_batch_id for e in log if isinstance(e, SiblingCanceled)]
    assert siblings == [lab.provider.batch_ids[1]]


def stand_still(runtime: Runtime, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a process come to a gate between the record of its create call and the call."""
    command = runtime.command

    async def pause(batch_id: UUID, decide: Decide) -> Batch:
        batch = await command(batch_id, decide)
        if batch.submission is not None and batch.submission.create_started_at is not None:
            await gate("create recorded")
        return batch

    monkeypatch.setattr(runtime, "command", pause)


async def test_create_that_others_took_for_lost(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that stood still before its create call does not send it any more."""
    gate = Gate("create recorded")
    slow = lab.service()
    stand_still(lab.runtimes[-1], gate, monkeypatch)
    quick = lab.service()
    sending = asyncio.ensure_future(slow.submit(lab.lines()))
    await gate.reached.wait()
    batch_id = await quick.submit(lab.lines())
    gate.opened.set()
    assert await sending == batch_id
    assert lab.provider.count("create") == 1


async def test_create_from_before_the_clock_was_set_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is searched for as long as any other, and whoever comes to send it then does not."""
    gate = Gate("create recorded")
    slow = lab.service()
    stand_still(lab.runtimes[-1], gate, monkeypatch)
    sending = asyncio.ensure_future(slow.submit(lab.lines()))
    await gate.reached.wait()
    lab.clock.set_by(-6 * 3600)
    batch_id = await lab.service().submit(lab.lines())
    assert lab.clock.elapsed < 600
    gate.opened.set()
    assert await sending == batch_id
    assert lab.provider.count("create") == 1


async def test_create_that_is_late_is_made_anew(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, so nothing needs to be searched for."""
    gate = Gate("create recorded")
    service = lab.service()
    stand_still(lab.runtimes[-1], gate, monkeypatch)
    sending = asyncio.ensure_future(service.submit(lab.lines()))
    await gate.reached.wait()
    lab.clock.pass_time(60)
    gate.opened.set()
    assert "CreateNotDone" in await lab.facts(service, await sending)
    assert (lab.provider.count("create"), lab.provider.count("list")) == (1, 0)


async def test_slow_create_that_is_refused(lab: Lab) -> None:
    """A refusal that comes late does not undo what another process achieved."""
    gate = Gate("before create")
    slow, quick = lab.watched(gate), lab.service(reconcile_wait=30)
    sending = asyncio.ensure_future(slow.submit(lab.lines()))
    await gate.reached.wait()
    batch_id = await quick.submit(lab.lines())
    lab.provider.fail_next("create", RefusedError("bad"))
    gate.opened.set()
    await sending
    assert (await quick.status(batch_id)).status is BatchStatus.SUBMITTED


@pytest.mark.parametrize("boundary", ["after upload", "after create", "before list"])
async def test_process_that_sleeps_through_the_rest(lab: Lab, boundary: str) -> None:
    """A process that wakes up after another brought the batch to its end changes nothing."""
    if boundary == "before list":
        lab.provider.lose_next_answer("create")
    gate = Gate(boundary)
    slow, quick = lab.watched(gate), lab.service()
    sleeping = asyncio.ensure_future(slow.submit(lab.lines()))
    await gate.reached.wait()
    batch_id = await quick.submit(lab.lines())
    lab.complete_all()
    before = await quick.wait(batch_id)
    gate.opened.set()
    assert await sleeping == batch_id
    after = await quick.wait(batch_id)
    assert after.totals == before.totals
    assert len(lab.live()) == 1
    await lab.assert_each_once(quick, batch_id)


@pytest.mark.parametrize("boundary", ["after retrieve", "after piece", "after download"])
async def test_collector_that_sleeps_through_the_rest(lab: Lab, boundary: str) -> None:
    """A process that wakes up amid a collection that is finished applies nothing again."""
    lab.provider.chunk_size = 500
    gate = Gate(boundary)
    slow, quick = lab.watched(gate), lab.service()
    batch_id = await quick.submit(lab.lines())
    lab.complete_all()
    lab.clock.pass_time(100)
    sleeping = asyncio.ensure_future(slow.wait(batch_id))
    await gate.reached.wait()
    before = await quick.wait(batch_id)
    gate.opened.set()
    assert await sleeping == before
    await lab.assert_each_once(slow, batch_id)


async def test_many_processes(lab: Lab) -> None:
    """Six processes with the same command, a lost create among them: one batch, all finish."""
    services = [lab.service() for _ in range(6)]
    lab.provider.lose_next_answer("create")
    lab.provider.hide_from_list(times=5)

    async def life(service: BatchService) -> UUID:
        batch_id = await service.submit(lab.lines())
        await service.wait(batch_id)
        return batch_id

    lab.clock.after(1_000, lab.complete_all)
    ids = await lab.clock.together(*map(life, services))
    assert len(set(ids)) == 1
    assert lab.provider.count("create") == 1
    assert len(lab.provider.file_ids) == 2
    await lab.assert_each_once(services[0], ids[0])


async def test_two_new_batches_at_once(lab: Lab) -> None:
    """Two processes that both ask for a new batch at the same moment share it or make two."""
    services = [lab.service(), lab.service()]
    first = await services[0].submit(lab.lines())
    ids = await asyncio.gather(*(s.submit(lab.lines(), new=True) for s in services))
    assert first not in ids
    assert lab.provider.count("create") == 1 + len(set(ids))
