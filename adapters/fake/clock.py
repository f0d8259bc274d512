"""Time for tests: it passes only by sleeping."""

import asyncio
from datetime import UTC, datetime, timedelta

from ...domain.checks import check_moment


class VirtualClock:
    """A clock for services under test: `sleep` returns at once and moves `now` along.

    Raises `InputError` for a `start` without a zone.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        check_moment("start", start)
        self._moment = start

    def now(self) -> datetime:
        """The present moment."""
        return self._moment

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass, and other tasks have their turn."""
        self._moment += timedelta(seconds=seconds)
        await asyncio.sleep(0)
