"""The watch flow: ask how a batch stands, tell the provider to stop it, and when to give up."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from ..domain.batch import Batch
from ..domain.values import BatchProblem, Stamp
from .errors import (
    NotFoundError,
    ProviderError,
    RateLimitedError,
    RefusedError,
    UnavailableError,
    is_of_account,
)
from .polling import NOT_FOUND_FOR, Failing, first_poll, poll_delay
from .ports import BatchProvider, ProviderBatch
from .reconciliation import Reconciliation
from .runtime import Runtime
from .views import OpenBatch

_LATE_POLLS = 12
_LONGEST_LATE = 720.0
"""Seconds. A cancellation takes OpenAI up to ten minutes (API reference, 2026)."""

_SHORTEST = 0.001

_log = logging.getLogger(__name__)


class EndTakenBackError(UnavailableError):
    """The provider reports a batch as at work whose end it had reported: its results come later.

    As one behind a confused gateway does.
    """


class WatchFlow:
    """Follows a submitted batch to its end.

    `schedule` is the time between polls; a batch that is not over at `max_age` after its
    submission is given up. All in seconds.
    """

    def __init__(
        self,
        runtime: Runtime,
        provider: BatchProvider,
        reconciliation: Reconciliation,
        *,
        schedule: Sequence[float],
        max_age: float,
    ) -> None:
        self._runtime = runtime
        self._provider = provider
        self._reconciliation = reconciliation
        self._schedule = schedule
        self.max_age = max_age
        self._late = min(_LATE_POLLS * schedule[0], _LONGEST_LATE)
        self._failing = Failing(runtime.clock)

    @property
    def shortest_interval(self) -> float:
        """Seconds between the first polls of a batch."""
        return self._schedule[0]

    def delay(self, batch: Batch) -> float:
        """Seconds until the batch is to be looked at again."""
        if batch.given_up or batch.siblings:
            return self._schedule[0]
        return self._delay(batch.id, self._age(batch))

    def is_due(self, batch: Batch) -> bool:
        """Whether a batch may have news: one that was just submitted has none yet.

        One that was submitted at a time to come was so before the clock was set back.
        """
        if batch.submitted_at is None or batch.report is not None or batch.cancel_requested:
            return True
        if batch.submitted_at > self._runtime.clock.now():
            return True
        age = self._age(batch)
        return age >= first_poll(self._schedule, batch.id) or age >= self.max_age

    def is_aged(self, batch: OpenBatch) -> bool:
        """Whether a batch has passed the maximum age."""
        submitted = batch.submitted_at
        return submitted is not None and self._seconds_since(submitted) >= self.max_age

    def first_poll_at(self, batch: OpenBatch) -> datetime:
        """When to poll a batch of which nobody remembers a poll: at once, if one may be overdue."""
        now = self._runtime.clock.now()
        submitted = batch.submitted_at or batch.updated_at
        if self._seconds_since(submitted) >= first_poll(self._schedule, batch.id):
            return now
        return self.next_poll_at(batch, now)

    def next_poll_at(self, batch: OpenBatch, moment: datetime) -> datetime:
        """The first poll of a batch behind a moment; at the maximum age it is polled, too."""
        age = max(0.0, (moment - (batch.submitted_at or batch.updated_at)).total_seconds())
        poll = moment + timedelta(seconds=poll_delay(self._schedule, age, batch.id))
        aged = self._aged_at(batch)
        return aged if moment < aged < poll else poll

    def next_round_at(self, batch: OpenBatch) -> datetime:
        """The next poll of a batch that was seen just now, before its time or at it.

        Half an interval away at least: a list shows batches whose own moment is close.
        """
        now = self._runtime.clock.now()
        soonest = self.next_poll_at(batch, now)
        if soonest == self._aged_at(batch):
            return soonest
        following = self.next_poll_at(batch, soonest)
        return following if soonest - now < (following - soonest) / 2 else soonest

    def _aged_at(self, batch: OpenBatch) -> datetime:
        return (batch.submitted_at or batch.updated_at) + timedelta(seconds=self.max_age)

    def _delay(self, batch_id: UUID, age: float) -> float:
        delay = poll_delay(self._schedule, age, batch_id)
        return max(_SHORTEST, min(delay, self.max_age - age)) if age < self.max_age else delay

    def _age(self, batch: Batch) -> float:
        return self._seconds_since(batch.submitted_at or batch.modified_on)

    def _seconds_since(self, moment: datetime) -> float:
        return max(0.0, (self._runtime.clock.now() - moment).total_seconds())

    async def poll(self, batch: Batch) -> Batch:
        """Ask for a batch once and record what changed; send a cancellation that is wished for.

        Nothing is asked after the end. Raises `ProviderError`; a repeat is safe.
        """
        if batch.provider_batch_id is None:
            return batch
        batch = await self._reconciliation.look_for_siblings(batch)
        if batch.provider_batch_id is None or batch.status.is_terminal:
            return batch
        if batch.cancel_requested and not batch.is_canceling:
            return await self.send_cancel(batch)
        return await self.record_seen(
            batch.id, await self._provider.retrieve_batch(batch.provider_batch_id)
        )

    async def record_seen(
        self, batch_id: UUID, seen: ProviderBatch, *, after_call: bool = False
    ) -> Batch:
        """Record what the provider shows of a batch."""
        return await self._runtime.command(
            batch_id,
            lambda batch, stamp: batch.record_status(
                seen.id,
                seen.report,
                request_id=seen.request_id,
                stamp=stamp,
                after_call=after_call,
                token_limit_delays=self._schedule,
            ),
        )

    async def send_cancel(self, batch: Batch) -> Batch:
        """Tell the provider to cancel a batch; one that is over by then ends as it is reported.

        Whatever the answer is: a cancellation that fails must not hide an end, and one whose
        answer was lost may be under way. Raises the `ProviderError` of one that may succeed later.
        """
        assert batch.provider_batch_id is not None
        record = self._amend_seen if batch.status.is_terminal else self.record_seen
        try:
            seen = await self._provider.cancel_batch(batch.provider_batch_id)
        except ProviderError as error:
            seen = await self._provider.retrieve_batch(batch.provider_batch_id)
            batch = await record(batch.id, seen)
            if batch.is_over or batch.is_canceling or isinstance(error, RefusedError):
                return batch
            raise
        return await record(batch.id, seen, after_call=True)

    async def poll_or_give_up(self, batch: Batch) -> Batch:
        """Poll; a batch past the maximum age that is not over even so is canceled and given up.

        One that nobody can ask about may be over and paid for. It is given up when the provider
        was asked in vain for another maximum age, or for an hour does not have it.
        """
        if self._age(batch) < self.max_age:
            return await self.poll(batch)
        try:
            batch = await self.poll(batch)
        except ProviderError as error:
            if not self._was_patient(batch, error):
                raise
            return await self._give_up(batch, str(error))
        self._failing.forget(*_kinds(batch))
        if batch.status.is_terminal or batch.provider_batch_id is None:
            return batch
        return await self._cancel_and_give_up(batch)

    def _was_patient(self, batch: Batch, error: ProviderError) -> bool:
        """Whether this process has asked in vain for long enough."""
        out_of_reach, unknown = _kinds(batch)
        if is_of_account(error) or isinstance(error, RateLimitedError):
            self._failing.forget(out_of_reach, unknown)  # it is there, and does not deny the batch
            return False
        if isinstance(error, NotFoundError):
            self._failing.forget(out_of_reach)
            return self._failing.lasts(unknown) >= NOT_FOUND_FOR
        self._failing.forget(unknown)
        return self._failing.lasts(out_of_reach) >= timedelta(seconds=self.max_age)

    async def _cancel_and_give_up(self, batch: Batch) -> Batch:
        word = batch.report.raw_status if batch.report else batch.raw_status
        why = f"its status was {word}"
        try:
            if not batch.cancel_requested:
                batch = await self._runtime.command(batch.id, _wish_to_cancel)
                if not batch.status.is_terminal:
                    batch = await self.send_cancel(batch)
        except ProviderError as error:
            why = f"{why}, and it could not be canceled: {error}"
        return batch if batch.status.is_terminal else await self._give_up(batch, why)

    async def _give_up(self, batch: Batch, why: str) -> Batch:
        age = timedelta(seconds=round(self.max_age))
        error = BatchProblem("given_up", f"The batch was not over after {age}: {why}.")
        _log.warning("batch %s is given up: %s", batch.id, error.message)
        return await self._runtime.command(
            batch.id,
            lambda batch, stamp: batch.give_up(error, max_age=self.max_age, stamp=stamp),
        )

    async def look_for_late_end(self, batch: Batch) -> tuple[Batch, bool]:
        """See whether a batch that was given up is over; False while that may still come.

        Its rows are paid for, so its cancellation is waited for a while.
        """
        if not batch.given_up or (batch.report and batch.report.status.is_terminal):
            return batch, True
        batch = await self.amend(batch)
        assert batch.ended_at is not None
        over = batch.report is not None and batch.report.status.is_terminal
        return batch, over or self._seconds_since(batch.ended_at) >= self._late

    async def amend(self, batch: Batch) -> Batch:
        """Look at a batch again after its end, if that can be done now.

        Raises `EndTakenBackError`.
        """
        try:
            return await self.look_again(batch)
        except EndTakenBackError:
            raise
        except ProviderError as error:
            _log.warning("batch %s cannot be looked at again: %s", batch.id, error)
            return batch

    async def look_again(self, batch: Batch) -> Batch:
        """Ask once more after the end: some servers show files and counts only later.

        A repeat is safe. Raises `ProviderError`, and `EndTakenBackError` until the maximum age;
        then such a batch is canceled, its end is waited for a while, and what has come of it by
        then is taken. One whose cancellation somebody wishes for is canceled at once.
        """
        batch = await self.see_again(batch)
        if not batch.end_taken_back:
            return batch
        age = self._age(batch)
        if (age >= self.max_age or batch.cancel_requested) and not batch.is_canceling:
            batch = await self._cancel_what_runs_on(batch)
        if batch.end_taken_back and age < self.max_age + self._late:
            raise EndTakenBackError(
                f"the provider reported the end of {batch.provider_batch_id}, "
                f"and says {batch.raw_status} now"
            )
        return batch

    async def see_again(self, batch: Batch) -> Batch:
        """Ask once more after the end and record what the provider shows then.

        A repeat is safe. Raises `ProviderError`.
        """
        if batch.provider_batch_id is None:
            return batch
        seen = await self._provider.retrieve_batch(batch.provider_batch_id)
        return await self._amend_seen(batch.id, seen)

    async def _amend_seen(
        self, batch_id: UUID, seen: ProviderBatch, *, after_call: bool = False
    ) -> Batch:
        return await self._runtime.command(
            batch_id,
            lambda batch, stamp: batch.amend_report(
                seen.id,
                seen.report,
                request_id=seen.request_id,
                stamp=stamp,
                after_call=after_call,
            ),
        )

    async def _cancel_what_runs_on(self, batch: Batch) -> Batch:
        assert batch.provider_batch_id is not None
        try:
            seen = await self._provider.cancel_batch(batch.provider_batch_id)
        except ProviderError as error:
            _log.warning("%s could not be canceled: %s", batch.provider_batch_id, error)
            return batch
        return await self._amend_seen(batch.id, seen, after_call=True)


def _kinds(batch: Batch) -> tuple[tuple[UUID, str], tuple[UUID, str]]:
    """Failures of asking for a batch: the provider is out of reach, or does not have it."""
    return (batch.id, "out of reach"), (batch.id, "unknown")


def _wish_to_cancel(batch: Batch, stamp: Stamp) -> None:
    """Record the wish, unless another process had it first or the batch is over."""
    if not (batch.cancel_requested or batch.status.is_terminal):
        batch.request_cancel(stamp=stamp)
