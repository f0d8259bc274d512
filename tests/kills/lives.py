"""Lives of one batch: a `run` that is killed at any moment, and typed again until it ends."""

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from attrs import define, field, frozen
from tests.cli.conftest import Emulator, Result
from tests.laboratory.promises import demand

from .databases import Log, NewLog
from .evidence import Evidence, Looker, check, gather
from .inputs import Input
from .provider import Account
from .terminals import Home, Terminal

RECONCILE_WAIT = "2"
"""Seconds. A call that was killed is searched for as long again as it may still be under way."""

KILLS = (1, 1, 1, 2, 2, 3)
"""How often a life is killed, at most; drawn from these."""


@define
class World:
    """An emulator, a kind of database, and how commands are typed."""

    emulator: Emulator
    new_log: NewLog
    terminal: Terminal
    directory: Path
    environment: Mapping[str, str] = field(factory=dict)

    def looker(self, home: Home) -> Looker:
        """Who looks at the batches of a database afterwards."""
        return Looker(self.terminal, home, Account(self.emulator))

    @contextmanager
    def home(self, **environment: str) -> Iterator[tuple[Home, Log]]:
        """Give an empty directory and an empty database, for a while."""
        path = Path(mkdtemp(dir=self.directory))
        settings = {
            "BATCHTRAIL_RECONCILE_WAIT": RECONCILE_WAIT,
            **self.environment,
            **environment,
        }
        try:
            with self.new_log(path) as log:
                yield Home(path, self.emulator.base_url, log.url, settings), log
        finally:
            rmtree(path)


@frozen
class Told:
    """What one life was: the moments of its kills, and how it looked afterwards."""

    seed: int
    kills: Counter[str]
    evidence: Evidence


@frozen
class Undisturbed:
    """A life in which nothing happened: what it came to, and how many seconds it took."""

    seconds: float
    evidence: Evidence | None
    """None when nobody knows what it would have come to."""


def stretch(world: World, seconds: float, *, applied: bool) -> None:
    """Let uploads, creates and downloads take longer than they would, so that kills hit them.

    `applied` says whether an upload or create takes effect before that time or after it, even
    when its sender is dead by then.
    """
    always: dict[str, Any] = {"kind": "delay", "times": None, "seconds": seconds}
    world.emulator.arm(
        {**always, "op": "upload", "applied": applied},
        {**always, "op": "create", "applied": applied},
        {**always, "op": "download"},
    )


def undisturbed(world: World, requests: int, seconds: float) -> Undisturbed:
    """Live without a kill, calls stretched by so many seconds."""
    source = Input(requests)
    with world.home() as (home, _):
        stretch(world, seconds, applied=True)
        begin = time.monotonic()
        path = source.write(home.path)
        result = world.terminal.run(home, "run", path, "-o", "out.jsonl")
        taken = time.monotonic() - begin
        evidence = evidence_of(world, home, source, result)
    check(evidence, None)
    return Undisturbed(taken, evidence)


def evidence_of(world: World, home: Home, source: Input, result: Result) -> Evidence:
    """Gather what the only batch of a database has become."""
    status = 3 if source.failing else 0
    demand(result.status == status, "a run comes to its end", result)
    world.emulator.control("DELETE", "faults")
    summaries = world.looker(home).read("status", "--json").jsonl
    demand(len(summaries) == 1, "the same command is the same batch", len(summaries))
    results = content_of(home.path / "out.jsonl")
    demand(results is not None, "the results are written")
    left = {each.name for each in home.path.iterdir()} - {"out.jsonl", f"{source.token}.jsonl"}
    demand(all(name.startswith("batchtrail.db") for name in left), "nothing is left", left)
    return gather(world.looker(home), source, summaries[0], results)


def content_of(path: Path) -> bytes | None:
    """What a file holds, if it is there."""
    return path.read_bytes() if path.exists() else None


@frozen
class Lives:
    """Lives of batches of so many requests, to be held against an undisturbed one."""

    world: World
    requests: int
    undisturbed: Undisturbed
    stretch: float

    def live(self, seed: int) -> Told:
        """Live the life of a seed. Raises `BrokenPromiseError`."""
        chance = random.Random(seed)  # noqa: S311 (no secret)
        source = Input(self.requests)
        with self.world.home() as (home, log):
            path = source.write(home.path)
            stretch(self.world, self.stretch, applied=chance.random() < 0.5)
            created = self.world.emulator.applied("create")
            kills, seconds = Counter[str](), self.undisturbed.seconds
            written: bytes | None = None
            for _ in range(chance.choice(KILLS)):
                moment = self._killed(home, log, path, chance.uniform(0, seconds))
                kills[moment] += 1
                written = content_of(home.path / "out.jsonl") or written
            result = self.world.terminal.run(home, "run", path, "-o", "out.jsonl")
            evidence = evidence_of(self.world, home, source, result)
            created = self.world.emulator.applied("create") - created
            demand(created == 1, "a create takes effect once", created)
            demand(written in {None, evidence.results}, "results are written whole or not at all")
        check(evidence, self.undisturbed.evidence)
        return Told(seed, kills, evidence)

    def _killed(self, home: Home, log: Log, path: Path, seconds: float) -> str:
        """Type the command and kill it after so many seconds; gives the phase that it was in."""
        terminal = self.world.terminal
        terminal.start(home, "run", path, "-o", "out.jsonl")
        if (ended := terminal.wait(seconds)) is not None:
            demand(ended.status in {0, 3}, "a run comes to its end", ended)
            return "over already"
        terminal.kill()
        return "written" if (home.path / "out.jsonl").exists() else log.moment()
