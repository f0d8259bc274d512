"""Cancelling at every moment of a life, with calls that get lost on the way."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from batchtrail.application.errors import (
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    QuotaError,
    RateLimitedError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)
from batchtrail.domain.errors import (
    AlreadyCancelingError,
    BatchFinishedError,
    BatchSubmittedError,
    DomainError,
)
from batchtrail.domain.status import BatchStatus
from batchtrail.domain.values import BatchProblem, NewBatch

if TYPE_CHECKING:
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.application.service import BatchService

NOT_FOUND = BatchProblem("invalid_request", "Cannot find file file-1.", "file_id")
DRAFT = NewBatch(provider="fake", endpoint="/v1/responses")


async def submitted(lab: Lab) -> tuple[BatchService, UUID, str]:
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    return service, batch_id, lab.provider.batch_ids[-1]


async def test_cancel_of_a_draft_makes_no_call(lab: Lab) -> None:
    """What was never submitted ends at once, at home."""
    service = lab.service()
    batch_id = await service.draft(DRAFT)
    await service.add_requests(batch_id, lab.lines())
    summary = await service.cancel(batch_id)
    assert summary.status is BatchStatus.CANCELED
    assert lab.provider.calls == []
    assert (await service.wait(batch_id)).totals.outcomes.canceled == 3
    assert lab.provider.calls == []
    await lab.assert_each_once(service, batch_id)
    with pytest.raises(BatchSubmittedError):
        await service.submit_draft(batch_id)
    with pytest.raises(BatchSubmittedError):
        await service.add_requests(batch_id, lab.lines("d"))


async def test_cancel_before_the_upload_was_done(lab: Lab) -> None:
    """A submission that never got its file up is abandoned, without a create."""
    lab.provider.fail_next("upload", RuntimeError("the process dies"))
    service = lab.service()
    with pytest.raises(RuntimeError):
        await service.submit(lab.lines())
    batch_id = (await service.batches())[0].id
    assert (await service.cancel(batch_id)).status is BatchStatus.CANCELED
    assert lab.provider.count("create") == lab.provider.count("cancel") == 0
    assert set((await finished(lab, service, batch_id)).values()) == {"canceled"}


async def finished(lab: Lab, service: BatchService, batch_id: UUID) -> dict[str, str]:
    await service.wait(batch_id)
    await lab.assert_each_once(service, batch_id)
    return await lab.outcomes(service, batch_id)


async def test_cancel_between_upload_and_create(lab: Lab) -> None:
    """The file that is up already is deleted, and no batch is made."""

    async def die(boundary: str) -> None:
        if boundary == "after upload":
            lab.provider.fail_next("create", UnavailableError("down"), times=99)

    with pytest.raises(UnavailableError):
        await lab.watched(die).submit(lab.lines())
    service = lab.service()
    batch_id = (await service.batches())[0].id
    assert (await service.cancel(batch_id)).status is BatchStatus.CANCELED
    assert (lab.provider.batch_ids, lab.provider.file_ids) == ((), ())
    assert set((await finished(lab, service, batch_id)).values()) == {"canceled"}


async def test_cancel_by_another_process_while_uploading(lab: Lab) -> None:
    """A cancel during the upload: nothing is created, the file does not stay behind."""
    other = lab.service()

    async def cancel(boundary: str) -> None:
        if boundary == "after upload":
            await other.cancel((await other.batches())[0].id)

    batch_id = await lab.watched(cancel).submit(lab.lines())
    assert (await other.status(batch_id)).status is BatchStatus.CANCELED
    assert (lab.provider.batch_ids, lab.provider.file_ids) == ((), ())


@pytest.mark.parametrize("boundary", ["before create", "after create"])
async def test_cancel_by_another_process_while_creating(lab: Lab, boundary: str) -> None:
    """A cancel around the create call: whatever was made is told to cancel."""
    other = lab.service(reconcile_wait=10)

    async def cancel(now: str) -> None:
        if now == boundary:
            await other.cancel((await other.batches())[0].id)

    service = lab.watched(cancel)
    batch_id = await service.submit(lab.lines())
    for provider_id in lab.provider.batch_ids:
        lab.clock.after(50, partial(lab.provider.finish_cancel, provider_id))
    assert set((await finished(lab, service, batch_id)).values()) == {"canceled"}
    assert lab.live() == []


async def test_cancel_after_a_lost_create(lab: Lab) -> None:
    """What a lost create made is found, adopted and canceled."""
    lab.provider.lose_next_answer("create", error=lab.Crash())
    service = lab.service()
    with pytest.raises(lab.Crash):
        await service.submit(lab.lines())
    batch_id = (await service.batches())[0].id
    await service.cancel(batch_id)
    assert lab.provider.look(lab.provider.batch_ids[0]).report.raw_status == "cancelling"
    assert lab.provider.count("create") == 1


async def test_cancel_after_a_lost_create_while_nothing_is_listed(lab: Lab) -> None:
    """What may be running is no end: it is looked for again once the provider answers."""
    lab.provider.lose_next_answer("create", error=lab.Crash())
    service = lab.service()
    with pytest.raises(lab.Crash):
        await service.submit(lab.lines())
    lab.provider.fail_next("list", QuotaError("no credit"), times=10_000)
    batch_id = (await service.batches())[0].id
    with pytest.raises(QuotaError):
        await service.cancel(batch_id)
    lab.provider.heal()
    lab.clock.after(50, partial(lab.provider.finish_cancel, lab.provider.batch_ids[0]))
    assert set((await finished(lab, service, batch_id)).values()) == {"canceled"}
    assert lab.live() == []


async def test_cancel_after_a_create_that_was_never_sent(lab: Lab) -> None:
    """Nothing is found and nothing is created: the submission is abandoned."""
    lab.provider.fail_next("create", lab.Crash())
    service = lab.service()
    with pytest.raises(lab.Crash):
        await service.submit(lab.lines())
    batch_id = (await service.batches())[0].id
    assert (await service.cancel(batch_id)).status is BatchStatus.CANCELED
    assert (lab.provider.batch_ids, lab.provider.count("create")) == ((), 1)


@pytest.mark.parametrize("worked", [None, 0, 2, 3])
async def test_cancel_at_the_provider(lab: Lab, worked: int | None) -> None:
    """Rows that were finished before the cancel are kept."""
    service, batch_id, provider_id = await submitted(lab)
    if worked is not None:
        lab.provider.work(provider_id, finished=worked)
    summary = await service.cancel(batch_id)
    assert summary.cancel_requested
    assert not summary.status.is_terminal
    lab.clock.after(400, lambda: lab.provider.finish_cancel(provider_id))
    outcomes = list((await finished(lab, service, batch_id)).values())
    assert outcomes.count("succeeded") == (worked or 0)
    assert outcomes.count("canceled") == 3 - (worked or 0)
    assert (await service.status(batch_id)).status is BatchStatus.CANCELED


async def test_cancel_twice_is_refused(lab: Lab) -> None:
    """A cancel that the provider took note of is not asked for again."""
    service, batch_id, _ = await submitted(lab)
    await service.cancel(batch_id)
    with pytest.raises(AlreadyCancelingError):
        await service.cancel(batch_id)
    assert lab.provider.count("cancel") == 1


async def test_cancel_after_the_end_is_refused(lab: Lab) -> None:
    """Too late is said, and nothing is called."""
    service, batch_id, _ = await submitted(lab)
    lab.complete_all()
    await service.wait(batch_id)
    with pytest.raises(BatchFinishedError, match="ended"):
        await service.cancel(batch_id)
    assert lab.provider.count("cancel") == 0


async def test_cancel_after_the_end_by_cancel_is_refused(lab: Lab) -> None:
    """A batch that was canceled is over as any other."""
    service, batch_id, provider_id = await submitted(lab)
    await service.cancel(batch_id)
    lab.provider.finish_cancel(provider_id)
    await service.wait(batch_id)
    with pytest.raises(DomainError):
        await service.cancel(batch_id)


@pytest.mark.parametrize("error", [UnavailableError("reset"), OutcomeUnknownError("502")])
async def test_cancel_whose_answer_is_lost(lab: Lab, error: ProviderError) -> None:
    """A look at the batch shows that it arrived."""
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.lose_next_answer("cancel", error=error)
    assert (await service.cancel(batch_id)).raw_status == "cancelling"
    lab.provider.finish_cancel(provider_id)
    assert set((await finished(lab, service, batch_id)).values()) == {"canceled"}
    assert lab.provider.count("cancel") == 1


async def test_lost_cancel_is_sent_again(lab: Lab) -> None:
    """The wish is in the log, so the next poll sends what was lost."""
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.fail_next("cancel", UnavailableError("down"))
    with pytest.raises(UnavailableError):
        await service.cancel(batch_id)
    assert (await service.status(batch_id)).cancel_requested
    lab.clock.after(100, lambda: lab.provider.finish_cancel(provider_id))
    assert set((await finished(lab, service, batch_id)).values()) == {"canceled"}
    assert lab.provider.count("cancel") == 2


async def test_a_cancel_that_fails_at_the_end(lab: Lab) -> None:
    """There is nothing to repeat: a look at the batch shows that it is over."""
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.complete(provider_id)
    lab.provider.fail_next("cancel", UnavailableError("down"))
    assert (await service.cancel(batch_id)).status is BatchStatus.ENDED
    assert set((await finished(lab, service, batch_id)).values()) == {"succeeded"}


async def test_a_cancel_that_shows_nothing_new_leaves_its_request_id(lab: Lab) -> None:
    """Some servers tell only later that they took note of it."""
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.show_status(provider_id, "in_progress")
    await service.refresh(batch_id)
    seen = (await lab.facts(service, batch_id)).count("StatusChanged")
    await service.cancel(batch_id)
    assert (await lab.facts(service, batch_id)).count("StatusChanged") == seen + 1


async def test_crash_before_the_cancel_is_sent(lab: Lab) -> None:
    """A process that dies with the wish in the log leaves the call to the next one."""
    _, batch_id, provider_id = await submitted(lab)
    lab.provider.fail_next("cancel", lab.Crash())
    with pytest.raises(lab.Crash):
        await lab.service().cancel(batch_id)
    lab.close()
    service = lab.service()
    await service.refresh(batch_id)
    assert lab.provider.look(provider_id).report.raw_status == "cancelling"
    await service.refresh(batch_id)
    assert lab.provider.count("cancel") == 2


async def test_cancel_may_be_repeated_by_hand_after_it_was_lost(lab: Lab) -> None:
    """Who saw the error may simply cancel again."""
    service, batch_id, _ = await submitted(lab)
    lab.provider.fail_next("cancel", UnavailableError("down"))
    with pytest.raises(UnavailableError):
        await service.cancel(batch_id)
    await service.cancel(batch_id)
    assert (await lab.facts(service, batch_id)).count("CancelRequested") == 1


@pytest.mark.parametrize("end", ["complete", "expire"])
async def test_cancel_loses_the_race(lab: Lab, end: str) -> None:
    """A batch that ended before the cancel arrived has its results."""
    service, batch_id, provider_id = await submitted(lab)
    getattr(lab.provider, end)(provider_id)
    summary = await service.cancel(batch_id)
    assert summary.status is {"complete": BatchStatus.ENDED, "expire": BatchStatus.EXPIRED}[end]
    outcomes = set((await finished(lab, service, batch_id)).values())
    assert outcomes == {"succeeded" if end == "complete" else "expired"}


async def test_cancel_then_completed_even_so(lab: Lab) -> None:
    """A provider that completes a batch after it took the cancel is believed."""
    service, batch_id, provider_id = await submitted(lab)
    await service.cancel(batch_id)
    batch = lab.provider._account.batch(provider_id)
    batch.status = type(batch.status)("in_progress")
    batch.total = 3
    lab.complete_all()
    assert set((await finished(lab, service, batch_id)).values()) == {"succeeded"}
    assert (await service.status(batch_id)).status is BatchStatus.ENDED


async def test_cancel_of_a_batch_that_failed_for_want_of_its_file(lab: Lab) -> None:
    """A canceled batch is not created again."""
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.fail(provider_id, [NOT_FOUND])
    await service.cancel(batch_id)
    assert set((await finished(lab, service, batch_id)).values()) == {"canceled"}
    assert lab.provider.count("create") == 1


async def test_two_cancels_at_once(lab: Lab) -> None:
    """Two terminals cancel at the same moment: the wish is recorded once, nothing breaks."""
    _, batch_id, provider_id = await submitted(lab)
    services = [lab.service(), lab.service()]
    results = await asyncio.gather(
        *(service.cancel(batch_id) for service in services), return_exceptions=True
    )
    assert all(not isinstance(r, BaseException) or isinstance(r, DomainError) for r in results)
    assert (await lab.facts(services[0], batch_id)).count("CancelRequested") == 1
    assert lab.provider.look(provider_id).report.raw_status == "cancelling"


async def test_resubmitting_a_canceled_batch_does_not_revive_it(lab: Lab) -> None:
    """The same command on canceled input finds the canceled batch; `new` makes another."""
    service, batch_id, provider_id = await submitted(lab)
    await service.cancel(batch_id)
    lab.provider.finish_cancel(provider_id)
    await service.wait(batch_id)
    assert await service.submit(lab.lines()) == batch_id
    assert lab.provider.count("create") == 1
    assert await service.submit(lab.lines(), new=True) != batch_id


@pytest.mark.parametrize("error", [UnavailableError("down"), NotFoundError("gone")])
async def test_discard_that_fails_does_not_stop_a_cancel(lab: Lab, error: Exception) -> None:
    """A file that cannot be deleted is left behind rather than the cancel undone."""

    async def die(boundary: str) -> None:
        if boundary == "after upload":
            lab.provider.fail_next("create", UnavailableError("down"), times=99)

    with pytest.raises(UnavailableError):
        await lab.watched(die).submit(lab.lines())
    lab.provider.fail_next("delete", error)
    service = lab.service()
    batch_id = (await service.batches())[0].id
    assert (await service.cancel(batch_id)).status is BatchStatus.CANCELED


@pytest.mark.parametrize(
    "error",
    [NotFoundError("no such route"), UnavailableError("500"), RateLimitedError("slow down")],
)
async def test_a_cancellation_that_always_fails_hides_no_end(
    lab: Lab, error: ProviderError
) -> None:
    """The batch is looked at all the same, and its finished rows are kept."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.provider.fail_next("cancel", error, times=10_000)
    with pytest.raises(type(error)):
        await service.cancel(batch_id)
    lab.clock.after(600, lab.complete_all)
    summary = await service.wait(batch_id)
    assert summary.status is BatchStatus.ENDED
    assert set((await lab.outcomes(service, batch_id)).values()) == {"succeeded"}
    assert lab.clock.elapsed < 3_600


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("no such route", http_status=404),
        RefusedError("no lists", http_status=400),
        UnauthorizedError("not yours", http_status=403),
    ],
)
async def test_cancel_where_lost_creates_cannot_be_looked_for(
    lab: Lab, error: ProviderError, lost: int
) -> None:
    """As the advice says: whoever has looked elsewhere cancels, and submits anew."""
    service = lab.service()
    lab.provider.lose_next_answer("create", times=lost)
    for _ in range(lost - 1):
        lab.provider.hide_from_list(times=10_000)
    shown = lost - 1  # searches that find nothing before lists are refused

    async def refuse(boundary: str) -> None:
        if boundary == "before list" and len(lab.provider.batch_ids) > shown:
            lab.provider.fail_next("list", error)

    watched = lab.watched(refuse)
    with pytest.raises(type(error), match="then cancel this batch and submit anew"):
        await watched.submit(lab.lines())
    (summary,) = await service.batches()
    assert (await watched.cancel(summary.id)).status is BatchStatus.CANCELED
    assert lab.provider.count("create") == lost
    again = await service.submit(lab.lines(), new=True)
    assert again != summary.id
