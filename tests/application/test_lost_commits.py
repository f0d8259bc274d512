"""Every save on PostgreSQL is lost once, whole or but for its answer; the life is the same."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from eventsourcing.persistence import OperationalError
from tests.application.test_crashes import REQUESTS, renewed

from batchtrail.adapters.postgres.recorder import PostgresBatchRecorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from tests.application.conftest import Lab

    from batchtrail.application.records import EventRecord

pytestmark = pytest.mark.parametrize("lab", ["postgres"], indirect=True)

_transaction: Callable[..., AbstractContextManager[Any]] = PostgresBatchRecorder._transaction
_insert: Callable[..., Sequence[int]] = PostgresBatchRecorder._insert


@define
class Losing:
    """Breaks the connection in the first attempt of each save, before its commit or behind it."""

    before: bool
    is_due: bool = False
    saves: set[tuple[Any, int]] = field(factory=set)

    def insert(self, recorder: Any, stored: Sequence[EventRecord], *more: Any) -> Sequence[int]:
        save = stored[0].originator_id, stored[0].originator_version
        self.is_due = save not in self.saves
        self.saves.add(save)
        return _insert(recorder, stored, *more)

    @contextmanager
    def transaction(self, recorder: Any) -> Iterator[Any]:
        with _transaction(recorder) as cursor:
            yield cursor
            self._break(now=self.before)
        self._break(now=True)

    def _break(self, *, now: bool) -> None:
        if self.is_due and now:
            self.is_due = False
            raise OperationalError("the connection is lost")


async def life(lab: Lab) -> list[object]:
    """Half of a batch is answered, the rest is retried; then a request and all bodies go."""
    renewed(lab)
    service = lab.service()
    first = await service.submit(lab.lines(*REQUESTS))
    lab.provider.expire(lab.provider.batch_ids[0], finished=2)
    await service.wait(first)
    second = await service.retry(first)
    lab.complete_all()
    await service.wait(second)
    for each in (first, second):
        await lab.assert_each_once(service, each)
    told: list[object] = [await lab.out(service, each) for each in (first, second)]
    await service.redact_request(second, REQUESTS[-1])
    for batch in await service.prunable(lab.clock.now()):
        await service.prune_bodies(batch, export_sha256=None)
    return [*told, *[await lab.facts(service, each) for each in (first, second)]]


@pytest.mark.parametrize("before", [True, False])
async def test_every_save_is_lost_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """What a save writes, its next attempt writes whole, or finds it written."""
    losing = Losing(before)

    def transaction(recorder: Any) -> AbstractContextManager[Any]:
        return losing.transaction(recorder)

    def insert(recorder: Any, *save: Any) -> Sequence[int]:
        return losing.insert(recorder, *save)

    with monkeypatch.context() as patched:
        patched.setattr("eventsourcing.utils.sleep", lambda _: None)  # before another attempt
        patched.setattr(PostgresBatchRecorder, "_transaction", transaction)
        patched.setattr(PostgresBatchRecorder, "_insert", insert)
        told = await life(lab)
        seen = await lab.service().verify()
    assert len(losing.saves) > 20
    assert (seen.differences, seen.removed_bodies) == ((), 6)
    assert told == await life(lab)
