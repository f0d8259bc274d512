"""When to ask for a batch again, and when to stop."""

import math
from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from .errors import NotFoundError, ProviderError
from .ports import Clock

DEFAULT_SCHEDULE = (60.0, 120.0, 300.0, 600.0, 1_800.0)
"""Seconds between the polls of one batch; the last repeats."""

_SPREAD = 0.1
_ROUNDING = 0.001
"""A clock that woke up this much early has not missed its moment."""


NOT_FOUND_FOR = timedelta(hours=1)
"""For so long, what the provider denies to have may only not be visible yet."""


_LONGEST_PAUSE = timedelta(minutes=35)
"""The longest pause between polls, half an hour and a tenth; in a longer one the machine slept."""


def first_poll(schedule: Sequence[float], batch_id: UUID) -> float:
    """Seconds after its submission at which a batch may have news."""
    return schedule[0] * _place(batch_id) - _ROUNDING


def poll_delay(schedule: Sequence[float], elapsed: float, batch_id: UUID) -> float:
    """Seconds to the next poll of a batch that was submitted `elapsed` seconds ago.

    It depends on nothing else, so any process can go on polling at any time. Each batch has its
    own place within a tenth around the schedule, so that many batches that were submitted
    together do not ask together for ever.
    """
    return _moment_after(elapsed + _ROUNDING, schedule, _place(batch_id)) - elapsed


def _place(batch_id: UUID) -> float:
    """By how much the intervals of a batch are longer or shorter than those of the schedule."""
    return 1 - _SPREAD + 2 * _SPREAD * (batch_id.int % 1_000 / 1_000)


def _moment_after(past: float, schedule: Sequence[float], place: float) -> float:
    """The first poll that is more than `past` seconds after the submission, in seconds."""
    moment = 0.0
    for interval in schedule:
        moment += interval * place
        if moment > past:
            return moment
    last = schedule[-1] * place
    moment += last * math.floor((past - moment) / last)
    return moment if moment > past else moment + last


class Failing:
    """For how long this process has seen something fail; what it slept through counts little."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._met: dict[Hashable, tuple[timedelta, datetime]] = {}

    def lasts(self, what: Hashable) -> timedelta:
        """The time between the failures of this kind, the one just met included."""
        now = self._clock.now()
        lasted, before = self._met.get(what, (timedelta(0), now))
        lasted += min(now - before, _LONGEST_PAUSE)
        self._met[what] = lasted, now
        return lasted

    def forget(self, *whats: Hashable) -> None:
        """These were answered; the next failure of each counts from its own beginning."""
        for what in whats:
            self._met.pop(what, None)


class Patience:
    """How long the provider has been saying that it does not have what we ask for."""

    def __init__(self, clock: Clock) -> None:
        self._failing = Failing(clock)

    def wait_after(self, error: ProviderError) -> float:
        """Seconds that the error asks for; raises it when it has lasted for an hour."""
        if not isinstance(error, NotFoundError):
            self.forget()
            return error.retry_after or 0.0
        if self._failing.lasts(NotFoundError) > NOT_FOUND_FOR:
            raise error
        return 0.0

    def forget(self) -> None:
        """The provider said something else; its next denial counts from its own beginning."""
        self._failing.forget(NotFoundError)
