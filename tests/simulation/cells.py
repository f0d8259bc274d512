"""The cells of the crash matrix: short lives to one end, disturbed at one point each.

A row is what is the same for many cells: the fault, the store, the end, and who drives the batch
there. Its cells are the points of its quiet life: a process dies at each boundary, or each call
to the provider fails.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar

from attrs import Factory, define, field, frozen
from tests.laboratory.databases import Database, FileDatabase, MemoryDatabase, PostgresDatabase
from tests.laboratory.processes import Crash
from tests.laboratory.promises import demand
from tests.laboratory.short_life import ENDS, ShortLife
from tests.laboratory.wire import DirectWire

from batchtrail.application.errors import (
    NotFoundError,
    OutcomeUnknownError,
    QuotaError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.laboratory.promises import Inspection
    from tests.laboratory.wire import Act

T = TypeVar("T")
NewDatabase = Callable[[], Database]

DRIVERS = ("waiting", "worker")
STORES = ("memory", "file", "postgres")
CRASH = "crash"
CALL_FAULTS = (
    "not sent",
    "lost on the way",
    "answer lost",
    "too many calls",
    "key refused",
    "no credit",
    "outage",
)
"""What a time-out, a 5xx, a cut-off body or HTML in place of JSON come to at the port."""

SMALL_CHUNK = 2
"""Lines in a transaction, so that the results of four requests have boundaries within."""

_NOT_REPEATABLE = ("upload", "create")
_OUTAGE_CALLS = 12
"""So many calls fail in a row: more than any step repeats by itself."""


def new_databases(folder: Path, postgres_url: Callable[[], str]) -> dict[str, NewDatabase]:
    """What makes an empty database of each kind; the caller closes it."""
    return {
        "memory": MemoryDatabase,
        "file": lambda: FileDatabase(folder / "trail.db"),
        "postgres": lambda: PostgresDatabase(postgres_url()),
    }


@frozen
class Row:
    """Cells that differ in their point only."""

    fault: str
    store: str
    end: str
    driver: str

    @classmethod
    def read(cls, text: str) -> Row:
        """A row from its text. Raises ValueError when there is no such."""
        row = cls(*text.split("/")) if text.count("/") == 3 else None
        if row not in ROWS:
            raise ValueError(f"no row is called {text!r}")
        return row

    def __str__(self) -> str:
        return f"{self.fault}/{self.store}/{self.end}/{self.driver}"

    def begin(self, new_database: NewDatabase) -> Lives:
        """Live the quiet life of this row."""
        kind = CrashLives if self.fault == CRASH else CallLives
        return kind(self, new_database)


ROWS = (
    *(Row(CRASH, store, end, driver) for store in STORES for end in ENDS for driver in DRIVERS),
    *(
        Row(fault, "memory", end, driver)
        for fault in CALL_FAULTS
        for end in ENDS
        for driver in DRIVERS
    ),
)


@define
class Tripwire:
    """Writes down every boundary, and crashes at some of them."""

    crash_at: frozenset[int] = frozenset()
    passed: list[str] = Factory(list)

    def cross(self, boundary: str) -> None:
        """Pass a boundary, or die there."""
        self.passed.append(boundary)
        if len(self.passed) in self.crash_at:
            raise Crash(boundary)


class FaultyWire(DirectWire):
    """A wire on which the call of one number fails; it remembers what was called."""

    def __init__(self, fault: str = "", at: int = 0) -> None:
        super().__init__()
        self.called: list[str] = []
        self._fault = fault
        self._at = at

    async def carry(self, operation: str, act: Act[T]) -> T:
        """Carry a call, unless it is the one that fails."""
        self.called.append(operation)
        number = len(self.called)
        if self._fault == "outage" and self._at <= number < self._at + _OUTAGE_CALLS:
            raise UnavailableError("The provider is down.", http_status=503)
        if self._fault == "outage" or number != self._at:
            return await act()
        if self._fault == "answer lost":
            await act()
        raise self._error(operation)

    def _error(self, operation: str) -> Exception:
        lost = OutcomeUnknownError if operation in _NOT_REPEATABLE else UnavailableError
        errors = {
            "not sent": UnavailableError("Connection refused."),
            "lost on the way": lost("No answer."),
            "answer lost": lost("<html>Bad gateway</html>"),
            "too many calls": RateLimitedError("Slow down.", retry_after=45.0),
            "key refused": UnauthorizedError("Incorrect API key."),
            "no credit": QuotaError("Out of credit."),
            "not found": NotFoundError("No such thing."),
        }
        return errors[self._fault]


@define(slots=False)
class Lives:
    """The lives of one row, compared with one in which nothing happens."""

    row: Row
    new_database: NewDatabase
    points: list[str] = field(init=False)
    """What was passed or called in the quiet life; the points count from 1."""

    @abstractmethod
    def check(self, point: int) -> None:
        """Live with a disturbance at this point. Raises AssertionError when a promise broke."""

    def lived(
        self, tripwire: Tripwire | None = None, wire: DirectWire | None = None
    ) -> tuple[Inspection, bytes, ShortLife]:
        """Live once, and check every promise."""
        database = self.new_database()
        try:
            life = ShortLife(
                self.row.end,
                database,
                worker=self.row.driver == "worker",
                at_boundary=(tripwire or Tripwire()).cross,
                wire=wire or DirectWire(),
            )
            seen, out = life.live()
        finally:
            database.close()
        made = len(life.provider.batch_ids)
        demand(made == 1, "one submission makes one provider batch", made)
        return seen, out, life


@define(slots=False)
class CrashLives(Lives):
    """The process dies at a boundary: whatever crashed, the end is the same to the last byte."""

    def __attrs_post_init__(self) -> None:
        quiet = Tripwire()
        self._calm, self._out, _ = self.lived(quiet)
        self.points = quiet.passed

    def check(self, point: int) -> None:
        """Die once."""
        wire = self.check_many(frozenset({point}))
        demand(wire.passed[:point] == self.points[:point], "a life is the same until its crash")

    def check_many(self, points: frozenset[int]) -> Tripwire:
        """Die again and again."""
        wire = Tripwire(points)
        seen, out, life = self.lived(wire)
        creates = life.provider.count("create")
        demand(creates == 1, "one create call is made", creates)
        for fact in ("status", "given_up", "totals"):
            found, expected = getattr(seen.batch, fact), getattr(self._calm.batch, fact)
            demand(found == expected, f"the {fact} is the same", found, expected)
        demand(out == self._out, "the lines are the same", out, self._out)
        return wire


@define(slots=False)
class CallLives(Lives):
    """A call fails: the life ends well, and unless it was given up with the same lines."""

    _undecided: ClassVar[str] = "given up"
    """A call that fails at the maximum age decides what comes of it."""

    def __attrs_post_init__(self) -> None:
        quiet = FaultyWire()
        self._out = self.lived(wire=quiet)[1]
        self.points = quiet.called

    def check(self, point: int) -> None:
        """Have the call fail."""
        out = self.lived(wire=FaultyWire(self.row.fault, point))[1]
        if self.row.end != self._undecided:
            demand(out == self._out, "the lines are the same", out, self._out)
