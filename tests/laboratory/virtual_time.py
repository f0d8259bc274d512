"""Time that costs nothing: an event loop that jumps to whatever comes next."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

HOUR = 3_600.0
DAY = 24 * HOUR
_LONGEST = 30 * DAY
_MOST_TURNS = 200_000
"""Of the loop; a day of three batches takes some thousands."""


class NothingHappensError(AssertionError):
    """Everybody waits for something that nobody will do, or is busy for ever and a day."""


class VirtualTime:
    """The clock of a whole life, and the loop whose time it is: all timers of asyncio follow it.

    One thread only: a life must not wait for a socket or another thread, because nobody would
    tell the loop. That makes it the same life each time.
    """

    def __init__(self) -> None:
        self.start = datetime(2026, 1, 1, tzinfo=UTC)
        self.elapsed = 0.0

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.elapsed)

    @staticmethod
    async def sleep(seconds: float) -> None:
        assert seconds >= 0
        await asyncio.sleep(seconds)

    @staticmethod
    def after(seconds: float, act: Callable[[], object]) -> None:
        """Do something when so much time has passed from now."""
        asyncio.get_running_loop().call_later(seconds, act)

    def run(self, life: Coroutine[Any, Any, T]) -> T:
        """Live a life to its end."""
        with asyncio.Runner(loop_factory=lambda: _VirtualLoop(self)) as runner:
            return runner.run(life)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, time: VirtualTime) -> None:
        self._virtual = time
        super().__init__(_Jump(time))
        self.set_exception_handler(_be_silent)

    def time(self) -> float:
        return self._virtual.elapsed


class _Jump(selectors.SelectSelector):
    """Where a loop waits: the wait is over at once, and its time has passed."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if timeout is None or self._time.elapsed > _LONGEST or self._turns > _MOST_TURNS:
            raise NothingHappensError(f"no end is in sight after {self._time.elapsed:g} s")
        self._time.elapsed += timeout
        return []


def _be_silent(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """Tasks of dead processes leave errors behind that nobody asks for."""
