"""Result files that stay away: waited for, settled by command or by age, and found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batchtrail.application.errors import (
    NotFoundError,
    QuotaError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)
from batchtrail.application.pruning import Prunable
from batchtrail.application.store import Batches
from batchtrail.domain.errors import BodyRemovedError
from batchtrail.domain.events import RequestRedacted, ResultApplied, ResultsCollected, ResultSkipped

if TYPE_CHECKING:
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.application.service import BatchService

HOUR = 3_600.0
GONE = NotFoundError("No such File object", http_status=404)


class Withholding:
    """A provider that answers the download of certain files with an error."""

    def __init__(self, inner: Any, error: Exception, *file_ids: str | None) -> None:
        self._inner, self._error, self._file_ids = inner, error, file_ids

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def download(self, file_id: str) -> Any:
        if file_id in self._file_ids:
            raise self._error
        async for piece in self._inner.download(file_id):
            yield piece


async def expired(lab: Lab, error: Exception) -> tuple[BatchService, UUID]:
    """Give a batch of which two requests finished, and whose output file does not come."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    provider_id = lab.provider.batch_ids[0]
    lab.provider.work(provider_id, finished=2)
    lab.provider.expire(provider_id)
    file_id = lab.provider.look(provider_id).report.output_file_id
    await service.refresh(batch_id)
    withholding: Any = Withholding(lab.provider, error, file_id)
    return lab.service(withholding), batch_id


FORBIDDEN = UnauthorizedError("not this file", http_status=403)


async def test_a_first_look_long_after_the_end(lab: Lab) -> None:
    """As with a key of another project; the time in which nobody looked says nothing."""
    service, batch_id = await expired(lab, GONE)
    lab.clock.pass_time(60 * HOUR)
    lab.clock.after(HOUR / 2, lambda: setattr(service._provider, "_file_ids", ()))
    assert (await service.wait(batch_id)).totals.outcomes.succeeded == 2


async def test_a_good_collection_begins_the_time_anew(lab: Lab) -> None:
    """A file that stays away again, after it came, has not been away for all that time."""
    lab.provider.drop_line("c")
    service, batch_id = await expired(lab, GONE)
    withholding: Any = service._provider
    file_ids = withholding._file_ids
    lab.clock.pass_time(60 * HOUR)
    lab.clock.after(0.9 * HOUR, lambda: setattr(withholding, "_file_ids", ()))
    assert (await service.wait(batch_id)).totals.outcomes.succeeded == 2
    withholding._file_ids = file_ids
    with pytest.raises(NotFoundError):
        await service.collect_again(batch_id)
    lab.clock.after(HOUR / 4, lambda: setattr(withholding, "_file_ids", ()))
    outcomes = (await service.wait(batch_id)).totals.outcomes
    assert (outcomes.succeeded, outcomes.expired, outcomes.missing) == (2, 1, 0)


@pytest.mark.parametrize("error", [GONE, UnavailableError("503"), RefusedError("403"), FORBIDDEN])
async def test_collect_as_is(lab: Lab, error: Exception) -> None:
    """What the other file holds is applied; what nobody can know is missing, with the reason."""
    service, batch_id = await expired(lab, error)
    summary = await service.collect(batch_id, as_is=True)
    assert lab.clock.sleeps == []
    assert await lab.outcomes(service, batch_id) == {"a": "missing", "b": "missing", "c": "expired"}
    lost = (await lab.completions(service, batch_id))[0].error
    assert lost is not None
    assert (lost.code, str(error) in lost.message) == ("result_file_lost", True)
    assert summary.miscounted
    later = lab.service()
    assert (await later.collect_again(batch_id)).totals.outcomes.succeeded == 2
    await lab.assert_each_once(later, batch_id)


async def test_collected_again_after_a_redaction(lab: Lab) -> None:
    """What comes later of a request that was redacted does not stay either."""
    service, batch_id = await expired(lab, GONE)
    await service.collect(batch_id, as_is=True)
    later = lab.service()
    await later.redact_request(batch_id, "a", reason="asked for")
    await later.collect_again(batch_id)
    first, second, _ = await lab.completions(later, batch_id)
    assert (first.outcome, first.redacted, first.line) == ("succeeded", True, None)
    assert second.line is not None
    assert first.cost == second.cost
    log = await lab.log(later, batch_id)
    reasons = [event.reason for event in log if isinstance(event, RequestRedacted)]
    assert reasons == ["asked for", "asked for"]
    assert await later.redacted_requests(batch_id) == 1
    assert (await later.verify()).differences == ()


async def test_every_line_of_a_redacted_request_goes(lab: Lab) -> None:
    """Also those that were skipped, for it had its result already."""
    lab.provider.repeat_line("a")
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    await service.wait(batch_id)
    await service.redact_request(batch_id, "a", reason=None)
    log = await lab.log(service, batch_id)
    lines = [each.line for each in log if isinstance(each, ResultApplied | ResultSkipped)]
    assert [line.content is None for line in lines].count(True) == 2


async def test_what_was_redacted_and_then_pruned(lab: Lab) -> None:
    """No file says of all the others that they were redacted."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    await service.wait(batch_id)
    await service.redact_request(batch_id, "a", reason=None)
    assert [each.redacted for each in await lab.completions(service, batch_id)] == [
        True,
        False,
        False,
    ]
    last = (await service.status(batch_id)).version
    await service.prune_bodies(Prunable(batch_id, last), export_sha256=None)
    with pytest.raises(BodyRemovedError):
        await lab.out(service, batch_id)
    with pytest.raises(BodyRemovedError):
        _ = [each async for each in service.result_lines(batch_id)]


@pytest.mark.parametrize("error", [UnauthorizedError("wrong key"), QuotaError("no credit")])
async def test_a_wrong_key_settles_nothing(lab: Lab, error: Exception) -> None:
    """Rows are not given away because of a key, or of an account without credit."""
    service, batch_id = await expired(lab, error)
    with pytest.raises(type(error)):
        await service.collect(batch_id, as_is=True)
    assert not (await service.status(batch_id)).results_collected
    assert (await lab.service().collect(batch_id)).totals.outcomes.succeeded == 2


@pytest.mark.parametrize("error", [GONE, RefusedError("403"), FORBIDDEN])
async def test_one_file_does_not_keep_the_other(lab: Lab, error: Exception) -> None:
    """The rows of the error file are safe before the trouble with the output file is told."""
    service, batch_id = await expired(lab, error)
    with pytest.raises(type(error)):
        await service.collect(batch_id)
    assert await lab.outcomes(service, batch_id) == {"a": "pending", "b": "pending", "c": "expired"}


class DiesBehindTheCollection(Batches):
    """A process that dies when the end of a collection is recorded."""

    def save_batch(self, batch: Any, steps: Any = None, **more: Any) -> None:
        is_end = any(isinstance(event, ResultsCollected) for event in batch.pending_events)
        super().save_batch(batch, steps, **more)
        if is_end:
            raise KeyboardInterrupt


async def test_crash_behind_a_collection_after_a_redaction(lab: Lab) -> None:
    """Nobody would come back to remove it."""
    service, batch_id = await expired(lab, GONE)
    await service.collect(batch_id, as_is=True)
    await service.redact_request(batch_id, "a", reason="asked for")
    with pytest.raises(KeyboardInterrupt):
        await lab.service(batches=DiesBehindTheCollection).collect_again(batch_id)
    later = lab.service()
    first, second, _ = await lab.completions(later, batch_id)
    assert (first.outcome, first.redacted, first.line) == ("succeeded", True, None)
    assert second.line is not None
    assert (await later.verify()).differences == ()


async def test_collected_while_it_is_being_pruned(lab: Lab) -> None:
    """What came behind the event up to which bodies were removed is removed the next time."""
    service, batch_id = await expired(lab, GONE)
    await service.collect(batch_id, as_is=True)
    lab.clock.pass_time(1)
    (what,) = await service.prunable(lab.clock.now())
    await lab.service().collect_again(batch_id)
    await service.prune_bodies(what, export_sha256=None)
    assert [each.line for each in await lab.completions(service, batch_id)][:2] != [None, None]
    lab.clock.pass_time(1)
    (rest,) = await service.prunable(lab.clock.now())
    await service.prune_bodies(rest, export_sha256=None)
    assert [each.line for each in await lab.completions(service, batch_id)] == [None] * 3
    assert await service.prunable(lab.clock.now()) == []
    assert (await service.verify()).differences == ()


async def test_collected_twice_after_a_redaction(lab: Lab) -> None:
    """What is removed already is not told to be removed once more."""
    lab.provider.drop_line("c")
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    provider_id = lab.provider.batch_ids[0]
    lab.provider.complete(provider_id)
    await service.refresh(batch_id)
    file_id = lab.provider.look(provider_id).report.output_file_id
    withholding: Any = Withholding(lab.provider, GONE, file_id)
    await lab.service(withholding).collect(batch_id, as_is=True)
    await service.redact_request(batch_id, "a")
    for _ in range(2):
        assert (await service.collect_again(batch_id)).totals.outcomes.missing == 1
    log = await lab.log(service, batch_id)
    told = [event.versions for event in log if isinstance(event, RequestRedacted)]
    assert len(told) == 2
    assert set(told[0]).isdisjoint(told[1])
