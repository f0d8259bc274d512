"""The worker: keeps every open batch going, whatever happened to whoever began it."""

import asyncio
import logging
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from attrs import define, evolve, field

from ..domain.batch import Batch
from ..domain.checks import check_type
from ..domain.status import WorkStep
from ..domain.values import StatusReport
from .correlation import one_step
from .errors import (
    DatabaseMovedError,
    HandlerUnavailableError,
    ProviderError,
    StoreError,
    problem_text,
    worth_tracing,
)
from .leases import polls_lease
from .lifecycle import Lifecycle
from .poll_round import PollRounds
from .ports import BatchProvider, ProviderBatch
from .progress import Delayed, Progress
from .runtime import Runtime, raised_by
from .views import OpenBatch

DEFAULT_PARALLEL = 8
"""So many batches are submitted or collected at once."""

LOOK_INTERVAL = 1.0
"""Seconds between two looks for what other processes have begun or changed."""

_HEAD_START = timedelta(seconds=15)
"""Whoever began a submission goes on with it; after so long without an event it is taken up."""

_CLOCK_STEP = timedelta(seconds=1)
"""A clock that is set back by less keeps nothing waiting that anybody would notice."""

_FAILURE_DELAYS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0)
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@define(eq=False)
class _Track:
    """What the worker knows of one open batch, beside the log."""

    batch: OpenBatch
    due: datetime | None  # None: parked until the next start
    seen: StatusReport | None = None
    failures: int = 0
    told: str | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def is_plain_poll(self) -> bool:
        """Whether one look at the provider's batch is all that is to be done."""
        return (
            self.batch.next_step is WorkStep.POLL
            and self.batch.provider_batch_id is not None
            and not self.batch.may_have_siblings
        )


class Worker:
    """Takes every open batch of the database at one provider to its end.

    Any number of workers may run on one database: they do no harm to each other. A batch that
    fails is logged, backed off and shown by its status, and the others go on.
    """

    def __init__(
        self,
        runtime: Runtime,
        provider: BatchProvider,
        lifecycle: Lifecycle,
        *,
        parallel: int = DEFAULT_PARALLEL,
        look_interval: float = LOOK_INTERVAL,
    ) -> None:
        """`parallel` is how many batches are submitted or collected at once."""
        self._runtime = runtime
        self._provider = provider
        self._lifecycle = lifecycle
        # Whoever holds the lease on the polls gives signs of life between two looks.
        self._look_interval = min(look_interval, lifecycle.leases.renewal)
        self._slots = asyncio.Semaphore(parallel)
        self._tracks: dict[UUID, _Track] = {}
        self._polled: dict[str, _Track] = {}
        self._round: asyncio.Task[None] | None = None
        self._rounds = PollRounds(
            provider, runtime.clock, self._take, spread=lifecycle.watch.shortest_interval / 2
        )
        self._stirred = asyncio.Event()
        self._looked_at: int | None = None  # a position of the log; None: look again
        self._next_due: datetime | None = None
        self._polls = polls_lease(provider.name)
        self._is_poller = False
        self._claimed: datetime | None = None
        self._told: str | None = None  # what keeps us from the database
        self._clock_seen = runtime.clock.now()

    async def run(self, *, stop: asyncio.Event | None = None, until_idle: bool = False) -> int:
        """Work until `stop` is set; with `until_idle` also until nothing is left to do.

        Returns how many batches are still open. On the way out a create call that was sent is
        waited for, some seconds at most, and everything else is broken off where it is: the next
        worker goes on from the log. A repeat is safe. Raises `InputError` where the provider
        cannot be called, for want of a key, and `StoreError` when the database file was moved,
        deleted or replaced.
        """
        stop = stop or asyncio.Event()
        check_type("stop", stop, asyncio.Event, "an asyncio.Event")  # another's wait may block
        self._lifecycle.check_can_call()
        await self._greet()
        stopping = self._start(stop.wait())
        try:
            while not stop.is_set():
                self._stirred.clear()
                self._heed_clock()
                if await self._take_up() and until_idle and self._is_idle():
                    break
                await self._rest()
        finally:
            stopping.cancel()
            await self._break_off()
        _log.info("the worker stops; open batches: %d", len(self._tracks))
        return len(self._tracks)

    async def _greet(self) -> None:
        name = self._provider.name
        _log.info("the worker starts, for batches at %s", name)
        batches = self._runtime.batches
        for other in await self._runtime.in_store(lambda: batches.views.open_elsewhere(name)):
            _log.warning(
                "there are open batches at %s, too; they need a worker of their own", other
            )

    def _heed_clock(self) -> None:
        """Reckon anew, as at a start, when the clock was set back.

        The moments that are held here would come only when the old time does, hours later.
        """
        now, before = self._runtime.clock.now(), self._clock_seen
        self._clock_seen = now
        if before - now <= _CLOCK_STEP:
            return
        step = timedelta(seconds=round((before - now).total_seconds()))
        _log.warning("the clock was set back by about %s; what is due is reckoned anew", step)
        self._claimed = None
        self._looked_at = None
        self._rounds.forget_rest()
        for track in self._tracks.values():
            if track.due is not None:
                track.due = self._first_due(track.batch, now)

    async def _take_up(self) -> bool:
        """Start what is due; False when the database cannot tell that, or take what comes of it.

        One that can be read and not be written, as on a full disk, keeps the polls from everybody:
        without a word nobody would know. It is told once, and when it is over.
        """
        try:
            await self._claim_polls()
            has_news = await self._look()
        except DatabaseMovedError:
            raise  # it is no trouble that passes
        except StoreError as error:
            if str(error) != self._told:
                self._told = str(error)
                _log.error("%s; trying again", error)
            return False
        if self._told is not None:
            self._told = None
            _log.info("the database can be used again")
        if has_news or self._is_anything_due():
            self._start_due()
        return True

    async def _claim_polls(self) -> None:
        """Be the one worker that polls, or see whether that one is still there."""
        leases, now = self._lifecycle.leases, self._runtime.clock.now()
        if self._claimed is not None and now < self._claimed + timedelta(seconds=leases.renewal):
            return
        self._is_poller = await leases.claim(self._polls)
        self._claimed = now

    # What there is to do.

    async def _look(self) -> bool:
        """See which batches are open, and what has changed about them; False for nothing.

        A look at very many takes a while, so it is not taken where nothing has happened since.
        """
        batches, name = self._runtime.batches, self._provider.name
        position = await self._runtime.in_store(batches.catch_up)
        if position == self._looked_at:
            return False
        found = await self._runtime.in_store(lambda: batches.views.open_batches(name))
        self._looked_at = position
        known, self._tracks = self._tracks, {}
        for batch in found:
            track = known.pop(batch.id, None)
            self._tracks[batch.id] = self._begin(batch) if track is None else track
            if track is not None:
                self._go_on(track, batch)
        self._tracks.update((id_, track) for id_, track in known.items() if track.task is not None)
        return True

    def _begin(self, batch: OpenBatch) -> _Track:
        return _Track(batch, self._first_due(batch, self._runtime.clock.now()))

    def _go_on(self, track: _Track, batch: OpenBatch) -> None:
        moved = batch.next_step is not track.batch.next_step
        waits = batch.next_step is WorkStep.SUBMISSION and not (track.failures or track.task)
        if moved:
            track.failures = 0
        if moved or (waits and batch.version != track.batch.version):
            track.due = self._first_due(batch, self._runtime.clock.now())
        track.batch = batch

    def _first_due(self, batch: OpenBatch, now: datetime) -> datetime:
        if batch.next_step is WorkStep.SUBMISSION:
            # Where the clock was set back since, the last event is of a time to come.
            return batch.deferred_until or min(batch.updated_at, now) + _HEAD_START
        if batch.next_step is WorkStep.POLL:
            return self._lifecycle.watch.first_poll_at(batch)
        return now

    def _is_idle(self) -> bool:
        """Whether nothing is left that could be done now; a wrong key is not mended by waiting."""
        locked_out = self._rounds.is_locked_out
        busy = any(
            track.task or (track.due is not None and not (locked_out and track.is_plain_poll))
            for track in self._tracks.values()
        )
        return not busy and self._round is None

    def _is_anything_due(self) -> bool:
        return self._next_due is not None and self._next_due <= self._runtime.clock.now()

    def _start_due(self) -> None:
        now = self._runtime.clock.now()
        due = [
            track
            for track in self._tracks.values()
            if track.task is None and track.due is not None and track.due <= now
        ]
        polls = [track for track in due if self._is_for_round(track)]
        is_free = self._round is None and not self._rounds.is_resting
        if polls and self._is_poller and is_free:
            self._round = self._start(self._run_round(polls))
        for track in due:
            if not self._is_for_round(track):
                track.task = self._start(self._work(track))
        self._next_due = min(
            (t.due for t in self._tracks.values() if t.due is not None and t.task is None),
            default=None,
        )

    def _is_for_round(self, track: _Track) -> bool:
        return track.is_plain_poll and not self._lifecycle.watch.is_aged(track.batch)

    def _start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Do something beside all else; its end ends a rest."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: self._stirred.set())
        return task

    async def _rest(self) -> None:
        """Wait until something may be due, has been done, or is to stop."""
        seconds = self._look_interval
        if self._next_due is not None:
            left = (self._next_due - self._runtime.clock.now()).total_seconds()
            seconds = min(seconds, left) if left > 0 else seconds
        nap = self._start(self._runtime.clock.sleep(seconds))
        try:
            await self._stirred.wait()
        finally:
            nap.cancel()
            await asyncio.gather(nap, return_exceptions=True)

    async def _break_off(self) -> None:
        tasks = [track.task for track in self._tracks.values() if track.task]
        tasks += [self._round] if self._round else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._is_poller:
            await self._lifecycle.leases.release(self._polls)

    # One batch.

    @one_step
    async def _work(self, track: _Track) -> None:
        """Take one batch as far as it goes now."""
        try:
            if (raised := await raised_by(self._advance(track))) is not None:
                await self._fail(track, raised)
        finally:
            track.task = None
            self._looked_at = None

    async def _advance(self, track: _Track) -> None:
        async with self._slots:
            batch = await self._lifecycle.advance_alone(track.batch.id, _tell_delay)
        if batch is None:
            track.due = self._after(self._lifecycle.leases.busy_delay)
            return
        await self._resume(track, batch)
        track.due = self._after(self._lifecycle.delay(batch))

    async def _resume(self, track: _Track, batch: Batch) -> None:
        if batch.trouble is not None:
            batch = await self._runtime.command(
                batch.id, lambda batch, stamp: batch.record_work_resumed(stamp=stamp)
            )
        track.failures = 0
        text = _standing(batch)
        if text != track.told:  # a look without news is none for the log
            track.told = text
            _log.info("batch %s: %s", batch.id, text, extra=_about(batch.id))

    async def _fail(self, track: _Track, error: BaseException) -> None:
        """Back off, leave a note in the batch's log, for its status, and tell it."""
        delay = _FAILURE_DELAYS[min(track.failures, len(_FAILURE_DELAYS) - 1)]
        if isinstance(error, ProviderError):
            delay = max(delay, error.retry_after or 0.0)
        parked = isinstance(error, HandlerUnavailableError)
        track.failures += 1
        track.due = None if parked else self._after(delay)  # first: what else may fail never spins
        problem = problem_text(error)
        await self._note_failure(track, problem)
        _log.error(
            "batch %s: again %s: %s",
            track.batch.id,
            "with the next start" if parked else f"in {delay:g} s",
            problem,
            exc_info=worth_tracing(error),
            extra=_about(track.batch.id),
        )

    def _after(self, seconds: float) -> datetime:
        return self._runtime.clock.now() + timedelta(seconds=seconds)

    async def _note_failure(self, track: _Track, problem: str) -> None:
        step = track.batch.next_step
        try:
            batch = await self._runtime.command(
                track.batch.id,
                lambda batch, stamp: batch.record_work_failed(
                    batch.next_step or step, problem, retry_at=track.due, stamp=stamp
                ),
            )
        except Exception as error:  # noqa: BLE001 (the batch itself may be what cannot be read)
            about = _about(track.batch.id)
            _log.error("batch %s: no note in its log: %s", track.batch.id, error, extra=about)
        else:
            track.batch = evolve(track.batch, next_step=batch.next_step or step)

    # Many batches.

    async def _run_round(self, due: list[_Track]) -> None:
        """Poll what is due, and what the provider's list shows beside it: a call shows many."""
        self._polled = {
            track.batch.provider_batch_id: track
            for track in self._tracks.values()
            if track.batch.provider_batch_id is not None
            and track.due is not None
            and self._is_for_round(track)
        }
        ids = [track.batch.provider_batch_id or "" for track in due]
        try:
            if (raised := await raised_by(self._rounds.ask(ids, self._polled))) is not None:
                self._rounds.rest_after(raised)
        finally:
            self._round = None
            self._looked_at = None

    @one_step
    async def _take(self, provider_batch_id: str, seen: ProviderBatch | Exception) -> None:
        """Record what the provider shows; what it showed before as well costs nothing."""
        track = self._polled[provider_batch_id]
        if isinstance(seen, Exception):
            await self._fail(track, seen)
        elif (raised := await raised_by(self._record(track, seen))) is not None:
            await self._fail(track, raised)

    async def _record(self, track: _Track, seen: ProviderBatch) -> None:
        report = seen.report.in_brief()
        if report != track.seen or track.failures:
            recorded = await self._lifecycle.watch.record_seen(track.batch.id, seen)
            await self._resume(track, recorded)
            track.seen = report
        track.due = self._lifecycle.watch.next_round_at(track.batch)


def _standing(batch: Batch) -> str:
    """Where a batch stands after a step, in words."""
    if batch.next_step is None:
        succeeded = batch.totals.outcomes.succeeded
        return f"{batch.status.value}, {succeeded:,} of {batch.request_count:,} succeeded"
    if batch.deferral is not None:
        return f"no room for it yet: {batch.deferral.problem.message}"
    if batch.report is None:
        return batch.status.value
    counts = batch.report.request_counts
    done = counts.completed + counts.failed
    return f"{batch.report.raw_status}, {done:,} of {batch.request_count:,} done"


def _tell_delay(progress: Progress) -> None:
    """Log why a step waits."""
    if isinstance(progress, Delayed):
        about = _about(progress.batch_id)
        text = "batch %s: again in %g s: %s"
        _log.warning(text, progress.batch_id, progress.seconds, progress.reason, extra=about)


def _about(batch_id: UUID) -> dict[str, str]:
    """The field by which a log in JSON names the batch."""
    return {"batch_id": str(batch_id)}
