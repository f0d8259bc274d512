"""Whole days under faults: every promise holds, and every rule that is taken out is missed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.simulation.life import BrokenLifeError, live
from tests.simulation.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
SEEDS = 200
PARTS = 4
"""So that several processes share them, and a failure names few seeds."""


@pytest.mark.parametrize("part", range(PARTS))
def test_lives_keep_every_promise(part: int) -> None:
    """Each of these days ends well; `make simulate` lives as many more as one likes."""
    faults = Counter[str]()
    for seed in range(part, SEEDS, PARTS):
        faults += live(seed).faults
    assert faults["crash"]
    assert len(faults) > 20


def _printed(seed: int, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return done.stdout


def test_a_seed_replays_exactly() -> None:
    """The same day again in another process, with other addresses and other hashes."""
    first, second = _printed(34, "1"), _printed(34, "2")
    assert first.count("\n") > 50
    assert first == second


def test_a_life_tells_its_seed_when_it_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed is enough to live the same life again."""
    monkeypatch.setattr("tests.laboratory.promises._STATE_BYTES", 10)
    with pytest.raises(BrokenLifeError, match="seed 3: BrokenPromiseError: the state is small"):
        live(3)


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_fit_the_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutation that no longer finds its rule would show nothing."""
    made: list[str] = []
    monkeypatch.setattr(Mutation, "_install", lambda *_: made.append(name))
    MUTATIONS[name].apply()
    assert made == [name]


@pytest.mark.parametrize("name", ["no-reconcile", "no-file-position"])
def test_a_missing_rule_is_noticed(name: str) -> None:
    """Without one of these rules some of the first lives break a promise."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seeds=6", "--jobs=1", "--mutate", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert f"{name}: noticed by" in done.stdout
    assert done.returncode == 0, done.stdout
