"""The process dies at every boundary of a life, and the next one knows only what is stored.

These are the cells of `make crashes` that differ most from each other; it has all of them.
"""

from __future__ import annotations

import pytest
from tests.laboratory.databases import MemoryDatabase
from tests.laboratory.short_life import ENDS
from tests.simulation.cells import CRASH, CrashLives, NewDatabase, Row

pytestmark = pytest.mark.usefixtures("small_chunks")


@pytest.mark.parametrize(
    "row",
    [Row(CRASH, "memory", end, "worker") for end in ENDS]
    + [Row(CRASH, "memory", "ended", "waiting")],
    ids=str,
)
def test_crash_at_every_boundary(row: Row) -> None:
    """Before and after each provider call, each piece of an answer and each commit, and within."""
    lives = CrashLives(row, MemoryDatabase)
    passed = lives.points
    assert {"before create", "after create", "before save", "after save"} <= set(passed)
    for boundary_of_results in ("piece of download", "step of save"):
        assert (boundary_of_results in passed) is (row.end != "failed")
    for boundary in range(1, len(passed) + 1):
        lives.check(boundary)


@pytest.mark.parametrize("new_database", ["file", "postgres"], indirect=True)
def test_crash_after_every_commit_on_each_store(new_database: NewDatabase) -> None:
    """A database of its own process brings the next one as far, for the end with most to lose.

    What a save had written when its process died within it is undone.
    """
    lives = CrashLives(Row(CRASH, "another", "expired", "worker"), new_database)
    saves = ("step of save", "after save")
    boundaries = [at for at, name in enumerate(lives.points, 1) if name in saves]
    assert len(boundaries) > 10
    assert {lives.points[at - 1] for at in boundaries} == set(saves)
    for boundary in boundaries:
        lives.check(boundary)


@pytest.mark.parametrize("end", ENDS)
def test_crash_again_and_again(end: str) -> None:
    """Death after death, a few steps apart, and still the same end."""
    lives = CrashLives(Row(CRASH, "memory", end, "worker"), MemoryDatabase)
    for step in (5, 7, 11):
        lives.check_many(frozenset(range(step, 12 * step, step)))
