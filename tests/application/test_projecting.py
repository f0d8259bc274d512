"""Users' own projections: every event exactly once, in order, whatever crashes or runs beside."""

import asyncio
from collections.abc import Collection
from typing import Any, ClassVar
from uuid import UUID

import pytest
from tests.application.conftest import Lab

from batchtrail import BatchEvent, Projection, ProjectionError, Recorded, ResultApplied, Submitted
from batchtrail.application import projecting
from batchtrail.application.service import BatchService

POSTGRES = "PostgresDatabase"


class Positions(Projection):
    """Writes down the position of each event, in the order in which it was given them."""

    name = "positions"

    def __init__(
        self, lab: Lab, *, fail_at: int | None = None, crash_at: int | None = None
    ) -> None:
        self._mark = "%s" if type(lab.database).__name__ == POSTGRES else "?"
        self.fail_at = fail_at
        self.crash_at = crash_at

    def begin(self, cursor: Any) -> None:
        cursor.execute("CREATE TABLE my_positions (place INTEGER, position INTEGER)")

    def process(self, recorded: Recorded, cursor: Any) -> None:
        cursor.execute("SELECT count(*) FROM my_positions")
        (place,) = tuple(cursor.fetchone())
        marks = f"({self._mark}, {self._mark})"
        cursor.execute(f"INSERT INTO my_positions VALUES {marks}", (place, recorded.position))  # noqa: S608
        if recorded.position == self.fail_at:
            raise ValueError("I do not like it")
        if recorded.position == self.crash_at:
            raise Lab.Crash


class Results(Positions):
    """Wants the results alone."""

    name = "results"
    events: ClassVar[Collection[type[BatchEvent]]] = (ResultApplied,)


async def rows(lab: Lab) -> list[int]:
    """Read what the projections have written, in order; and empty their table."""
    found: list[int] = []

    class Read(Projection):
        name = "reading"

        def begin(self, cursor: Any) -> None:
            cursor.execute("SELECT position FROM my_positions ORDER BY place")
            found.extend(row[0] for row in cursor.fetchall())
            raise LookupError

        def process(self, recorded: Recorded, cursor: Any) -> None:
            raise NotImplementedError

    with pytest.raises(ProjectionError):
        await lab.service().project(Read())
    return found


async def live(lab: Lab, service: BatchService, *names: str) -> UUID:
    batch_id = await service.submit(lab.lines(*names), new=True)
    lab.complete_all()
    await service.wait(batch_id)
    return batch_id


async def positions(service: BatchService, **only: Any) -> list[int]:
    return [recorded.position async for recorded in service.log(**only)]


async def test_the_log_in_order(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The visitor gives the events of all batches, those of each in their order, page by page."""
    monkeypatch.setattr(projecting, "_SLICE", 2)
    monkeypatch.setattr(projecting, "_PAGE_EVENTS", 3)
    service = lab.service()
    ids = [await live(lab, service, *names) for names in ("abc", "de")]
    seen = [recorded async for recorded in service.log(bodies=True)]
    assert [each.position for each in seen] == list(range(1, len(seen) + 1))
    for batch_id in ids:
        events = [each.event for each in seen if each.event.originator_id == batch_id]
        log = await lab.log(service, batch_id)
        assert [vars(event) for event in events] == [vars(event) for event in log]
    middle = len(seen) // 2
    assert await positions(service, after=middle) == list(range(middle + 1, len(seen) + 1))
    assert await positions(service, after=len(seen)) == []
    results = [each.position for each in seen if isinstance(each.event, ResultApplied)]
    assert await positions(service, events=[ResultApplied]) == results
    wanted = (ResultApplied, Submitted)
    assert await positions(service, after=results[2], events=wanted) == [
        each.position
        for each in seen
        if isinstance(each.event, wanted) and each.position > results[2]
    ]


async def test_an_empty_log(lab: Lab) -> None:
    """There is nothing to see, and a projection begins all the same."""
    service = lab.service()
    assert await positions(service) == []
    assert await service.project(Positions(lab)) == 0
    assert await rows(lab) == []


@pytest.mark.parametrize("page", [1, 4, 500])
async def test_each_event_once(lab: Lab, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is brought up to date, a projection has each event once, in order."""
    monkeypatch.setattr(projecting, "_SLICE", 3)
    monkeypatch.setattr(projecting, "_PAGE_EVENTS", page)
    service = lab.service()
    await live(lab, service, "a", "b")
    reached = await service.project(Positions(lab))
    assert await rows(lab) == list(range(1, reached + 1))
    assert await service.project(Positions(lab)) == reached
    await live(lab, service, "c")
    lab.close()
    end = await lab.service().project(Positions(lab))
    assert end > reached
    assert await rows(lab) == list(range(1, end + 1))


async def test_only_some_kinds(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A projection gets the kinds that it wants; its checkpoint passes all others."""
    monkeypatch.setattr(projecting, "_SLICE", 2)
    service = lab.service()
    await live(lab, service, "abc")
    assert await service.project(Results(lab)) == max(await positions(service))
    assert await rows(lab) == await positions(service, events=[ResultApplied])


async def test_each_name_has_its_checkpoint(lab: Lab) -> None:
    """Projections of two names do not move each other's checkpoint."""
    service = lab.service()
    await live(lab, service, "abc")
    await service.project(Positions(lab))
    results = Results(lab)
    results.begin = lambda cursor: None  # type: ignore[method-assign] # noqa: ARG005
    await service.project(results)
    every, only = await positions(service), await positions(service, events=[ResultApplied])
    assert await rows(lab) == every + only


@pytest.mark.parametrize("page", [1, 4, 500])
async def test_what_it_raises(lab: Lab, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that a projection does not bear is named; nothing of its page stays."""
    monkeypatch.setattr(projecting, "_PAGE_EVENTS", page)
    monkeypatch.setattr(projecting, "_SLICE", 1)
    service = lab.service()
    batch_id = await live(lab, service, "abc")
    at = (await positions(service, events=[Submitted]))[0]
    failing = Positions(lab, fail_at=at)
    words = (
        f"the projection 'positions' failed at event {at} of batch {batch_id} "
        rf"\(Submitted, position {at}\): ValueError: I do not like it"
    )
    for _ in range(2):
        with pytest.raises(ProjectionError, match=words) as raised:
            await service.project(failing)
        assert isinstance(raised.value.__cause__, ValueError)
        assert await rows(lab) == list(range(1, (at - 1) // page * page + 1))
    failing.fail_at = None
    end = await service.project(failing)
    assert await rows(lab) == list(range(1, end + 1))


async def test_a_beginning_that_fails(lab: Lab) -> None:
    """A projection that could not begin has not begun."""
    service = lab.service()
    await live(lab, service, "abc")

    class Stumbling(Positions):
        def begin(self, cursor: Any) -> None:
            super().begin(cursor)
            raise OSError("not now")

    with pytest.raises(ProjectionError, match="failed to begin: OSError: not now"):
        await service.project(Stumbling(lab))
    end = await service.project(Positions(lab))
    assert await rows(lab) == list(range(1, end + 1))


async def test_a_crash_at_every_event(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies while it takes in an event leaves the one before as the last."""
    monkeypatch.setattr(projecting, "_PAGE_EVENTS", 1)
    monkeypatch.setattr(projecting, "_SLICE", 1)
    service = lab.service()
    await live(lab, service, "abc")
    end = max(await positions(service))
    for crash_at in range(1, end + 1):
        with pytest.raises(Lab.Crash):
            await lab.service().project(Positions(lab, crash_at=crash_at))
        assert await rows(lab) == list(range(1, crash_at))
        lab.close()
    assert await lab.service().project(Positions(lab)) == end
    assert await rows(lab) == list(range(1, end + 1))


async def test_two_processes_at_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that work on one projection do each event once between them."""
    monkeypatch.setattr(projecting, "_PAGE_EVENTS", 2)
    monkeypatch.setattr(projecting, "_SLICE", 1)
    service = lab.service()
    await live(lab, service, *"abcdefgh")
    services = [service] if type(lab.database).__name__ == "MemoryDatabase" else []
    services += [lab.service() for _ in range(3)]
    ends = await asyncio.gather(*(each.project(Positions(lab)) for each in services))
    assert len(set(ends)) == 1
    assert await rows(lab) == list(range(1, ends[0] + 1))


async def test_overtaken_between_reading_and_writing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that another process has taken in meanwhile is not taken in twice."""
    service = lab.service()
    await live(lab, service, "abc")
    checkpoints = lab.batches.recorder.checkpoints
    advance = checkpoints.advance
    steps: list[int] = []

    def overtaken(name: str, before: int | None, to: int, write: Any) -> None:
        """Let another process be first, each time."""
        steps.append(to)
        advance(name, before, to, write)
        advance(name, before, to, write)

    monkeypatch.setattr(checkpoints, "advance", overtaken)
    end = await service.project(Positions(lab))
    assert steps == [0, end]
    assert await rows(lab) == list(range(1, end + 1))


async def test_following(lab: Lab) -> None:
    """A projection that follows takes in what other processes record, until it is cancelled."""
    service, other = lab.service(), lab.service()
    seen = asyncio.Event()

    class Waiting(Positions):
        def process(self, recorded: Recorded, cursor: Any) -> None:
            super().process(recorded, cursor)
            if type(recorded.event).__name__ == "ResultsCollected":
                seen.set()

    async def until_seen() -> None:
        while not seen.is_set():
            await lab.clock.sleep(0.5)

    following = asyncio.ensure_future(service.project(Waiting(lab), follow=True))
    await live(lab, other, "abc")
    await lab.clock.together(until_seen())
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert await rows(lab) == await positions(other)
