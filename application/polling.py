"""When to ask for a batch again, and when to stop."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from .errors import NotFoundError, ProviderError
from .ports import Clock

DEFAULT_SCHEDULE = (60.0, 120.0, 300.0, 600.0, 1_800.0)
"""Seconds between the polls of one batch; the last repeats."""

_SPREAD = 0.1
_ROUNDING = 0.001
"""A clock that woke up this much early has not missed its moment."""


_NOT_FOUND_FOR = timedelta(hours=1)


def first_poll(schedule: Sequence[float], batch_id: UUID) -> float:
    """Seconds after its submission at which a batch may have news."""
    return next(_moments(schedule, batch_id)) - _ROUNDING


def poll_delay(schedule: Sequence[float], elapsed: float, batch_id: UUID) -> float:
    """Seconds to the next poll of a batch that was submitted `elapsed` seconds ago.

    It depends on nothing else, so any process can go on polling at any time. Each batch has its
    own place within a tenth around the schedule, so that many batches that were submitted
    together do not ask together for ever.
    """
    moments = _moments(schedule, batch_id)
    return next(moment for moment in moments if moment > elapsed + _ROUNDING) - elapsed


def _moments(schedule: Sequence[float], batch_id: UUID) -> Iterator[float]:
    place = 1 - _SPREAD + 2 * _SPREAD * (batch_id.int % 1_000 / 1_000)
    moment = 0.0
    for interval in schedule:
        moment += interval * place
        yield moment
    while True:
        moment += schedule[-1] * place
        yield moment


class Trouble:
    """How long the provider has been saying that it does not have what we ask for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: datetime | None = None

    def wait_after(self, error: ProviderError) -> float:
        """Seconds that the error asks for; raises it when it has lasted for an hour."""
        if not isinstance(error, NotFoundError):
            self.is_over()
            return error.retry_after or 0.0
        self._since = self._since or self._clock.now()
        if self._clock.now() - self._since > _NOT_FOUND_FOR:
            raise error
        return 0.0

    def is_over(self) -> None:
        """Something else happened; the next time counts from its own beginning."""
        self._since = None
