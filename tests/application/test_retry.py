"""Asking once more for what had no success, as a batch of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batchtrail.application.store import Batches
from batchtrail.domain.errors import NotCollectedError, NothingToRetryError
from batchtrail.domain.events import Retried
from batchtrail.domain.status import Outcome
from batchtrail.domain.values import BatchProblem, NewBatch, RequestProblem

if TYPE_CHECKING:
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.application.service import BatchService

ANSWERS = {"ok": 200, "slow": 408, "bad": 400, "busy": 429, "broken": 503}


async def collected(lab: Lab, *custom_ids: str) -> tuple[BatchService, UUID]:
    """Bring a batch to its end, each request answered as its custom_id says."""
    for custom_id, status_code in ANSWERS.items():
        lab.provider.answer_with(custom_id, status_code=status_code)
    service = lab.service()
    batch_id = await service.submit(lab.lines(*(custom_ids or ANSWERS)), metadata={"for": "42"})
    lab.complete_all()
    await service.wait(batch_id)
    return service, batch_id


async def asked(lab: Lab, service: BatchService, batch_id: UUID) -> list[str]:
    """Name the requests of a batch."""
    return [each.custom_id for each in await lab.completions(service, batch_id)]


async def links(lab: Lab, service: BatchService, batch_id: UUID) -> list[tuple[UUID, int]]:
    """List what the history of a parent says of its retries."""
    log = await lab.log(service, batch_id)
    return [(each.retry_id, each.count) for each in log if isinstance(each, Retried)]


async def test_only_what_is_worth_it(lab: Lab) -> None:
    """408, 429 and 5xx, in input order, as a batch like the first; both name each other."""
    service, batch_id = await collected(lab)
    retry_id = await service.retry(batch_id)
    assert await asked(lab, service, retry_id) == ["slow", "busy", "broken"]
    retry = await service.status(retry_id)
    assert (retry.retry_of, retry.metadata) == (batch_id, {"for": "42"})
    assert (await service.status(batch_id)).retries == (retry_id,)
    assert await links(lab, service, batch_id) == [(retry_id, 3)]
    for custom_id in ANSWERS:
        lab.provider.answer_with(custom_id)
    lab.complete_all()
    await service.wait(retry_id)
    assert set((await lab.outcomes(service, retry_id)).values()) == {"succeeded"}


async def test_an_input_that_was_added_in_parts(lab: Lab) -> None:
    """Each request is asked again with its own line."""
    service = lab.service()
    batch_id = await service.draft(NewBatch(provider="fake", endpoint="/v1/responses"))
    for part in ("a", "bc"):
        await service.add_requests(batch_id, lab.lines(*part))
    await service.submit_draft(batch_id)
    lab.complete_all()
    await service.wait(batch_id)
    retry_id = await service.retry(batch_id, only={Outcome.SUCCEEDED})
    assert await asked(lab, service, retry_id) == ["a", "b", "c"]


async def test_what_failed_without_an_answer(lab: Lab) -> None:
    """Its own code says whether the reason passes."""
    for custom_id, code in (("a", "server_error"), ("b", "invalid_url"), ("c", None)):
        lab.provider.answer_with(custom_id, error=RequestProblem(code, "No answer."))
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    await service.wait(batch_id)
    assert await asked(lab, service, await service.retry(batch_id)) == ["a"]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ({Outcome.FAILED}, ["slow", "bad", "busy", "broken"]),
        ({Outcome.SUCCEEDED}, ["ok"]),
        ({Outcome.SUCCEEDED, Outcome.FAILED}, list(ANSWERS)),
    ],
)
async def test_only_what_is_named(lab: Lab, only: set[Outcome], expected: list[str]) -> None:
    """`only` takes all of these outcomes and nothing else."""
    service, batch_id = await collected(lab)
    retry_id = await service.retry(batch_id, only=only)
    assert await asked(lab, service, retry_id) == expected


async def test_what_never_ran(lab: Lab) -> None:
    """Expired, canceled and missing requests are asked once more, succeeded ones are not."""
    service = lab.service()
    for end, left in (("expire", ["b", "c"]), ("cancel", ["b", "c"]), ("drop", ["c"])):
        batch_id = await service.submit(lab.lines(), new=True)
        provider_id = lab.provider.batch_ids[-1]
        lab.provider.work(provider_id, finished=1)
        if end == "expire":
            lab.provider.expire(provider_id)
        elif end == "cancel":
            await service.cancel(batch_id)
            lab.provider.finish_cancel(provider_id)
        else:
            lab.provider.drop_line("c")
            lab.provider.complete(provider_id)
        await service.wait(batch_id)
        assert await asked(lab, service, await service.retry(batch_id)) == left


@pytest.mark.parametrize(
    ("errors", "worth_it"),
    [
        ((BatchProblem("server_error", "Later."),), True),
        ((BatchProblem("invalid_model", "Never."),), False),
        ((BatchProblem("invalid_json_line", "Line 2.", None, 2),), False),
    ],
)
async def test_a_batch_that_failed_as_a_whole(
    lab: Lab, errors: tuple[BatchProblem, ...], worth_it: bool
) -> None:
    """Its requests are worth it when the reason passes; all the same when told so."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.provider.fail(lab.provider.batch_ids[-1], errors)
    await service.wait(batch_id)
    if not worth_it:
        with pytest.raises(NothingToRetryError, match="would fail again"):
            await service.retry(batch_id)
    only = None if worth_it else {Outcome.FAILED}
    retry_id = await service.retry(batch_id, only=only)
    assert await asked(lab, service, retry_id) == ["a", "b", "c"]


async def test_the_same_retry_is_the_same_batch(lab: Lab) -> None:
    """Typed twice, and in two processes, it is submitted once; `new` makes another."""
    service, batch_id = await collected(lab)
    retry_id = await service.retry(batch_id)
    again = lab.service()
    assert await again.retry(batch_id) == await service.retry(batch_id) == retry_id
    assert lab.provider.count("create") == 2
    other_id = await service.retry(batch_id, new=True)
    assert other_id != retry_id
    assert lab.provider.count("create") == 3
    assert await links(lab, service, batch_id) == [(retry_id, 3), (other_id, 3)]


async def test_retry_of_a_retry(lab: Lab) -> None:
    """It has its own parent, although it asks the very same."""
    service, batch_id = await collected(lab)
    first = await service.retry(batch_id)
    lab.complete_all()
    await service.wait(first)
    second = await service.retry(first)
    assert second not in {batch_id, first}
    assert (await service.status(second)).retry_of == first
    assert await asked(lab, service, second) == ["slow", "busy", "broken"]


async def test_refusals(lab: Lab) -> None:
    """Not while requests may get their result, and not for nothing."""
    service = lab.service()
    open_id = await service.submit(lab.lines("x"))
    with pytest.raises(NotCollectedError):
        await service.retry(open_id)
    lab.complete_all()
    await service.refresh(open_id)
    with pytest.raises(NotCollectedError):
        await service.retry(open_id)
    await service.wait(open_id)
    with pytest.raises(NothingToRetryError, match="1 succeeded"):
        await service.retry(open_id)
    with pytest.raises(NothingToRetryError, match="no request is expired or missing"):
        await service.retry(open_id, only={Outcome.MISSING, Outcome.EXPIRED})
    _, bad_id = await collected(lab, "ok", "bad")
    with pytest.raises(NothingToRetryError, match="--only failed"):
        await service.retry(bad_id)
    assert lab.provider.count("create") == 2


class DiesAtTheParent(Batches):
    """A process that dies when it is about to note the retry at its parent."""

    def save_batch(self, batch: Any, steps: Any = None, **more: Any) -> None:
        if any(isinstance(event, Retried) for event in batch.pending_events):
            raise KeyboardInterrupt
        super().save_batch(batch, steps, **more)


async def test_crash_before_the_parent_knows(lab: Lab) -> None:
    """Nothing was sent before both batches know of each other, and whoever goes on sees to it."""
    service, batch_id = await collected(lab)
    dying = lab.service(batches=DiesAtTheParent)
    with pytest.raises(KeyboardInterrupt):
        await dying.retry(batch_id)
    assert (lab.provider.count("upload"), lab.provider.count("create")) == (1, 1)
    (retry_id,) = [each.id for each in await service.batches() if each.retry_of == batch_id]
    lab.clock.after(30, lab.complete_all)
    await service.wait(retry_id)  # as a worker would
    assert await links(lab, service, batch_id) == [(retry_id, 3)]
    assert await service.retry(batch_id) == retry_id


@pytest.mark.parametrize("operation", ["upload", "create"])
async def test_crash_at_a_call(lab: Lab, operation: str) -> None:
    """The same command goes on: one more provider batch, one link."""
    service, batch_id = await collected(lab)
    lab.provider.fail_next(operation, lab.Crash())
    with pytest.raises(lab.Crash):
        await service.retry(batch_id)
    service = lab.service()
    retry_id = await service.retry(batch_id)
    assert len(lab.provider.batch_ids) == 2
    assert await links(lab, service, batch_id) == [(retry_id, 3)]
