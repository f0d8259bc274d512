"""Batches: created, brought up to date when somebody looks, and cancelled.

Nothing runs in the background. Whoever asks for a batch after its moment has come waits for the
work that is due, in a worker thread: reading the input file, or writing the result files.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final
from weakref import WeakValueDictionary

from attrs import define, evolve, field, frozen

from . import errors
from .faults import BATCH_FAULTS, RESULT_FAULTS, Fault, FaultKind, Faults, Operation
from .lifecycle import Stage, Status, needs_verdict, stage
from .manners import canonical
from .records import BatchRecord, Timetable, Verdict
from .results import make_results
from .settings import EmulatorSettings
from .store import Store
from .validation import Rules, file_not_found, token_limit, validate
from .wire import ORGANIZATION, PROJECT

_TERMINAL: Final = (Status.COMPLETED, Status.FAILED, Status.EXPIRED, Status.CANCELLED)


@frozen(kw_only=True)
class NewBatch:
    """A create request that is well-formed."""

    endpoint: str
    input_file_id: str
    metadata: dict[str, str] | None
    output_expires_after: int | None


@define(eq=False)
class Batches:
    """The batches of one emulator; for use on the event loop only."""

    _settings: EmulatorSettings
    _store: Store
    _faults: Faults
    _clock: Callable[[], float]
    _workers: Executor
    _locks: "WeakValueDictionary[str, asyncio.Lock]" = field(
        factory=WeakValueDictionary, init=False
    )

    def create(self, new: NewBatch) -> tuple[BatchRecord, Stage]:
        """Create a batch; how a missing input file shows is up to settings and faults."""
        now = self._clock()
        verdict = self._look_for_input(new.input_file_id, now) or self._look_for_room()
        drawn = self._faults.draw_all(Operation.CREATE, BATCH_FAULTS)
        all_failed = any(fault.kind is FaultKind.ALL_FAILED for fault in drawn)
        record = BatchRecord(
            id=self._settings.manners.new_batch_id(now),
            endpoint=new.endpoint,
            input_file_id=new.input_file_id,
            metadata=new.metadata,
            output_expires_after=new.output_expires_after,
            created_at=now,
            timetable=_timetable(self._settings, drawn),
            fail_every=1 if all_failed else self._settings.fail_every,
            shaping=self._faults.draw_all(Operation.CREATE, RESULT_FAULTS),
            verdict=verdict,
        )
        self._store.add_batch(record, settled=verdict is not None)
        # OpenAI answers `validating` whatever comes next.
        return record, Stage(status=Status.VALIDATING)

    async def current(self, batch_id: str) -> tuple[BatchRecord, Stage]:
        """Return a batch as it stands now, after doing the work that is due."""
        async with self._lock(batch_id):
            return await self._current(batch_id)

    async def page(
        self, after: str | None, limit: int
    ) -> tuple[list[tuple[BatchRecord, Stage]], bool]:
        """Return the batches behind the cursor, newest first, and whether there are more."""
        if after is not None and self._store.batch(after) is None:
            raise errors.no_such_batch(after)
        lag = self._faults.draw(Operation.LIST, FaultKind.BATCHES_HIDDEN)
        records = self._store.batches(
            after=after,
            limit=limit + 1,
            created_before=self._clock() - (lag.duration if lag else 0),
        )
        items = [await self.current(record.id) for record in records[:limit]]
        return items, len(records) > limit

    async def cancel(self, batch_id: str) -> tuple[BatchRecord, Stage]:
        """Begin to cancel a batch; repeating it changes nothing, a finished batch refuses."""
        async with self._lock(batch_id):
            record, now_at = await self._current(batch_id)
            if record.cancelled_at is not None:
                return record, now_at
            if now_at.status in _TERMINAL:
                raise errors.cannot_cancel(now_at.status)
            timetable = record.timetable
            if stuck := self._faults.draw(Operation.CANCEL, FaultKind.STUCK_CANCELLING):
                timetable = evolve(timetable, cancelling=stuck.duration)
            now = self._clock()
            record = evolve(record, cancelled_at=now, timetable=timetable)
            self._store.save_batch(record, settled=now_at.status is Status.VALIDATING)
            # However short the cancelling takes, the call itself answers `cancelling`.
            return record, evolve(now_at, status=Status.CANCELLING, cancelling_at=now)

    def _lock(self, batch_id: str) -> asyncio.Lock:
        return self._locks.setdefault(batch_id, asyncio.Lock())

    def _look_for_room(self) -> Verdict | None:
        """Return the verdict that fails a batch when too many tokens are enqueued."""
        if self._faults.draw(Operation.CREATE, FaultKind.QUEUE_FULL) is None:
            return None
        return Verdict(errors=(token_limit(ORGANIZATION),))

    def _look_for_input(self, file_id: str, now: float) -> Verdict | None:
        """Return the verdict that fails a batch whose input cannot be found, or refuse it."""
        file = self._store.file(file_id, now)

        def is_fresh(fault: Fault) -> bool:
            return file is not None and now - file.created_at < fault.duration

        hidden = self._faults.draw(
            Operation.CREATE,
            FaultKind.FILE_HIDDEN_REFUSED,
            FaultKind.FILE_HIDDEN_FAILED,
            applies=is_fresh,
        )
        if hidden is None and file is not None:
            if file.purpose != "batch":
                raise errors.wrong_purpose(file.purpose)
            return None
        if hidden is None and self._settings.unknown_file == "refused":
            raise errors.file_not_visible(file_id, PROJECT)
        if hidden is not None and hidden.kind is FaultKind.FILE_HIDDEN_REFUSED:
            raise self._settings.manners.file_not_ready(file_id)
        return Verdict(errors=(file_not_found(file_id, ORGANIZATION),))

    async def _current(self, batch_id: str) -> tuple[BatchRecord, Stage]:
        record = self._store.batch(batch_id)
        if record is None:
            raise errors.no_such_batch(batch_id)
        now = self._clock()
        loop = asyncio.get_running_loop()
        if needs_verdict(record, now):
            verdict = await loop.run_in_executor(
                self._workers,
                validate,
                self._store.content(record.input_file_id),
                self._rules(record),
            )
            errors_found = tuple(map(self._settings.manners.problem, verdict.errors))
            record = evolve(record, verdict=evolve(verdict, errors=errors_found))
            self._store.save_batch(record, settled=bool(verdict.errors))
        now_at = stage(record, now)
        if record.results is None and self._leaves_files(now_at):
            made = await loop.run_in_executor(
                self._workers, make_results, self._store, self._settings, record, now_at
            )
            record = evolve(record, results=made.results)
            self._store.finish_batch(record, made.files)
        return record, now_at

    def _leaves_files(self, now_at: Stage) -> bool:
        if now_at.status is Status.FAILED:
            return self._settings.manners.failed_has_files
        return now_at.results_at is not None

    def _rules(self, record: BatchRecord) -> Rules:
        endpoint = canonical(record.endpoint)
        return Rules(
            endpoint=endpoint,
            urls=self._settings.manners.urls(endpoint),
            max_requests=self._settings.max_requests,
            max_bytes=self._settings.max_input_bytes,
            knows=self._settings.knows,
            deployments=self._settings.deployments,
            fail_every=record.fail_every,
        )


def _timetable(settings: EmulatorSettings, faults: tuple[Fault, ...]) -> Timetable:
    """Return the durations that a batch keeps for its whole life."""
    timetable = Timetable(
        validating=settings.validating,
        in_progress=settings.in_progress,
        finalizing=settings.finalizing,
        cancelling=settings.cancelling,
        window=settings.completion_window,
    )
    for fault in faults:
        if fault.kind is FaultKind.SLOW_FINALIZING:
            timetable = evolve(timetable, finalizing=fault.duration)
        elif fault.kind is FaultKind.EXPIRE:
            # Without any time to work in there is no moment half-way.
            working = timetable.in_progress or 1.0
            window = timetable.validating + fault.fraction * working
            timetable = evolve(timetable, in_progress=working, window=window)
    return timetable
