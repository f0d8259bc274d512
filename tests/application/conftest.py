"""A laboratory for the services: a clock that moves itself, a fake provider, a file database."""

import asyncio
import heapq
import selectors
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
)
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import msgspec
import pytest
from attrs import Factory, define
from tests.laboratory.databases import (
    Database,
    FileDatabase,
    MemoryDatabase,
    PostgresDatabase,
)

from batchtrail.adapters.fake import FakeBatchProvider
from batchtrail.application.completions import Completion, output_line
from batchtrail.application.lifecycle import ServiceSettings
from batchtrail.application.ports import (
    BatchProvider,
    CompletionHandlers,
    CreateRequest,
    DirectAnswer,
    ProviderBatch,
    StoredFile,
    UploadedFile,
)
from batchtrail.application.runtime import Runtime
from batchtrail.application.service import BatchService
from batchtrail.application.store import Batches
from batchtrail.domain.events import BatchEvent, ResultApplied
from batchtrail.domain.values import Limits

T = TypeVar("T")
Hook = Callable[[str], Awaitable[None]]
Live = Callable[[Coroutine[Any, Any, None]], None]

_ON_EVERY_STORE = {"test_crashes", "test_life", "test_projecting", "test_races"}
_HUNDREDS_OF_PROCESSES = {"test_crash_again_in_the_recovery", "test_crash_at_every_boundary"}
"""Each opens the database once more, which takes a server longer than a file."""


class VirtualClock:
    """Time that passes only while everybody who takes part is asleep."""

    def __init__(self) -> None:
        self.start = self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self.sleeps: list[float] = []
        self._set = timedelta()
        self._order = count()
        self._awake = 1
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._acts: list[tuple[datetime, int, Callable[[], object]]] = []

    @property
    def elapsed(self) -> float:
        return (self._now - self.start).total_seconds()

    def now(self) -> datetime:
        return self._now + self._set

    def set_by(self, seconds: float) -> None:
        """Set what the clock shows; who sleeps is not woken sooner or later for that."""
        self._set += timedelta(seconds=seconds)

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something when so much time has passed from now."""
        moment = self._now + timedelta(seconds=seconds)
        heapq.heappush(self._acts, (moment, next(self._order), act))

    def pass_time(self, seconds: float) -> None:
        self._pass_until(self._now + timedelta(seconds=seconds))

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.sleeps.append(seconds)
        woken = asyncio.get_running_loop().create_future()
        moment = self._now + timedelta(seconds=seconds)
        heapq.heappush(self._sleepers, (moment, next(self._order), woken))
        self._awake -= 1
        self._go_on()
        await woken
        await asyncio.sleep(0)

    async def together(self, *lives: Coroutine[Any, Any, T]) -> list[T]:
        """Run several lives at once on this clock."""
        self._awake += len(lives) - 1

        async def run(life: Coroutine[Any, Any, T]) -> T:
            try:
                return await life
            finally:
                self._awake -= 1
                self._go_on()

        try:
            return await asyncio.gather(*map(run, lives))
        finally:
            self._awake = 1

    def _go_on(self) -> None:
        if self._awake or not self._sleepers:
            return
        moment = self._sleepers[0][0]
        self._pass_until(moment)
        while self._sleepers and self._sleepers[0][0] <= moment:
            _, _, woken = heapq.heappop(self._sleepers)
            self._awake += 1
            if not woken.done():
                woken.set_result(None)

    def _pass_until(self, moment: datetime) -> None:
        while self._acts and self._acts[0][0] <= moment:
            self._now, _, act = heapq.heappop(self._acts)
            act()
        self._now = moment
        assert moment - self.start < timedelta(days=30), "nothing happens any more"


class LoopClock(VirtualClock):
    """Time that passes only while the event loop has nothing else to do: for many tasks at once."""

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        moment = self._now + timedelta(seconds=seconds)
        heapq.heappush(self._sleepers, (moment, next(self._order), woken))
        await woken

    def wake_next(self) -> bool:
        """Let time pass until somebody wakes up; False when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)  # somebody who was cancelled in his sleep
        if not self._sleepers:
            return False
        moment, _, woken = heapq.heappop(self._sleepers)
        self._pass_until(max(moment, self._now))
        woken.set_result(None)
        return True

    def run(self, life: Coroutine[Any, Any, T]) -> T:
        """Run a life on a loop of this clock."""

        def idle_loop() -> asyncio.AbstractEventLoop:
            return asyncio.SelectorEventLoop(_IdleSelector(self))

        with asyncio.Runner(loop_factory=idle_loop) as runner:
            return runner.run(life)


class _IdleSelector(selectors.DefaultSelector):
    """Where a loop waits for news: with nothing ready, the clock moves instead."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0 or self._clock.wake_next():
            return events
        return super().select(timeout)


class InlineRuntime(Runtime):
    """Store calls on the loop's own thread, so that no other thread says when time passes."""

    async def in_store(self, call: Callable[..., T], *args: object) -> T:
        await asyncio.sleep(0)
        return call(*args)

    def close(self) -> None:
        self.batches.close()


class WatchedProvider:
    """A provider with a hook before and after each call, and after each piece of a download."""

    def __init__(self, inner: BatchProvider, hook: Hook, name: str | None = None) -> None:
        self._inner = inner
        self._hook = hook
        self._name = name or inner.name

    @property
    def name(self) -> str:
        return self._name

    @property
    def limits(self) -> Limits:
        return self._inner.limits

    async def upload(
        self, lines: AsyncIterable[bytes], *, filename: str, size: int
    ) -> UploadedFile:
        await self._hook("before upload")
        uploaded = await self._inner.upload(lines, filename=filename, size=size)
        await self._hook("after upload")
        return uploaded

    async def create_batch(self, request: CreateRequest) -> ProviderBatch:
        await self._hook("before create")
        created = await self._inner.create_batch(request)
        await self._hook("after create")
        return created

    async def retrieve_batch(self, batch_id: str) -> ProviderBatch:
        await self._hook("before retrieve")
        seen = await self._inner.retrieve_batch(batch_id)
        await self._hook("after retrieve")
        return seen

    async def list_batches(self) -> AsyncGenerator[ProviderBatch, None]:
        await self._hook("before list")
        async with aclosing(self._inner.list_batches()) as batches:
            async for listed in batches:
                yield listed
        await self._hook("after list")

    async def list_files(self) -> AsyncGenerator[StoredFile, None]:
        await self._hook("before list files")
        async for listed in self._inner.list_files():
            yield listed
        await self._hook("after list files")

    async def cancel_batch(self, batch_id: str) -> ProviderBatch:
        await self._hook("before cancel")
        seen = await self._inner.cancel_batch(batch_id)
        await self._hook("after cancel")
        return seen

    async def download(self, file_id: str) -> AsyncGenerator[bytes, None]:
        await self._hook("before download")
        async with aclosing(self._inner.download(file_id)) as content:
            async for piece in content:
                yield piece
                await self._hook("after piece")
        await self._hook("after download")

    async def delete_file(self, file_id: str) -> str | None:
        await self._hook("before delete")
        request_id = await self._inner.delete_file(file_id)
        await self._hook("after delete")
        return request_id

    async def complete_request(self, endpoint: str, body: bytes) -> DirectAnswer:
        await self._hook("before complete")
        answer = await self._inner.complete_request(endpoint, body)
        await self._hook("after complete")
        return answer


class Crash(BaseException):
    """The process is gone; unlike an interrupt it does not end the event loop as well."""


@define
class Lab:
    """One database and one provider; every service is a process of its own on them."""

    Crash: ClassVar = Crash
    path: Path
    clock: VirtualClock
    provider: FakeBatchProvider
    runtimes: list[Runtime] = Factory(list)
    runtime_class: type[Runtime] = Runtime
    database: Database = Factory(lambda lab: FileDatabase(lab.path), takes_self=True)

    def service(
        self,
        provider: BatchProvider | None = None,
        *,
        batches: type[Batches] = Batches,
        poll_schedule: tuple[float, ...] = (60.0, 120.0, 300.0, 600.0, 1_800.0),
        reconcile_wait: float = 120.0,
        max_age: float = 93_600.0,
        lease: float = 180.0,
        handlers: CompletionHandlers | None = None,
    ) -> BatchService:
        """Start another process."""
        runtime = self.runtime_class(
            batches(self.database.open()), self.clock, actor="test", software="lab 1"
        )
        self.runtimes.append(runtime)
        settings = ServiceSettings(poll_schedule, reconcile_wait, max_age=max_age, lease=lease)
        return BatchService(runtime, provider or self.provider, settings, handlers)

    def watched(self, hook: Hook, **options: Any) -> BatchService:
        """Start a process whose provider calls are watched."""
        return self.service(WatchedProvider(self.provider, hook), **options)

    @property
    def batches(self) -> Batches:
        """The store of the newest process."""
        return self.runtimes[-1].batches

    def close(self) -> None:
        """End every process; what they did not commit is lost."""
        while self.runtimes:
            self.runtimes.pop().close()

    @staticmethod
    def line(custom_id: str, **fields: Any) -> bytes:
        """Write a valid request line with its newline."""
        body = {"model": "gpt-5-nano", "input": "Say hello."}
        request = {"custom_id": custom_id, "method": "POST", "url": "/v1/responses", "body": body}
        return msgspec.json.encode(request | fields) + b"\n"

    def lines(self, *custom_ids: str) -> list[bytes]:
        """Write three valid request lines, or one for each custom_id."""
        return [self.line(custom_id) for custom_id in custom_ids or ("a", "b", "c")]

    def complete_all(self) -> None:
        """Bring every batch at the provider to its regular end."""
        for batch_id in self.provider.batch_ids:
            report = self.provider.look(batch_id).report
            if not report.status.is_terminal and not report.is_canceling:
                self.provider.complete(batch_id)

    def live(self) -> list[str]:
        """List the provider batches that cost money: those that nobody told to cancel."""
        return [
            batch_id
            for batch_id in self.provider.batch_ids
            if self.provider.look(batch_id).report.raw_status
            not in {"cancelling", "cancelled", "failed"}
        ]

    @staticmethod
    async def completions(service: BatchService, batch_id: UUID) -> list[Completion]:
        return [each async for each in service.completions(batch_id)]

    async def outcomes(self, service: BatchService, batch_id: UUID) -> dict[str, str]:
        """Read the outcome of each request."""
        found = await self.completions(service, batch_id)
        return {each.custom_id: each.outcome.value for each in found}

    async def out(self, service: BatchService, batch_id: UUID) -> bytes:
        """Write the lines that `run` would write."""
        found = await self.completions(service, batch_id)
        return b"".join(output_line(each) for each in found)

    @staticmethod
    async def log(service: BatchService, batch_id: UUID) -> list[BatchEvent]:
        return [event async for event in service.history(batch_id, bodies=True)]

    async def facts(self, service: BatchService, batch_id: UUID) -> list[str]:
        """Name the events of a batch."""
        return [type(event).__name__ for event in await self.log(service, batch_id)]

    async def assert_each_once(self, service: BatchService, batch_id: UUID) -> None:
        """Check the promise: every request has one outcome, no result was applied twice."""
        summary = await service.status(batch_id)
        assert summary.results_collected
        assert summary.totals.outcomes.settled == summary.request_count
        found = await self.completions(service, batch_id)
        assert [each.number for each in found] == list(range(1, summary.request_count + 1))
        assert "pending" not in {each.outcome.value for each in found}
        log = await self.log(service, batch_id)
        applied = Counter(e.custom_id for e in log if isinstance(e, ResultApplied))
        assert not [custom_id for custom_id, times in applied.items() if times > 1]
        with_line = {each.custom_id for each in found if each.line is not None}
        assert with_line == set(applied)


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> VirtualClock:
    return LoopClock() if "world" in request.fixturenames else VirtualClock()


@pytest.fixture
def world(lab: Lab) -> Lab:
    """The laboratory for many tasks at once, without threads; `live` lives in it."""
    lab.runtime_class = InlineRuntime
    return lab


@pytest.fixture
def live(clock: LoopClock) -> Live:
    """Lives a life to its end, on a loop whose time passes when nothing else is to be done."""
    return clock.run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The services do the same on every store; tests of other things have a file alone."""
    module = metafunc.definition.path.stem
    if "lab" in metafunc.fixturenames and module in _ON_EVERY_STORE:
        long = metafunc.function.__name__ in _HUNDREDS_OF_PROCESSES
        stores = ["file"] if long else ["file", "memory", "postgres"]
        metafunc.parametrize("lab", stores, indirect=True)


@pytest.fixture
def lab(clock: VirtualClock, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A laboratory on a store of its own."""
    store = getattr(request, "param", "file")
    with TemporaryDirectory(prefix="batchtrail-") as folder:
        path = Path(folder) / "trail.db"
        database: Database = FileDatabase(path)
        if store == "memory":
            database = MemoryDatabase()
        elif store == "postgres":
            database = PostgresDatabase(request.getfixturevalue("postgres_url"))
        lab = Lab(path, clock, FakeBatchProvider(now=clock.now), database=database)
        try:
            yield lab
        finally:
            lab.close()
