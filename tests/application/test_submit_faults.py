"""Every way in which an upload or a create can go wrong, and what must not come of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from batchtrail.adapters.fake import RawStatus
from batchtrail.application.errors import (
    FileNotReadyError,
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    QuotaError,
    RateLimitedError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)
from batchtrail.application.progress import Delayed, Searching, Waiting
from batchtrail.domain.errors import CreatesLostError
from batchtrail.domain.events import CreateNotDone, SiblingCanceled, SubmissionFailed, Submitted
from batchtrail.domain.status import BatchStatus, WorkStep
from batchtrail.domain.values import BatchProblem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.adapters.fake import FakeBatchProvider
    from batchtrail.application.ports import ProviderBatch
    from batchtrail.application.progress import Progress
    from batchtrail.application.service import BatchService

NOT_FOUND = BatchProblem(
    "invalid_request", "Cannot find file file-1, or organization o does not have access.", "file_id"
)
NOT_READY = FileNotReadyError("The input file 'file-1' is in 'pending' state.", http_status=400)
TRANSIENT: list[Callable[[], ProviderError]] = [
    lambda: UnavailableError("no connection"),
    lambda: RateLimitedError("slow down", retry_after=77, http_status=429),
    lambda: RateLimitedError("slow down", http_status=429),
    lambda: OutcomeUnknownError("the answer was lost", http_status=502),
]


async def finish(lab: Lab, service: BatchService, batch_id: UUID) -> None:
    """Bring a submitted batch to its end, and check that all is as if nothing had happened."""
    lab.complete_all()
    await service.wait(batch_id)
    await lab.assert_each_once(service, batch_id)
    assert set((await lab.outcomes(service, batch_id)).values()) == {"succeeded"}


@pytest.mark.parametrize("operation", ["upload", "create"])
@pytest.mark.parametrize("error", TRANSIENT)
@pytest.mark.parametrize("times", [1, 2])
async def test_transient_fault_before_the_call(
    lab: Lab, operation: str, error: Callable[[], ProviderError], times: int
) -> None:
    """A call that was not done is done in the end, and no batch is made twice."""
    lab.provider.fail_next(operation, error(), times=times)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert len(lab.provider.batch_ids) == 1
    await finish(lab, service, batch_id)


@pytest.mark.parametrize("operation", ["upload", "create"])
async def test_rate_limit_is_waited_for(lab: Lab, operation: str) -> None:
    """Not a second earlier than the provider said, and told to whoever looks on."""
    told: list[Progress] = []
    error = RateLimitedError("slow down", retry_after=77, http_status=429)
    lab.provider.fail_next(operation, error, times=2)
    await lab.service().submit(lab.lines(), on_progress=told.append)
    assert lab.clock.sleeps == [77, 77]
    assert [each.seconds for each in told if isinstance(each, Delayed)] == [77, 77]


@pytest.mark.parametrize("operation", ["upload", "create"])
async def test_refusal_ends_the_batch(lab: Lab, operation: str) -> None:
    """What the provider refuses for good is never sent again, and its words are kept."""
    error = RefusedError("no such thing", code="bad", param="endpoint", request_id="req_1")
    lab.provider.fail_next(operation, error)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    summary = await service.wait(batch_id)
    assert summary.status is BatchStatus.FAILED
    assert summary.errors == (BatchProblem("bad", "no such thing", "endpoint"),)
    assert set((await lab.outcomes(service, batch_id)).values()) == {"failed"}
    assert await service.submit(lab.lines()) == batch_id
    assert lab.provider.batch_ids == ()
    refusal = [e for e in await lab.log(service, batch_id) if isinstance(e, SubmissionFailed)]
    assert [each.request_id for each in refusal] == ["req_1"]
    await lab.assert_each_once(service, batch_id)


@pytest.mark.parametrize("operation", ["upload", "create"])
@pytest.mark.parametrize("error", [QuotaError("pay first"), UnauthorizedError("wrong key")])
async def test_error_for_the_user_is_raised_and_repairable(
    lab: Lab, operation: str, error: ProviderError
) -> None:
    """The user hears at once what is wrong; after the repair the same command goes on."""
    lab.provider.fail_next(operation, error)
    service = lab.service()
    with pytest.raises(type(error)):
        await service.submit(lab.lines())
    assert lab.clock.elapsed == 0
    batch_id = await service.submit(lab.lines())
    assert lab.clock.elapsed == 0
    assert (len(lab.provider.batch_ids), lab.provider.count("upload")) == (
        1,
        2 if operation == "upload" else 1,
    )
    await finish(lab, service, batch_id)


@pytest.mark.parametrize("hidden", [1, 4])
async def test_file_not_visible_yet(lab: Lab, hidden: int) -> None:
    """A create that does not see its file is made again after a while, without an upload."""
    lab.provider.hide_file(times=hidden)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert (lab.provider.count("upload"), lab.provider.count("create")) == (1, hidden + 1)
    assert lab.clock.elapsed > 0
    log = await lab.log(service, batch_id)
    reasons = [event.error for event in log if isinstance(event, CreateNotDone)]
    assert [each.param for each in reasons] == ["file_id"] * hidden
    await finish(lab, service, batch_id)


async def test_a_file_that_is_being_processed(lab: Lab) -> None:
    """It is waited for longer than what is not there, without another upload."""
    lab.provider.fail_next("create", NOT_READY, times=30)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert (lab.provider.count("upload"), len(lab.provider.batch_ids)) == (1, 1)
    assert 600 < lab.clock.elapsed < 900
    await finish(lab, service, batch_id)


@pytest.mark.parametrize(
    ("error", "earliest", "latest"), [(NOT_READY, 3_600, 3_900), (NotFoundError("404"), 120, 150)]
)
async def test_a_file_that_does_not_become_ready(
    lab: Lab, error: ProviderError, earliest: float, latest: float
) -> None:
    """An hour of that is enough, and minutes of a file that is not there; a repeat goes on."""
    lab.provider.fail_next("create", error, times=1_000)
    service = lab.service()
    with pytest.raises(type(error)):
        await service.submit(lab.lines())
    assert earliest < lab.clock.elapsed < latest
    lab.provider.heal()
    await finish(lab, service, await service.submit(lab.lines()))


@pytest.mark.parametrize("error", TRANSIENT[:3])
async def test_provider_out_of_reach_then_again(
    lab: Lab, error: Callable[[], ProviderError]
) -> None:
    """After minutes of failures submit gives up with the error; a repeat goes on."""
    lab.provider.fail_always(error())
    service = lab.service()
    with pytest.raises((UnavailableError, RateLimitedError)):
        await service.submit(lab.lines())
    assert lab.clock.elapsed >= 60
    lab.provider.heal()
    batch_id = await service.submit(lab.lines())
    assert len(lab.provider.batch_ids) == 1
    await finish(lab, service, batch_id)


async def test_lost_upload_answer(lab: Lab) -> None:
    """What arrived is found and used: still one upload, one batch, from a whole file."""
    lab.provider.lose_next_answer("upload")
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert (lab.provider.count("upload"), lab.provider.count("create")) == (1, 1)
    await finish(lab, service, batch_id)


@pytest.mark.parametrize(
    "error",
    [
        OutcomeUnknownError("502"),
        asyncio.CancelledError(),
        None,
        RuntimeError("a bug in the adapter"),
    ],
)
async def test_lost_create_answer_is_adopted(lab: Lab, error: BaseException | None) -> None:
    """However the answer was lost, the batch that was made is found and not made again."""
    error = error or lab.Crash()
    lab.provider.lose_next_answer("create", error=error)
    service = lab.service()
    try:
        await service.submit(lab.lines())
    except type(error):
        assert not isinstance(error, ProviderError)
    batch_id = await lab.service().submit(lab.lines())
    assert lab.provider.count("create") == 1
    submitted = [e for e in await lab.log(service, batch_id) if isinstance(e, Submitted)]
    assert [each.adopted for each in submitted] == [True]
    await finish(lab, service, batch_id)


@pytest.mark.parametrize("walks", [1, 5])
async def test_lost_create_answer_and_a_list_that_lags(lab: Lab, walks: int) -> None:
    """What the list does not show at first is still looked for, and adopted."""
    told: list[Progress] = []
    lab.provider.lose_next_answer("create")
    lab.provider.hide_from_list(times=walks)
    service = lab.service()
    batch_id = await service.submit(lab.lines(), on_progress=told.append)
    assert lab.provider.count("create") == 1
    assert any(isinstance(each, Searching) for each in told)
    await finish(lab, service, batch_id)


async def test_lost_create_answer_and_a_list_that_lags_half_a_minute(lab: Lab) -> None:
    """By the clock: a list that is 30 s old does not lead to a second create."""
    lab.provider.lose_next_answer("create")
    lab.provider.hide_from_list(times=10_000)
    lab.clock.after(30, lambda: lab.provider.hide_from_list(lab.provider.batch_ids[0], times=0))
    service = lab.service(reconcile_wait=31)
    batch_id = await service.submit(lab.lines())
    assert lab.provider.count("create") == 1
    await finish(lab, service, batch_id)


async def test_lost_create_is_found_on_a_later_page(lab: Lab) -> None:
    """Many batches of others, made since, do not hide ours."""
    lab.provider.page_size = 2
    lab.provider.lose_next_answer("create", error=lab.Crash())
    with pytest.raises(lab.Crash):
        await lab.service().submit(lab.lines())
    for number in range(7):
        lab.clock.pass_time(1)
        await lab.service().submit(lab.lines(f"other {number}"))
    creates = lab.provider.count("create")
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert lab.provider.count("create") == creates
    await finish(lab, service, batch_id)


async def test_batches_of_others_are_not_adopted(lab: Lab) -> None:
    """A list full of other batches does not keep a lost create from being made again."""
    for number in range(3):
        await lab.service().submit(lab.lines(f"other {number}"))
    lab.provider.fail_next("create", OutcomeUnknownError("lost on the way"))
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert len(lab.provider.batch_ids) == 4
    assert (await service.status(batch_id)).provider_batch_id == lab.provider.batch_ids[3]


async def test_create_that_was_surely_lost(lab: Lab) -> None:
    """Only after the whole reconcile wait is a create made again, under the same file."""
    moments: list[tuple[str, float]] = []

    async def note(boundary: str) -> None:
        moments.append((boundary, lab.clock.elapsed))

    lab.provider.fail_next("create", OutcomeUnknownError("lost on the way"))
    service = lab.watched(note, reconcile_wait=100)
    batch_id = await service.submit(lab.lines())
    creates = [moment for boundary, moment in moments if boundary == "before create"]
    searches = [moment for boundary, moment in moments if boundary == "before list"]
    assert creates == [0, pytest.approx(100)]
    assert searches[-1] >= 100
    assert len(searches) < 30
    assert (lab.provider.count("upload"), len(lab.provider.batch_ids)) == (1, 1)
    await finish(lab, service, batch_id)


async def test_lost_create_while_the_list_fails(lab: Lab) -> None:
    """A list that cannot be read proves nothing: no create before one was read late enough."""
    lab.provider.lose_next_answer("create")
    lab.provider.fail_next("list", UnavailableError("down"), times=7)
    service = lab.service(reconcile_wait=10)
    batch_id = await service.submit(lab.lines())
    assert lab.clock.elapsed > 10
    assert lab.provider.count("create") == 1
    await finish(lab, service, batch_id)


async def test_lost_create_while_the_list_breaks_off(lab: Lab) -> None:
    """A walk that breaks off at its second page proves nothing either."""
    lab.provider.page_size = 1
    lab.provider.lose_next_answer("create", error=lab.Crash())
    with pytest.raises(lab.Crash):
        await lab.service().submit(lab.lines())
    await lab.service().submit(lab.lines("other"))
    lab.clock.pass_time(1_000)
    pages = 0

    async def fail_second_page(boundary: str) -> None:
        nonlocal pages
        if boundary == "before list":
            pages += 1
            if pages == 1:
                lab.provider.lose_next_answer("list")

    service = lab.watched(fail_second_page)
    await service.submit(lab.lines())
    assert lab.provider.count("create") == 2


@pytest.mark.parametrize("error", [OutcomeUnknownError("time-out"), None])
async def test_create_that_hangs_before_its_answer_is_lost(
    lab: Lab, error: BaseException | None
) -> None:
    """After a call that hung for minutes the list still has its time to become consistent."""

    async def hang(boundary: str) -> None:
        if boundary == "before create" and not lab.provider.batch_ids:
            lab.clock.pass_time(300)
            lab.provider.lose_next_answer("create", error=error or lab.Crash())
            lab.provider.hide_from_list(times=10_000)
            lab.clock.after(30, show)

    def show() -> None:
        lab.provider.hide_from_list(lab.provider.batch_ids[0], times=0)

    service = lab.watched(hang, reconcile_wait=120)
    try:
        await service.submit(lab.lines())
    except lab.Crash:
        lab.close()
        await lab.watched(hang, reconcile_wait=120).submit(lab.lines())
    assert lab.provider.count("create") == 1


async def test_several_creates_lost_on_the_way(lab: Lab) -> None:
    """Create after create is lost before it is done: one batch in the end."""
    lab.provider.fail_next("create", OutcomeUnknownError("lost on the way"), times=2)
    service = lab.service(reconcile_wait=20)
    batch_id = await service.submit(lab.lines())
    assert (lab.provider.count("create"), len(lab.provider.batch_ids)) == (3, 1)
    assert lab.clock.elapsed == pytest.approx(20 + 40)
    await finish(lab, service, batch_id)


async def test_creates_that_vanish_come_to_an_end(lab: Lab) -> None:
    """Nobody goes on making batches that may all be paid; the wish to cancel ends the matter."""
    lab.provider.fail_next("create", OutcomeUnknownError("lost on the way"), times=99)
    service = lab.service(reconcile_wait=20)
    for _ in range(2):
        with pytest.raises(CreatesLostError, match="3 create calls"):
            await service.submit(lab.lines())
    assert lab.provider.count("create") == 3
    (summary,) = await service.batches()
    assert (await service.cancel(summary.id)).status is BatchStatus.CANCELED


@pytest.mark.parametrize("cancels", [False, True])
async def test_creates_that_vanish_are_found_later(lab: Lab, cancels: bool) -> None:
    """What the list shows only after the last create was given up is adopted, and may be canceled.

    Nothing more is created, and no batch is left running that the log does not know.
    """
    lab.provider.lose_next_answer("create", times=3)
    for _ in range(3):
        lab.provider.hide_from_list(times=10_000)
    service = lab.service(reconcile_wait=20)
    with pytest.raises(CreatesLostError):
        await service.submit(lab.lines())
    for provider_batch_id in lab.provider.batch_ids:
        lab.provider.hide_from_list(provider_batch_id, times=0)
    (summary,) = await service.batches()
    if cancels:
        await service.cancel(summary.id)
        assert lab.live() == []
        lab.provider.finish_cancel(lab.provider.batch_ids[0])
    else:
        await service.submit(lab.lines())
        assert lab.live() == [lab.provider.batch_ids[0]]
        lab.complete_all()
    await service.wait(summary.id)
    assert lab.provider.count("create") == 3
    await lab.assert_each_once(service, summary.id)


async def test_canceled_sibling_is_never_adopted(lab: Lab) -> None:
    """A batch that is left for want of its file is created again, not replaced by its sibling."""
    lab.provider.lose_next_answer("create")
    lab.provider.hide_from_list(times=10_000)

    def show_first() -> None:
        lab.provider.hide_from_list(lab.provider.batch_ids[0], times=0)

    lab.clock.after(15, show_first)
    service = lab.service(reconcile_wait=10)
    batch_id = await service.submit(lab.lines())
    lab.clock.pass_time(60)
    await service.refresh(batch_id)
    sibling, ours = lab.provider.batch_ids
    assert lab.live() == [ours]
    lab.provider.fail(ours, [BatchProblem("invalid_request", "No such File.", "file_id")])
    lab.provider.lose_next_answer("create")
    lab.clock.after(3_000, lab.complete_all)
    summary = await service.wait(batch_id)
    assert summary.provider_batch_id not in {sibling, ours}
    assert summary.status is BatchStatus.ENDED
    await lab.assert_each_once(service, batch_id)


async def test_batch_found_at_its_end_is_adopted(lab: Lab) -> None:
    """A lost create whose batch is over by the time it is found was paid for: it is adopted."""
    lab.provider.lose_next_answer("create", error=lab.Crash())
    with pytest.raises(lab.Crash):
        await lab.service().submit(lab.lines())
    lab.complete_all()
    lab.clock.pass_time(90_000)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    await service.wait(batch_id)
    assert lab.provider.count("create") == 1
    await lab.assert_each_once(service, batch_id)


async def test_siblings_are_canceled_and_recorded(lab: Lab) -> None:
    """Two provider batches of one submission: one is kept, the other is told to cancel."""
    lab.provider.lose_next_answer("create", times=2)
    for _ in range(2):
        lab.provider.hide_from_list(times=10_000)
    service = lab.service(reconcile_wait=10)

    def show_all() -> None:
        for batch_id in lab.provider.batch_ids:
            lab.provider.hide_from_list(batch_id, times=0)

    lab.clock.after(15, show_all)
    batch_id = await service.submit(lab.lines())
    assert lab.provider.count("create") == 2
    assert len(lab.live()) == 1
    canceled = [e for e in await lab.log(service, batch_id) if isinstance(e, SiblingCanceled)]
    assert [each.provider_batch_id for each in canceled] == [lab.provider.batch_ids[1]]
    assert all(each.request_id for each in canceled)
    lab.provider.complete(lab.provider.batch_ids[0])
    await service.wait(batch_id)
    await lab.assert_each_once(service, batch_id)


async def test_sibling_whose_cancel_fails_is_canceled_in_the_end(lab: Lab) -> None:
    """A hiccup in the cancel call must not leave a second batch running."""
    lab.provider.lose_next_answer("create", times=2)
    for _ in range(2):
        lab.provider.hide_from_list(times=10_000)
    lab.provider.fail_next("cancel", UnavailableError("a hiccup"))
    service = lab.service(reconcile_wait=10)

    def show_all() -> None:
        for batch_id in lab.provider.batch_ids:
            lab.provider.hide_from_list(batch_id, times=0)

    lab.clock.after(15, show_all)
    batch_id = await service.submit(lab.lines())
    lab.clock.after(200, lab.complete_all)
    await service.wait(batch_id)
    assert lab.live() == [lab.provider.batch_ids[0]]


@pytest.mark.parametrize("shown", [True, False])
async def test_refusal_after_a_lost_create(lab: Lab, *, shown: bool) -> None:
    """What the lost call made is paid for: it is looked for before the batch counts as refused."""
    lab.provider.lose_next_answer("create")
    lab.provider.hide_from_list(times=10_000)

    async def refuse_second(boundary: str) -> None:
        if boundary == "before create" and lab.provider.batch_ids:
            lab.provider.fail_next("create", RefusedError("no more", code="billing"))
            if shown:
                lab.provider.hide_from_list(lab.provider.batch_ids[0], times=0)

    service = lab.watched(refuse_second, reconcile_wait=10)
    batch_id = await service.submit(lab.lines())
    summary = await service.status(batch_id)
    if not shown:
        assert summary.status is BatchStatus.FAILED
        return
    assert summary.provider_batch_id == lab.provider.batch_ids[0]
    lab.complete_all()
    await service.wait(batch_id)
    await lab.assert_each_once(service, batch_id)


async def test_sibling_that_the_list_shows_late_is_canceled(lab: Lab) -> None:
    """A lost create that appears after the second create was answered does not run on unseen."""
    lab.provider.lose_next_answer("create")
    lab.provider.hide_from_list(times=10_000)

    def show_first() -> None:
        lab.provider.hide_from_list(lab.provider.batch_ids[0], times=0)

    lab.clock.after(15, show_first)
    service = lab.service(reconcile_wait=10)
    batch_id = await service.submit(lab.lines())
    assert lab.provider.count("create") == 2
    lab.clock.after(3_000, lab.complete_all)
    await service.wait(batch_id)
    assert len(lab.live()) == 1


class Listing:
    """The provider, but that its list has batches of somebody else as well, in any order.

    With `breaks_off` it cannot be read to its end.
    """

    breaks_off = False

    def __init__(self, provider: FakeBatchProvider, others: int, *, oldest_first: bool) -> None:
        self._provider = provider
        self._others = others
        self._oldest_first = oldest_first
        self.listed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    async def list_batches(self) -> AsyncGenerator[ProviderBatch, None]:
        ours = [each async for each in self._provider.list_batches()]
        first = ours[0].created_at
        assert first is not None
        others = [
            evolve(
                ours[0],
                id=f"batch_other_{number}",
                input_file_id="file-other",
                created_at=first - timedelta(days=1, seconds=number),
            )
            for number in range(self._others)
        ]
        batches = [*ours, *others]
        for each in reversed(batches) if self._oldest_first else batches:
            self.listed += 1
            yield each
        if self.breaks_off:
            raise UnavailableError("the list repeats itself")


@pytest.mark.parametrize(("oldest_first", "read"), [(False, 101), (True, 301)])
async def test_a_list_in_either_order(lab: Lab, *, oldest_first: bool, read: int) -> None:
    """What a lost call made is found behind any number of older batches."""
    lab.provider.lose_next_answer("create")
    listing: Any = Listing(lab.provider, 300, oldest_first=oldest_first)
    service = lab.service(listing)
    batch_id = await service.submit(lab.lines())
    assert lab.provider.count("create") == 1
    assert listing.listed == read
    await finish(lab, service, batch_id)


class Mixed(Listing):
    """Ours is behind the older ones, and one that was created at `between` is among them."""

    between: datetime | None

    async def list_batches(self) -> AsyncGenerator[ProviderBatch, None]:
        ours, *others = [each async for each in super().list_batches()]
        between = evolve(others[0], id="batch_between", created_at=self.between)
        for each in [*others[:60], between, *others[60:], ours]:
            yield each


@pytest.mark.parametrize("between", [datetime(2099, 1, 1, tzinfo=UTC), None])
async def test_a_list_in_no_order(lab: Lab, between: datetime | None) -> None:
    """A batch that is newer, or may be, shows that older ones before it are not the end."""
    lab.provider.lose_next_answer("create")
    listing: Any = Mixed(lab.provider, 120, oldest_first=False)
    listing.between = between
    service = lab.service(listing)
    batch_id = await service.submit(lab.lines())
    assert lab.provider.count("create") == 1
    await finish(lab, service, batch_id)


async def test_a_list_that_cannot_be_read_to_its_end(lab: Lab) -> None:
    """What it has shown before is not lost."""
    lab.provider.lose_next_answer("create")
    listing: Any = Listing(lab.provider, 10, oldest_first=False)
    listing.breaks_off = True
    service = lab.service(listing)
    batch_id = await service.submit(lab.lines())
    assert lab.provider.count("create") == 1
    listing.breaks_off = False
    await finish(lab, service, batch_id)


@pytest.mark.parametrize("kind", [RefusedError, NotFoundError])
async def test_a_lost_create_without_a_list(lab: Lab, kind: type[ProviderError]) -> None:
    """Who has to look is told where, and what may be there; nothing is created again."""
    lab.provider.lose_next_answer("create")
    lab.provider.fail_next("list", kind("nope", http_status=405, request_id="req-7"), times=99)
    service = lab.service()
    with pytest.raises(kind, match=r"was lost, and the provider does not list.*nope;.*req-7"):
        await service.submit(lab.lines())
    assert lab.provider.count("create") == 1


async def waited_beside_a_sibling(
    lab: Lab, end: Callable[[str], Awaitable[None]]
) -> tuple[BatchService, UUID]:
    """Bring a batch to its end whose lost sibling ends, and is shown, with the second create."""
    lab.provider.lose_next_answer("create")
    lab.provider.hide_from_list(times=10_000)

    async def show(boundary: str) -> None:
        if boundary == "after create" and lab.provider.count("create") == 2:
            lost = lab.provider.batch_ids[0]
            await end(lost)
            lab.provider.hide_from_list(lost, times=0)

    service = lab.watched(show, reconcile_wait=10)
    batch_id = await service.submit(lab.lines())
    lab.clock.after(3_000, lab.complete_all)
    await service.wait(batch_id)
    return service, batch_id


async def test_sibling_that_somebody_canceled_is_recorded(lab: Lab) -> None:
    """It may have finished rows, which are paid for: the log knows of it."""

    async def cancel(lost: str) -> None:
        lab.provider.advance(lost)
        await lab.provider.cancel_batch(lost)
        lab.provider.finish_cancel(lost, finished=1)

    service, batch_id = await waited_beside_a_sibling(lab, cancel)
    recorded = [e for e in await lab.log(service, batch_id) if isinstance(e, SiblingCanceled)]
    assert [each.provider_batch_id for each in recorded] == [lab.provider.batch_ids[0]]


async def test_sibling_that_never_ran_is_left_alone(lab: Lab) -> None:
    """It costs nothing, so that nobody has to stop it."""

    async def fail(lost: str) -> None:
        lab.provider.fail(lost)

    service, batch_id = await waited_beside_a_sibling(lab, fail)
    assert "SiblingFound" not in await lab.facts(service, batch_id)
    assert lab.provider.count("cancel") == 0


async def test_sibling_that_ran_and_is_called_failed_is_recorded(lab: Lab) -> None:
    """What it has completed is paid for. White-box: the fake fails only what never ran."""

    async def fail(lost: str) -> None:
        lab.provider.complete(lost)
        lab.provider._account.batch(lost).status = RawStatus.FAILED

    service, batch_id = await waited_beside_a_sibling(lab, fail)
    assert "SiblingFound" in await lab.facts(service, batch_id)


@pytest.mark.parametrize("times", [1, 3])
async def test_failed_for_want_of_its_file_is_created_again(lab: Lab, times: int) -> None:
    """A batch that failed because its file was not visible is made again, later, once each."""

    async def note(boundary: str) -> None:
        if boundary == "before retrieve" and len(lab.provider.batch_ids) <= times:
            newest = lab.provider.batch_ids[-1]
            if lab.provider.look(newest).report.raw_status == "validating":
                lab.provider.fail(newest, [NOT_FOUND])
        elif boundary == "before retrieve":
            lab.complete_all()

    service = lab.watched(note)
    batch_id = await service.submit(lab.lines())
    summary = await service.wait(batch_id)
    assert summary.status is BatchStatus.ENDED
    assert (lab.provider.count("upload"), lab.provider.count("create")) == (1, times + 1)
    waits = [seconds for seconds in lab.clock.sleeps if seconds in (2, 5, 10, 30, 60)]
    assert waits == [2, 5, 10][:times]
    assert (await lab.facts(service, batch_id)).count("InputNotVisible") == times
    await lab.assert_each_once(service, batch_id)


async def test_file_that_never_shows_fails_the_batch(lab: Lab) -> None:
    """The creates for a file that stays away have an end."""

    async def fail(boundary: str) -> None:
        if boundary == "before retrieve":
            lab.provider.fail(lab.provider.batch_ids[-1], [NOT_FOUND])

    service = lab.watched(fail)
    batch_id = await service.submit(lab.lines())
    summary = await service.wait(batch_id)
    assert summary.status is BatchStatus.FAILED
    assert summary.errors == (NOT_FOUND,)
    assert 2 < lab.provider.count("create") < 10
    await lab.assert_each_once(service, batch_id)


async def test_failed_batch_without_file_is_never_adopted(lab: Lab) -> None:
    """After a lost second create the search passes by the first, failed, batch."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.provider.fail(lab.provider.batch_ids[0], [NOT_FOUND])
    assert (await service.refresh(batch_id)).status is BatchStatus.PENDING
    lab.provider.lose_next_answer("create")
    await service.submit(lab.lines())
    assert lab.provider.count("create") == 2
    assert (await service.status(batch_id)).provider_batch_id == lab.provider.batch_ids[1]
    await finish(lab, service, batch_id)


async def test_lost_create_that_failed_for_want_of_its_file(lab: Lab) -> None:
    """A lost create whose batch failed at once for its file is made again, not adopted."""
    lab.provider.lose_next_answer("create")
    lab.clock.after(0.1, lambda: lab.provider.fail(lab.provider.batch_ids[0], [NOT_FOUND]))
    lab.provider.hide_from_list(times=1)
    service = lab.service(reconcile_wait=30)
    batch_id = await service.submit(lab.lines())
    assert (await service.status(batch_id)).provider_batch_id == lab.provider.batch_ids[1]
    assert "InputNotVisible" not in await lab.facts(service, batch_id)
    await finish(lab, service, batch_id)


async def test_failed_for_another_reason_is_not_created_again(lab: Lab) -> None:
    """A batch that failed for its content or the token limit is over."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    error = BatchProblem("invalid_request", "bad line", "file_id", line=2)
    lab.provider.fail(lab.provider.batch_ids[0], [error])
    assert (await service.wait(batch_id)).status is BatchStatus.FAILED
    assert lab.provider.count("create") == 1
    errors = {c.custom_id: c.error for c in await lab.completions(service, batch_id)}
    assert errors["b"]
    assert errors["b"].message == "bad line"
    assert errors["a"]
    assert errors["a"].code == "batch_failed"


async def test_every_call_that_changed_something_left_its_request_id(lab: Lab) -> None:
    """The log names the provider's request id for upload, create and cancel."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    await service.cancel(batch_id)
    lab.provider.finish_cancel(lab.provider.batch_ids[0])
    await service.wait(batch_id)
    named = {
        type(event).__name__: event.__dict__["request_id"]
        for event in await lab.log(service, batch_id)
        if "request_id" in event.__dict__
    }
    assert set(named) == {"InputUploaded", "Submitted", "StatusChanged", "Canceled"}
    assert all(request_id.startswith("req_") for request_id in named.values())


async def with_late_sibling(lab: Lab, *, over: bool = True) -> tuple[BatchService, UUID, str]:
    """Submit a batch beside which the list shows another late; by then it is over, if `over`."""
    lab.provider.lose_next_answer("create")
    lab.provider.hide_from_list(times=10_000)
    service = lab.service(reconcile_wait=10)
    batch_id = await service.submit(lab.lines())
    sibling, ours = lab.provider.batch_ids
    assert (await service.status(batch_id)).provider_batch_id == ours
    if over:
        lab.provider.complete(ours)
    lab.provider.hide_from_list(sibling, times=0)
    lab.clock.pass_time(400)
    return service, batch_id, sibling


async def test_nobody_leaves_a_sibling_behind(lab: Lab) -> None:
    """The results are there, but what is not canceled yet is paid a second time."""
    service, batch_id, sibling = await with_late_sibling(lab)
    lab.provider.fail_next("cancel", UnavailableError("a hiccup"), times=3)
    told: list[Progress] = []
    summary = await service.wait(batch_id, told.append)
    assert summary.next_step is None
    assert lab.provider.look(sibling).report.is_canceling
    reasons = [each.reason for each in told if isinstance(each, Delayed)]
    assert reasons == [f"{sibling}, a second provider batch of it, is not canceled yet"] * 3


async def test_a_batch_beside_a_sibling_is_waited_for_as_itself(lab: Lab) -> None:
    """Before its results are there, they are what is waited for; the sibling is told of then."""
    service, batch_id, sibling = await with_late_sibling(lab, over=False)
    lab.provider.fail_next("cancel", UnavailableError("down"), times=10_000)
    lab.clock.after(200, partial(lab.provider.complete, lab.provider.batch_ids[1]))
    told: list[Progress] = []
    await service.wait(batch_id, told.append)
    waits = [each for each in told if isinstance(each, Waiting | Delayed)]
    first = next(n for n, each in enumerate(waits) if isinstance(each, Delayed))
    assert first > 0
    assert all(isinstance(each, Delayed) for each in waits[first:])
    assert all(sibling in each.reason for each in waits if isinstance(each, Delayed))
    assert not any(each.summary.results_collected for each in waits if isinstance(each, Waiting))


@pytest.mark.parametrize("error", [RefusedError("it is over"), NotFoundError("it is gone")])
async def test_a_sibling_that_is_over_is_told_once(lab: Lab, error: ProviderError) -> None:
    """The provider says for good that there is nothing to cancel; nobody waits for more."""
    service, batch_id, _ = await with_late_sibling(lab)
    lab.provider.fail_next("cancel", error)
    assert (await service.wait(batch_id)).next_step is None
    assert lab.provider.count("cancel") == 1


@pytest.mark.parametrize(
    "error",
    [
        QuotaError("no credit"),
        UnauthorizedError("not yours", http_status=403),
        RateLimitedError("slow down"),
        UnavailableError("there is no cancellation here", http_status=501),
    ],
)
async def test_a_sibling_that_cannot_be_canceled_keeps_nobody_from_the_results(
    lab: Lab, error: ProviderError
) -> None:
    """They are there and paid; the sibling is tried for some minutes, and the next time again."""
    service, batch_id, sibling = await with_late_sibling(lab)
    lab.provider.fail_next("cancel", error, times=10_000)
    before = lab.clock.elapsed
    summary = await service.wait(batch_id)
    assert summary.totals.outcomes.succeeded == 3
    assert summary.next_step is WorkStep.SUBMISSION
    assert lab.clock.elapsed - before == 600  # ten times the shortest interval
    lab.provider.heal()
    assert (await lab.service().wait(batch_id)).next_step is None
    assert lab.provider.look(sibling).report.is_canceling


@pytest.mark.parametrize(
    "error",
    [RefusedError("no lists", http_status=400), UnauthorizedError("not yours", http_status=403)],
)
async def test_a_list_that_is_refused_keeps_nobody_from_the_results(
    lab: Lab, error: ProviderError
) -> None:
    """Siblings cannot be looked for, but the batch that is known can be polled."""
    service, batch_id, _ = await with_late_sibling(lab)
    lab.provider.fail_next("list", error, times=100)
    assert (await service.wait(batch_id)).totals.outcomes.succeeded == 3


async def test_a_list_that_is_down_is_waited_for(lab: Lab) -> None:
    """What it will show may cost as much again."""
    service, batch_id, sibling = await with_late_sibling(lab)
    lab.provider.fail_next("list", UnavailableError("down"), times=3)
    await service.wait(batch_id)
    assert lab.provider.look(sibling).report.is_canceling
