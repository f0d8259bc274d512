"""`make simulate` and `make crashes`: what they tell, and which exit status they have."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from itertools import count
from pathlib import Path

import pytest
from tests.laboratory.promises import demand
from tests.simulation import __main__ as simulation
from tests.simulation.cells import CALL_FAULTS, CRASH, DRIVERS, ROWS, STORES, CrashLives, Row
from tests.simulation.life import BrokenLifeError, Life, live
from tests.simulation.matrix import Bench, Told, first_broken, one, verdict
from tests.simulation.progress import Progress

ROOT = Path(__file__).parents[2]
CELL = "crash/memory/failed/waiting/13"


class Terminal(StringIO):
    """A stream that looks like one."""

    def isatty(self) -> bool:
        return True


def test_matrix_has_every_end_store_driver_and_fault() -> None:
    """No row is there twice, and its text says which it is."""
    assert len(set(ROWS)) == len(ROWS)
    assert {row.fault for row in ROWS} == {CRASH, *CALL_FAULTS}
    for store in STORES:
        crashes = [row for row in ROWS if (row.fault, row.store) == (CRASH, store)]
        assert len(crashes) == 5 * len(DRIVERS)
    assert all(Row.read(str(row)) == row for row in ROWS)
    with pytest.raises(ValueError, match="no row is called 'crash/memory/ended'"):
        Row.read("crash/memory/ended")


def test_some_rows_are_lived() -> None:
    """The size comes first, then that all held; no server is started for a row in memory."""
    command = [sys.executable, "-m", "tests.simulation.matrix", "--rows", "not sent/memory/failed"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=100
    )
    lines = done.stdout.splitlines()
    assert lines[0].endswith(" cells in 2 rows")
    assert "upload" in done.stdout
    assert lines[-1] == "every cell held"


@pytest.mark.usefixtures("small_chunks")
def test_one_cell_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what happens there, and which promise it breaks."""
    assert one(Bench(""), CELL) == 0
    assert capsys.readouterr().out == f"{CELL} (before create): held\n"
    monkeypatch.setattr(CrashLives, "check", lambda _, point: demand(False, "lines win", point))
    assert one(Bench(""), CELL) == 1
    assert "before create): BrokenPromiseError: lines win: 13" in capsys.readouterr().out


def test_first_broken_cell_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With the command that lives it alone; what follows it is not lived."""
    held = Told(ROWS[0], 1, "before save")
    broken = Told(ROWS[0], 2, "after save", "BrokenPromiseError: lines win")
    lot = iter([held, broken, held])
    assert first_broken(lot, Progress(3, "cells", StringIO())) == broken
    assert list(lot) == [held]
    assert verdict(broken) == 1
    assert f"make crashes CELL='{broken.name}'" in capsys.readouterr().out
    assert verdict(None) == 0


def test_first_broken_seed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command that lives it again; the lives after it are not counted."""

    def broken(seed: int) -> Life:
        life = live(0)
        if seed == 3:
            raise BrokenLifeError(life, AssertionError("a promise"))
        return life

    monkeypatch.setattr(simulation, "live", broken)
    monkeypatch.setattr(
        simulation, "many", lambda seeds, *_: (simulation.lived(seed) for seed in seeds)
    )
    assert simulation.simulate(range(2, 9), 1, None) == 1
    out = capsys.readouterr().out
    assert "seeds 2 to 3: 2 lives" in out
    assert "make simulate SEED=3\n" in out


def test_progress_on_a_terminal_is_one_line() -> None:
    """It is renewed, and gone at the end."""
    stream, seconds = Terminal(), count(0, 0.125)
    shown = Progress(10, "lives", stream, lambda: next(seconds))
    for _ in range(10):
        shown.advance(", 5 faults")
    shown.end()
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().count("of 10 lives, ") > 2
    assert " a minute, 5 faults" in stream.getvalue()
    assert stream.getvalue().endswith(" \r")


def test_progress_elsewhere_is_a_line_every_so_often() -> None:
    """A file is not filled with them."""
    stream, seconds = StringIO(), count()
    shown = Progress(100, "lives", stream, lambda: next(seconds))
    for _ in range(100):
        shown.advance()
    shown.end()
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("15 of 100 lives, ")
    assert 5 <= len(lines) <= 10
