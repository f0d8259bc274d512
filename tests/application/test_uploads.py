"""Uploads whose answer was lost: what arrived is used, and what is left over is deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from tests.laboratory.databases import FileDatabase

from batchtrail.adapters.fake import FakeBatchProvider
from batchtrail.application.errors import (
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)
from batchtrail.application.ports import StoredFile
from batchtrail.domain.events import InputDiscarded, InputUploaded
from batchtrail.domain.status import BatchStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from tests.application.conftest import Lab, VirtualClock

    from batchtrail.application.ports import CreateRequest, ProviderBatch, UploadedFile
    from batchtrail.application.service import BatchService


class OddProvider(FakeBatchProvider):
    """Loses bytes of the first upload, hides files from the first walks, or has others' files."""

    def __init__(
        self,
        clock: VirtualClock,
        *,
        cut: int = 0,
        blind_walks: int = 0,
        others: Sequence[StoredFile] = (),
    ) -> None:
        super().__init__(now=clock.now)
        self.cut = cut
        self.blind_walks = blind_walks
        self.others = others

    async def upload(
        self, lines: AsyncIterable[bytes], *, filename: str, size: int
    ) -> UploadedFile:
        uploaded = await super().upload(lines, filename=filename, size=size)
        if self.cut:
            self._account.inputs[uploaded.id] = evolve(
                self._account.inputs[uploaded.id], size=size - self.cut
            )
            self.cut = 0
            raise OutcomeUnknownError("reset")
        return uploaded

    async def list_files(self) -> AsyncGenerator[StoredFile, None]:
        self.blind_walks -= 1
        for file in self.others:
            yield file
        async for file in super().list_files():
            if self.blind_walks < 0:
                yield file


async def uploads(service: BatchService, batch_id: UUID) -> list[tuple[str, bool | None]]:
    """Name the files that the log knows of, each with whether it was adopted; None is deleted."""
    found: list[tuple[str, bool | None]] = []
    async for event in service.history(batch_id):
        if isinstance(event, InputUploaded):
            found.append((event.file_id, event.adopted))
        elif isinstance(event, InputDiscarded):
            found.append((event.file_id, None))
    return found


def inputs(lab: Lab) -> list[str]:
    """List the input files at the provider."""
    return list(lab.provider._account.inputs)


async def crash_at(lab: Lab, where: str, *, closing: bool = True) -> None:
    """Submit in a process that dies at a boundary of its provider calls."""

    async def crash(boundary: str) -> None:
        if boundary == where:
            raise lab.Crash

    with pytest.raises(lab.Crash):
        await lab.watched(crash).submit(lab.lines())
    if closing:
        lab.close()


async def test_crash_behind_the_upload(lab: Lab) -> None:
    """The next process finds the file by its name, and sends nothing twice."""
    await crash_at(lab, "after upload")
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert (lab.provider.count("upload"), lab.provider.count("delete")) == (1, 0)
    assert await uploads(service, batch_id) == [(inputs(lab)[0], True)]
    lab.complete_all()
    await service.wait(batch_id)
    await lab.assert_each_once(service, batch_id)


async def test_crash_before_the_upload(lab: Lab) -> None:
    """Where nothing has arrived, the file is sent."""
    await crash_at(lab, "before upload")
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert await uploads(service, batch_id) == [(inputs(lab)[0], False)]


async def test_an_undisturbed_submission_lists_nothing(lab: Lab) -> None:
    await lab.service().submit(lab.lines())
    assert [call.operation for call in lab.provider.calls] == ["upload", "create"]


@pytest.mark.parametrize("cut", [1, -1])
async def test_a_file_of_another_size_is_deleted(lab: Lab, clock: VirtualClock, cut: int) -> None:
    """It is not what was sent."""
    lab.provider = OddProvider(clock, cut=cut)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert lab.provider.count("upload") == 2
    odd, whole = "file-00000001", "file-00000002"
    assert await uploads(service, batch_id) == [(whole, False), (odd, None)]
    assert inputs(lab) == [whole]
    assert lab.provider.count("list_files") == 2  # before the second upload and behind it


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_list_that_lags(lab: Lab, clock: VirtualClock, lost: int) -> None:
    """What shows up only after the next upload is deleted then."""
    lab.provider = OddProvider(clock, blind_walks=lost)
    lab.provider.lose_next_answer("upload", times=lost)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert lab.provider.count("upload") == lost + 1
    (used,) = inputs(lab)
    assert used == f"file-{lost + 1:08d}"
    found = await uploads(service, batch_id)
    assert found[0] == (used, False)
    assert sorted(found[1:]) == [(f"file-{each:08d}", None) for each in range(1, lost + 1)]


@pytest.mark.parametrize("error", [RefusedError("no such route"), NotFoundError("404")])
async def test_a_server_without_a_list_of_files(lab: Lab, error: ProviderError) -> None:
    """The upload is repeated, and the other file stays: it costs nothing."""
    lab.provider.lose_next_answer("upload")
    lab.provider.fail_next("list_files", error, times=9)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert (lab.provider.count("upload"), len(inputs(lab))) == (2, 2)
    assert await uploads(service, batch_id) == [(inputs(lab)[1], False)]


async def test_a_list_that_cannot_be_read_now(lab: Lab) -> None:
    """Before the next upload it is waited for; behind it nothing depends on it."""
    lab.provider.lose_next_answer("upload")
    lab.provider.fail_next("list_files", UnavailableError("down"), times=2)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert lab.clock.elapsed > 0
    assert await uploads(service, batch_id) == [(inputs(lab)[0], True)]


async def test_what_is_left_over_cannot_be_looked_for(lab: Lab, clock: VirtualClock) -> None:
    """Behind an upload that was answered nothing depends on the list."""
    lab.provider = OddProvider(clock, blind_walks=1)
    lab.provider.lose_next_answer("upload")

    async def go_down(boundary: str) -> None:
        if boundary == "after upload":
            lab.provider.fail_next("list_files", UnauthorizedError("no", http_status=403))

    service = lab.watched(go_down)
    batch_id = await service.submit(lab.lines())
    assert await uploads(service, batch_id) == [("file-00000002", False)]
    assert len(inputs(lab)) == 2


def others(count: int, created_at: datetime | None) -> list[StoredFile]:
    """List files of somebody else."""
    return [StoredFile(f"file-other-{n}", f"{n}.jsonl", 7, created_at) for n in range(count)]


@pytest.mark.parametrize(("older", "is_found"), [(999, True), (1_000, False)])
async def test_the_search_ends_among_older_files(
    lab: Lab, clock: VirtualClock, *, older: int, is_found: bool
) -> None:
    """A thousand files in a row from before the upload end it; the list may be endless."""
    past = clock.now() - timedelta(hours=2)
    lab.provider = OddProvider(
        clock, others=[*others(older, past), *others(1, clock.now()), *others(1, past)]
    )
    lab.provider.lose_next_answer("upload")
    service = lab.service()
    await service.submit(lab.lines())
    assert lab.provider.count("upload") == (1 if is_found else 2)


@pytest.mark.parametrize("age", [timedelta(minutes=59), None])
async def test_a_file_that_is_not_surely_older(
    lab: Lab, clock: VirtualClock, age: timedelta | None
) -> None:
    """The provider's clock may be another one, and some lists show no moment."""
    created_at = None if age is None else clock.now() - age
    lab.provider = OddProvider(clock, others=others(1_000, created_at))
    lab.provider.lose_next_answer("upload")
    await lab.service().submit(lab.lines())
    assert lab.provider.count("upload") == 1


async def test_canceled_after_a_lost_upload(lab: Lab) -> None:
    """Nothing stays at the provider of a batch that nobody wants any more."""
    await crash_at(lab, "after upload")
    service = lab.service()
    (summary,) = await service.batches()
    await service.cancel(summary.id)
    assert (await service.status(summary.id)).status is BatchStatus.CANCELED
    assert (inputs(lab), lab.provider.count("create")) == ([], 0)


async def test_a_refused_create_leaves_no_file(lab: Lab) -> None:
    """Nobody will use it."""
    lab.provider.fail_next("create", RefusedError("no batches for you"))
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert (await service.status(batch_id)).status is BatchStatus.FAILED
    assert inputs(lab) == []
    assert [deleted for _, deleted in await uploads(service, batch_id)] == [False, None]
    assert [call.operation for call in lab.provider.calls] == ["upload", "create", "delete"]


async def test_a_refused_upload_leaves_nothing_to_look_for(lab: Lab) -> None:
    """The provider took no file."""
    lab.provider.fail_next("upload", RefusedError("not a JSONL file"))
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert (await service.status(batch_id)).status is BatchStatus.FAILED
    assert [call.operation for call in lab.provider.calls] == ["upload"]


async def test_an_upload_that_is_refused_behind_a_lost_one(lab: Lab, clock: VirtualClock) -> None:
    """What the lost one left is deleted, although nobody knew of it before."""
    lab.provider = OddProvider(clock, blind_walks=1)
    lab.provider.lose_next_answer("upload")

    async def refuse(boundary: str) -> None:
        if boundary == "before upload" and inputs(lab):
            lab.provider.fail_next("upload", RefusedError("not a JSONL file"))

    service = lab.watched(refuse)
    batch_id = await service.submit(lab.lines())
    assert (await service.status(batch_id)).status is BatchStatus.FAILED
    assert (inputs(lab), lab.provider.count("delete")) == ([], 1)


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("gone"),
        UnavailableError("down"),
        UnauthorizedError("not with this key", http_status=403),
    ],
)
async def test_a_file_that_cannot_be_deleted(lab: Lab, error: ProviderError) -> None:
    """Another process was first, or it stays: it costs nothing, and the end is recorded."""
    lab.provider.fail_next("create", RefusedError("no batches for you"))
    lab.provider.fail_next("delete", error)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert (await service.status(batch_id)).status is BatchStatus.FAILED
    assert [deleted for _, deleted in await uploads(service, batch_id)] == [False]


async def test_each_file_is_deleted_once(lab: Lab, clock: VirtualClock) -> None:
    """A refused create after two uploads: the first was deleted before, the second is now."""
    lab.provider = OddProvider(clock, blind_walks=1)
    lab.provider.lose_next_answer("upload")
    lab.provider.fail_next("create", RefusedError("no batches for you"))
    service = lab.service()
    await service.submit(lab.lines())
    assert (inputs(lab), lab.provider.count("delete")) == ([], 2)


class LateRefusal(FakeBatchProvider):
    """Refuses the first create when another process has had its own accepted meanwhile."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(now=lab.clock.now)
        self.lab = lab
        self.creates = 0

    async def create_batch(self, request: CreateRequest) -> ProviderBatch:
        self.creates += 1
        if self.creates > 1:
            return await super().create_batch(request)
        await self.lab.service().submit(self.lab.lines())
        raise RefusedError("no batches for you")

    async def list_batches(self) -> AsyncGenerator[ProviderBatch, None]:
        nothing: list[ProviderBatch] = []
        for batch in nothing:
            yield batch


async def test_a_refusal_that_comes_too_late(lab: Lab) -> None:
    """The file of a batch that another process submitted is not deleted."""
    lab.provider = LateRefusal(lab)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert (await service.status(batch_id)).status is BatchStatus.SUBMITTED
    assert len(inputs(lab)) == 1
    assert lab.provider.count("delete") == 0


async def test_the_file_of_another_database_is_left_alone(lab: Lab) -> None:
    """The same input in another database is the same batch id, but another file."""
    there = lab.service()
    await there.submit(lab.lines())
    lab.close()
    lab.database = FileDatabase(lab.path.with_name("other.db"))
    lab.provider.lose_next_answer("upload")
    here = lab.service()
    batch_id = await here.submit(lab.lines())
    first, second = inputs(lab)
    assert await uploads(here, batch_id) == [(second, True)]
    assert len(lab.provider.batch_ids) == 2
    assert first in lab.provider.file_ids


async def test_a_file_that_is_about_to_be_recorded(lab: Lab, clock: VirtualClock) -> None:
    """A second process that comes to nothing must not have deleted it: a list may lack sizes."""

    class Sizeless(FakeBatchProvider):
        async def list_files(self) -> AsyncGenerator[StoredFile, None]:
            async for file in super().list_files():
                yield evolve(file, size=None)

    lab.provider = Sizeless(now=clock.now)

    async def second(boundary: str) -> None:
        if boundary == "after upload":
            await crash_at(lab, "before upload", closing=False)

    batch_id = await lab.watched(second).submit(lab.lines())
    service = lab.service()
    assert lab.provider.count("delete") == 0
    lab.complete_all()
    assert (await service.wait(batch_id)).totals.outcomes.succeeded == 3


async def test_two_lost_uploads_that_are_found_together(lab: Lab, clock: VirtualClock) -> None:
    """One is used, and the other deleted."""
    lab.provider = OddProvider(clock, blind_walks=1)
    lab.provider.lose_next_answer("upload", times=2)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    assert lab.provider.count("upload") == 2
    (used,) = inputs(lab)
    (other,) = {"file-00000001", "file-00000002"} - {used}
    assert await uploads(service, batch_id) == [(used, True), (other, None)]
