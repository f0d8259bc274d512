"""`make kills`: real processes, killed at any moment, and the first life that broke a promise."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import cycle, islice
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cli.conftest import emulating
from tests.laboratory.commands import COMMAND
from tests.laboratory.promises import BrokenPromiseError
from tests.postgres_server import GIVEN, running_server
from tests.simulation.mutations import MUTATIONS

from .databases import MOMENTS, NewLog, postgres_logs, sqlite_log
from .lives import Lives, World, undisturbed
from .lost import Loss, lose
from .terminals import Terminal, cold_terminal, warm_terminal
from .workers import Plan, work

TIMES = ("--validating", "0.05", "--in-progress", "0.1")
LONG_TIMES = ("--validating", "0.2", "--in-progress", "1.5")
_MUTATED = Path(__file__).with_name("mutated.py")
_SIZES = (*[300] * 9, 5_000)
_STRETCH = 0.15
_REST = 25
"""After so many lives is measured again: a machine is not always as busy as it was."""
_SHOWN = 600
"""Characters of a broken promise; the evidence may be a whole batch."""


class Laboratory:
    """The emulator, the database server and the terminals of one run of this program."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self._stack = stack
        self._directory = Path(stack.enter_context(TemporaryDirectory(prefix="batchtrail-kills-")))
        self._new_log = self._store(options.store)
        self._program = _MUTATED if options.mutate else COMMAND
        self._open = warm_terminal if options.warm else cold_terminal
        self._environment = {"KILLS_MUTATION": options.mutate} if options.mutate else {}

    def _store(self, name: str) -> NewLog:
        if name == "sqlite":
            return sqlite_log
        server = GIVEN or self._stack.enter_context(running_server()).url
        return postgres_logs(server)

    def terminal(self) -> Terminal:
        """Open one more terminal."""
        number = sum(1 for _ in self._directory.glob("terminal-*"))
        directory = self._directory / f"terminal-{number}"
        directory.mkdir()
        return self._stack.enter_context(self._open(directory, self._program))

    def world(self, times: Sequence[str]) -> World:
        """Start an emulator whose batches take so long."""
        emulator = self._stack.enter_context(emulating(*times))
        emulator.begin()
        return World(emulator, self._new_log, self.terminal(), self._directory, self._environment)


def kill_runs(options: argparse.Namespace, laboratory: Laboratory) -> int:
    """Kill `run` at any moment and type it again; returns how many lives broke a promise."""
    world = laboratory.world(TIMES)
    lives = {size: _measured(world, size) for size in sorted(set(options.requests))}
    kills, broken, lived = Counter[str](), list[str](), 0
    for seed in range(options.seed, options.seed + options.runs):
        size = options.requests[seed % len(options.requests)]
        if lived and lived % _REST == 0:
            print(f"{lived} of {options.runs} lives", file=sys.stderr, flush=True)
            lives = {each: _measured(world, each) for each in lives}
        lived += 1
        try:
            kills += lives[size].live(seed).kills
        except BrokenPromiseError as error:
            broken.append(f"seed {seed}, {size:,} requests: {_short(error)}")
            print(broken[-1], flush=True)
            if not options.mutate:
                print(f"again: make kills SEED={seed} RUNS=1 STORE={options.store}")
                break
    print(f"seeds {options.seed} to {options.seed + lived - 1}: {lived:,} lives on {options.store}")
    late = kills.pop(MOMENTS[-1], 0)
    print(f"{kills.total():,} kills: {_told(kills)}; {late} came too late, the run was over")
    return len(broken)


def _measured(world: World, requests: int) -> Lives:
    """Take the second undisturbed run as the measure: in the first one even the discs are cold."""
    runs = [undisturbed(world, requests, _STRETCH) for _ in range(2)]
    print(f"an undisturbed run of {requests:,} requests takes {runs[1].seconds:.2f} s", flush=True)
    return Lives(world, requests, runs[1], _STRETCH)


def _told(kills: Counter[str]) -> str:
    return ", ".join(f"{kills[each]} {each}" for each in MOMENTS if kills[each])


def kill_workers(options: argparse.Namespace, laboratory: Laboratory) -> int:
    """Kill one of several workers every few seconds; returns how many promises were broken."""
    world = laboratory.world(LONG_TIMES)
    plan = Plan(
        sizes=[*islice(cycle(options.requests), options.batches)],
        pause=options.pause,
        every=options.every,
        kills=inf,
        lease=options.lease,
        stretch=_STRETCH,
    )
    terminals = [laboratory.terminal() for _ in range(options.workers)]
    try:
        told = work(world, terminals, plan, options.seed)
    except BrokenPromiseError as error:
        print(f"seed {options.seed}: {_short(error)}")
        return 1
    print(
        f"seed {options.seed}: {options.batches} batches of {sum(plan.sizes):,} requests "
        f"by {options.workers} workers on {options.store}, in {told.seconds:.0f} s"
    )
    steps = ", ".join(f"{count} {step}" for step, count in told.steps_at_kills.most_common())
    print(f"{told.kills} kills; what was to be done then: {steps}")
    print(f"{told.handler_calls} calls of handlers, {options.batches} recorded")
    print("warnings and errors in the logs:", sum(told.notes.values()))
    for note, count in told.notes.most_common():
        print(f"{count:6}  {note}")
    return 0


def lose_creates(options: argparse.Namespace, laboratory: Laboratory) -> int:
    """Lose the answer to every create; returns how many promises were broken."""
    world = laboratory.world(TIMES)
    terminals = [laboratory.terminal() for _ in range(options.workers)]
    loss = Loss(requests=options.requests[0], hidden=options.hidden, wait=options.wait)
    try:
        told = lose(world, terminals, loss, options.seed)
    except BrokenPromiseError as error:
        print(f"seed {options.seed}: {_short(error)}")
        return 1
    print(
        f"seed {options.seed}: {len(told.evidence)} batches on {options.store}, every answer to a "
        f"create lost, hidden for {loss.hidden:g} s: all found, {told.kills} kills, "
        f"{told.seconds:.0f} s"
    )
    return 0


def _short(error: BrokenPromiseError) -> str:
    text = str(error)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


WHAT = {"run": kill_runs, "workers": kill_workers, "lost": lose_creates}


def _sizes(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def parser() -> argparse.ArgumentParser:
    """Make the options."""
    made = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    option = made.add_argument
    option("what", nargs="?", choices=WHAT, default="run")
    option("--store", choices=["sqlite", "postgresql"], default="sqlite")
    option("--seed", type=int, default=0, help="the first one")
    option("--runs", type=int, default=200, help="how many lives of `run`")
    option("--requests", type=_sizes, default=_SIZES, help="of a batch; 300,5000 take turns")
    option("--warm", action="store_true", help="fork, so that kills hit less of the start-up")
    option("--workers", type=int, default=4, help="so many processes at once")
    option("--batches", type=int, default=40, help="for the workers")
    option("--every", type=float, default=2.5, help="seconds between two kills of workers")
    option("--pause", type=float, default=1.0, help="seconds between the begins of two batches")
    option("--lease", type=float, default=3.0, help="seconds")
    option("--hidden", type=float, default=30.0, help="seconds that new batches are not listed")
    option("--wait", type=float, default=120.0, help="seconds of searching for lost creates")
    option("--mutate", choices=sorted(MUTATIONS), help="take this rule out before")
    return made


def main() -> int:
    """Read the options, and kill.

    Returns the exit status: 0 when no promise was broken, or when a mutation was noticed.
    """
    options = parser().parse_args()
    began = time.monotonic()
    with ExitStack() as stack:
        broken = WHAT[options.what](options, Laboratory(options, stack))
    print(f"{(time.monotonic() - began) / 60:.1f} minutes")
    if options.mutate:
        print(f"{options.mutate}: noticed {broken} times")
        return 0 if broken else 1
    print("a promise was broken" if broken else "no promise was broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
