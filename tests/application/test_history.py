"""What the log says afterwards, and views and snapshots that can be thrown away."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from tests.laboratory.databases import SQLITE_VIEWS

from batchtrail.application import saving, store
from batchtrail.domain.events import Drafted, ResultApplied, SubmissionStarted
from batchtrail.domain.status import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from eventsourcing.persistence import Notification
    from tests.application.conftest import Lab

    from batchtrail.application.completions import Completion
    from batchtrail.application.service import BatchService
    from batchtrail.application.views import BatchSummary
    from batchtrail.domain.batch import Batch


async def many_lives(lab: Lab) -> list[UUID]:
    """Leave batches in the database that came to every end, and some that are on their way."""
    service = lab.service()
    lab.provider.answer_with("b", status_code=400)
    lab.provider.rename_line("e", "stranger")
    ids = []
    for end in BatchStatus:
        batch_id = await service.submit(lab.lines(*"abcde"), new=True)
        ids.append(batch_id)
        provider_id = lab.provider.batch_ids[-1]
        match end:
            case BatchStatus.ENDED:
                lab.provider.complete(provider_id)
            case BatchStatus.EXPIRED:
                lab.provider.expire(provider_id, finished=2)
            case BatchStatus.FAILED:
                lab.provider.fail(provider_id)
            case BatchStatus.CANCELED:
                lab.provider.work(provider_id, finished=2)
                await service.cancel(batch_id)
                lab.provider.finish_cancel(provider_id)
            case BatchStatus.IN_PROGRESS:
                lab.provider.work(provider_id, finished=2)
                await service.refresh(batch_id)
        if end.is_terminal:
            await service.wait(batch_id)
        lab.clock.pass_time(1)
    return ids


State = tuple[list["BatchSummary"], list[list["Completion"]], list[dict[str, object]]]


async def everything(lab: Lab, ids: list[UUID]) -> State:
    """Read all that a new process can read: lists, completions and aggregates."""
    service = lab.service()
    completions = [await lab.completions(service, batch_id) for batch_id in ids]
    states = [vars(lab.batches.get(batch_id)) for batch_id in ids]
    listed = await service.batches()
    lab.close()
    return listed, completions, states


def execute(lab: Lab, *statements: str) -> None:
    with closing(sqlite3.connect(lab.path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


VIEWS = ("view_checkpoint", *SQLITE_VIEWS)
EMPTY_VIEWS = (
    *(f"DELETE FROM {view}" for view in SQLITE_VIEWS),  # noqa: S608 (tables)
    "UPDATE view_checkpoint SET position=0",
)


@pytest.mark.parametrize("page", [1, 5_000, 16 << 20])
async def test_views_are_rebuilt_equal(
    lab: Lab, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views that were dropped come back from the log, whatever the pages of the rebuild."""
    ids = await many_lives(lab)
    lab.close()
    before = await everything(lab, ids)
    monkeypatch.setattr(store, "_REBUILD_BYTES", page)
    execute(lab, *(f"DROP TABLE {view}" for view in VIEWS))
    assert await everything(lab, ids) == before


@pytest.mark.parametrize("view", VIEWS)
async def test_one_view_lost(lab: Lab, view: str) -> None:
    """One missing table is repaired with the others."""
    ids = await many_lives(lab)
    lab.close()
    before = await everything(lab, ids)
    execute(lab, f"DROP TABLE {view}")
    assert await everything(lab, ids) == before


async def test_snapshots_are_dispensable(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without snapshots, or without snapshots and views, the log alone gives the same state."""
    monkeypatch.setattr(saving, "SNAPSHOT_INTERVAL", 2)
    ids = await many_lives(lab)
    lab.close()
    before = await everything(lab, ids)
    execute(lab, "DELETE FROM snapshots")
    assert await everything(lab, ids) == before
    execute(lab, "DELETE FROM snapshots", *EMPTY_VIEWS)
    assert await everything(lab, ids) == before


async def test_life_goes_on_without_snapshots_and_views(lab: Lab) -> None:
    """A batch under way is finished from the bare log."""
    batch_id = await lab.service().submit(lab.lines())
    lab.close()
    execute(lab, "DELETE FROM snapshots", *(f"DROP TABLE {view}" for view in VIEWS))
    lab.complete_all()
    service = lab.service()
    assert await service.submit(lab.lines()) == batch_id
    await service.wait(batch_id)
    assert lab.provider.count("create") == 1
    await lab.assert_each_once(service, batch_id)


async def test_rebuild_beside_a_working_process(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that works while another has thrown the views away loses nothing of them."""
    monkeypatch.setattr(store, "_REBUILD_BYTES", 1)
    working = lab.service()
    batch_id = await working.submit(lab.lines())
    execute(lab, *EMPTY_VIEWS)
    lab.complete_all()
    await working.refresh(batch_id)
    await working.wait(batch_id)
    await lab.assert_each_once(lab.service(), batch_id)


async def test_two_rebuilds_at_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that rebuild the views page by page do not write a page twice."""
    ids = await many_lives(lab)
    lab.close()
    before = await everything(lab, ids)
    monkeypatch.setattr(store, "_REBUILD_BYTES", 3_000)
    fast, slow = lab.service(), lab.service()
    del fast
    quick, late = (runtime.batches for runtime in lab.runtimes)
    execute(lab, *EMPTY_VIEWS)
    lagging = late.recorder.lagging
    pages = 0

    def overtaken(*, max_bytes: int) -> tuple[int, Sequence[Notification]]:
        """Read a page; before it is written, the other process writes the same one."""
        nonlocal pages
        page = lagging(max_bytes=max_bytes)
        pages += 1
        if pages == 1:
            one_page(quick, max_bytes)
        return page

    monkeypatch.setattr(late.recorder, "lagging", overtaken)
    assert len(await slow.batches()) == len(ids)
    assert pages > 2
    monkeypatch.undo()
    lab.close()
    assert await everything(lab, ids) == before


def one_page(batches: store.Batches, max_bytes: int) -> None:
    """Have a process catch up by one page and pause."""
    page = batches.recorder.lagging(max_bytes=max_bytes)
    answers = iter([page, (0, [])])
    original = batches.recorder.lagging
    batches.recorder.lagging = lambda *, max_bytes: next(answers)  # type: ignore[method-assign] # noqa: ARG005
    batches.catch_up()
    batches.recorder.lagging = original  # type: ignore[method-assign]


async def finished(lab: Lab) -> tuple[BatchService, UUID]:
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.clock.after(30, lab.complete_all)
    await service.wait(batch_id)
    return service, batch_id


async def test_order_of_a_whole_life(lab: Lab) -> None:
    """Each intent stands before the call that it announces, each fact after it."""
    service, batch_id = await finished(lab)
    assert await lab.facts(service, batch_id) == [
        "Drafted",
        "RequestsAdded",
        "SubmissionStarted",
        "UploadStarted",
        "InputUploaded",
        "CreateStarted",
        "Submitted",
        "StatusChanged",
        *["ResultApplied"] * 3,
        "ResultsCollected",
    ]


async def test_intent_is_committed_before_the_call(lab: Lab) -> None:
    """What another process can read at the moment of a call already says that it may come."""
    seen: dict[str, str] = {}
    reader = lab.service()

    async def read(boundary: str) -> None:
        if boundary.startswith("before"):
            batches = await reader.batches()
            seen[boundary] = (await lab.facts(reader, batches[0].id))[-1]

    service = lab.watched(read)
    batch_id = await service.submit(lab.lines())
    await service.cancel(batch_id)
    assert seen == {
        "before upload": "UploadStarted",
        "before create": "CreateStarted",
        "before cancel": "CancelRequested",
    }


async def test_provenance(lab: Lab) -> None:
    """Every event says who, with what, when, and in which chain; versions have no gap."""
    service, batch_id = await finished(lab)
    log = await lab.log(service, batch_id)
    assert [event.originator_version for event in log] == list(range(1, len(log) + 1))
    assert {event.originator_id for event in log} == {batch_id}
    assert {(event.by.actor, event.by.software) for event in log} == {("test", "lab 1")}
    moments = [event.timestamp for event in log]
    assert moments == sorted(moments)
    assert lab.clock.start <= moments[0]
    assert moments[-1] == lab.clock.now()
    applied = {event.by.causation_id for event in log if isinstance(event, ResultApplied)}
    assert len(applied) == 1
    assert len({event.by.causation_id for event in log}) > 5


async def test_draft_and_intent_say_what(lab: Lab) -> None:
    """The log proves what was asked for: provider, endpoint, words and the input's digest."""
    service = lab.service()
    batch_id = await service.submit(lab.lines(), metadata={"k": "v"}, description="because")
    log = await lab.log(service, batch_id)
    drafted, intent = log[0], log[2]
    assert isinstance(drafted, Drafted)
    assert (drafted.provider, drafted.endpoint) == ("fake", "/v1/responses")
    assert (drafted.metadata, drafted.description) == ({"k": "v"}, "because")
    assert isinstance(intent, SubmissionStarted)
    content = b"".join(lab.lines())
    assert intent.input_sha256 == sha256(content).hexdigest()


async def test_replay_gives_every_version(lab: Lab) -> None:
    """The aggregate at each version, from snapshots or without, is what the events make it."""
    ids = await many_lives(lab)
    repository = lab.batches.repository
    for batch_id in ids:
        replayed: Batch | None = None
        for event in await lab.log(lab.service(), batch_id):
            replayed = event.mutate(replayed)
            stored: Batch = repository.get(batch_id, version=event.originator_version)
            assert vars(stored) == vars(replayed)


async def test_state_stays_small(lab: Lab) -> None:
    """What a command loads does not grow with the requests."""
    service = lab.service()
    sizes = []
    for count in (3, 3_000):
        batch_id = await service.submit(lab.lines(*map(str, range(count))))
        lab.complete_all()
        await service.wait(batch_id)
        sizes.append(len(repr(vars(lab.batches.get(batch_id)))))
    assert sizes[1] < sizes[0] + 100
