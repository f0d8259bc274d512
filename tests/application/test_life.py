"""The whole life of a batch, and what the same command does a second time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from batchtrail.application import store
from batchtrail.application.errors import BatchNotFoundError, InputError, QuotaError
from batchtrail.application.progress import Applying, Uploading, Waiting
from batchtrail.application.unreachable import unreachable
from batchtrail.bootstrap import NO_KEY
from batchtrail.domain.events import RequestsAdded
from batchtrail.domain.status import BatchStatus, Outcome
from batchtrail.domain.values import BatchProblem, NewBatch

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.application.progress import Progress
    from batchtrail.application.service import BatchService
    from batchtrail.domain.batch import Batch


async def run(lab: Lab, service: BatchService) -> UUID:
    batch_id = await service.submit(lab.lines())
    await service.wait(batch_id)
    return batch_id


async def test_without_a_key_nothing_is_recorded(lab: Lab) -> None:
    """Or a worker with a key would submit and pay for what its owner was refused."""
    keyless = lab.service(unreachable(lab.provider.name, lab.provider.limits, NO_KEY))
    with pytest.raises(InputError, match="no API key"):
        await keyless.submit(lab.lines())
    assert await keyless.batches() == []
    draft = await keyless.draft(NewBatch(lab.provider.name, "/v1/responses"))
    await keyless.add_requests(draft, lab.lines())
    with pytest.raises(InputError, match="no API key"):
        await keyless.submit_draft(draft)
    log = await lab.log(keyless, draft)
    assert [type(event).__name__ for event in log] == ["Drafted", "RequestsAdded"]


@pytest.mark.parametrize("operation", ["upload", "create"])
async def test_without_a_key_no_step_of_a_submission_is_recorded(lab: Lab, operation: str) -> None:
    """A call that was begun in the log is searched for, and counts as one that may be paid."""
    service = lab.service()
    lab.provider.fail_next(operation, QuotaError("no credit"))
    with pytest.raises(QuotaError):
        await service.submit(lab.lines())
    (batch,) = await service.batches()
    before = await lab.facts(service, batch.id)
    keyless = lab.service(unreachable(lab.provider.name, lab.provider.limits, NO_KEY))
    for call in (keyless.submit(lab.lines()), keyless.wait(batch.id), keyless.cancel(batch.id)):
        with pytest.raises(InputError, match="no API key"):
            await call
    assert await lab.facts(service, batch.id) == before
    await service.submit(lab.lines())
    assert lab.provider.count("create") == (1 if operation == "upload" else 2)


async def test_without_a_key_no_cancellation_is_recorded(lab: Lab) -> None:
    """Or a worker with a key would cancel what its owner was refused; a draft needs none."""
    batch_id = await lab.service().submit(lab.lines())
    keyless = lab.service(unreachable(lab.provider.name, lab.provider.limits, NO_KEY))
    with pytest.raises(InputError, match="no API key"):
        await keyless.cancel(batch_id)
    assert not (await keyless.status(batch_id)).cancel_requested
    draft = await keyless.draft(NewBatch(lab.provider.name, "/v1/responses"))
    assert (await keyless.cancel(draft)).status is BatchStatus.CANCELED


@pytest.mark.parametrize(("line_bytes", "held"), [(3 << 20, 1), (1 << 10, 2)])
async def test_requests_are_saved_some_megabytes_at_a_time(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, line_bytes: int, held: int
) -> None:
    """Two images of tens of megabytes need not be held at once; of short ones two events are."""
    saved: list[int] = []
    save = store.Batches.save_batch

    def noting(self: store.Batches, batch: Batch, *rest: Any, **options: Any) -> None:
        saved.append(sum(isinstance(event, RequestsAdded) for event in batch.pending_events))
        save(self, batch, *rest, **options)

    monkeypatch.setattr(store.Batches, "save_batch", noting)
    names = map(str, range((12 << 20) // line_bytes))
    body = {"model": "m", "input": "x" * line_bytes}
    await lab.service().submit([lab.line(name, body=body) for name in names])
    assert max(saved) == held
    assert sum(saved) >= held + 1


async def test_an_id_that_is_a_text(lab: Lab) -> None:
    """The type is told, and how to come to it."""
    service = lab.service()
    text = str(await service.submit(lab.lines()))
    wrong: Any = text
    calls: list[Awaitable[object]] = [
        service.status(wrong),
        service.wait(wrong),
        service.cancel(wrong),
        service.replay(wrong),
        service.replay_request(wrong, "a"),
        service.request_history(wrong, "a"),
        service.redact_request(wrong, "a"),
        anext(service.history(wrong)),
        anext(service.completions(wrong)),
        anext(service.result_lines(wrong)),
    ]
    for call in calls:
        with pytest.raises(InputError, match="is no batch id, which is a UUID; `find`"):
            await call
    assert str(await service.find(text)) == text


async def test_whole_life(lab: Lab) -> None:
    """From lines to outcomes: one upload, one create, and bodies as the provider sent them."""
    service = lab.service()
    batch_id = await service.submit(lab.lines(), metadata={"campaign": "42"}, description="why")
    lab.clock.after(90, lab.complete_all)
    summary = await service.wait(batch_id)
    assert summary.status is BatchStatus.ENDED
    assert summary.metadata == {"campaign": "42"}
    assert summary.totals.outcomes.succeeded == 3
    assert summary.totals.usage == lab.provider.look(lab.provider.batch_ids[0]).report.usage
    assert (lab.provider.count("upload"), lab.provider.count("create")) == (1, 1)
    await lab.assert_each_once(service, batch_id)
    output_id = lab.provider.look(lab.provider.batch_ids[0]).report.output_file_id
    assert output_id
    output = lab.provider.content(output_id)
    assert sorted((await lab.out(service, batch_id)).splitlines()) == sorted(output.splitlines())
    ids = [each.custom_id for each in await lab.completions(service, batch_id)]
    assert ids == ["a", "b", "c"]


async def test_what_is_sent(lab: Lab) -> None:
    """The input goes up byte for byte under our id; our metadata stays at home."""
    service = lab.service()
    batch_id = await service.submit(lab.lines(), metadata={"secret": "x"})
    upload, create = lab.provider.calls
    assert str(batch_id) in (upload.subject or "")
    assert create.subject
    assert lab.provider.content(create.subject) == b"".join(lab.lines())
    sent = lab.provider.look(lab.provider.batch_ids[0])
    assert sent.metadata == {"batchtrail_batch_id": str(batch_id)}


async def test_submit_twice_is_one_create(lab: Lab) -> None:
    """The same input continues the earlier batch, before and after its end."""
    service = lab.service()
    first = await service.submit(lab.lines())
    second = await service.submit(lab.lines())
    lab.complete_all()
    await service.wait(first)
    assert {first, second} == {first, await service.submit(lab.lines())}
    assert lab.provider.count("create") == 1


async def test_second_process_continues(lab: Lab) -> None:
    """The same input through another service on the same store is the same batch."""
    first = await lab.service().submit(lab.lines())
    lab.close()
    lab.complete_all()
    service = lab.service()
    assert await service.submit(lab.lines()) == first
    await service.wait(first)
    assert lab.provider.count("create") == 1
    await lab.assert_each_once(service, first)


async def test_another_provider_is_another_batch(lab: Lab) -> None:
    """The same input for another account is no repeat."""
    service = lab.service()
    first = await service.submit(lab.lines())
    lab.provider.name = "fake at another base URL"
    assert await service.submit(lab.lines()) != first
    assert lab.provider.count("create") == 2


async def test_new_makes_a_second_batch(lab: Lab) -> None:
    """With `new` there is another batch, and the plain call continues the newest."""
    service = lab.service()
    first = await service.submit(lab.lines())
    second = await service.submit(lab.lines(), new=True)
    assert second != first
    assert await service.submit(lab.lines()) == second
    assert await lab.service().submit(lab.lines()) == second
    assert lab.provider.count("create") == 2


async def test_new_as_first_is_a_plain_first(lab: Lab) -> None:
    """Asking for a new batch where there is none makes the one that the plain call continues."""
    service = lab.service()
    first = await service.submit(lab.lines(), new=True)
    assert await service.submit(lab.lines()) == first


@pytest.mark.parametrize("requests", [3, 300])
async def test_two_processes_at_once(lab: Lab, requests: int) -> None:
    """Two processes with the same input at the same moment: one create, both finish."""
    lines = lab.lines(*map(str, range(requests)))
    services = [lab.service(), lab.service()]

    async def life(service: BatchService) -> UUID:
        batch_id = await service.submit(lines)
        await service.wait(batch_id)
        return batch_id

    lab.clock.after(100, lab.complete_all)
    ids = await lab.clock.together(*map(life, services))
    assert len(set(ids)) == 1
    assert lab.provider.count("create") == 1
    for service in services:
        await lab.assert_each_once(service, ids[0])
    assert len(await services[0].batches()) == 1


async def test_two_processes_record_a_large_input_together(lab: Lab) -> None:
    """Input of several chunks, recorded by two processes at once, is recorded once."""
    body = {"model": "gpt-5-nano", "input": "x" * 200_000}
    lines = [lab.line(str(number), body=body) for number in range(25)]
    services = [lab.service(), lab.service()]
    ids = await asyncio.gather(*(service.submit(lines) for service in services))
    assert len(set(ids)) == 1
    assert lab.provider.count("create") == 1
    batch = lab.provider.look(lab.provider.batch_ids[0])
    assert batch.input_file_id
    assert lab.provider.content(batch.input_file_id) == b"".join(lines)


async def test_surplus_upload_is_deleted(lab: Lab) -> None:
    """When two processes upload the same input, the second file does not stay behind."""
    meet = asyncio.Barrier(2)

    async def both_at_once(boundary: str) -> None:
        if boundary == "before upload":
            await meet.wait()

    services = [lab.watched(both_at_once), lab.watched(both_at_once)]
    ids = await asyncio.gather(*(service.submit(lab.lines()) for service in services))
    assert len(set(ids)) == 1
    assert (lab.provider.count("upload"), lab.provider.count("create")) == (2, 1)
    assert len(lab.provider.file_ids) == 1
    assert "InputDiscarded" in await lab.facts(services[0], ids[0])


async def test_two_processes_collect_together(lab: Lab) -> None:
    """Two processes that apply the same files at once apply each line once."""
    lab.provider.chunk_size = 700
    services = [lab.service(), lab.service()]
    batch_id = await services[0].submit(lab.lines(*map(str, range(50))))
    lab.complete_all()
    await services[0].refresh(batch_id)
    await asyncio.gather(*(service.collect(batch_id) for service in services))
    for service in services:
        await lab.assert_each_once(service, batch_id)
        assert (await service.status(batch_id)).totals.skipped_lines == 0


async def test_wait_after_the_end_asks_nothing(lab: Lab) -> None:
    """A finished batch answers from the log alone."""
    service = lab.service()
    lab.clock.after(1, lab.complete_all)
    batch_id = await run(lab, service)
    calls = len(lab.provider.calls)
    await service.wait(batch_id)
    await service.collect(batch_id)
    await service.refresh(batch_id)
    await service.submit(lab.lines())
    assert len(lab.provider.calls) == calls


async def test_progress_is_told(lab: Lab) -> None:
    """Uploading, waiting and applying are told, up to their whole."""
    told: list[Progress] = []
    service = lab.service()
    batch_id = await service.submit(lab.lines(), on_progress=told.append)
    lab.clock.after(100, lab.complete_all)
    await service.wait(batch_id, told.append)
    uploads = [each for each in told if isinstance(each, Uploading)]
    assert uploads[-1].sent == uploads[-1].size == len(b"".join(lab.lines()))
    assert [each.seconds for each in told if isinstance(each, Waiting)] == lab.clock.sleeps
    assert [each.applied for each in told if isinstance(each, Applying)] == [3]


async def test_refresh_records_what_changed_once(lab: Lab) -> None:
    """A poll without news leaves no event."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.provider.work(lab.provider.batch_ids[0], finished=1)
    summaries = [await service.refresh(batch_id) for _ in range(3)]
    assert {each.status for each in summaries} == {BatchStatus.IN_PROGRESS}
    assert (await lab.facts(service, batch_id)).count("StatusChanged") == 1


async def test_unknown_status_word_is_work_under_way(lab: Lab) -> None:
    """A word that nobody knows keeps the batch going, and is kept as it was said."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.provider.show_status(lab.provider.batch_ids[0], "pondering")
    summary = await service.refresh(batch_id)
    assert (summary.status, summary.raw_status) == (BatchStatus.IN_PROGRESS, "pondering")


async def test_find_by_prefix(lab: Lab) -> None:
    """A batch is found by its id or an unambiguous beginning, with or without dashes."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    for reference in (str(batch_id), batch_id.hex, str(batch_id)[:11], batch_id.hex[:6].upper()):
        assert await service.find(reference) == batch_id


async def test_find_refuses_what_does_not_fit_one(lab: Lab) -> None:
    """None, many, and words are refused in a sentence."""
    service = lab.service()
    ids = [await service.submit(lab.lines(str(number))) for number in range(17)]
    first = {
        batch_id.hex[0] for batch_id in ids if sum(i.hex[0] == batch_id.hex[0] for i in ids) > 1
    }
    with pytest.raises(Exception, match="more than one batch") as many:
        await service.find(first.pop())
    with pytest.raises(Exception, match="no batch has an id") as none:
        await service.find("0" * 32)
    for reference in ("", "-", "latest", "%"):
        with pytest.raises(Exception, match="is no batch id"):
            await service.find(reference)
    assert {many.typename, none.typename} == {"InputError"}


async def test_unknown_batch(lab: Lab) -> None:
    """Every use case says that there is no such batch."""
    service = lab.service()
    unknown = (await service.submit(lab.lines())).__class__(int=7)
    for use in (service.wait, service.refresh, service.collect, service.cancel, service.status):
        with pytest.raises(BatchNotFoundError):
            await use(unknown)
    with pytest.raises(BatchNotFoundError):
        await service.submit_draft(unknown)
    with pytest.raises(BatchNotFoundError):
        await service.add_requests(unknown, lab.lines())
    with pytest.raises(BatchNotFoundError):
        await lab.completions(service, unknown)
    with pytest.raises(BatchNotFoundError):
        await lab.log(service, unknown)


async def test_batches_newest_first(lab: Lab) -> None:
    """The list shows the newest batches, as many as asked for."""
    service = lab.service()
    ids = []
    for custom_id in "abc":
        ids.append(await service.submit(lab.lines(custom_id)))
        lab.clock.pass_time(1)
    assert [each.id for each in await service.batches(limit=2)] == ids[:0:-1]


async def test_results_that_are_read_across_the_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read after the end says why a request has no line, whenever the reading began."""
    monkeypatch.setattr(store, "_PAGE_BYTES", 1)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.provider.drop_line("c")
    lines, completions = service.result_lines(batch_id), service.completions(batch_id)
    assert (await anext(completions)).outcome is Outcome.PENDING
    await anext(lines)
    lab.complete_all()
    await service.wait(batch_id)
    *_, last = [each async for each in completions]
    assert (last.outcome, last.error and last.error.code) == (Outcome.MISSING, "missing")
    *_, piece = [each async for each in lines]
    assert b'"code":"missing"' in piece


@pytest.mark.parametrize(("word", "code"), [(None, "first"), ("expired", "batch_expired")])
async def test_errors_of_lines_that_are_read_across_the_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, word: str | None, code: str
) -> None:
    """Of a batch that failed, the first thing that the provider said of a line is its reason."""
    monkeypatch.setattr(store, "_PAGE_BYTES", 1)
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    completions = service.completions(batch_id)
    assert (await anext(completions)).outcome is Outcome.PENDING
    errors = [BatchProblem(each, "No.", line=3) for each in ("first", "second")]
    lab.provider.fail(lab.provider.batch_ids[-1], errors)
    lab.provider.show_status(lab.provider.batch_ids[-1], word)
    await service.wait(batch_id)
    *_, last = [each async for each in completions]
    assert last.error
    assert last.error.code == code
