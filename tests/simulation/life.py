"""One life: users, workers and a provider for more than a day, all drawn from one seed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, evolve, frozen
from tests.laboratory.databases import Database, MemoryDatabase
from tests.laboratory.handlers import REFERENCE, Handlers
from tests.laboratory.lines import request_line
from tests.laboratory.prices import PRICED, UNPRICED, Prices
from tests.laboratory.processes import Crash, Process
from tests.laboratory.promises import Excuse, check_batch, check_views, demand
from tests.laboratory.virtual_time import HOUR, VirtualTime
from tests.laboratory.wire import DirectWire
from tests.simulation.provider import Climate, LivingProvider
from tests.simulation.weather import Weather

from batchtrail.application.errors import StoreError
from batchtrail.application.lifecycle import ServiceSettings
from batchtrail.domain.batch import MAX_LOST_CREATES
from batchtrail.domain.errors import BatchtrailError, NothingToCollectError, NothingToRetryError
from batchtrail.domain.status import BatchStatus

if TYPE_CHECKING:
    from uuid import UUID

    from batchtrail.application.service import BatchService
    from batchtrail.application.views import BatchSummary

Command = Callable[["BatchService"], Awaitable[object]]

_END_OF_CHAOS = 30 * HOUR
_LONG_ENOUGH = 60 * HOUR
"""The maximum age of a batch, and a worker's lease on the polls, which may have died with it."""

_LONGEST_CANCELLATION = 3 * HOUR
"""After so long the provider says the last of a batch that was given up."""

_LAST_SEARCH = 2 * HOUR
"""Seconds before its end in which a batch may have been polled for the last time but one."""

_SCHEDULES = ((60.0, 600.0, 3_600.0), (30.0, 300.0, 1_800.0, 14_400.0), (600.0, 7_200.0, 7_200.0))
"""Seconds. Mostly rare polls: a life has to be short to be lived ten thousand times."""


_LOOK_INTERVALS = (1_200.0, 3_600.0)
"""Seconds. A look that finds nothing new shows nothing, and a life has hundreds of them."""


@frozen
class Hardship:
    """How hard a life is: chances for each call, boundary or command."""

    fault: float
    crash: float
    deaths: int
    """After so many crashes there are no more, or some lives would never end."""

    store: float
    handler: float

    @classmethod
    def drawn(cls, chance: Random) -> Hardship:
        """Anything from a calm life to one in which little works at the first attempt."""
        scale = chance.choice((0.0, 0.3, 1.0, 2.0))
        return cls(
            fault=0.1 * scale * chance.random(),
            crash=0.03 * scale * chance.random(),
            deaths=chance.randint(1, 12),
            store=0.01 * scale * chance.random(),
            handler=0.3 * scale * chance.random(),
        )


@frozen
class Order:
    """What one user wants: requests, and how they go about it."""

    number: int
    lines: tuple[bytes, ...]
    at: float
    handler: str | None
    waits: bool
    cancels_after: float | None
    twice: bool
    retries: bool

    @classmethod
    def drawn(cls, number: int, chance: Random) -> Order:
        """An order of three to eight requests in the first hours."""
        model = UNPRICED if chance.random() < 0.1 else PRICED
        ids = [f"{number}-{each}" for each in range(chance.randint(3, 8))]
        return cls(
            number,
            tuple(request_line(custom_id, model) for custom_id in ids),
            at=chance.uniform(0, 4 * HOUR),
            handler=REFERENCE if chance.random() < 0.6 else None,
            waits=chance.random() < 0.5,
            cancels_after=chance.choice((60.0, HOUR, 10 * HOUR)) * chance.random()
            if chance.random() < 0.25
            else None,
            twice=chance.random() < 0.4,
            retries=chance.random() < 0.2,
        )


@define(slots=False)
class Life:
    """What one seed makes happen; `journal` tells it.

    `faults` counts what was done to it, `ends` how its batches ended.
    """

    seed: int
    database: Database
    time: VirtualTime = Factory(VirtualTime)
    faults: Counter[str] = Factory(Counter)
    journal: list[str] = Factory(list)
    handlers: Handlers = Factory(Handlers)
    ends: Counter[str] = Factory(Counter)
    _calm: bool = False
    _processes: int = 0
    _users: int = 0
    _chance: Random = Factory(Random)

    def __attrs_post_init__(self) -> None:
        self._chance = self._random("life")
        self._hardship = Hardship.drawn(self._chance)
        oddity = self._chance.choice((0.0, 0.1, 0.5))
        self._is_beyond = self._chance.random() < 0.1
        self._slow_store = self._chance.choice((0.05, 0.05, 0.5))
        self.provider = LivingProvider(
            str(self.seed),
            self.time,
            self._climate(oddity),
            self.faults,
        )
        self._settings = ServiceSettings(self._chance.choice(_SCHEDULES), lease=3 * HOUR)
        self._orders = [Order.drawn(n, self._chance) for n in range(self._chance.randint(1, 3))]
        self._weather = Weather(
            self.time,
            self.provider,
            self._random("weather"),
            self.faults,
            self._hardship.fault,
            self._outages(),
            lost_creates=0.5 if self._is_beyond else 0.0,
        )
        self.handlers.mishap = self._handler_mishap
        self._ids: dict[int, UUID] = {}
        self._dice = self._random("dice")
        self._reader = Process("reader", self.time, self.database, self.provider, DirectWire())

    def _climate(self, oddity: float) -> Climate:
        """Now and then a provider's list lags for longer than anybody promises to cope with."""
        if self._is_beyond:
            return Climate(odd_batch=oddity, lag=0.8, longest_lag=HOUR, durations=(80_000.0,))
        return Climate(odd_batch=oddity, odd_line=oddity / 4, lag=oddity / 2)

    def _random(self, about: str) -> Random:
        return Random(f"{self.seed} {about}")  # noqa: S311 (a simulation)

    def _outages(self) -> tuple[tuple[float, float], ...]:
        if not self._hardship.fault:
            return ()
        begins = [self._chance.uniform(0, 30 * HOUR) for _ in range(self._chance.randint(0, 2))]
        return tuple((begin, begin + self._chance.uniform(10, 2 * HOUR)) for begin in begins)

    # What may happen to a process.

    def _process(self, name: str) -> Process:
        self._processes += 1
        return Process(
            f"{name} {self._processes}",
            self.time,
            self.database,
            self.provider,
            DirectWire() if self._calm else self._weather,
            settings=self._settings,
            handlers=self.handlers,
            prices=Prices(),
            at_boundary=self._boundary,
            turn=self._turn,
        )

    def _boundary(self, boundary: str) -> None:
        if self._calm:
            return
        may_die = self.faults["crash"] < self._hardship.deaths
        if may_die and self._dice.random() < self._hardship.crash:
            self._note("crash", boundary)
            raise Crash(boundary)
        if boundary.endswith("save") and self._dice.random() < self._hardship.store:
            self._note("store fails", boundary)
            raise StoreError(f"the database is away {boundary}")

    def _turn(self) -> float:
        if self._calm or self._dice.random() > self._slow_store:
            return 0.0
        return self._dice.uniform(0, 2)

    def _handler_mishap(self) -> None:
        if not self._calm and self._dice.random() < self._hardship.handler:
            self._note("handler raises")
            raise RuntimeError("not today")

    def _note(self, fault: str, where: str = "") -> None:
        self.faults[fault] += 1
        self.tell(f"{fault} {where}")

    def tell(self, what: str) -> None:
        """Write into the journal."""
        self.journal.append(f"{self.time.elapsed:10.1f}  {what}")

    async def _command(self, name: str, command: Command) -> bool:
        """Give one command in a process of its own; whether it came to its end."""
        process = self._process(name)
        self.tell(f"{process.name} begins")
        try:
            whole = await process.outlive(_awaiting(command(process.service)))
        except BatchtrailError as error:
            self.tell(f"{process.name}: {type(error).__name__}: {error}")
            return False
        self.tell(f"{process.name} {'ends' if whole else 'died'}")
        return whole

    # Who acts.

    async def _user(self, order: Order) -> None:
        """Submit, again after a crash, and perhaps wait."""
        await asyncio.sleep(order.at)
        for _ in range(4):
            if await self._command(f"user of {order.number}", self._submission(order)):
                break
            await asyncio.sleep(self._dice.choice((0, 30, HOUR)))

    def _submission(self, order: Order) -> Command:
        async def submit(service: BatchService) -> None:
            batch_id = await service.submit(order.lines, completion_handler=order.handler)
            self._ids[order.number] = batch_id
            if order.waits and not self._calm:
                await service.wait(batch_id)

        return submit

    async def _canceler(self, order: Order) -> None:
        assert order.cancels_after is not None
        await asyncio.sleep(order.at + order.cancels_after)
        for _ in range(2):
            batch_id = self._ids.get(order.number)
            if batch_id is not None:
                self.faults["canceled by its user"] += 1
                if await self._command("canceler", partial(_cancel, batch_id)):
                    return
            await asyncio.sleep(300)

    async def _worker(self) -> None:
        """A worker that is stopped, killed and started again."""
        while self.time.elapsed < _END_OF_CHAOS and not self._is_over():
            uptime = self._dice.choice((HOUR, 10 * HOUR, 30 * HOUR)) * self._dice.random()
            await self._working(uptime, kill=self._dice.random() < 0.5)
            await asyncio.sleep(self._dice.choice((1, 60, HOUR)))

    def _is_over(self) -> bool:
        """Whether the users are gone and nothing is left to do."""
        return not self._users and not self._reader.batches.views.open_batches("fake")

    async def _working(self, uptime: float, *, kill: bool) -> None:
        stop = asyncio.Event()
        process = self._process("worker")
        self.tell(f"{process.name} begins")

        def end() -> None:
            if not process.is_alive:
                return
            if kill and not self._calm:
                self._note("killed", process.name)
                process.die()
            else:
                self.faults["stopped"] += 1
                stop.set()

        handle = asyncio.get_running_loop().call_later(uptime, end)
        worker = process.service.worker(
            parallel=self._dice.choice((1, 2, 8)),
            look_interval=self._dice.choice(_LOOK_INTERVALS),
        )
        with suppress(BatchtrailError):
            idle = self._calm or not self._users
            whole = await process.outlive(worker.run(stop=stop, until_idle=idle))
            self.tell(f"{process.name} {'ends' if whole else 'died'}")
        handle.cancel()

    # The whole.

    async def live(self) -> None:
        """Live, then clear up and check every promise. Raises `BrokenPromiseError`."""
        users = [self._user(order) for order in self._orders]
        users += [self._user(order) for order in self._orders if order.twice]
        users += [self._canceler(order) for order in self._orders if order.cancels_after]
        workers = [self._worker() for _ in range(self._chance.randint(1, 3))]
        self._users = len(users)
        await asyncio.gather(*map(self._until_gone, users), *workers)
        self._calm = True
        self.tell("the weather clears up")
        await self._clear_up()
        await self._check()

    async def _until_gone(self, user: Coroutine[Any, Any, None]) -> None:
        await user
        self._users -= 1

    async def _clear_up(self) -> None:
        """Everybody gets what they wanted, and nothing goes wrong any more."""
        for order in self._orders:
            await self._user(evolve(order, at=0.0))
        for batch in self._summaries():
            if batch.lost_creates == MAX_LOST_CREATES and batch.status is BatchStatus.PENDING:
                await self._command("caretaker", partial(_cancel, batch.id))
        await self._working(_LONG_ENOUGH, kill=False)
        await self._ask_again()

    async def _ask_again(self) -> None:
        """Retry what some users want retried, and collect what came after a batch was given up."""
        for order in self._orders:
            if order.retries and order.number in self._ids:
                await self._command("retrier", partial(_retry, self._ids[order.number]))
        await self._working(_LONG_ENOUGH, kill=False)
        await asyncio.sleep(_LONGEST_CANCELLATION)
        for batch in self._summaries():
            if batch.given_up:
                await self._command("collector", partial(_collect_again, batch.id))

    def _summaries(self) -> list[BatchSummary]:
        return self._reader.batches.views.summaries(limit=1_000)

    async def _check(self) -> None:
        found = self._summaries()
        self.ends.update("given up" if each.given_up else each.status.value for each in found)
        demand(len(found) >= len(self._orders), "every order has its batch", len(found))
        for batch in found:
            await check_batch(
                self._reader, self.provider, self.handlers, batch.id, excused=self._excuse(batch)
            )
        calls, began = len(self.provider.calls), self.handlers.began
        await self._working(_LONG_ENOUGH, kill=False)
        demand(len(self.provider.calls) == calls, "nothing is asked after the end")
        demand(self.handlers.began == began, "no handler is called after its end")
        check_views(self.time, self.database, self.provider)

    def _excuse(self, batch: BatchSummary) -> Excuse | None:
        """What the list did not show before a batch's end, nobody could find and cancel."""
        if not self._is_beyond:
            return None
        end = (batch.ended_at or self.time.now()) - self.time.start
        searched_until = end.total_seconds() - _LAST_SEARCH
        return lambda sibling: self.provider.shown_from(sibling) > searched_until


async def _cancel(batch_id: UUID, service: BatchService) -> None:
    await service.cancel(batch_id)


async def _retry(batch_id: UUID, service: BatchService) -> None:
    with suppress(NothingToRetryError):
        await service.retry(batch_id)


async def _collect_again(batch_id: UUID, service: BatchService) -> None:
    with suppress(NothingToCollectError):
        await service.collect_again(batch_id)


async def _awaiting(command: Awaitable[object]) -> None:
    await command


@contextmanager
def silence() -> Iterator[None]:
    """Lives are too many to be logged."""
    log = logging.getLogger("batchtrail")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)


def live(seed: int) -> Life:
    """Live the life of a seed. Raises an exception with the journal when a promise is broken."""
    database = MemoryDatabase()
    life = Life(seed, database)
    try:
        with silence():
            life.time.run(life.live())
    except Exception as error:
        raise BrokenLifeError(life, error) from error
    finally:
        database.close()
    return life


class BrokenLifeError(AssertionError):
    """A life that broke a promise, and its journal."""

    def __init__(self, life: Life, error: Exception) -> None:
        self.life = life
        super().__init__(f"seed {life.seed}: {type(error).__name__}: {error}")
