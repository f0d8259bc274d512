"""Real processes, killed for real: small versions of what `make kills` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import pytest
from attrs import evolve
from tests.cli.conftest import emulating
from tests.laboratory.forks import Forks
from tests.laboratory.promises import BrokenPromiseError

from .databases import NewLog, postgres_logs, sqlite_log
from .evidence import Evidence, check
from .lives import Lives, Undisturbed, World, undisturbed
from .lost import Loss, lose
from .provider import Account
from .terminals import Terminal, forking_terminal
from .workers import Plan, work

TIMES = ("--validating", "0.03", "--in-progress", "0.05")
REQUESTS = 60
STRETCH = 0.05
SEEDS = (5, 7)
"""The first kill of each falls into the first half of a run."""

MANY = 5_000

NewTerminal = Callable[[], Terminal]


@pytest.fixture(scope="module")
def new_terminal(tmp_path_factory: pytest.TempPathFactory, warm: Forks) -> Iterator[NewTerminal]:
    """Open terminals, whose commands are forks of a process that has its imports done."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            forking_terminal(tmp_path_factory.mktemp("terminal"), warm)
        )


@pytest.fixture(scope="module")
def terminals(new_terminal: NewTerminal) -> list[Terminal]:
    return [new_terminal() for _ in range(2)]


@pytest.fixture(scope="module")
def sqlite_world(
    tmp_path_factory: pytest.TempPathFactory, terminals: list[Terminal], warm: Forks
) -> Iterator[World]:
    with emulating(*TIMES, warm=warm) as emulator:
        emulator.begin()
        yield World(emulator, sqlite_log, terminals[0], tmp_path_factory.mktemp("homes"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, sqlite_world: World) -> World:
    """An emulator and commands, with their log in a kind of database."""
    if request.param == "sqlite":
        return sqlite_world
    new_log: NewLog = postgres_logs(request.getfixturevalue("postgres_server_url"))
    return evolve(sqlite_world, new_log=new_log)


@pytest.fixture(scope="module")
def calm(sqlite_world: World) -> Undisturbed:
    """The life that all others must come to, wherever their log is."""
    return undisturbed(sqlite_world, REQUESTS, STRETCH)


def test_a_run_is_killed_and_typed_again(world: World, calm: Undisturbed) -> None:
    """At any moment, up to three times: one provider batch, and the same bytes in the end."""
    lives = Lives(world, REQUESTS, calm, STRETCH)
    kills = [moment for seed in SEEDS for moment in lives.live(seed).kills]
    assert set(kills) - {"over already"}


def test_a_large_run_is_killed_and_typed_again(sqlite_world: World, calm: Undisturbed) -> None:
    """Its results are applied in several transactions, and a kill may fall between them."""
    unknown = Undisturbed(3 * calm.seconds, evidence=None)
    told = Lives(sqlite_world, MANY, unknown, STRETCH).live(7)
    assert len(told.evidence.named("ResultApplied")) == MANY


def test_workers_are_killed_and_replaced(world: World, terminals: list[Terminal]) -> None:
    """Whatever they were doing is taken over by the others, and done once."""
    plan = Plan(sizes=[REQUESTS] * 6, pause=0, every=0.6, kills=2, lease=0.5, stretch=STRETCH)
    told = work(world, terminals, plan, seed=5)
    assert told.kills
    assert len(told.evidence) == len(plan.sizes)


def test_every_answer_to_a_create_is_lost(world: World, terminals: list[Terminal]) -> None:
    """And the list shows new batches late: they are found in it, and never made again."""
    told = lose(world, terminals, Loss(requests=5, hidden=1.0, wait=4.0), seed=11)
    assert len(told.evidence) == len(terminals)
    assert min(_searched(each) for each in told.evidence) >= 1.0


def _searched(seen: Evidence) -> float:
    """The seconds between a create and its batch's adoption."""
    begun, found = (seen.named(event)[0]["at"] for event in ("CreateStarted", "Submitted"))
    return (datetime.fromisoformat(found) - datetime.fromisoformat(begun)).total_seconds()


def test_a_command_that_is_over_cannot_be_killed(
    sqlite_world: World, terminals: list[Terminal]
) -> None:
    """Its end is what it was: a kill that comes too late is none."""
    with sqlite_world.home() as (home, _):
        pid = terminals[0].start(home, "--version")
        while _exists(pid):
            pass
        assert terminals[0].kill().status == 0


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _with_summary(seen: Evidence, **changes: Any) -> Evidence:
    return evolve(seen, summary={**seen.summary, **changes})


TAMPERED: dict[str, Callable[[Evidence], Evidence]] = {
    "second batch": lambda seen: evolve(seen, made=[*seen.made, {**seen.made[0], "id": "other"}]),
    "not ours": lambda seen: _with_summary(seen, provider_batch_id="other"),
    "line lost": lambda seen: evolve(seen, results=seen.results.split(b"\n", 1)[1]),
    "byte wrong": lambda seen: evolve(seen, results=seen.results[:-2] + b" \n"),
    "applied twice": lambda seen: evolve(
        seen, events=[*seen.events, {**seen.named("ResultApplied")[0], "version": 1_000}]
    ),
    "never applied": lambda seen: evolve(
        seen, events=[{**each, "custom_id": "x"} for each in seen.events]
    ),
    "gap": lambda seen: evolve(seen, events=seen.events[1:]),
    "skipped": lambda seen: _with_summary(seen, skipped_lines=1),
    "left": lambda seen: _with_summary(seen, next_step="poll"),
    "not handled": lambda seen: _with_summary(seen, completion_handler="shop:Noted"),
    "other total": lambda seen: _with_summary(seen, usage={}),
    "other lines": lambda seen: evolve(
        seen,
        lines=seen.lines.replace(b"a word", b"no word"),
        results=seen.results.replace(b"a word", b"no word"),
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_is_wrong_is_noticed(calm: Undisturbed, name: str) -> None:
    """Checks that could not fail would show nothing."""
    assert calm.evidence is not None
    check(calm.evidence, calm.evidence)
    tampered = TAMPERED[name](calm.evidence)
    assert tampered != calm.evidence
    with pytest.raises(BrokenPromiseError):
        check(tampered, calm.evidence)


def test_a_second_create_is_noticed(sqlite_world: World, calm: Undisturbed) -> None:
    """A batch that somebody else makes under our id is found at the provider."""
    assert calm.evidence is not None
    made = calm.evidence.made[0]
    body = {
        "input_file_id": made["input_file_id"],
        "endpoint": made["endpoint"],
        "completion_window": "24h",
        "metadata": made["metadata"],
    }
    sqlite_world.emulator.post("batches", body)
    found = Account(sqlite_world.emulator).made_for(calm.evidence.summary["id"])
    with pytest.raises(BrokenPromiseError, match="one submission makes one provider batch"):
        check(evolve(calm.evidence, made=found), calm.evidence)
