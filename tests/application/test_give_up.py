"""Batches that are not over at the maximum age: canceled, given up, and their rows kept."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from batchtrail.application.errors import (
    InputError,
    NotFoundError,
    ProviderError,
    QuotaError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
)
from batchtrail.domain.errors import NothingToCollectError
from batchtrail.domain.status import BatchStatus

if TYPE_CHECKING:
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.application.service import BatchService

HOUR = 3_600.0
MAX_AGE = 26 * HOUR
PATIENCE = 720.0


async def stuck(lab: Lab, provider: Any = None, **options: Any) -> tuple[BatchService, UUID, str]:
    """Submit a batch that finishes two of its three requests and no more."""
    service = lab.service(provider, **options)
    batch_id = await service.submit(lab.lines())
    provider_id = lab.provider.batch_ids[-1]
    lab.provider.work(provider_id, finished=2)
    return service, batch_id, provider_id


async def over_unseen(lab: Lab, **options: Any) -> tuple[BatchService, UUID]:
    """Submit a batch that ends at the provider, unseen until it is past the maximum age."""
    service, batch_id, provider_id = await stuck(lab, **options)
    lab.provider.complete(provider_id)
    lab.clock.pass_time(MAX_AGE + 1)
    return service, batch_id


class Prompt:
    """A provider that cancels while it is being asked to."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def cancel_batch(self, batch_id: str) -> Any:
        await self._inner.cancel_batch(batch_id)
        self._inner.finish_cancel(batch_id)
        return await self._inner.retrieve_batch(batch_id)


async def test_cancel_that_is_answered_at_once(lab: Lab) -> None:
    """The provider's own end is the end: canceled, with the finished rows."""
    service, batch_id, _ = await stuck(lab, Prompt(lab.provider))
    summary = await service.wait(batch_id)
    assert (summary.status, summary.given_up) == (BatchStatus.CANCELED, False)
    assert lab.clock.elapsed == pytest.approx(MAX_AGE, abs=1)
    assert sorted((await lab.outcomes(service, batch_id)).values()) == [
        "canceled",
        "succeeded",
        "succeeded",
    ]


async def test_rows_within_the_patience(lab: Lab) -> None:
    """Given up at the maximum age to the second; what the cancellation brings is collected."""
    service, batch_id, provider_id = await stuck(lab)
    finish = partial(lab.provider.finish_cancel, provider_id)
    lab.clock.after(MAX_AGE + PATIENCE / 2, finish)
    summary = await service.wait(batch_id)
    assert (summary.status, summary.given_up) == (BatchStatus.FAILED, True)
    assert summary.ended_at is not None
    assert (summary.ended_at - lab.clock.start).total_seconds() == pytest.approx(MAX_AGE, abs=1)
    assert summary.errors[0].code == "given_up"
    outcomes = summary.totals.outcomes
    assert (outcomes.succeeded, outcomes.canceled) == (2, 1)
    await lab.assert_each_once(service, batch_id)


async def test_rows_behind_the_patience(lab: Lab) -> None:
    """They are settled as failed, until somebody collects once more."""
    service, batch_id, provider_id = await stuck(lab)
    summary = await service.wait(batch_id)
    # Behind the patience the files are fetched three times more: two results are counted.
    assert 0 <= lab.clock.elapsed - MAX_AGE - PATIENCE <= 4 * 60
    assert summary.totals.outcomes.failed == 3
    found = await lab.completions(service, batch_id)
    assert {each.error.code for each in found if each.error} == {"given_up"}
    with pytest.raises(NothingToCollectError, match="cancelling"):
        await service.collect_again(batch_id)
    lab.provider.finish_cancel(provider_id)
    outcomes = (await service.collect_again(batch_id)).totals.outcomes
    assert (outcomes.succeeded, outcomes.canceled, outcomes.failed) == (2, 1, 0)
    await lab.assert_each_once(service, batch_id)
    with pytest.raises(NothingToCollectError, match="every request"):
        await service.collect_again(batch_id)


async def test_collect_again_after_a_crash(lab: Lab) -> None:
    """Taken up by whoever comes next, and applied once."""
    service, batch_id, provider_id = await stuck(lab)
    await service.wait(batch_id)
    lab.provider.finish_cancel(provider_id)
    lab.provider.fail_next("download", lab.Crash())
    with pytest.raises(lab.Crash):
        await service.collect_again(batch_id)
    service = lab.service()
    assert (await service.wait(batch_id)).totals.outcomes.succeeded == 2
    await lab.assert_each_once(service, batch_id)


async def test_collect_does_not_run_ahead_of_the_cancellation(lab: Lab) -> None:
    """Rows that may still come are not settled away by a command, unless it says so."""
    service, batch_id, provider_id = await stuck(lab)
    crash = lab.Crash()
    lab.clock.after(MAX_AGE + 2, lambda: lab.provider.fail_always(crash))
    with pytest.raises(lab.Crash):
        await service.wait(batch_id)
    lab.provider.heal()
    assert (await service.status(batch_id)).given_up
    with pytest.raises(InputError, match="still being canceled"):
        await service.collect(batch_id)
    assert (await service.collect(batch_id, as_is=True)).totals.outcomes.failed == 3
    lab.provider.finish_cancel(provider_id)
    assert (await service.collect_again(batch_id)).totals.outcomes.succeeded == 2


async def test_a_batch_that_was_given_up_is_no_end_taken_back(lab: Lab) -> None:
    """Whatever the maximum age is for whoever looks for its rows: its end is ours."""
    service, batch_id, provider_id = await stuck(lab)
    lab.clock.after(MAX_AGE + 2, lambda: lab.provider.fail_always(lab.Crash()))
    with pytest.raises(lab.Crash):
        await service.wait(batch_id)
    lab.provider.heal()
    patient = lab.service(max_age=2 * MAX_AGE)
    with pytest.raises(InputError, match="still being canceled"):
        await patient.collect(batch_id)
    lab.provider.finish_cancel(provider_id)
    assert (await patient.collect(batch_id)).totals.outcomes.succeeded == 2


async def test_a_provider_out_of_reach(lab: Lab) -> None:
    """What nobody can ask about may be over and paid for: it gets twice the maximum age."""
    service, batch_id, provider_id = await stuck(lab)
    lab.clock.after(10, lambda: lab.provider.fail_always(UnavailableError("down")))
    lab.clock.after(HOUR, partial(lab.provider.complete, provider_id))
    lab.clock.after(2 * MAX_AGE - 2 * HOUR, lab.provider.heal)
    summary = await service.wait(batch_id)
    assert (summary.status, summary.given_up) == (BatchStatus.ENDED, False)
    assert lab.clock.elapsed < 2 * MAX_AGE
    assert set((await lab.outcomes(service, batch_id)).values()) == {"succeeded"}


async def test_a_provider_that_never_comes_back(lab: Lab) -> None:
    """Given up at twice the maximum age, with the reason."""
    service, batch_id, _ = await stuck(lab)
    lab.clock.after(10, lambda: lab.provider.fail_always(UnavailableError("down")))
    summary = await service.wait(batch_id)
    assert summary.given_up
    assert "down" in summary.errors[0].message
    assert 2 * MAX_AGE <= lab.clock.elapsed < 2 * MAX_AGE + HOUR + PATIENCE
    assert set((await lab.outcomes(service, batch_id)).values()) == {"failed"}


async def test_a_batch_that_ends_at_the_last_moment(lab: Lab) -> None:
    """The poll at the maximum age sees its end: nothing is canceled."""
    service, batch_id, provider_id = await stuck(lab)
    lab.clock.after(MAX_AGE - 1, partial(lab.provider.complete, provider_id))
    assert (await service.wait(batch_id)).status is BatchStatus.ENDED
    assert lab.provider.count("cancel") == 0


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("no network yet"),
        NotFoundError("no such batch"),
        RateLimitedError("slow down", http_status=429),
    ],
)
async def test_a_first_look_long_after_the_end(lab: Lab, error: ProviderError) -> None:
    """A failure says nothing about the time in which nobody looked: the rows are paid for."""
    _, batch_id, provider_id = await stuck(lab)
    lab.provider.complete(provider_id)
    lab.clock.pass_time(3 * MAX_AGE)
    lab.provider.fail_always(error)
    lab.clock.after(HOUR / 2, lab.provider.heal)
    summary = await lab.service().wait(batch_id)
    assert (summary.status, summary.totals.outcomes.succeeded) == (BatchStatus.ENDED, 3)


@pytest.mark.parametrize(
    "error", [UnauthorizedError("wrong key", http_status=401), QuotaError("no credit")]
)
async def test_a_wrong_key_gives_nothing_up(lab: Lab, error: ProviderError) -> None:
    """It is told, to whoever waits and however often, and the right one finds the rows."""
    service, batch_id, provider_id = await stuck(lab)
    lab.provider.complete(provider_id)
    lab.provider.fail_always(error)
    for _ in range(3):
        lab.clock.pass_time(2 * MAX_AGE)
        with pytest.raises(type(error)):
            await service.wait(batch_id)
    lab.provider.heal()
    assert (await service.wait(batch_id)).totals.outcomes.succeeded == 3


async def test_a_batch_that_the_provider_does_not_have(lab: Lab) -> None:
    """Given up when that was said for an hour, and not for an outage before."""
    service, batch_id, _ = await stuck(lab)
    lab.clock.pass_time(MAX_AGE + 1)
    lab.provider.fail_always(UnavailableError("down"))
    lab.clock.after(2 * HOUR, partial(lab.provider.fail_always, NotFoundError("no such batch")))
    summary = await service.wait(batch_id)
    assert summary.given_up
    assert "no such batch" in summary.errors[0].message
    assert summary.ended_at is not None
    after = (summary.ended_at - lab.clock.start).total_seconds() - MAX_AGE
    assert 3 * HOUR <= after < 4 * HOUR


@pytest.mark.parametrize(
    ("error", "asleep"),
    [
        (UnavailableError("no network"), 30 * HOUR),
        (UnavailableError("no network"), 300 * HOUR),
        (NotFoundError("a page of a proxy"), 2 * HOUR),
    ],
)
async def test_a_machine_that_was_asleep(lab: Lab, error: ProviderError, asleep: float) -> None:
    """Two failures with a closed lid between them are no day on which nobody answered."""
    service, batch_id = await over_unseen(lab)
    lab.provider.fail_always(error)
    lab.clock.after(60, lambda: lab.clock.set_by(asleep))
    lab.clock.after(2_400, lab.provider.heal)
    summary = await service.wait(batch_id)
    assert (summary.status, summary.totals.outcomes.succeeded) == (BatchStatus.ENDED, 3)


async def test_too_many_calls_give_nothing_up(lab: Lab) -> None:
    """However long: who says so is there, and may have the rows."""
    service, batch_id = await over_unseen(lab)
    lab.provider.fail_always(RateLimitedError("slow down", http_status=429))
    lab.clock.after(2 * MAX_AGE, lab.provider.heal)
    assert (await service.wait(batch_id)).totals.outcomes.succeeded == 3


DOWN, DENIED = UnavailableError("down"), NotFoundError("no such batch")
TOO_MANY = RateLimitedError("slow down", http_status=429)


@pytest.mark.parametrize(
    ("first", "between", "hours"),
    [(DOWN, TOO_MANY, 20.0), (DOWN, DENIED, 20.0), (DENIED, DOWN, 0.7), (DENIED, TOO_MANY, 0.7)],
)
async def test_another_answer_begins_the_time_anew(
    lab: Lab, first: ProviderError, between: ProviderError, hours: float
) -> None:
    """Two times that are too short are not one that is long enough, however often it is asked."""
    service, batch_id = await over_unseen(lab, poll_schedule=(300.0,))
    lab.provider.fail_always(first)
    lab.clock.after(hours * HOUR, partial(lab.provider.fail_always, between))
    lab.clock.after((hours + 0.6) * HOUR, partial(lab.provider.fail_always, first))
    lab.clock.after((2 * hours + 0.6) * HOUR, lab.provider.heal)
    summary = await service.wait(batch_id)
    assert (summary.status, summary.totals.outcomes.succeeded) == (BatchStatus.ENDED, 3)


async def test_a_wrong_key_for_longer_than_the_maximum_age(lab: Lab) -> None:
    """However often somebody looks with it."""
    service, batch_id = await over_unseen(lab)
    lab.provider.fail_always(UnauthorizedError("wrong key", http_status=401))
    for _ in range(60):
        with pytest.raises(UnauthorizedError):
            await service.wait(batch_id)
        lab.clock.pass_time(HOUR / 2)
    lab.provider.heal()
    assert (await service.wait(batch_id)).totals.outcomes.succeeded == 3
