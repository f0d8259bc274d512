"""Which events belong together: ids of the chains of commands, and of single decisions."""

import asyncio
from collections import defaultdict
from uuid import UUID

from tests.application.conftest import Lab

from batchtrail import correlated
from batchtrail.application.service import BatchService
from batchtrail.domain.events import BatchEvent, ResultApplied, Retried


async def chains(lab: Lab, service: BatchService, batch_id: UUID) -> dict[str, list[str]]:
    """Name the events of a batch by their correlation id, in order."""
    found = defaultdict(list)
    for event in await lab.log(service, batch_id):
        found[event.by.correlation_id].append(type(event).__name__)
    return dict(found)


async def test_each_call_is_one_chain(lab: Lab) -> None:
    """What one call of the library led to has one id, another call has another."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    await service.wait(batch_id)
    submitted, waited = (await chains(lab, service, batch_id)).values()
    assert (submitted[0], submitted[-1]) == ("Drafted", "Submitted")
    assert (waited[0], waited[-1]) == ("StatusChanged", "ResultsCollected")


async def test_a_block_is_one_chain(lab: Lab) -> None:
    """Within a block all calls belong together, also those of tasks; behind it no longer."""
    service = lab.service()
    with correlated() as chain:
        first = await service.submit(lab.lines("a"))
        second = await asyncio.ensure_future(service.submit(lab.lines("b")))
        with correlated() as inner:
            assert inner == chain
    await service.cancel(second)
    assert list(await chains(lab, service, first)) == [chain]
    began, canceled = await chains(lab, service, second)
    assert began == chain != canceled


async def test_an_id_of_the_caller(lab: Lab) -> None:
    """A service finds its own id in the log; an inner block with an id stands for itself."""
    service = lab.service()
    with correlated("order 42"):
        first = await service.submit(lab.lines("a"))
        with correlated("order 43"):
            second = await service.submit(lab.lines("b"))
        third = await service.submit(lab.lines("c"))
    found = [list(await chains(lab, service, each)) for each in (first, second, third)]
    assert found == [["order 42"], ["order 43"], ["order 42"]]


async def test_calls_at_once_are_told_apart(lab: Lab) -> None:
    """Calls that run at the same time do not take on each other's id."""
    service = lab.service()
    ids = await asyncio.gather(*(service.submit(lab.lines(name)) for name in "abc"))
    found = [list(await chains(lab, service, each)) for each in ids]
    assert [len(chain) for chain in found] == [1, 1, 1]
    assert len({chain for (chain,) in found}) == 3


async def test_retry_links_both_batches(lab: Lab) -> None:
    """What a retry records in the parent and in the child has one id."""
    service = lab.service()
    lab.provider.answer_with("b", status_code=500)
    parent = await service.submit(lab.lines())
    lab.complete_all()
    await service.wait(parent)
    child = await service.retry(parent)
    last = (await lab.log(service, parent))[-1]
    assert isinstance(last, Retried)
    assert list(await chains(lab, service, child)) == [last.by.correlation_id]


async def test_each_step_of_a_worker_is_one_chain(lab: Lab) -> None:
    """A worker's steps have ids of their own, even when it was started within a block."""
    service = lab.service()
    with correlated("mine"):
        batches = [await service.submit(lab.lines(name)) for name in "ab"]
        lab.clock.after(90, lab.complete_all)
        await service.worker().run(until_idle=True)
    steps: list[str] = []
    for batch_id in batches:
        found = await chains(lab, service, batch_id)
        assert found.pop("mine")[-1] == "Submitted"
        assert found
        steps += found
    assert "mine" not in steps
    assert len(steps) == len(set(steps))


async def test_a_decision_is_one_cause(lab: Lab) -> None:
    """Events that were decided at once share their causation id, and no others do."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    await service.wait(batch_id)
    log = await lab.log(service, batch_id)
    applied, others = _causes(log, results=True), _causes(log, results=False)
    assert len(applied) == 3
    assert len(set(applied)) == 1
    assert len(set(others)) == len(others)
    assert applied[0] not in others


def _causes(log: list[BatchEvent], *, results: bool) -> list[str]:
    return [event.by.causation_id for event in log if isinstance(event, ResultApplied) is results]
