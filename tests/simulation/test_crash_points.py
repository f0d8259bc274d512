"""The process dies at every boundary of a life, and the next one knows only what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import Factory, define
from tests.laboratory.processes import Crash
from tests.laboratory.short_life import ENDS, ShortLife

if TYPE_CHECKING:
    from tests.laboratory.promises import Inspection
    from tests.simulation.conftest import NewDatabase

pytestmark = pytest.mark.usefixtures("small_chunks")


@define
class Tripwire:
    """Writes down every boundary, and crashes at some of them."""

    crash_at: frozenset[int] = frozenset()
    passed: list[str] = Factory(list)

    def cross(self, boundary: str) -> None:
        self.passed.append(boundary)
        if len(self.passed) in self.crash_at:
            raise Crash(boundary)


@define(slots=False)
class Lives:
    """Lives to one end, compared with one in which nothing happens."""

    end: str
    new_database: NewDatabase
    worker: bool
    quiet: Tripwire = Factory(Tripwire)

    def __attrs_post_init__(self) -> None:
        self._calm, self._out, _ = self._lived(self.quiet)

    def _lived(self, wire: Tripwire) -> tuple[Inspection, bytes, ShortLife]:
        database = self.new_database()
        try:
            life = ShortLife(self.end, database, worker=self.worker, at_boundary=wire.cross)
            seen, out = life.live()
        finally:
            database.close()
        return seen, out, life

    def assert_same(self, wire: Tripwire) -> None:
        """Whatever crashed, the end is the same, and one batch was paid for."""
        seen, out, life = self._lived(wire)
        reached = sorted(at for at in wire.crash_at if at <= len(wire.passed))
        where = ", ".join(f"{at} {wire.passed[at - 1]}" for at in reached)
        assert len(life.provider.batch_ids) == life.provider.count("create") == 1, where
        assert seen.batch.status is self._calm.batch.status, where
        assert seen.batch.given_up is self._calm.batch.given_up, where
        assert seen.batch.totals == self._calm.batch.totals, where
        assert out == self._out, where


@pytest.mark.parametrize("new_database", ["memory"], indirect=True)
@pytest.mark.parametrize("worker", [False, True], ids=["waiting", "worker"])
@pytest.mark.parametrize("end", ENDS)
def test_crash_at_every_boundary(end: str, new_database: NewDatabase, worker: bool) -> None:
    """Before and after each provider call, each piece of an answer and each commit."""
    lives = Lives(end, new_database, worker)
    passed = lives.quiet.passed
    assert {"before create", "after create", "before save", "after save"} <= set(passed)
    assert ("piece of download" in passed) is (end != "failed")
    for boundary in range(1, len(passed) + 1):
        wire = Tripwire(frozenset({boundary}))
        lives.assert_same(wire)
        assert wire.passed[boundary - 1] == passed[boundary - 1]


def test_crash_at_every_boundary_on_each_store(new_database: NewDatabase) -> None:
    """Each kind of database brings the next process as far, for the end with most to lose."""
    lives = Lives("expired", new_database, worker=True)
    for boundary in range(1, len(lives.quiet.passed) + 1):
        lives.assert_same(Tripwire(frozenset({boundary})))


@pytest.mark.parametrize("new_database", ["memory"], indirect=True)
@pytest.mark.parametrize("end", ENDS)
def test_crash_again_and_again(end: str, new_database: NewDatabase) -> None:
    """Death after death, a few steps apart, and still the same end."""
    lives = Lives(end, new_database, worker=True)
    for step in (5, 7, 11):
        lives.assert_same(Tripwire(frozenset(range(step, 12 * step, step))))
