"""The verbs that move a batch through its life, and what the batch shows on the way."""

import pytest

from batchtrail.adapters.fake import FakeBatchProvider
from batchtrail.adapters.fake.stage import Actor
from batchtrail.application.errors import NotFoundError, RefusedError
from batchtrail.domain.status import BatchStatus
from batchtrail.domain.values import BatchProblem, RequestCounts, TokenUsage

FOUR = ("a", "b", "c", "d")


async def test_new_batch_stays_validating(provider: FakeBatchProvider, actor: Actor) -> None:
    """Without auto, looking at a batch does not move it."""
    batch = await actor.start()
    seen = [await provider.retrieve_batch(batch.id) for _ in range(3)]
    assert {each.report.raw_status for each in seen} == {"validating"}
    report = seen[-1].report
    assert report.request_counts == RequestCounts()
    assert report.model is None
    assert report.usage is None


async def test_advance_goes_one_step(provider: FakeBatchProvider, actor: Actor) -> None:
    """Step by step a batch passes OpenAI's statuses."""
    batch = await actor.start()
    seen = []
    for _ in range(3):
        provider.advance(batch.id)
        seen.append(provider.look(batch.id).report.raw_status)
    assert seen == ["in_progress", "finalizing", "completed"]


async def test_advance_goes_to_a_status(provider: FakeBatchProvider, actor: Actor) -> None:
    """A step may be as long as the test wants, and none when the status is reached already."""
    batch = await actor.start()
    provider.advance(batch.id, to="finalizing")
    provider.advance(batch.id, to="finalizing")
    assert provider.look(batch.id).report.raw_status == "finalizing"
    assert provider.look(batch.id).report.output_file_id is None


async def test_advance_never_goes_back(provider: FakeBatchProvider, actor: Actor) -> None:
    """A status that does not lie ahead is refused, and the batch stays where it is."""
    batch = await actor.start()
    provider.advance(batch.id, to="finalizing")
    with pytest.raises(ValueError, match="is finalizing and cannot become in_progress"):
        provider.advance(batch.id, to="in_progress")
    assert provider.look(batch.id).report.raw_status == "finalizing"


async def test_advance_ends_at_the_end(provider: FakeBatchProvider, actor: Actor) -> None:
    """After the end there is no step."""
    batch = await actor.start()
    provider.complete(batch.id)
    with pytest.raises(ValueError, match="is completed and cannot go further"):
        provider.advance(batch.id)


async def test_verbs_know_only_created_batches(provider: FakeBatchProvider) -> None:
    """A verb on an unknown batch says so."""
    with pytest.raises(NotFoundError):
        provider.advance("batch_unknown")


async def test_auto_moves_a_batch_each_time_it_is_shown() -> None:
    """With auto, asking again and again is enough, by retrieve or by list."""
    provider = FakeBatchProvider(auto=True)
    actor = Actor(provider, "/v1/responses", {"model": "gpt-5-nano", "input": "Say hello."})
    batch = await actor.start()
    retrieved = [await provider.retrieve_batch(batch.id) for _ in range(2)]
    listed = [(await actor.listed())[0] for _ in range(2)]
    seen = [each.report.raw_status for each in [batch, *retrieved, *listed]]
    assert seen == ["validating", "in_progress", "finalizing", "completed", "completed"]


async def test_auto_finishes_a_cancel() -> None:
    """With auto, a cancelled batch comes to its end too."""
    provider = FakeBatchProvider(auto=True)
    actor = Actor(provider, "/v1/responses", {"model": "gpt-5-nano", "input": "Say hello."})
    batch = await actor.start()
    canceling = await provider.cancel_batch(batch.id)
    assert canceling.report.raw_status == "cancelling"
    assert (await provider.retrieve_batch(batch.id)).report.status is BatchStatus.CANCELED


async def test_work_shows_in_the_counts(provider: FakeBatchProvider, actor: Actor) -> None:
    """Finished requests are counted as they were answered, before the end."""
    provider.answer_with("a", status_code=500)
    batch = await actor.start(FOUR)
    provider.work(batch.id, finished=3)
    report = provider.look(batch.id).report
    assert report.raw_status == "in_progress"
    assert report.request_counts == RequestCounts(total=4, completed=2, failed=1)
    assert report.model == "gpt-5-nano"


@pytest.mark.parametrize("finished", [1, 5])
async def test_work_neither_shrinks_nor_exceeds_the_batch(
    provider: FakeBatchProvider, actor: Actor, finished: int
) -> None:
    """Finished requests stay finished, and there are no more than the file has."""
    batch = await actor.start(FOUR)
    provider.work(batch.id, finished=2)
    with pytest.raises(ValueError, match=f"cannot have finished {finished}"):
        provider.work(batch.id, finished=finished)


async def test_complete_sums_the_usage(provider: FakeBatchProvider, actor: Actor) -> None:
    """At the end the batch shows the tokens of all its lines."""
    usage = {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 3}
    for custom_id in ("a", "b"):
        provider.answer_with(custom_id, body={"usage": usage})
    batch = await actor.start()
    provider.advance(batch.id, to="finalizing")
    assert provider.look(batch.id).report.usage is None
    provider.complete(batch.id)
    assert provider.look(batch.id).report.usage == TokenUsage(input=20, cached=8, output=6)


async def test_expire_lists_the_rest(provider: FakeBatchProvider, actor: Actor) -> None:
    """The requests that an expired batch did not run stand in the error file."""
    batch = await actor.start(FOUR)
    provider.expire(batch.id, finished=1)
    report = provider.look(batch.id).report
    assert report.status is BatchStatus.EXPIRED
    assert report.request_counts == RequestCounts(total=4, completed=1, failed=0)
    assert await actor.answered(report) == ["a"]
    rest = await actor.rows(report.error_file_id)
    assert sorted(row["custom_id"] for row in rest) == ["b", "c", "d"]
    assert {(row["response"], row["error"]["code"]) for row in rest} == {(None, "batch_expired")}


async def test_expire_keeps_what_was_finished(provider: FakeBatchProvider, actor: Actor) -> None:
    """Without a number, an expiring batch has finished what it had."""
    batch = await actor.start(FOUR)
    provider.work(batch.id, finished=2)
    provider.expire(batch.id)
    assert await actor.answered(provider.look(batch.id).report) == ["a", "b"]


async def test_expire_while_finalizing(provider: FakeBatchProvider, actor: Actor) -> None:
    """The window may be over when every request is answered, too."""
    batch = await actor.start(FOUR)
    provider.advance(batch.id, to="finalizing")
    provider.expire(batch.id)
    report = provider.look(batch.id).report
    assert (report.status, report.error_file_id) == (BatchStatus.EXPIRED, None)
    assert await actor.answered(report) == list(FOUR)


async def test_expire_needs_a_running_batch(provider: FakeBatchProvider, actor: Actor) -> None:
    """A batch that is over cannot expire."""
    batch = await actor.start()
    provider.complete(batch.id)
    with pytest.raises(ValueError, match="is completed and cannot expire"):
        provider.expire(batch.id)


async def test_fail_shows_the_errors(provider: FakeBatchProvider, actor: Actor) -> None:
    """A failed batch shows the errors it was given, and no files."""
    batch = await actor.start()
    errors = (BatchProblem("model_not_found", "no such model", "body.model", 2),)
    provider.fail(batch.id, errors)
    report = provider.look(batch.id).report
    assert report.status is BatchStatus.FAILED
    assert report.errors == errors
    assert report.output_file_id is None


async def test_fail_has_a_reason_of_its_own(provider: FakeBatchProvider, actor: Actor) -> None:
    """By default nothing would help but another input."""
    batch = await actor.start()
    provider.fail(batch.id)
    assert [each.code for each in provider.look(batch.id).report.errors] == ["model_not_found"]


async def test_fail_is_for_validating_batches(provider: FakeBatchProvider, actor: Actor) -> None:
    """A batch that runs does not fail as a whole."""
    batch = await actor.start()
    provider.advance(batch.id)
    with pytest.raises(ValueError, match="is in_progress and cannot fail"):
        provider.fail(batch.id)


async def test_finish_cancel_lists_the_rest(provider: FakeBatchProvider, actor: Actor) -> None:
    """A batch may finish requests while it is cancelling; the rest is in the error file."""
    batch = await actor.start(FOUR)
    provider.work(batch.id, finished=1)
    await provider.cancel_batch(batch.id)
    provider.finish_cancel(batch.id, finished=3)
    report = provider.look(batch.id).report
    assert report.status is BatchStatus.CANCELED
    assert report.request_counts == RequestCounts(total=4, completed=3, failed=0)
    rest = await actor.rows(report.error_file_id)
    assert [(row["custom_id"], row["error"]["code"]) for row in rest] == [("d", "batch_cancelled")]


async def test_cancel_while_validating_leaves_nothing(
    provider: FakeBatchProvider, actor: Actor
) -> None:
    """A batch that was cancelled before it ran has neither counts nor files."""
    batch = await actor.start(FOUR)
    await provider.cancel_batch(batch.id)
    provider.finish_cancel(batch.id)
    report = provider.look(batch.id).report
    assert report.raw_status == "cancelled"
    assert report.request_counts == RequestCounts()
    assert (report.output_file_id, report.error_file_id) == (None, None)


async def test_finish_cancel_needs_a_cancel(provider: FakeBatchProvider, actor: Actor) -> None:
    """Nobody asked, so nothing can be finished."""
    batch = await actor.start()
    with pytest.raises(ValueError, match="is validating and cannot finish cancelling"):
        provider.finish_cancel(batch.id)


@pytest.mark.parametrize("end", ["complete", "fail", "expire"])
async def test_cancel_after_the_end_is_a_conflict(
    provider: FakeBatchProvider, actor: Actor, end: str
) -> None:
    """A batch that is over refuses a cancel with HTTP status 409."""
    batch = await actor.start()
    getattr(provider, end)(batch.id)
    with pytest.raises(RefusedError) as refused:
        await provider.cancel_batch(batch.id)
    assert refused.value.http_status == 409


async def test_show_status_reports_any_word(provider: FakeBatchProvider, actor: Actor) -> None:
    """An unknown word counts as in progress, whatever the truth is."""
    batch = await actor.start()
    provider.complete(batch.id)
    provider.show_status(batch.id, "queued")
    report = (await provider.retrieve_batch(batch.id)).report
    assert (report.status, report.raw_status) == (BatchStatus.IN_PROGRESS, "queued")
    provider.show_status(batch.id, None)
    assert provider.look(batch.id).report.status is BatchStatus.ENDED


async def test_show_counts_reports_any_numbers(provider: FakeBatchProvider, actor: Actor) -> None:
    """The counts may be made wrong, and right again."""
    batch = await actor.start()
    provider.complete(batch.id)
    provider.show_counts(batch.id, RequestCounts(total=9, completed=9))
    assert (await provider.retrieve_batch(batch.id)).report.request_counts.total == 9
    provider.show_counts(batch.id, None)
    assert provider.look(batch.id).report.request_counts.total == 2
