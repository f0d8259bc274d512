"""A batch's whole way: submitted, watched, collected, and its completion handler called."""

import math
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from attrs import field, frozen

from ..domain.batch import Batch
from ..domain.checks import is_schedule, is_seconds, is_wait, own_tuple
from ..domain.values import RequestProblem
from .collection import SHORT_FETCHES, CollectionFlow
from .errors import InputError, NotFoundError
from .handlers import HandlerFlow
from .leases import DEFAULT_LEASE, Leases, batch_lease
from .polling import DEFAULT_SCHEDULE, NOT_FOUND_FOR, Failing
from .ports import (
    CREATE_TIMEOUT,
    RECONCILE_WAIT,
    BatchProvider,
    CompletionHandlers,
    PriceBook,
)
from .progress import OnProgress, silent
from .reconciliation import Reconciliation
from .runtime import Runtime
from .submission import SubmissionFlow
from .watching import WatchFlow

DEFAULT_MAX_AGE = 26 * 3_600.0
"""Seconds. OpenAI's window is a day; some batches end a little later."""

_LONGEST_STAY = 120.0
"""Seconds for which a batch waits at the provider's word in a place that others want as well."""


@frozen
class ServiceSettings:
    """How patient the service is: all in seconds.

    `poll_schedule` is the time between the polls of one batch, the last repeats;
    `reconcile_wait` is how long a create without an answer is searched for before it is made
    again; `create_timeout` is after how long the provider adapter gives a create call up;
    `max_age` is how long after its submission a batch is given up; `lease` is how long a process
    may be silent before another one takes over what it was doing. Raises `InputError` for a value
    that cannot be: only `reconcile_wait` may be 0.
    """

    poll_schedule: tuple[float, ...] = field(
        default=DEFAULT_SCHEDULE, converter=own_tuple, validator=is_schedule
    )
    reconcile_wait: float = field(default=RECONCILE_WAIT, validator=is_wait)
    create_timeout: float = field(default=CREATE_TIMEOUT, validator=is_seconds)
    max_age: float = field(default=DEFAULT_MAX_AGE, validator=is_seconds)
    lease: float = field(default=DEFAULT_LEASE, validator=is_seconds)


class Lifecycle:
    """Takes a batch from wherever the log says it is as far as it goes now.

    Whoever drives it, a command that waits or a worker, calls `advance` again and again.
    """

    def __init__(
        self,
        runtime: Runtime,
        provider: BatchProvider,
        handlers: CompletionHandlers,
        settings: ServiceSettings,
        prices: PriceBook | None = None,
    ) -> None:
        self._runtime = runtime
        self._provider = provider
        reconciliation = Reconciliation(
            runtime,
            provider,
            wait=settings.reconcile_wait,
            create_timeout=settings.create_timeout,
            schedule=settings.poll_schedule,
        )
        self.submission = SubmissionFlow(runtime, provider, reconciliation)
        self.watch = WatchFlow(
            runtime,
            provider,
            reconciliation,
            schedule=settings.poll_schedule,
            max_age=settings.max_age,
        )
        self.collection = CollectionFlow(
            runtime,
            provider,
            self.watch,
            prices,
            short_delays=_first(settings.poll_schedule, SHORT_FETCHES),
        )
        self.handlers = HandlerFlow(runtime, handlers)
        self.leases = Leases(runtime, settings.lease)
        self._failing = Failing(runtime.clock)

    async def advance(self, batch_id: UUID, on_progress: OnProgress = silent) -> Batch:
        """Submit, poll once if it is time, collect and call the handler, as far as each can be.

        Beside a worker that is at it, too, all but the handler. Safe to repeat, to interrupt
        anywhere and to run in several processes at once. Raises `ProviderError`,
        `CreatesLostError`, and `HandlerError` once the results are collected.
        """
        async with self.leases.held(batch_lease(batch_id)) as is_mine:
            return await self._advance(batch_id, on_progress, with_handler=is_mine)

    async def advance_alone(self, batch_id: UUID, on_progress: OnProgress) -> Batch | None:
        """As `advance`, but nothing, and None, while somebody else is at work on the batch.

        Where the provider asks to wait for minutes, its error is raised at once: the caller may do
        other work until then.
        """
        async with self.leases.held(batch_lease(batch_id)) as is_mine:
            if not is_mine:
                return None
            return await self._advance(
                batch_id, on_progress, with_handler=True, longest_wait=_LONGEST_STAY
            )

    def delay(self, batch: Batch) -> float:
        """Seconds until there may be something to do for a batch again."""
        if batch.deferral is not None:
            left = batch.deferral.until - self._runtime.clock.now()
            return max(0.0, left.total_seconds())
        return self.leases.busy_delay if batch.awaits_handler else self.watch.delay(batch)

    async def submit(self, batch_id: UUID, on_progress: OnProgress = silent) -> Batch:
        """Only submit; a worker that is not at it yet does not begin the same meanwhile."""
        async with self.leases.held(batch_lease(batch_id)):
            return await self.submission.submit(batch_id, on_progress)

    async def _advance(
        self,
        batch_id: UUID,
        on_progress: OnProgress,
        *,
        with_handler: bool,
        longest_wait: float = math.inf,
    ) -> Batch:
        batch = await self.submission.advance(batch_id, on_progress, longest_wait=longest_wait)
        if batch.is_submitting:
            return batch
        if not batch.status.is_terminal and self.watch.is_due(batch):
            batch = await self.watch.poll_or_give_up(batch)
        if batch.status.is_terminal and not batch.results_collected:
            batch = await self._collect(batch, on_progress, longest_wait)
        if with_handler and batch.awaits_handler:
            batch = await self.handlers.dispatch(batch)
        return batch

    async def _collect(self, batch: Batch, on_progress: OnProgress, longest_wait: float) -> Batch:
        batch, is_over = await self.watch.look_for_late_end(batch)
        if not is_over:
            return batch
        try:
            batch = await self.collection.collect(batch.id, on_progress, longest_wait=longest_wait)
        except NotFoundError as error:
            lasts = self._failing.lasts(batch.id)
            if not (self._is_lost_for_good(batch) and lasts >= NOT_FOUND_FOR):
                raise
            lost = RequestProblem("result_file_lost", f"A result file is gone: {error.message}")
            batch = await self.collection.settle(batch.id, lost)
        self._failing.forget(batch.id)
        return batch

    def _is_lost_for_good(self, batch: Batch) -> bool:
        """Whether a result file that is not there will hardly come any more."""
        assert batch.ended_at is not None
        max_age = timedelta(seconds=self.watch.max_age)
        return self._runtime.clock.now() - batch.ended_at > max_age

    def check_can_call(self) -> None:
        """Raise `InputError` where the provider cannot be called, as for want of a key."""
        self.submission.check_can_call()

    def check_provider(self, batch: Batch) -> None:
        """Raise `InputError` when a batch is at another provider than this."""
        if batch.provider != self._provider.name:
            raise InputError(
                f"batch {batch.id} is at {batch.provider}, and this is {self._provider.name}; "
                "set the base URL that the batch was submitted to"
            )


def _first(schedule: Sequence[float], count: int) -> list[float]:
    """The first delays of a schedule, whose last one repeats."""
    return [schedule[min(number, len(schedule) - 1)] for number in range(count)]
