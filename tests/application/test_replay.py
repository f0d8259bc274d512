"""Time travel: any earlier state comes back from the events alone."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import evolve
from tests.application.conftest import Lab
from tests.application.test_history import execute, many_lives
from tests.laboratory.author import Author, answer, request_line

from batchtrail import BatchNotFoundError, BatchSummary, Completion, InputError, Outcome
from batchtrail.application.service import BatchService
from batchtrail.domain.batch import Batch
from batchtrail.domain.requests import RequestIndex
from batchtrail.domain.values import BatchProblem, RequestProblem, Stamp

Moment = tuple[datetime, BatchSummary, list[Completion]]


async def recorded_life(lab: Lab) -> tuple[UUID, list[Moment]]:
    """Live a life with a cancellation, and remember what could be read at each of its moments."""
    service = lab.service()
    lab.provider.answer_with("b", status_code=400)
    seen: list[Moment] = []

    async def look(batch_id: UUID) -> None:
        now, summary = lab.clock.now(), await service.status(batch_id)
        seen.append((now, summary, await lab.completions(service, batch_id)))
        lab.clock.pass_time(7)

    batch_id = await service.submit(lab.lines(*"abcde"))
    provider_id = lab.provider.batch_ids[-1]
    await look(batch_id)
    for finished in (1, 2, 3):
        lab.provider.work(provider_id, finished=finished)
        await service.refresh(batch_id)
        await look(batch_id)
    await service.cancel(batch_id)
    await look(batch_id)
    lab.provider.finish_cancel(provider_id)
    await service.refresh(batch_id)
    await look(batch_id)
    await service.collect(batch_id)
    await look(batch_id)
    await service.retry(batch_id)
    await look(batch_id)
    return batch_id, seen


async def test_every_moment_comes_back(lab: Lab) -> None:
    """What was seen at a moment is replayed, of the batch and of each request."""
    batch_id, seen = await recorded_life(lab)
    service = lab.service()
    assert len({summary.version for _, summary, _ in seen}) == len(seen) == 8
    for moment, summary, completions in seen:
        assert await service.replay(batch_id, at=moment) == summary
        assert await service.replay(batch_id, at=moment + timedelta(seconds=3)) == summary
        assert await service.replay(batch_id, at=summary.version) == summary
        for completion in completions:
            at = moment.astimezone(None)
            again = await service.replay_request(batch_id, completion.custom_id, at=at)
            assert again.completion == completion
            assert again.batch == summary
            assert again.line == lab.line(completion.custom_id).rstrip(b"\n")


async def test_without_a_moment(lab: Lab) -> None:
    """Without a moment all events are replayed: batches and requests of every end."""
    ids = await many_lives(lab)
    service = lab.service()
    for batch_id in ids:
        assert await service.replay(batch_id) == await service.status(batch_id)
        for completion in await lab.completions(service, batch_id):
            found = await service.replay_request(batch_id, completion.custom_id)
            assert found.completion == completion


async def test_errors_of_single_lines(lab: Lab) -> None:
    """A batch that failed for single lines tells each request why, as its results do."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.provider.fail(lab.provider.batch_ids[-1])
    await service.wait(batch_id)
    for completion in await lab.completions(service, batch_id):
        assert completion.error is not None
        found = await service.replay_request(batch_id, completion.custom_id)
        assert found.completion == completion


async def test_errors_of_single_lines_after_another_collection(lab: Lab) -> None:
    """What the provider said when it was asked once more counts, for each request as well."""
    service = lab.service()
    batch_id = await service.submit(lab.lines("a"))
    provider_id = lab.provider.batch_ids[-1]
    lab.provider.fail(provider_id, [BatchProblem("first", "Wrong.", line=1)])
    await service.wait(batch_id)
    lab.provider._account.batch(provider_id).errors = (BatchProblem("next", "Worse.", line=1),)
    await service.collect_again(batch_id)
    (completion,) = await lab.completions(service, batch_id)
    assert completion.error == RequestProblem("next", "Worse.")
    assert (await service.replay_request(batch_id, "a")).completion == completion


async def test_nothing_but_events_is_read(lab: Lab) -> None:
    """Views and snapshots that say something else change no replay."""
    batch_id, seen = await recorded_life(lab)
    lab.close()
    execute(
        lab,
        "UPDATE completions SET outcomes=replace(outcomes, 's', 'm'), positions=zeroblob(8)",
        "UPDATE batches SET summary='{}', version=1",
        "DELETE FROM snapshots",
        "INSERT INTO snapshots SELECT originator_id, 9, 'batchtrail.batch.snapshot', 'x' "
        "FROM events GROUP BY originator_id",
    )
    service = lab.service()
    moment, summary, completions = seen[-1]
    assert await service.replay(batch_id, at=moment) == summary
    life = await service.replay_request(batch_id, "a", at=moment)
    assert life.completion == completions[0]


async def test_events_and_moments_that_were_not(lab: Lab) -> None:
    """What lies before the beginning, behind the last event or in no time zone is refused."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    begin, last = lab.clock.start, (await service.status(batch_id)).version
    wrong: list[tuple[Any, str]] = [
        (0, "there is no event 0; the events of a batch count from 1"),
        (-1, "there is no event -1"),
        (last + 1, f"has no event {last + 1} yet; its last one is {last}"),
        (begin - timedelta(seconds=1), "began at 2026-01-01T00:00:00+00:00; it was not there at"),
        (begin.replace(tzinfo=None), "has no time zone"),
        ("2026-01-01", "at is '2026-01-01'; give a datetime, or the number of an event"),
    ]
    for at, words in wrong:
        with pytest.raises(InputError, match=words.replace("+", r"\+")):
            await service.replay(batch_id, at=at)
    with pytest.raises(InputError, match="has no request with the custom_id 'nobody'"):
        await service.replay_request(batch_id, "nobody")
    with pytest.raises(InputError, match="has no request with the custom_id 'a'"):
        await service.replay_request(batch_id, "a", at=1)
    for at in (None, 1, begin):
        with pytest.raises(BatchNotFoundError):
            await service.replay(uuid4(), at=at)


async def test_moments_in_the_future(lab: Lab) -> None:
    """A moment that has not come yet is the present state."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    later = lab.clock.now() + timedelta(days=9)
    assert await service.replay(batch_id, at=later) == await service.status(batch_id)


SECOND = timedelta(seconds=1)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "version"),
    [(-1, None), (0, 1), (1, 1), (2, 3), (4, 3), (5, 4), (9, 4)],
)
async def test_clocks_that_disagree(lab: Lab, seconds: int, version: int | None) -> None:
    """An event of a fast clock belongs to the moment of the later event that rests on it."""
    service = lab.service()
    by = Author().stamp().by

    def at(second: int) -> Stamp:
        return Stamp(NOON + second * SECOND, by)

    author = Author(NOON - timedelta(microseconds=1))
    batch: Batch = author.draft([])
    for number, second in enumerate((4, 2, 5)):
        batch.record_discarded_upload(
            f"file-{number}", upload_request_id=None, request_id=None, stamp=at(second)
        )
    lab.batches.save_batch(batch)
    moment = NOON + seconds * SECOND
    if version is None:
        with pytest.raises(InputError):
            await service.replay(batch.id, at=moment)
    else:
        assert (await service.replay(batch.id, at=moment)).version == version


async def test_results_that_were_asked_for_again(lab: Lab) -> None:
    """While a collection is taken up again, what had no result is pending; then it has one."""
    service: BatchService = lab.service()
    author = Author()
    batch = author.draft(map(request_line, "ab"))
    author.end(batch)
    index = RequestIndex("ab")
    author.apply(batch, index, [answer("a")])
    batch.finish_collection(stamp=author.stamp())
    settled = batch.version
    assert batch.report is not None
    report = evolve(batch.report, error_file_id="late")
    batch.reopen_collection(report, request_id=None, stamp=author.stamp())
    author.apply(batch, index, [answer("b")])
    lab.batches.save_batch(batch)
    last = batch.version
    outcomes = [
        (await service.replay_request(batch.id, "b", at=at)).completion.outcome
        for at in (settled - 1, settled, settled + 1, last)
    ]
    assert outcomes == [Outcome.PENDING, Outcome.MISSING, Outcome.PENDING, Outcome.SUCCEEDED]
