"""How a wait polls, what it sits out and what ends it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from batchtrail.application.errors import (
    InputError,
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    QuotaError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
)
from batchtrail.application.progress import Delayed
from batchtrail.domain.status import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.application.progress import Progress
    from batchtrail.application.service import BatchService

HOUR = 3_600.0


def polls(lab: Lab, **options: object) -> tuple[BatchService, list[float]]:
    """Start a process; note when it asks for a batch."""
    moments: list[float] = []

    async def note(boundary: str) -> None:
        if boundary == "before retrieve":
            moments.append(lab.clock.elapsed)

    return lab.watched(note, **options), moments


async def test_polls_follow_the_schedule(lab: Lab) -> None:
    """60, 120, 300, 600, 1800 and again 1800 seconds apart, all within a tenth."""
    service, moments = polls(lab)
    batch_id = await service.submit(lab.lines())
    lab.clock.after(6_500, lab.complete_all)
    await service.wait(batch_id)
    schedule = [60, 120, 300, 600, 1_800, 1_800, 1_800, 1_800]
    gaps = [later - earlier for earlier, later in zip([0.0, *moments], moments, strict=False)]
    assert len(gaps) in {7, 8}
    for gap, planned in zip(gaps, schedule, strict=False):
        assert gap == pytest.approx(planned, rel=0.1 + 1e-9)
    assert len({round(gap / planned, 6) for gap, planned in zip(gaps, schedule, strict=False)}) == 1


async def test_batches_are_spread(lab: Lab) -> None:
    """Batches that were submitted together do not ask together."""
    first_polls = set()
    for number in range(5):
        service, moments = polls(lab)
        before = lab.clock.elapsed
        batch_id = await service.submit(lab.lines(str(number)))
        lab.clock.after(30, lab.complete_all)
        await service.wait(batch_id)
        first_polls.add(round(moments[0] - before, 3))
    assert len(first_polls) > 2
    assert all(54 <= moment <= 66 for moment in first_polls)


async def test_another_process_keeps_the_schedule(lab: Lab) -> None:
    """A process that takes over in between polls neither at once again nor from the start."""
    first, _ = polls(lab)
    batch_id = await first.submit(lab.lines())
    lab.clock.pass_time(20)
    service, moments = polls(lab)
    lab.clock.after(600, lab.complete_all)
    await service.wait(batch_id)
    assert moments[0] == pytest.approx(60, rel=0.1)
    assert moments[1] == pytest.approx(180, rel=0.1)


async def test_overdue_poll_comes_at_once(lab: Lab) -> None:
    """A batch that nobody asked for since long is asked for without a wait."""
    batch_id = await lab.service().submit(lab.lines())
    lab.complete_all()
    lab.clock.pass_time(HOUR)
    service, moments = polls(lab)
    await service.wait(batch_id)
    assert moments == [HOUR]
    assert lab.clock.sleeps == []


async def test_a_clock_that_is_set_back(lab: Lab) -> None:
    """Nobody waits until the old time comes once more, as it is when that was days ahead."""
    service, moments = polls(lab)
    batch_id = await service.submit(lab.lines())
    lab.clock.set_by(-6 * HOUR)
    lab.clock.after(600, lab.complete_all)
    await service.wait(batch_id)
    assert moments[0] < 120
    assert lab.clock.elapsed < HOUR


async def test_fractions_of_seconds(lab: Lab) -> None:
    """A schedule for tests and emulators may be fast."""
    service, moments = polls(lab, poll_schedule=(0.05,))
    batch_id = await service.submit(lab.lines())
    lab.clock.after(1, lab.complete_all)
    await service.wait(batch_id)
    assert 15 <= len(moments) <= 25


@pytest.mark.parametrize(
    "error", [UnavailableError("down"), RateLimitedError("slow down", http_status=429)]
)
async def test_outage_of_an_hour(lab: Lab, error: ProviderError) -> None:
    """A provider that is away for an hour does not end the wait."""
    told: list[Progress] = []
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.provider.fail_always(error)
    lab.clock.after(HOUR, lab.provider.heal)
    lab.clock.after(HOUR, lab.complete_all)
    summary = await service.wait(batch_id, told.append)
    assert summary.status is BatchStatus.ENDED
    assert [each for each in told if isinstance(each, Delayed)]
    assert len(lab.provider.calls) < 40
    await lab.assert_each_once(service, batch_id)


@pytest.mark.parametrize("operation", ["download", "list", "upload"])
async def test_outage_of_one_call(lab: Lab, operation: str) -> None:
    """An hour without one of the calls is sat out wherever the batch stands."""
    service = lab.service()
    if operation == "upload":
        lab.provider.fail_next("upload", lab.Crash())
    if operation == "list":
        lab.provider.lose_next_answer("create", error=lab.Crash())
    try:
        batch_id = await service.submit(lab.lines())
    except lab.Crash:
        batch_id = (await service.batches())[0].id
    lab.provider.fail_next(operation, UnavailableError("down"), times=1_000)
    lab.clock.after(HOUR, lab.provider.heal)
    lab.clock.after(4 * HOUR, lab.complete_all)
    if operation == "download":
        lab.complete_all()
    await service.wait(batch_id)
    assert len(lab.provider.batch_ids) == 1
    await lab.assert_each_once(service, batch_id)


LONG: list[tuple[str, Callable[[], ProviderError]]] = [
    ("upload", lambda: OutcomeUnknownError("502", http_status=502)),
    ("create", lambda: NotFoundError("Cannot find file", param="file_id")),
    ("download", lambda: NotFoundError("No such File object")),
    ("retrieve", lambda: NotFoundError("No batch found")),
]


@pytest.mark.parametrize(("operation", "error"), LONG)
async def test_trouble_of_five_minutes_does_not_end_the_wait(
    lab: Lab, operation: str, error: Callable[[], ProviderError]
) -> None:
    """Gateway errors and things not visible yet, for five minutes, are sat out as well."""
    service = lab.service()
    if operation in {"upload", "create"}:
        lab.provider.fail_next("upload", lab.Crash())
        with pytest.raises(lab.Crash):
            await service.submit(lab.lines())
        batch_id = (await service.batches())[0].id
    else:
        batch_id = await service.submit(lab.lines())
        lab.complete_all()
    lab.provider.fail_next(operation, error(), times=1_000)
    lab.clock.after(300, lab.provider.heal)
    lab.clock.after(4 * HOUR, lab.complete_all)
    await service.wait(batch_id)
    await lab.assert_each_once(service, batch_id)


async def test_each_denial_counts_from_its_own_beginning(lab: Lab) -> None:
    """A batch that is denied for forty minutes, shown, and denied as long again is there."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())

    def deny() -> None:
        lab.provider.fail_next("retrieve", NotFoundError("No batch found"), times=1_000)

    for begin in (1, 3 * HOUR):
        lab.clock.after(begin, deny)
        lab.clock.after(begin + 2_400, lab.provider.heal)
    lab.clock.after(5 * HOUR, lab.complete_all)
    assert (await service.wait(batch_id)).status is BatchStatus.ENDED


async def test_retry_after_is_respected(lab: Lab) -> None:
    """A poll that was rate limited is not repeated before its time."""
    service, moments = polls(lab)
    batch_id = await service.submit(lab.lines())
    lab.provider.fail_next("retrieve", RateLimitedError("slow down", retry_after=1_000))
    lab.clock.after(30, lab.complete_all)
    await service.wait(batch_id)
    assert round(moments[1] - moments[0], 6) >= 1_000


@pytest.mark.parametrize("error", [UnauthorizedError("wrong key"), QuotaError("pay first")])
@pytest.mark.parametrize("operation", ["retrieve", "download"])
async def test_wrong_key_ends_the_wait(lab: Lab, operation: str, error: ProviderError) -> None:
    """What only the user can repair is said; with the right key the same wait goes on."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    lab.provider.fail_next(operation, error)
    with pytest.raises(type(error)):
        await service.wait(batch_id)
    await service.wait(batch_id)
    await lab.assert_each_once(service, batch_id)


async def test_interrupted_wait_leaves_the_batch_alone(lab: Lab) -> None:
    """Who stops waiting does not stop the batch."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())

    async def interrupted() -> None:
        waiting = asyncio.ensure_future(service.wait(batch_id))
        lab.clock.after(1_000, waiting.cancel)
        await waiting

    with pytest.raises(asyncio.CancelledError):
        await interrupted()
    assert lab.provider.count("cancel") == 0
    lab.complete_all()
    await service.wait(batch_id)
    await lab.assert_each_once(service, batch_id)


async def begun_submission(lab: Lab, *, lost: bool) -> UUID:
    """Begin a submission and crash, before the upload or after the create."""
    if lost:
        lab.provider.lose_next_answer("create", error=lab.Crash())
    else:
        lab.provider.fail_next("upload", lab.Crash())
    service = lab.service()
    with pytest.raises(lab.Crash):
        await service.submit(lab.lines())
    return (await service.batches())[0].id


@pytest.mark.parametrize("lost", [True, False])
async def test_wait_at_another_provider_is_refused(lab: Lab, lost: bool) -> None:
    """A batch of one account is not submitted at another, where it would be paid for again."""
    batch_id = await begun_submission(lab, lost=lost)
    other = type(lab.provider)(name="other", now=lab.clock.now, auto=True)
    with pytest.raises((InputError, ProviderError)):
        await lab.service(other).wait(batch_id)
    assert other.calls == []


@pytest.mark.parametrize("use", ["cancel", "collect", "refresh"])
async def test_other_uses_at_another_provider_are_refused(lab: Lab, use: str) -> None:
    """Nothing is asked of a provider that does not know the batch."""
    batch_id = await lab.service().submit(lab.lines())
    other = type(lab.provider)(name="other", now=lab.clock.now)
    with pytest.raises(InputError, match="is at fake, and this is other"):
        await getattr(lab.service(other), use)(batch_id)
    assert other.calls == []
