"""The worker: every open batch, through outages, crashes and handlers, to its end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from eventsourcing.persistence import ConnectionPoolClosedError

from batchtrail.adapters.sqlite.views import SQLiteViewReader
from batchtrail.application.errors import (
    HandlerNotAllowedError,
    InputError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    StoreError,
    UnauthorizedError,
    UnavailableError,
)
from batchtrail.application.leases import Leases, polls_lease
from batchtrail.application.store import Batches
from batchtrail.application.unreachable import unreachable
from batchtrail.bootstrap import NO_KEY
from batchtrail.domain.events import WorkFailed
from batchtrail.domain.status import BatchStatus, WorkStep
from batchtrail.domain.values import NewBatch

if TYPE_CHECKING:
    from uuid import UUID

    from tests.application.conftest import Lab, Live

    from batchtrail.application.service import BatchService
    from batchtrail.application.views import OpenBatch

HOUR = 3_600.0
DAY = 86_400.0


class Handlers:
    """Completion handlers by name, as the process that may run them knows them."""

    def __init__(self, **known: Any) -> None:
        self.known = known

    def load(self, reference: str) -> object:
        name = reference.partition(":")[2]
        if name not in self.known:
            raise HandlerNotAllowedError(f"no {name} here")
        return self.known[name]


class Recorder:
    """A handler that writes down what it is told, and raises as often as it should."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.told: list[tuple[str, list[str]]] = []

    async def on_batch_completion(self, _: Any, completions: Any) -> None:
        self.told.append(("completion", [each.custom_id async for each in completions]))
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not yet")

    async def on_batch_success(self, _: Any, completions: Any) -> None:
        self.told.append(("success", [each.outcome.value async for each in completions]))

    async def on_batch_failure(self, batch: Any, completions: Any) -> None:
        self.told.append(
            (f"failure {batch.status}", [each.outcome.value async for each in completions])
        )


async def begun(lab: Lab, service: BatchService, count: int, **also: Any) -> list[UUID]:
    """Submit so many batches of three requests."""
    return [
        await service.submit(lab.lines(*(f"{number}-{each}" for each in "abc")), **also)
        for number in range(count)
    ]


async def until_idle(service: BatchService) -> int:
    return await service.worker(look_interval=60).run(until_idle=True)


async def assert_all(lab: Lab, service: BatchService, ids: list[UUID], outcome: str) -> None:
    for batch_id in ids:
        await lab.assert_each_once(service, batch_id)
        assert set((await lab.outcomes(service, batch_id)).values()) == {outcome}


def test_many_batches_to_their_end(world: Lab, live: Live) -> None:
    """Ten batches end at ten moments; the worker collects each and then has nothing to do."""

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 10)
        for number, batch_id in enumerate(world.provider.batch_ids):
            world.clock.after(1_000 * number, partial(world.provider.complete, batch_id))
        assert await until_idle(service) == 0
        await assert_all(world, service, ids, "succeeded")
        assert world.provider.count("create") == 10

    live(life())


def test_polls_are_few(world: Lab, live: Live) -> None:
    """A hundred batches for five hours: the list shows them all at once, and nothing is written."""

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 100)
        stop = asyncio.Event()
        world.clock.after(5 * HOUR, stop.set)
        await service.worker(look_interval=60).run(stop=stop)
        # 60, 180, 480, 1080 s and then every half hour: 13 moments, each spread over a tenth, for
        # which the list of five pages is walked twice at most.
        assert world.provider.count("retrieve") == 0
        assert world.provider.count("list") <= 13 * 2 * 5
        facts = await world.facts(service, ids[0])
        assert facts[-1] == "StatusChanged"
        assert facts.count("StatusChanged") == 1

    live(life())


def test_all_batches_are_read_only_when_something_has_happened(
    world: Lab, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker looks each second; of an hour in which each batch had one event, it reads few."""
    readings = 0
    read = SQLiteViewReader.open_batches

    def count(reader: SQLiteViewReader, provider: str) -> list[OpenBatch]:
        nonlocal readings
        readings += 1
        return read(reader, provider)

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 3)
        monkeypatch.setattr(SQLiteViewReader, "open_batches", count)
        stop = asyncio.Event()
        world.clock.after(HOUR, stop.set)
        await service.worker(look_interval=1).run(stop=stop)
        assert (await world.facts(service, ids[0]))[-1] == "StatusChanged"
        # The polls are at 60, 180, 480, 1080 and 2880 s, and each of these rounds has an end.
        assert readings <= 3 * 5 * 2

    live(life())


def test_it_looks_as_often_as_it_was_asked(
    world: Lab, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour in which nothing happens is a look each half minute."""
    looks = 0
    catch_up = Batches.catch_up

    def count(batches: Batches) -> int:
        nonlocal looks
        looks += 1
        return catch_up(batches)

    async def life() -> None:
        service = world.service()
        monkeypatch.setattr(Batches, "catch_up", count)
        stop = asyncio.Event()
        world.clock.after(HOUR, stop.set)
        await service.worker(look_interval=30).run(stop=stop)

    live(life())
    assert 120 <= looks <= 125


def test_interrupted_submissions_are_taken_up(world: Lab, live: Live) -> None:
    """Whatever step of the submission the process died in, a worker finishes it, once."""

    async def life() -> None:
        provider = world.provider
        for operation, lose in (("upload", False), ("create", False), ("create", True)):
            if lose:
                provider.lose_next_answer(operation, error=world.Crash())
            else:
                provider.fail_next(operation, world.Crash())
            with pytest.raises(world.Crash):
                await world.service().submit(world.lines(f"{operation}-{lose}"))
        world.close()
        service = world.service()
        world.clock.after(1_000, world.complete_all)
        assert await until_idle(service) == 0
        assert len(provider.batch_ids) == 3
        ids = [summary.id for summary in await service.batches()]
        await assert_all(world, service, ids, "succeeded")

    live(life())


def test_a_submission_under_way_is_left_to_its_process(world: Lab, live: Live) -> None:
    """Whoever is uploading goes on; the worker does not upload the same file again."""

    async def life() -> None:
        async def slowly(boundary: str) -> None:
            if boundary == "before upload":
                await world.clock.sleep(10)

        async def submit() -> None:
            await world.watched(slowly).submit(world.lines())
            world.clock.after(100, world.complete_all)

        stop = asyncio.Event()
        world.clock.after(HOUR, stop.set)
        await asyncio.gather(submit(), world.service().worker(look_interval=5).run(stop=stop))
        assert (world.provider.count("upload"), world.provider.count("create")) == (1, 1)

    live(life())


def test_drafts_are_left_alone(world: Lab, live: Live) -> None:
    """What nobody has submitted is not for a worker to submit."""

    async def life() -> None:
        service = world.service()
        batch_id = await service.draft(NewBatch(provider="fake", endpoint="/v1/responses"))
        await service.add_requests(batch_id, world.lines())
        assert await until_idle(service) == 0
        assert world.provider.calls == []

    live(life())


def test_batches_of_another_provider_are_left_alone(
    world: Lab, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker knows one provider; it says that there is work for another."""

    async def life() -> None:
        await begun(world, world.service(), 1)
        other = type(world.provider)(name="other", now=world.clock.now)
        assert await until_idle(world.service(other)) == 0
        assert other.calls == []

    live(life())
    assert "open batches at fake" in caplog.text


@pytest.mark.parametrize("error", [UnavailableError("down"), RateLimitedError("slow")])
def test_an_outage_of_hours(world: Lab, live: Live, error: Exception) -> None:
    """When the provider is back, every overdue batch is polled within a minute or so."""

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 5)
        world.clock.after(30, lambda: world.provider.fail_always(error))
        world.clock.after(6 * HOUR, world.provider.heal)
        world.clock.after(HOUR, world.complete_all)
        assert await until_idle(service) == 0
        assert world.clock.elapsed < 6 * HOUR + 70
        await assert_all(world, service, ids, "succeeded")
        assert world.provider.count("list") < 500
        assert "WorkFailed" not in await world.facts(service, ids[0])

    live(life())


@pytest.mark.parametrize("is_down", [False, True])
def test_a_clock_that_is_set_back(
    world: Lab, live: Live, caplog: pytest.LogCaptureFixture, is_down: bool
) -> None:
    """Nothing waits until the old time comes once more: neither polls nor an outage's rest."""

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 3)
        if is_down:
            world.clock.after(30, lambda: world.provider.fail_always(UnavailableError("down")))
        world.clock.after(90, partial(world.clock.set_by, -6 * HOUR))
        world.clock.after(100, world.provider.heal)
        world.clock.after(100, world.complete_all)
        assert await service.worker(look_interval=2).run(until_idle=True) == 0
        assert world.clock.elapsed < 300
        await assert_all(world, service, ids, "succeeded")

    live(life())
    assert caplog.text.count("the clock was set back by about 5:59:5") == 1


def test_a_submission_from_the_time_before_the_clock_was_set_back(world: Lab, live: Live) -> None:
    """Its process has as long a head start as any other, not until its last event's moment."""

    async def life() -> None:
        world.provider.fail_next("upload", world.Crash())
        with pytest.raises(world.Crash):
            await world.service().submit(world.lines())
        world.close()
        world.clock.set_by(-6 * HOUR)
        world.clock.after(30, world.complete_all)
        assert await until_idle(world.service()) == 0
        assert world.clock.elapsed < 300

    live(life())


def test_whoever_began_a_submission_has_a_head_start(world: Lab, live: Live) -> None:
    """It may be at it still; what it left is taken up when nothing has come of it."""

    async def life() -> None:
        uploads: list[float] = []

        async def note(boundary: str) -> None:
            if boundary == "before upload":
                uploads.append(world.clock.elapsed)
                world.clock.after(10, world.complete_all)

        world.provider.fail_next("upload", world.Crash())
        with pytest.raises(world.Crash):
            await world.service().submit(world.lines())
        world.close()
        assert await world.watched(note).worker(look_interval=1).run(until_idle=True) == 0
        assert uploads == [pytest.approx(15, abs=2)]

    live(life())


def test_what_is_parked_stays_so_when_the_clock_is_set_back(
    world: Lab, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that this process does not have is not looked for again."""

    async def life() -> None:
        service = world.service(handlers=Handlers())
        await begun(world, service, 1, completion_handler="shop:done")
        world.complete_all()
        stop = asyncio.Event()
        world.clock.after(300, partial(world.clock.set_by, -6 * HOUR))
        world.clock.after(600, stop.set)
        assert await service.worker(look_interval=2).run(stop=stop) == 1

    live(life())
    assert caplog.text.count("the clock was set back") == 1
    assert caplog.text.count("again with the next start") == 1


def test_the_polls_are_held_when_the_clock_is_set_back(world: Lab, live: Live) -> None:
    """A lease from the old time would pass for one of a wrong clock, and for anybody's."""

    async def life() -> None:
        service, stop = world.service(), asyncio.Event()
        await begun(world, service, 1)
        world.clock.after(100, partial(world.clock.set_by, -6 * HOUR))

        async def claim() -> bool:
            await world.clock.sleep(110)
            other = Leases(world.runtimes[-1])
            try:
                return await other.claim(polls_lease(world.provider.name))
            finally:
                stop.set()

        work = service.worker(look_interval=2).run(stop=stop)
        assert tuple(await asyncio.gather(work, claim())) == (1, False)

    live(life())


def test_a_clock_that_is_put_right_a_little(
    world: Lab, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """By less than a second at a time, as time servers do it: that is nothing to tell of."""

    async def life() -> None:
        service, stop = world.service(), asyncio.Event()
        await begun(world, service, 1)
        for moment in range(10, 60, 10):
            world.clock.after(moment, partial(world.clock.set_by, -0.9))
        world.clock.after(100, stop.set)
        await service.worker(look_interval=0.1).run(stop=stop)

    live(life())
    assert "the clock was set back" not in caplog.text


@pytest.mark.parametrize("call", ["claim", "open_batches"])
def test_a_database_of_no_use_for_an_hour(
    world: Lab,
    live: Live,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
) -> None:
    """As one that can only be read: the worker says so, does not take it for idle, and goes on."""
    caplog.set_level("INFO")

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 2)
        world.complete_all()
        recorder, mended = world.batches.recorder, world.clock.now() + timedelta(hours=1)
        owner = recorder if call == "claim" else recorder.reader
        use = getattr(owner, call)

        def use_when_mended(*args: Any, **options: Any) -> Any:
            if world.clock.now() < mended:
                raise StoreError("it cannot be written")
            return use(*args, **options)

        monkeypatch.setattr(owner, call, use_when_mended)
        assert await until_idle(service) == 0
        await assert_all(world, service, ids, "succeeded")
        # Not with each look, which by default comes every second.
        assert caplog.text.count("it cannot be written; trying again") == 1
        assert caplog.text.count("the database can be used again") == 1

    live(life())


def test_overdue_batches_after_a_night_without_worker(world: Lab, live: Live) -> None:
    """A worker that starts late polls at once what is overdue."""

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 5)
        world.clock.pass_time(10 * HOUR)
        world.complete_all()
        before = world.clock.elapsed
        await until_idle(service)
        assert world.clock.elapsed - before < 5
        await assert_all(world, service, ids, "succeeded")

    live(life())


def test_one_bad_batch_does_not_stop_the_others(
    world: Lab, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """Its failure is logged with its id, counted in its status, backed off, and then over."""

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 4)
        bad = world.provider.batch_ids[1]

        world.complete_all()
        file_id = world.provider.look(bad).report.output_file_id
        broken: Any = BrokenFile(world.provider, file_id or "", until=HOUR, clock=world.clock)
        service = world.service(broken)
        stop = asyncio.Event()
        world.clock.after(HOUR / 2, stop.set)
        assert await service.worker(look_interval=60).run(stop=stop) == 1
        for batch_id in (ids[0], ids[2], ids[3]):
            await world.assert_each_once(service, batch_id)
        trouble = (await service.status(ids[1])).trouble
        assert trouble is not None
        assert (trouble.step, trouble.problem) == (WorkStep.COLLECTION, "KeyError: 'boom'")
        assert 4 <= trouble.failures <= 8
        world.clock.pass_time(HOUR)
        assert await until_idle(service) == 0
        await assert_all(world, service, ids, "succeeded")
        assert (await service.status(ids[1])).trouble is None
        failed = [e for e in await world.log(service, ids[1]) if isinstance(e, WorkFailed)]
        assert [each.failures for each in failed] == list(range(1, len(failed) + 1))
        assert str(ids[1]) in caplog.text

    live(life())


def test_a_lost_result_file(world: Lab, live: Live) -> None:
    """Looked for until the maximum age, visibly; then what it held is missing."""

    async def life() -> None:
        service = world.service()
        (batch_id,) = await begun(world, service, 1)
        world.complete_all()
        report = world.provider.look(world.provider.batch_ids[0]).report
        await world.provider.delete_file(report.output_file_id or "")
        stop = asyncio.Event()
        world.clock.after(20 * HOUR, stop.set)
        await service.worker(look_interval=60).run(stop=stop)
        trouble = (await service.status(batch_id)).trouble
        assert trouble is not None
        assert (trouble.step, "No such File" in trouble.problem) == (WorkStep.COLLECTION, True)
        assert await until_idle(service) == 0
        assert 26 * HOUR < world.clock.elapsed < 27 * HOUR
        await assert_all(world, service, [batch_id], "missing")
        found = await world.completions(service, batch_id)
        assert {each.error.code for each in found if each.error} == {"result_file_lost"}

    live(life())


def test_two_workers_give_up_at_the_same_moment(world: Lab, live: Live) -> None:
    """Neither is troubled by what the other one did first."""

    async def life() -> None:
        service = world.service()
        (batch_id,) = await begun(world, service, 1)
        all_have_seen_it = asyncio.Barrier(3)

        async def meet(boundary: str) -> None:
            aged = world.clock.elapsed >= 26 * HOUR
            if boundary == "after retrieve" and aged and world.provider.count("cancel") == 0:
                await all_have_seen_it.wait()

        others = [world.watched(meet) for _ in range(3)]
        await asyncio.gather(*map(until_idle, others))
        facts = await world.facts(service, batch_id)
        assert facts.count("CancelRequested") == facts.count("GivenUp") == 1
        assert "WorkFailed" not in facts
        await assert_all(world, service, [batch_id], "failed")

    live(life())


@pytest.mark.parametrize(
    "error",
    [
        RefusedError("Method not allowed", http_status=405),
        UnavailableError("one of its entries is no batch"),
        ValueError("a bug in an adapter"),
    ],
)
def test_a_provider_without_a_list(
    world: Lab, live: Live, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Some compatible servers have none: every batch is asked for by its name."""

    async def life() -> None:
        unlisted: Any = Unlisted(world.provider, error)
        service = world.service(unlisted)
        ids = await begun(world, service, 3)
        world.clock.after(100, world.complete_all)
        assert await until_idle(service) == 0
        await assert_all(world, service, ids, "succeeded")
        assert world.clock.elapsed < 600

    live(life())
    assert caplog.text.count("does not list its batches") == 1


class Unlisted:
    """A provider that has no list of batches."""

    def __init__(self, inner: Any, error: Exception | None = None) -> None:
        self._inner = inner
        self._error = error or RefusedError("Method not allowed", http_status=405)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def list_batches(self) -> Any:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("no such batch"),
        RefusedError("bad id"),
        UnavailableError("500"),
        UnauthorizedError("not yours", http_status=403),
        ValueError("a bug in an adapter"),
    ],
)
def test_a_batch_that_is_refused_does_not_keep_the_others(
    world: Lab, live: Live, error: Exception
) -> None:
    """The oldest one, asked for first, is in trouble; the others are polled all the same."""

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 3)
        gone: Any = Gone(Unlisted(world.provider), world.provider.batch_ids[0], error)
        service = world.service(gone)
        world.clock.after(100, world.complete_all)
        stop = asyncio.Event()
        world.clock.after(HOUR, stop.set)
        assert await service.worker(look_interval=60).run(stop=stop) == 1
        await assert_all(world, service, ids[1:], "succeeded")
        assert (await service.status(ids[0])).trouble is not None

    live(life())


def test_a_poll_that_works_again_ends_the_trouble(world: Lab, live: Live) -> None:
    """What is over is not shown any more, although the batch still runs."""

    async def life() -> None:
        (batch_id,) = await begun(world, world.service(), 1)
        gone: Any = Gone(world.provider, world.provider.batch_ids[0])
        service = world.service(gone)
        world.clock.after(HOUR / 2, gone.come_back)
        stop = asyncio.Event()
        world.clock.after(HOUR, stop.set)
        assert await service.worker(look_interval=60).run(stop=stop) == 1
        facts = await world.facts(service, batch_id)
        assert facts[-3:] == ["WorkFailed", "StatusChanged", "WorkResumed"]

    live(life())


def test_looks_without_news_are_not_logged(
    world: Lab, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """While the end of a given-up batch is waited for, each look shows the same."""
    caplog.set_level("INFO")

    async def life() -> None:
        service = world.service()
        await begun(world, service, 1)
        await until_idle(service)

    live(life())
    lines = [record.getMessage() for record in caplog.records if "done" in record.getMessage()]
    assert len(lines) == len(set(lines)) == 2  # validating, cancelling


class BrokenFile:
    """A provider on which one file breaks the program that reads it, until a moment."""

    def __init__(self, inner: Any, file_id: str, *, until: float, clock: Any) -> None:
        self._inner, self._file_id, self._until, self._clock = inner, file_id, until, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def download(self, file_id: str) -> Any:
        if file_id == self._file_id and self._clock.elapsed < self._until:
            raise KeyError("boom")
        return self._inner.download(file_id)


def test_a_vanished_batch_is_in_trouble_and_then_given_up(world: Lab, live: Live) -> None:
    """A provider that knows nothing of the batch any more; the others go on meanwhile."""

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 2)
        gone: Any = Gone(world.provider, world.provider.batch_ids[0])
        service = world.service(gone)
        world.clock.after(100, lambda: world.provider.complete(world.provider.batch_ids[1]))
        stop = asyncio.Event()
        world.clock.after(12 * HOUR, stop.set)
        await service.worker(look_interval=60).run(stop=stop)
        summary = await service.status(ids[0])
        assert summary.trouble is not None
        assert summary.trouble.step is WorkStep.POLL
        assert "No batch found" in summary.trouble.problem
        await world.assert_each_once(service, ids[1])
        assert await until_idle(service) == 0
        summary = await service.status(ids[0])
        assert (summary.status, summary.given_up) == (BatchStatus.FAILED, True)
        await assert_all(world, service, ids[:1], "failed")

    live(life())


class Gone:
    """A provider that has forgotten one batch."""

    def __init__(self, inner: Any, batch_id: str, error: Exception | None = None) -> None:
        self._inner, self._batch_id = inner, batch_id
        self._error = error or NotFoundError("No batch found with this id.")

    def come_back(self) -> None:
        self._batch_id = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def list_batches(self) -> Any:
        async for each in self._inner.list_batches():
            if each.id != self._batch_id:
                yield each

    async def retrieve_batch(self, batch_id: str) -> Any:
        if batch_id == self._batch_id:
            raise self._error
        return await self._inner.retrieve_batch(batch_id)

    async def cancel_batch(self, batch_id: str) -> Any:
        if batch_id == self._batch_id:
            raise self._error
        return await self._inner.cancel_batch(batch_id)


def test_unknown_status_is_work_going_on(world: Lab, live: Live) -> None:
    """A word that the provider invents tomorrow neither ends the batch nor the worker."""

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 1)
        provider_id = world.provider.batch_ids[0]
        world.provider.show_status(provider_id, "pondering")
        world.clock.after(2 * HOUR, lambda: world.provider.show_status(provider_id, None))
        world.clock.after(2 * HOUR, world.complete_all)
        await until_idle(service)
        await assert_all(world, service, ids, "succeeded")
        words = [
            vars(e)["report"].raw_status
            for e in await world.log(service, ids[0])
            if "report" in vars(e)
        ]
        assert words == ["pondering", "completed"]

    live(life())


def test_cancel_of_another_process_is_sent(world: Lab, live: Live) -> None:
    """A wish that was recorded before its process died reaches the provider by the worker."""

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 1)
        world.provider.fail_next("cancel", world.Crash())
        with pytest.raises(world.Crash):
            await service.cancel(ids[0])
        provider_id = world.provider.batch_ids[0]
        world.clock.after(700, lambda: world.provider.finish_cancel(provider_id))
        service = world.service()
        await until_idle(service)
        assert (await service.status(ids[0])).status is BatchStatus.CANCELED
        await assert_all(world, service, ids, "canceled")

    live(life())


def test_stop_lets_the_create_call_finish(world: Lab, live: Live) -> None:
    """A create that was sent is waited for: nothing has to be searched for afterwards."""

    async def life() -> None:
        world.provider.fail_next("upload", world.Crash())
        with pytest.raises(world.Crash):
            await world.service().submit(world.lines())
        stop = asyncio.Event()

        async def slowly(boundary: str) -> None:
            if boundary == "after create":
                stop.set()
                for _ in range(50):
                    await asyncio.sleep(0)

        service = world.watched(slowly)
        await service.worker(look_interval=60).run(stop=stop)
        facts = await world.facts(service, (await service.batches())[0].id)
        assert facts[-1] == "Submitted"

    live(life())


def test_stop_breaks_off_what_is_slow(world: Lab, live: Live) -> None:
    """A download of hours does not keep the worker; what was applied stays applied."""

    async def life() -> None:
        stop = asyncio.Event()

        async def stuck(boundary: str) -> None:
            if boundary == "before download":
                world.clock.after(5, stop.set)
                await world.clock.sleep(5 * HOUR)

        service = world.watched(stuck)
        ids = await begun(world, service, 1)
        world.complete_all()
        assert await service.worker(look_interval=60).run(stop=stop) == 1
        assert world.clock.elapsed < 200
        service = world.service()
        await until_idle(service)
        await assert_all(world, service, ids, "succeeded")

    live(life())


def test_handler_is_called_once_with_everything(world: Lab, live: Live) -> None:
    """After the end, with every completion in input order: completion, then success."""

    async def life() -> None:
        handler = Recorder()
        service = world.service(handlers=Handlers(Done=handler))
        await begun(world, service, 1, completion_handler="shop:Done")
        world.clock.after(100, world.complete_all)
        await until_idle(service)
        await until_idle(service)
        assert handler.told == [
            ("completion", ["0-a", "0-b", "0-c"]),
            ("success", ["succeeded"] * 3),
        ]

    live(life())


def test_handler_that_raises_twice(world: Lab, live: Live) -> None:
    """It is called again from its beginning, visibly, until it has run to its end once."""

    async def life() -> None:
        handler = Recorder(failures=2)
        service = world.service(handlers=Handlers(Done=handler))
        (batch_id,) = await begun(world, service, 1, completion_handler="shop:Done")
        world.complete_all()
        assert await until_idle(service) == 0
        assert [name for name, _ in handler.told] == ["completion"] * 3 + ["success"]
        facts = await world.facts(service, batch_id)
        assert facts[-4:] == ["WorkFailed", "WorkFailed", "HandlerDispatched", "WorkResumed"]
        failed = [e for e in await world.log(service, batch_id) if isinstance(e, WorkFailed)]
        assert "on_batch_completion raised RuntimeError: not yet" in failed[0].problem
        gaps = [e.retry_at - e.timestamp for e in failed if e.retry_at]
        assert gaps == sorted(gaps)

    live(life())


class Panic(BaseException):
    """What native code raises when it breaks: no Exception, so that nobody catches it."""


def test_handler_that_panics_is_backed_off(world: Lab, live: Live) -> None:
    """Whatever it raises: it is called some times in an hour and not without a pause."""

    async def life() -> None:
        class Panicking:
            calls = 0

            async def on_batch_completion(self, *_: Any) -> None:
                self.calls += 1
                if self.calls <= 100:
                    raise Panic("no")

        handler = Panicking()
        service = world.service(handlers=Handlers(Done=handler))
        (batch_id,) = await begun(world, service, 1, completion_handler="shop:Done")
        world.complete_all()
        stop = asyncio.Event()
        world.clock.after(HOUR, stop.set)
        await service.worker(look_interval=60).run(stop=stop)
        summary = await service.status(batch_id)
        assert summary.trouble is not None
        assert summary.trouble.failures == handler.calls < 10
        assert "on_batch_completion raised Panic: no" in summary.trouble.problem

    live(life())


@pytest.mark.parametrize("operation", ["list", "download"])
def test_a_provider_that_panics_is_backed_off(world: Lab, live: Live, operation: str) -> None:
    """Whatever escapes from the work on batches, it is done again with pauses, to the end."""

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 2)
        world.complete_all()
        world.provider.fail_next(operation, Panic("no"), times=500)
        stop = asyncio.Event()
        world.clock.after(HOUR, stop.set)
        await service.worker(look_interval=60).run(stop=stop)
        assert 3 < world.provider.count(operation) < 100
        world.provider.heal()
        assert await until_idle(service) == 0
        await assert_all(world, service, ids, "succeeded")

    live(life())


@pytest.mark.parametrize("end", ["expire", "fail", "cancel"])
def test_handler_after_another_end(world: Lab, live: Live, end: str) -> None:
    """Every end calls the handler; whatever is no regular end is a failure."""

    async def life() -> None:
        handler = Recorder()
        service = world.service(handlers=Handlers(Done=handler))
        (batch_id,) = await begun(world, service, 1, completion_handler="shop:Done")
        provider_id = world.provider.batch_ids[0]
        if end == "cancel":
            await service.cancel(batch_id)
            world.provider.finish_cancel(provider_id)
        else:
            getattr(world.provider, end)(provider_id)
        await until_idle(service)
        status = (await service.status(batch_id)).status
        assert [name for name, _ in handler.told] == ["completion", f"failure {status}"]

    live(life())


def test_handler_killed_in_the_middle_is_called_again(world: Lab, live: Live) -> None:
    """A worker that dies inside the handler repeats it, and never skips it."""

    async def life() -> None:
        calls: list[str] = []

        class Dying:
            async def on_batch_completion(self, *_: Any) -> None:
                calls.append("begin")
                if len(calls) == 1:
                    world.close()  # nothing of a dead process reaches the log
                    raise world.Crash
                calls.append("end")

        service = world.service(handlers=Handlers(Done=Dying()))
        await begun(world, service, 1, completion_handler="shop:Done")
        world.complete_all()
        with pytest.raises(ConnectionPoolClosedError):
            await until_idle(service)
        service = world.service(handlers=Handlers(Done=Dying()))
        await until_idle(service)
        assert calls == ["begin", "begin", "end"]

    live(life())


def test_handler_that_is_not_there_waits_for_the_next_start(world: Lab, live: Live) -> None:
    """It is reported once and not tried again by this worker; the next one may know it."""

    async def life() -> None:
        service = world.service(handlers=Handlers())
        (batch_id,) = await begun(world, service, 1, completion_handler="shop:Done")
        world.complete_all()
        assert await until_idle(service) == 1
        stop = asyncio.Event()
        world.clock.after(5 * HOUR, stop.set)
        await service.worker(look_interval=60).run(stop=stop)
        summary = await service.status(batch_id)
        assert summary.trouble is not None
        assert (summary.trouble.failures, summary.trouble.retry_at) == (2, None)
        assert summary.results_collected
        handler = Recorder()
        service = world.service(handlers=Handlers(Done=handler))
        assert await until_idle(service) == 0
        assert [name for name, _ in handler.told] == ["completion", "success"]

    live(life())


def test_wait_calls_the_handler_as_well(world: Lab, live: Live) -> None:
    """Without a worker, whoever waits calls it; a failure is told, with the results safe."""

    async def life() -> None:
        handler = Recorder(failures=1)
        service = world.service(handlers=Handlers(Done=handler))
        (batch_id,) = await begun(world, service, 1, completion_handler="shop:Done")
        world.complete_all()
        with pytest.raises(Exception, match="not yet"):
            await service.wait(batch_id)
        await world.assert_each_once(service, batch_id)
        assert (await service.wait(batch_id)).handler_dispatched
        assert [name for name, _ in handler.told] == ["completion", "completion", "success"]

    live(life())


def test_a_database_that_is_taken_away(world: Lab, live: Live) -> None:
    """It is no trouble that passes: what is written to it is lost, and others submit elsewhere."""

    async def life() -> None:
        service = world.service()
        await begun(world, service, 1)
        world.clock.after(HOUR, world.path.unlink)
        with pytest.raises(StoreError, match="moved, deleted or replaced"):
            await until_idle(service)
        assert world.clock.elapsed < HOUR + 120

    live(life())


@pytest.mark.parametrize("operation", ["upload", "download"])
def test_who_is_told_to_wait_for_hours_leaves_the_place_to_others(
    world: Lab, live: Live, operation: str
) -> None:
    """Two of three batches are, and only two may be submitted or collected at once."""

    async def life() -> None:
        service = world.service()
        await begun(world, service, 1)
        world.provider.fail_next("upload", UnauthorizedError("no key yet"), times=2)
        for number in range(2):
            with pytest.raises(UnauthorizedError):
                await service.submit(world.lines(f"early-{number}"))
        too_many = RateLimitedError("slow down", retry_after=6 * HOUR)
        world.provider.fail_next(operation, too_many, times=2)
        for hours in (1, 8):
            world.clock.after(hours * HOUR, world.complete_all)
        stop = asyncio.Event()
        world.clock.after(2 * HOUR, stop.set)
        await service.worker(look_interval=60, parallel=2).run(stop=stop)
        seen = await service.batches()
        assert [each.results_collected for each in seen].count(True) == 1
        told = [each.trouble.retry_at for each in seen if each.trouble is not None]
        assert len(told) == 2
        assert all(moment and moment > world.clock.now() for moment in told)
        assert await service.worker(look_interval=60, parallel=2).run(until_idle=True) == 0
        await assert_all(world, service, [each.id for each in seen], "succeeded")

    live(life())


def test_until_idle_does_not_wait_for_another_key(world: Lab, live: Live) -> None:
    """A key that the provider refuses is for somebody to mend; nothing is lost meanwhile."""

    async def life() -> None:
        service = world.service()
        ids = await begun(world, service, 2)
        world.provider.fail_always(UnauthorizedError("wrong key"))
        assert await until_idle(service) == 2
        world.provider.heal()
        world.complete_all()
        assert await until_idle(service) == 0
        await assert_all(world, service, ids, "succeeded")

    live(life())


async def test_without_a_key_it_does_not_begin(lab: Lab) -> None:
    """A round of polls would fail at once, and the next one as well."""
    await lab.service().submit(lab.lines())
    keyless = lab.service(unreachable(lab.provider.name, lab.provider.limits, NO_KEY))
    with pytest.raises(InputError, match="no API key"):
        await keyless.worker().run()
