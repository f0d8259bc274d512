"""When a batch is asked for again: the moments of its schedule, however long it has been."""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from uuid import UUID

import pytest
from hypothesis import assume, example, given, strategies as st

from batchtrail.adapters.fake import VirtualClock
from batchtrail.application.errors import NotFoundError, UnavailableError
from batchtrail.application.polling import Patience, first_poll, poll_delay

_ROUNDING = 0.001
_INTERVAL = st.floats(2, 4_000)


def moments(schedule: Sequence[float], batch_id: UUID) -> Iterator[float]:
    """Walk through the polls of a batch, in seconds after its submission."""
    place = 0.9 + 0.2 * (batch_id.int % 1_000 / 1_000)
    moment = 0.0
    for interval in schedule:
        moment += interval * place
        yield moment
    while True:
        moment += schedule[-1] * place
        yield moment


@given(st.lists(_INTERVAL, min_size=1, max_size=6), st.floats(0, 4_000), st.uuids())
@example([60.0, 120.0, 300.0, 600.0, 1_800.0], 93_600.0, UUID(int=1))
@example([1.0], 86_400.0, UUID(int=500))
@example([60.0], 0.0, UUID(int=999))
def test_the_next_moment(schedule: list[float], elapsed: float, batch_id: UUID) -> None:
    """It is the one that a walk from the submission comes to."""
    past = elapsed + _ROUNDING
    walked = list(takewhile(lambda moment: moment < past + 5_000, moments(schedule, batch_id)))
    assume(all(abs(moment - past) > 1e-6 for moment in walked))
    expected = next(moment for moment in walked if moment > past)
    assert abs(poll_delay(schedule, elapsed, batch_id) - (expected - elapsed)) < 1e-6


@given(st.lists(_INTERVAL, min_size=1, max_size=6), st.integers(0, 2_000), st.uuids())
def test_from_one_moment_to_the_next(schedule: list[float], number: int, batch_id: UUID) -> None:
    """Who wakes up at a moment, or a little before it, waits for the one behind it."""
    walk = moments(schedule, batch_id)
    for _ in range(number):
        next(walk)
    now, following = next(walk), next(walk)
    for woken in (now, now - _ROUNDING / 2):
        assert abs(woken + poll_delay(schedule, woken, batch_id) - following) < 1e-6


@given(st.lists(_INTERVAL, min_size=1), st.uuids())
def test_the_first_moment(schedule: list[float], batch_id: UUID) -> None:
    """A clock that woke up a little early has not missed it."""
    assert first_poll(schedule, batch_id) == next(moments(schedule, batch_id)) - _ROUNDING


def test_a_long_wait_is_not_walked_through() -> None:
    """Intervals of a millisecond, for a year: one after the other would take hours."""
    assert 0 < poll_delay([0.001], 365 * 86_400.0, UUID(int=7)) < 0.003


async def test_what_is_not_there_for_an_hour() -> None:
    """It is waited for as long, from the first time on; another answer begins the hour anew."""
    clock = VirtualClock()
    patience, gone = Patience(clock), NotFoundError("no such batch")
    for _ in range(2):
        for wait in (0, 1_800, 1_800):
            await clock.sleep(wait)
            assert patience.wait_after(gone) == 0
        assert patience.wait_after(UnavailableError("down", retry_after=7)) == 7
    for wait in (0, 1_800, 1_800):
        await clock.sleep(wait)
        assert patience.wait_after(gone) == 0
    await clock.sleep(1)
    with pytest.raises(NotFoundError):
        patience.wait_after(gone)
    patience.forget()
    assert patience.wait_after(gone) == 0
