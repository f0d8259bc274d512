"""Workers of one database, one of which is killed every few seconds, until all is over."""

import asyncio
import json
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NoReturn, cast

from attrs import define, field, frozen
from tests.cli.conftest import PATIENCE, Result
from tests.laboratory.promises import demand

from batchtrail import open_trail
from batchtrail.application.ports import OPENAI_LIMITS, BatchProvider
from batchtrail.bootstrap import SystemClock

from .databases import Log
from .evidence import Evidence, check, gather
from .inputs import Input
from .lives import World, stretch
from .terminals import Home, Terminal

HANDLER = """
import time

class Noted:
    def on_batch_completion(self, batch, completions):
        self.note(batch, "begins")
        outcomes = [each.outcome for each in completions]
        time.sleep(0.2)  # so that kills hit it
        self.note(batch, "ends", len(outcomes))

    def note(self, batch, *words):
        with open("calls.log", "a") as file:
            print(batch.id, *words, file=file)
"""
_GLANCE = 0.05
"""Seconds between two looks at whether all is over."""

_ID = re.compile(r"\b(?:[0-9a-f]{8}-[0-9a-f-]{27}|batch_\w+|file-\w+|req_\w+)\b")

_LEFT_ALONE = timedelta(minutes=1)
"""Older than the head start that whoever begins a submission has before the workers."""


class _AMinuteAgo(SystemClock):
    def now(self) -> datetime:
        return datetime.now(UTC) - _LEFT_ALONE


@frozen(kw_only=True)
class Plan:
    """Which batches, begun how many seconds one after another, and how it goes for the workers."""

    sizes: Sequence[int]
    pause: float
    every: float
    """Seconds between two kills, on the average."""
    kills: float
    """At most so many, so that a machine too slow for them comes to an end."""
    lease: float
    stretch: float
    patience: float = 10 * PATIENCE
    """Seconds after which it counts as hanging."""


@define
class Told:
    """What became of the batches, and how often workers were killed."""

    seconds: float = 0.0
    kills: int = 0
    steps_at_kills: Counter[str] = field(factory=Counter)
    """What there was to do for how many batches at the kills, summed."""
    handler_calls: int = 0
    notes: Counter[str] = field(factory=Counter)
    """The warnings and errors in the workers' logs, without ids."""
    evidence: list[Evidence] = field(factory=list)


class _DeathError(Exception):
    """Stands for the end of a process."""


class _Deadly:
    """A provider whose first call is the last thing that its caller does."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.limits = OPENAI_LIMITS

    def __getattr__(self, _name: str) -> Callable[..., NoReturn]:
        def call(*_: object, **__: object) -> NoReturn:
            raise _DeathError

        return call


async def begin(home: Home, source: Input) -> None:
    """Record a batch and the intent to submit it, as a program that died right after that."""
    deadly = cast(BatchProvider, _Deadly(f"openai:{home.base_url}"))
    async with open_trail(home.database, provider=deadly, clock=_AMinuteAgo()) as trail:
        with suppress(_DeathError):
            await trail.submit(source.write(home.path), completion_handler="shop:Noted")


@define
class Work:
    """One database under work; every terminal has a worker in it."""

    home: Home
    log: Log
    terminals: Sequence[Terminal]
    plan: Plan
    chance: random.Random
    sources: Sequence[Input]
    told: Told = field(factory=Told)
    _begun: int = 0
    _results: list[Result] = field(factory=list)

    def run(self) -> None:
        """Begin the batches and kill workers until all is over. Raises `BrokenPromiseError`."""
        first = time.monotonic()
        self._begin_due(0.0)
        for terminal in self.terminals:
            self._start(terminal)
        next_kill = self._next_kill(time.monotonic())
        while self._begun < len(self.sources) or self.log.open_steps():
            now = time.monotonic()
            demand(now < first + self.plan.patience, "work ends", self.log.open_steps())
            self._begin_due(now - first)
            if now >= next_kill and self.told.kills < self.plan.kills:
                self._kill_one()
                next_kill = self._next_kill(now)
            self._look_after_workers()
        self.told.seconds = time.monotonic() - first
        self._stop()
        self._read_logs()

    def _begin_due(self, elapsed: float) -> None:
        while self._begun < len(self.sources) and elapsed >= self._begun * self.plan.pause:
            asyncio.run(begin(self.home, self.sources[self._begun]))
            self._begun += 1

    def _start(self, terminal: Terminal) -> None:
        terminal.start(self.home, "worker", "--log-json")

    def _next_kill(self, now: float) -> float:
        return now + self.chance.uniform(0.5, 1.5) * self.plan.every

    def _kill_one(self) -> None:
        terminal = self.chance.choice(self.terminals)
        self.told.kills += 1
        self.told.steps_at_kills += self.log.open_steps()
        self._results.append(terminal.kill())
        self._start(terminal)

    def _look_after_workers(self) -> None:
        for terminal in self.terminals:
            ended = terminal.wait(_GLANCE / len(self.terminals))
            demand(ended is None, "a worker goes on until it is told to stop", ended)

    def _stop(self) -> None:
        for terminal in self.terminals:
            terminal.send(signal.SIGTERM)
        for terminal in self.terminals:
            result = terminal.finish()
            unborn = result.status == -signal.SIGTERM and not result.stderr
            demand(result.status == 0 or unborn, "a worker stops when it is told to", result)
            self._results.append(result)

    def _read_logs(self) -> None:
        for result in self._results:
            for line in result.stderr.splitlines():
                with suppress(json.JSONDecodeError):  # the killed have half-written lines
                    said = json.loads(line)
                    if said["level"] not in {"info", "debug"}:
                        self.told.notes[_ID.sub("…", said["message"])] += 1


def work(world: World, terminals: Sequence[Terminal], plan: Plan, seed: int) -> Told:
    """Let workers work, be killed and replaced. Raises `BrokenPromiseError`."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    sources = [Input(size) for size in plan.sizes]
    environment = {
        "BATCHTRAIL_LEASE": str(plan.lease),
        "BATCHTRAIL_HANDLERS": "shop",
        "BATCHTRAIL_POLL_SCHEDULE": "0.3",
    }
    with world.home(**environment) as (home, log):
        (home.path / "shop.py").write_text(HANDLER)
        stretch(world, plan.stretch, applied=chance.random() < 0.5)
        task = Work(home, log, terminals, plan, chance, sources)
        created = world.emulator.applied("create")
        task.run()
        created = world.emulator.applied("create") - created
        demand(created == len(sources), "each create is applied once", created)
        _check(world, home, sources, task.told)
    return task.told


def _check(world: World, home: Home, sources: Sequence[Input], told: Told) -> None:
    """Check every batch, and what its handler was told."""
    world.emulator.control("DELETE", "faults")
    listed = world.looker(home).read("status", "--json", "--limit", "1000").jsonl
    demand(len(listed) == len(sources), "there is a batch for each input", len(listed))
    calls = (home.path / "calls.log").read_text().splitlines()
    for source, summary in zip(sources, reversed(listed), strict=True):
        seen = gather(world.looker(home), source, summary)
        check(seen, None)
        ends = [call for call in calls if call.startswith(f"{summary['id']} ends")]
        begins = [call for call in calls if call == f"{summary['id']} begins"]
        demand(ends, "a handler runs to its end", summary["id"])
        wanted = {f"{summary['id']} ends {source.requests}"}
        demand(set(ends) == wanted, "a handler sees each request", ends)
        told.handler_calls += len(begins)
        told.evidence.append(seen)
