"""Verifying, sealing and rebuilding through the service, and what removed bodies leave."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from batchtrail import BodyRemovedError, Progress, Rebuilding, Seal, StoreError
from batchtrail.application import rebuilding
from batchtrail.domain.events import RequestsAdded, ResultApplied
from batchtrail.domain.status import Outcome

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.application.service import BatchService


def execute(lab: Lab, *statements: str) -> None:
    """Change the database past the store."""
    with closing(sqlite3.connect(lab.path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


async def finished(lab: Lab) -> tuple[BatchService, UUID]:
    """A batch that is over."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.clock.after(30, lab.complete_all)
    await service.wait(batch_id)
    return service, batch_id


async def test_verify_and_seal(lab: Lab) -> None:
    """A whole life is as it was recorded, and bears its seal until somebody changes it."""
    service, batch_id = await finished(lab)
    seal = await service.seal()
    assert Seal.parse(str(seal)) == seal == await service.seal(full=True)
    assert (await service.verify(against=seal)).differences == ()
    execute(lab, "UPDATE events SET state=state||x'00' WHERE position=2")
    found = await service.verify(against=seal, limit=1)
    (difference,) = found.differences
    assert (difference.batch_id, difference.version, difference.position) == (batch_id, 2, 2)
    assert found.difference_count > 1
    with pytest.raises(StoreError, match="cannot be sealed"):
        await service.seal(full=True)


async def test_seals_go_on(lab: Lab) -> None:
    """Each seal holds for the log up to its position, whatever comes behind."""
    service, _ = await finished(lab)
    first = await service.seal()
    await service.submit(lab.lines("x"))
    second = await service.seal()
    assert first.position < second.position
    assert (await service.verify(against=first)).is_good
    assert (await lab.service().verify(against=second)).is_good


async def test_who_sealed(lab: Lab) -> None:
    """A kept seal says when it was taken, and by whom."""
    service, _ = await finished(lab)
    seal = await service.seal()
    with lab.batches.recorder.reading() as reader:
        (kept,) = reader.seals()
    assert (kept.seal, kept.sealed_by) == (seal, "test")
    assert kept.sealed_at == lab.clock.now().isoformat()


async def test_rebuild_tells_how_far_it_is(lab: Lab) -> None:
    """Rows come back, and progress is told."""
    service, batch_id = await finished(lab)
    before = await lab.completions(service, batch_id)
    execute(lab, "DELETE FROM completions")
    with pytest.raises(StoreError, match=r"lacks requests .+ `batchtrail rebuild` mends it"):
        await lab.completions(service, batch_id)
    with pytest.raises(StoreError, match="lacks requests"):
        _ = [line async for line in service.result_lines(batch_id)]
    told: list[Any] = []
    rebuilt = await service.rebuild_views(told.append)
    assert (rebuilt.batches, rebuilt.requests, rebuilt.damaged) == (1, len(before), ())
    assert told == [Rebuilding(1, 1)]
    assert await lab.completions(service, batch_id) == before


class GivingUp:
    """Cancels who waits for the store, in the midst of a call, and goes on when that is over."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.task: asyncio.Future[Any] | None = None
        self.is_over = Event()

    async def during(self, lab: Lab, call: Coroutine[Any, Any, Any]) -> None:
        """Give a call up, and wait for the store's thread."""
        self.task = asyncio.ensure_future(call)
        with pytest.raises(asyncio.CancelledError):
            await self.task
        self.is_over.set()
        await lab.runtimes[0].in_store(lambda: None)

    def now(self) -> None:
        """Cancel, in its own thread, who waits for this one."""
        if self.task is not None and not self.is_over.is_set():
            self.loop.call_soon_threadsafe(self.task.cancel)
            assert self.is_over.wait(30)


class Reader:
    """A reader of the log that somebody gives up when a method of it is called."""

    def __init__(self, inner: Any, called: list[str], method: str, giving_up: GivingUp) -> None:
        self._inner, self._called = inner, called
        self._method, self._giving_up = method, giving_up

    def __getattr__(self, name: str) -> Any:
        self._called.append(name)
        if name == self._method:
            self._giving_up.now()
        return getattr(self._inner, name)


@pytest.mark.parametrize(
    ("call", "method", "next_one"),
    [
        ("verify", "log_page", "next_batch"),
        ("verify", "next_batch", "stream_page"),
        ("seal", "log_page", "last_position"),
    ],
)
async def test_whoever_gives_up_is_not_waited_for(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, call: str, method: str, next_one: str
) -> None:
    """The rest of a large log would take minutes, and the end of the trail waits for its thread."""
    service, _ = await finished(lab)
    reading, called, giving_up = lab.batches.recorder.reading, list[str](), GivingUp()

    @contextmanager
    def watched() -> Iterator[Reader]:
        with reading() as reader:
            yield Reader(reader, called, method, giving_up)

    monkeypatch.setattr(lab.batches.recorder, "reading", watched)
    await giving_up.during(lab, getattr(service, call)())
    assert method in called
    assert next_one not in called


async def test_a_rebuild_that_is_given_up(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends behind the batches that it is at; a repeat does the others."""
    monkeypatch.setattr(rebuilding, "_ROWS", 1)
    service, _ = await finished(lab)
    for _ in range(2):
        await service.submit(lab.lines(), new=True)
    told, giving_up = list[Progress](), GivingUp()

    def tell(progress: Progress) -> None:
        told.append(progress)
        giving_up.now()

    await giving_up.during(lab, service.rebuild_views(tell))
    assert told == [Rebuilding(1, 3)]
    assert (await service.rebuild_views()).batches == 3


async def test_removed_bodies(lab: Lab) -> None:
    """Outcome, usage and cost are there; who wants a text is told that it is gone."""
    service, batch_id = await finished(lab)
    before = await lab.completions(service, batch_id)
    summary = await service.status(batch_id)
    execute(lab, "UPDATE events SET body=NULL", "DELETE FROM snapshots")
    assert await service.status(batch_id) == summary
    after = await lab.completions(service, batch_id)
    assert [(each.outcome, each.usage, each.cost) for each in after] == [
        (each.outcome, each.usage, each.cost) for each in before
    ]
    assert [(each.line, each.removed) for each in after] == [(None, True)] * len(before)
    for read in (lambda: after[0].text, lambda: after[0].answer, lambda: after[0].body):
        with pytest.raises(BodyRemovedError, match=repr(after[0].custom_id)):
            read()
    with pytest.raises(BodyRemovedError, match=f"of batch {batch_id}"):
        await service.retry(batch_id, only=[Outcome.SUCCEEDED])


async def test_history_brings_bodies_when_asked(lab: Lab) -> None:
    """Without, digests and sizes."""
    service, batch_id = await finished(lab)
    plain = [event async for event in service.history(batch_id)]
    whole = [event async for event in service.history(batch_id, bodies=True)]
    for without, event in zip(plain, whole, strict=True):
        assert (event.body is not None) is isinstance(event, RequestsAdded | ResultApplied)
        if event.body is not None:
            assert without.body is not None
            assert without.body.content is None
            assert (without.body.sha256, without.body.size) == (event.body.sha256, event.body.size)
            assert event.body.is_intact
            assert len(event.text) == event.body.size


async def test_collecting_for_requests_that_the_view_has_lost(lab: Lab) -> None:
    """Results that were paid for are not taken for those of strangers, and wait for a rebuild."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    execute(lab, "DELETE FROM completions")
    with pytest.raises(StoreError, match="lacks requests"):
        await service.wait(batch_id)
    await service.rebuild_views()
    assert (await service.wait(batch_id)).totals.outcomes.succeeded > 0
    assert (await service.status(batch_id)).totals.skipped_lines == 0
