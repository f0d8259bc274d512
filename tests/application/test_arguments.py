"""What a caller gives is looked at before it is recorded: the log can never be mended."""

from __future__ import annotations

import asyncio
import getpass
import threading
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import StrEnum
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from tests.application.conftest import Lab, WatchedProvider

from batchtrail import correlated, open_trail
from batchtrail.adapters.fake import FakeBatchProvider, VirtualClock
from batchtrail.application.errors import ClosedError, InputError, StoreError
from batchtrail.application.ports import ProviderBatch, StoredFile, UploadedFile
from batchtrail.application.projecting import Projection, Recorded
from batchtrail.application.pruning import Prunable
from batchtrail.application.sealing import Seal
from batchtrail.bootstrap import command_line_actor
from batchtrail.domain.events import Submitted
from batchtrail.domain.status import BatchStatus, Outcome
from batchtrail.domain.values import NewBatch, Provenance, RequestCounts, Stamp, StatusReport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from batchtrail.application.ports import BatchProvider, CreateRequest
    from batchtrail.application.service import BatchService

HALF = "\ud800"


class Odd(str):
    """A text of a caller's own kind."""

    __slots__ = ()


class Season(StrEnum):
    SPRING = "spring"


class Nowhere(tzinfo):
    """A zone that does not say how far from UTC it is."""

    def utcoffset(self, _: datetime | None) -> timedelta | None:
        return None

    def dst(self, _: datetime | None) -> timedelta | None:
        return None

    def tzname(self, _: datetime | None) -> str | None:
        return None


async def finished(lab: Lab, service: BatchService) -> UUID:
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    await service.wait(batch_id)
    return batch_id


async def assert_intact(service: BatchService, batches: int) -> None:
    """Everybody can still read everything."""
    assert len(await service.batches()) == batches
    assert (await service.verify()).is_good


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"metadata": {"campaign": 42}}, r"metadata\['campaign'\] is of the type int"),
        ({"metadata": {42: "campaign"}}, r"a key of metadata, 42, is of the type int"),
        ({"metadata": {"campaign": HALF}}, r"metadata\['campaign'\] holds half of a surrogate"),
        ({"metadata": {HALF: "campaign"}}, "a key of metadata, .* holds half of a surrogate"),
        ({"metadata": "campaign"}, "metadata is of the type str; give a mapping"),
        ({"description": 5}, "description is of the type int"),
        ({"description": Odd("why")}, r"description is of the type Odd; give a text"),
        ({"description": HALF}, "description holds half of a surrogate"),
        ({"completion_handler": 5}, "completion_handler is of the type int"),
        ({"completion_handler": HALF}, "completion_handler holds half"),
        ({"endpoint": 5}, "endpoint is of the type int"),
        ({"endpoint": []}, "endpoint is of the type list"),
        ({"new": "false"}, "new is of the type str; give True or False"),
        ({"new": None}, "new is of the type NoneType"),
    ],
)
async def test_wrong_arguments_of_a_submission(lab: Lab, wrong: Any, told: str) -> None:
    """The argument is named, nothing is recorded and nothing sent."""
    service = lab.service()
    with pytest.raises(InputError, match=told):
        await service.submit(lab.lines(), **wrong)
    assert lab.provider.count("upload") == 0
    await assert_intact(service, 0)


async def test_a_text_of_an_enum(lab: Lab) -> None:
    """It is recorded as the text that it is."""
    service = lab.service()
    batch_id = await service.submit(lab.lines(), description=Season.SPRING)
    assert (await service.status(batch_id)).description == "spring"
    await assert_intact(service, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider": 5},
        {"endpoint": None},
        {"completion_window": 24},
        {"completion_window": HALF},
        {"metadata": None},
        {"send_metadata": "yes"},
        {"completion_handler": 5},
        {"description": b"why"},
        {"identity": 5},
        {"generation": 0},
        {"generation": "1"},
        {"generation": True},
        {"generation": 2**31},
        {"retry_of": "5cd732f2-a5ab-55b1-8ae9-65ca1174839d"},
    ],
)
def test_wrong_fields_of_a_draft(wrong: Any) -> None:
    """The field is named."""
    (name,) = wrong
    with pytest.raises(InputError, match=f"^{name} "):
        NewBatch(**{"provider": "fake", "endpoint": "/v1/responses", **wrong})


async def test_a_draft_is_what_it_was(lab: Lab) -> None:
    """The caller's own dict may change, and what is put into the value behind that is seen."""
    service, mine = lab.service(), {"campaign": "42"}
    new = NewBatch(lab.provider.name, "/v1/responses", metadata=mine)
    mine["campaign"] = "43"
    assert (await service.status(await service.draft(new))).metadata == {"campaign": "42"}
    new.metadata["campaign"] = 44  # type: ignore[assignment]
    with pytest.raises(InputError, match="campaign"):
        await service.draft(new)
    await assert_intact(service, 1)


async def test_a_clock_of_another_zone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says is recorded as it is read again, in UTC."""
    utc, zone = lab.clock.now, timezone(timedelta(hours=9))
    monkeypatch.setattr(lab.clock, "now", lambda: utc().astimezone(zone))
    service = lab.service()
    batch_id = await finished(lab, service)
    assert (await service.status(batch_id)).created_at.utcoffset() == timedelta(0)
    await assert_intact(service, 1)


async def test_a_summary_is_its_readers_own(lab: Lab) -> None:
    """Labels that are changed in it change neither the batch nor its retries."""
    service = lab.service()
    batch_id = await service.submit(lab.lines(), metadata={"campaign": "42"})
    lab.complete_all()
    summary = await service.wait(batch_id)
    summary.metadata["campaign"] = "43"
    (await service.replay(batch_id)).metadata["campaign"] = "44"
    retry_id = await service.retry(batch_id, only=[Outcome.SUCCEEDED])
    for each in (batch_id, retry_id):
        assert (await service.status(each)).metadata == {"campaign": "42"}
    await assert_intact(service, 2)


@pytest.mark.parametrize("wrong", [42, 0, HALF])
async def test_a_wrong_correlation_id(lab: Lab, wrong: Any) -> None:
    """It would stand in every event of the block."""
    service = lab.service()
    with pytest.raises(InputError, match="the correlation id"), correlated(wrong):
        await service.submit(lab.lines())
    await finished(lab, service)
    await assert_intact(service, 1)


@pytest.mark.parametrize("wrong", [5, HALF])
async def test_a_wrong_actor(wrong: Any) -> None:
    """Before the database is opened."""
    with pytest.raises(InputError, match=r"^actor "):
        async with open_trail("sqlite:///:memory:", provider=FakeBatchProvider(), actor=wrong):
            pass


def test_a_user_whose_name_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system has of it can be stored."""
    monkeypatch.setattr(getpass, "getuser", lambda: "ada\udcff")
    assert command_line_actor().encode().startswith(b"cli:ada\\udcff@")


@pytest.mark.parametrize("wrong", [5, HALF])
async def test_a_wrong_reason_of_a_redaction(lab: Lab, wrong: Any) -> None:
    """As is a wrong request; both would stand in the event."""
    service = lab.service()
    batch_id = await finished(lab, service)
    with pytest.raises(InputError, match=r"^reason "):
        await service.redact_request(batch_id, "a", reason=wrong)
    with pytest.raises(InputError, match=r"^custom_id "):
        await service.redact_request(batch_id, wrong)
    await assert_intact(service, 1)


@pytest.mark.parametrize("wrong", [5, "abc", "A" * 64, HALF])
async def test_a_wrong_digest_of_a_pruning(lab: Lab, wrong: Any) -> None:
    """Who looks for the export file would not find it; no body is removed."""
    service = lab.service()
    batch_id = await finished(lab, service)
    last = (await service.status(batch_id)).version
    with pytest.raises(InputError, match=r"^export_sha256 "):
        await service.prune_bodies(Prunable(batch_id, last), export_sha256=wrong)
    with pytest.raises(InputError, match="has no event"):
        await service.prune_bodies(Prunable(batch_id, last + 1), export_sha256=None)
    with pytest.raises(InputError, match=r"^through "):
        Prunable(batch_id, "7")  # type: ignore[arg-type]
    verified = await service.verify()
    assert (verified.is_good, verified.removed_bodies) == (True, 0)


@pytest.mark.parametrize("moment", [datetime(2026, 1, 1), 1_767_225_600.0])  # noqa: DTZ001
async def test_a_clock_that_gives_no_moments(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, moment: Any
) -> None:
    """It is told when it would be recorded first."""
    service = lab.service()
    monkeypatch.setattr(lab.clock, "now", lambda: moment)
    with pytest.raises(InputError, match="the clock's now"):
        await service.submit(lab.lines())
    monkeypatch.undo()
    await assert_intact(service, 0)


@pytest.mark.parametrize("moments", [1, 2, 3, 4])
async def test_a_clock_that_runs_out(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, moments: int
) -> None:
    """As one of a test does that has a list of moments: on whatever thread, that is told."""
    service, left = lab.service(), iter([lab.clock.now()] * moments)
    monkeypatch.setattr(lab.clock, "now", lambda: next(left))
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        async with asyncio.timeout(10):
            await service.submit(lab.lines())


class Careless(WatchedProvider):
    """An adapter that takes what came for what should have come."""

    def __init__(self, inner: BatchProvider, wrong: dict[str, Any]) -> None:
        super().__init__(inner, _nothing)
        self._wrong = wrong

    async def create_batch(self, request: CreateRequest) -> ProviderBatch:
        return evolve(await super().create_batch(request), **self._wrong)


async def _nothing(_call: str) -> None:
    """Watch nothing."""


WORKING = StatusReport(BatchStatus.IN_PROGRESS, "in_progress")


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": 5},
        {"id": HALF},
        {"request_id": 5},
        {"request_id": object()},
        {"report": evolve(WORKING, request_counts=RequestCounts(2**70, 0, 0))},
    ],
)
async def test_what_a_careless_adapter_gives(lab: Lab, wrong: dict[str, Any]) -> None:
    """What could not be read again is not recorded; all others can go on."""
    service = lab.service(Careless(lab.provider, wrong))
    with pytest.raises(StoreError, match="cannot be recorded"):
        await service.submit(lab.lines())
    other = await finished(lab, lab.service())
    assert (await service.status(other)).results_collected
    await assert_intact(service, 1)


@pytest.mark.parametrize("zone", [None, Nowhere()])
async def test_moments_without_a_zone(lab: Lab, zone: tzinfo | None) -> None:
    """Each of them could be any of many: of the machine, of UTC, or of the log."""
    service, naive = lab.service(), datetime(2026, 1, 2, tzinfo=zone)
    batch_id = await finished(lab, service)
    calls: list[Awaitable[object]] = [
        service.batches(until=naive),
        service.prunable(naive),
        service.replay(batch_id, at=naive),
        service.replay_request(batch_id, "a", at=naive),
    ]
    for call in calls:
        with pytest.raises(InputError, match="which has no time zone, so it is no moment"):
            await call


@pytest.mark.parametrize("zone", [None, Nowhere()])
def test_moments_without_a_zone_in_values(zone: tzinfo | None) -> None:
    """None can be compared; that of an adapter comes behind a paid call, and is not known."""
    naive = datetime(2026, 1, 2, tzinfo=zone)
    assert UploadedFile("file-1", 1, naive).created_at is None
    assert StoredFile("file-1", "a.jsonl", 1, naive).created_at is None
    assert ProviderBatch("batch_1", WORKING, "file-1", {}, naive).created_at is None
    number: Any = 1_767_312_000
    assert ProviderBatch("batch_1", WORKING, "file-1", {}, number).created_at is None
    made: list[Callable[[], object]] = [
        lambda: VirtualClock(naive),
        lambda: Stamp(naive, Provenance("ada", "batchtrail", "1", "1")),
    ]
    for make in made:
        with pytest.raises(InputError, match="which has no time zone, so it is no moment"):
            make()


async def test_a_clock_without_a_zone_is_refused_at_once() -> None:
    """A worker looks at the clock before it records anything."""
    clock = VirtualClock()
    clock._moment = datetime(2026, 1, 2)  # noqa: DTZ001
    with pytest.raises(InputError, match="the clock's now is 2026-01-02"):
        async with open_trail("sqlite:///:memory:", provider=FakeBatchProvider(), clock=clock):
            pass


async def test_a_provider_in_a_time_without_a_zone() -> None:
    """Its batches are found and collected as any."""
    provider = FakeBatchProvider(now=lambda: datetime(2026, 1, 2))  # noqa: DTZ001
    provider.lose_next_answer("create")
    clock = VirtualClock()
    async with open_trail("sqlite:///:memory:", provider=provider, clock=clock) as trail:
        batch_id = await trail.submit([Lab.line("a")])
        provider.complete(provider.batch_ids[0])
        assert (await trail.wait(batch_id)).totals.outcomes.succeeded == 1
    assert provider.count("create") == 1


async def test_pruning_what_is_not_yet_old(lab: Lab) -> None:
    """A moment that is still to come is a mistake: it would take every batch that is done."""
    service, second = lab.service(), timedelta(seconds=1)
    batch_id = await finished(lab, service)
    await lab.clock.sleep(1)
    with pytest.raises(InputError, match=r"^before is .+, which is still to come"):
        await service.prunable(lab.clock.now() + second)
    (old,) = await service.prunable(lab.clock.now())
    assert old.batch_id == batch_id


@pytest.mark.parametrize("limit", [-1, "10", 1.5, None, True])
async def test_a_wrong_limit(lab: Lab, limit: Any) -> None:
    """A list without an end is nothing that anybody asked for."""
    with pytest.raises(InputError, match=r"^limit is"):
        await lab.service().batches(limit=limit)


@pytest.mark.parametrize(
    "wrong",
    [
        {"parallel": 0},
        {"parallel": -1},
        {"parallel": 1.5},
        {"look_interval": 0},
        {"look_interval": -1.0},
        {"look_interval": float("nan")},
        {"look_interval": float("inf")},
        {"look_interval": "5"},
    ],
)
def test_a_worker_that_would_do_nothing(lab: Lab, wrong: dict[str, Any]) -> None:
    """Or nothing else than look."""
    (name,) = wrong
    with pytest.raises(InputError, match=f"^{name} is"):
        lab.service().worker(**wrong)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda trail: trail.draft({"endpoint": "/v1/responses"}), "new is of the type dict; give"),
        (lambda trail: trail.complete_now({"model": "m"}), "request is of the type dict; give"),
        (
            lambda trail: trail.worker().run(stop=threading.Event()),
            "stop is of the type Event; give",
        ),
    ],
)
async def test_what_is_of_another_type(
    lab: Lab, call: Callable[[BatchService], Awaitable[object]], told: str
) -> None:
    """The argument is named; the wait for an event of threads would hold the whole loop."""
    with pytest.raises(InputError, match=told):
        await call(lab.service())


@pytest.mark.parametrize("wrong", ["1:00", 5, b"1:00"])
def test_a_wrong_text_of_a_seal(wrong: Any) -> None:
    """As the output of a command is, before it is decoded."""
    with pytest.raises(InputError, match="seal"):
        Seal.parse(wrong)


@pytest.mark.parametrize("wrong", [Outcome.FAILED, "failed", ["bogus"], [5], 5])
async def test_wrong_outcomes_of_a_retry(lab: Lab, wrong: Any) -> None:
    """One outcome is a text, and was taken for its letters."""
    service = lab.service()
    batch_id = await finished(lab, service)
    with pytest.raises(InputError, match=r"^only "):
        await service.retry(batch_id, only=wrong)


@pytest.mark.parametrize("wrong", [Decimal("NaN"), Decimal("sNaN"), float("inf"), "5", True, -1])
async def test_a_wrong_limit_of_the_cost(lab: Lab, wrong: Any) -> None:
    """Before anything is counted."""
    with pytest.raises(InputError, match=r"^max_cost is"):
        await lab.service().submit(lab.lines(), max_cost=wrong)


async def test_after_the_end() -> None:
    """Who goes on with a trail that was closed is told so, by reading and by writing methods."""
    async with open_trail("sqlite:///:memory:", provider=FakeBatchProvider()) as trail:
        worker = trail.worker()
    calls: list[Awaitable[object]] = [
        trail.batches(),
        trail.seal(),
        trail.submit([]),
        worker.run(until_idle=True),
    ]
    for call in calls:
        with pytest.raises(ClosedError, match="the trail is closed"):
            await call


class _Nameless(Projection):
    def process(self, recorded: Recorded, cursor: Any) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda trail, _: trail.export_log(BytesIO(), "5c"), "batches is '5c'; give a list"),
        (lambda trail, its: trail.export_log(BytesIO(), its), r"batches is UUID\("),
        (lambda trail, its: trail.find(its), "reference is of the type UUID; give a text"),
        (lambda trail, _: trail.verify(against="1:00"), "against is of the type str; give a Seal"),
        (lambda trail, _: trail.verify(limit=None), "limit is None; give a whole number from 0"),
        (
            lambda trail, its: trail.prune_bodies(its, export_sha256=None),
            "what is of the type UUID",
        ),
        (lambda trail, _: trail.project(object()), "<object .* is no Projection"),
        (lambda trail, _: trail.project(_Nameless()), "the name of _Nameless is of the type None"),
    ],
)
async def test_wrong_arguments_of_a_look(
    lab: Lab, call: Callable[[BatchService, UUID], Awaitable[object]], told: str
) -> None:
    """A text is a collection of letters, and would be taken for one."""
    service = lab.service()
    batch_id = await finished(lab, service)
    with pytest.raises(InputError, match=told):
        await call(service, batch_id)


@pytest.mark.parametrize("wrong", [None, "5", -1, True, 1.5, 2**63])
async def test_wrong_places_to_read_on_from(lab: Lab, wrong: Any) -> None:
    """A text stands behind every number, in SQLite, and nothing is behind it."""
    service = lab.service()
    batch_id = await finished(lab, service)
    for events in (service.log, partial(service.history, batch_id)):
        with pytest.raises(InputError, match=r"^after is "):
            _ = [each async for each in events(after=wrong)]
    assert [each async for each in service.log(after=2**62)] == []


@pytest.mark.parametrize("wrong", [Submitted, "Submitted", ["Submitted"], [int], 5])
async def test_wrong_kinds_of_events(lab: Lab, wrong: Any) -> None:
    """Nothing would be found, or an error of somebody else's."""
    with pytest.raises(InputError, match=r"^events "):
        lab.service().log(events=wrong)


@pytest.mark.parametrize("wrong", ["failed", ["faild"], 5, None])
async def test_wrong_outcomes_of_results(lab: Lab, wrong: Any) -> None:
    """A typo would give the results of nobody."""
    service = lab.service()
    batch_id = await finished(lab, service)
    with pytest.raises(InputError, match=r"^only "):
        service.result_lines(batch_id, only=wrong)
