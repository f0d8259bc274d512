"""Finding what a create call made when nobody knows: adopt one batch, cancel its siblings."""

import logging
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from uuid import UUID

from ..domain.batch import Batch
from ..domain.errors import BatchSubmittedError
from ..domain.status import BatchStatus
from ..domain.values import BatchProblem, Stamp, Submission
from .errors import (
    NotFoundError,
    ProviderError,
    RefusedError,
    UnavailableError,
    is_of_this_call,
)
from .ports import BatchProvider, ProviderBatch
from .progress import OnProgress, Searching
from .runtime import Runtime

BATCH_ID_KEY = "batchtrail_batch_id"
"""The metadata key under which a provider's batch carries our batch id."""

_DELAYS = (0.5, 1.0, 2.0, 5.0, 10.0)
_OLDER_BATCHES = 100
"""A search ends after so many batches in a row from before the upload: lists are not in order.

None of them may be newer than the first: a list may also begin with the oldest.
"""

_DEAD = (BatchStatus.CANCELED, BatchStatus.FAILED)

_log = logging.getLogger(__name__)


class Reconciliation:
    """Searches the provider's list for the batches of a submission.

    `wait` (seconds) is how long a create call without an answer is searched for before it is
    made again, twice as long after each one that was lost; lists may lag behind creates.
    `create_timeout` (seconds) is how long another process may still be in its call. `schedule`
    is the time between polls, in seconds, at which room in a full queue is asked for as well.
    """

    def __init__(
        self,
        runtime: Runtime,
        provider: BatchProvider,
        *,
        wait: float,
        create_timeout: float,
        schedule: Sequence[float],
    ) -> None:
        self._runtime = runtime
        self._provider = provider
        self._wait = wait
        self._create_timeout = timedelta(seconds=create_timeout)
        self._schedule = schedule
        self._lost: set[tuple[UUID, int]] = set()

    def note_lost(self, batch_id: UUID, attempt: int) -> None:
        """Remember that this process itself has given a create call up: it is under way no more."""
        self._lost.add((batch_id, attempt))

    def check_in_time(self, submission: Submission) -> None:
        """Raise `UnavailableError` when others take a create call that we are to send for over.

        We, or the database, may have stood still since the call was recorded, or the clock was
        set back, and nobody can tell for how long.
        """
        begun = submission.create_started_at
        assert begun is not None
        if not begun <= self._runtime.clock.now() < begun + self._create_timeout:
            raise UnavailableError("a create call was recorded too long ago to be sent still")

    async def reconcile(
        self, batch: Batch, submission: Submission, on_progress: OnProgress
    ) -> None:
        """Find out whether a create call without an answer made a batch; adopt what it made.

        The wait counts from the loss of the answer; of another process's call nobody knows
        whether it is lost before it must have timed out.
        """
        wait = timedelta(seconds=self._wait * 2**submission.lost_creates)
        until = self._over_at(batch.id, submission) + wait
        searches = 0
        while True:
            searched_at = self._runtime.clock.now()
            if await self._adopt(batch, submission):
                return
            if searched_at >= until:
                await self._record_not_found(batch.id, submission.create_attempt, wait)
                return
            on_progress(Searching(batch.id, until))
            await self._pause(searches, until)
            searches += 1
            batch = await self._runtime.load(batch.id)
            if not batch.is_submitting or batch.submission != submission:
                return

    def _over_at(self, batch_id: UUID, submission: Submission) -> datetime:
        """The moment from which the call is under way in no process."""
        assert submission.create_started_at is not None
        now = self._runtime.clock.now()
        if (batch_id, submission.create_attempt) in self._lost:
            return now
        # One of a time to come was recorded before the clock was set back.
        begun = min(now, submission.create_started_at)
        return max(now, begun + self._create_timeout)

    async def _pause(self, searches: int, until: datetime) -> None:
        left = (until - self._runtime.clock.now()).total_seconds()
        delay = _DELAYS[min(searches, len(_DELAYS) - 1)]
        await self._runtime.clock.sleep(max(0.0, min(delay, left)))

    async def _record_not_found(self, batch_id: UUID, attempt: int, wait: timedelta) -> None:
        seconds = wait.total_seconds()
        reason = f"The provider shows no batch of this submission after {seconds:g} seconds."

        def record(batch: Batch, stamp: Stamp) -> None:
            error = BatchProblem("not_found", reason)
            batch.record_not_created(attempt, error, request_id=None, stamp=stamp, searched=True)

        await self._runtime.command(batch_id, record)

    async def adopt_late(self, batch: Batch, submission: Submission) -> bool:
        """Adopt what a call made that was given up; whether it made any.

        Before another is sent, and when that is refused: lists may lag for longer than the wait.
        """
        return bool(submission.lost_creates) and await self._adopt(batch, submission)

    async def _adopt(self, batch: Batch, submission: Submission) -> bool:
        """Record what the list shows of a submission that has no batch; whether it shows any.

        A list that cannot be had keeps a batch from being created again, but not from being
        canceled.
        """
        try:
            found = await self._search(batch, submission)
        except ProviderError as error:
            if not is_of_this_call(error):
                raise
            if batch.cancel_requested:
                _log.warning("what create calls of batch %s made is unknown: %s", batch.id, error)
                return False
            raise type(error)(
                f"a create call of batch {batch.id} was lost, and the provider does not list what "
                f"it may have made: {error.message}; look there, then cancel this batch and "
                "submit anew",
                code=error.code,
                param=error.param,
                http_status=error.http_status,
                request_id=error.request_id,
            ) from error
        if found:
            await self.record_submitted(batch.id, *found, adopted=True)
        return bool(found)

    async def _search(self, batch: Batch, submission: Submission) -> list[ProviderBatch]:
        """The provider's batches of this submission: the living ones first, then by age.

        A sibling that was told to cancel is never ours again. What was found stands, whatever
        becomes of the rest of the list.
        """
        not_ours = {*submission.left_batch_ids, *batch.siblings, *batch.canceled_siblings}
        found: list[ProviderBatch] = []
        older: list[datetime] = []
        try:
            async with aclosing(self._provider.list_batches()) as batches:
                async for listed in batches:
                    older = _older_in_a_row(older, listed, submission.input_file_created_at)
                    if len(older) == _OLDER_BATCHES:
                        break
                    left = listed.id in not_ours or listed.report.input_not_found
                    if _is_ours(listed, batch.id, submission) and not left:
                        found.insert(0, listed)
        except ProviderError as error:
            if not found:
                raise
            _log.warning("the provider's list was not read to its end: %s", error)
        return sorted(found, key=lambda each: each.report.status in _DEAD)

    async def record_submitted(
        self, batch_id: UUID, created: ProviderBatch, *others: ProviderBatch, adopted: bool
    ) -> None:
        """Record the provider's batch, and in the same save every other one as a sibling."""

        def record(batch: Batch, stamp: Stamp) -> None:
            siblings = list(others)
            try:
                batch.record_submitted(
                    created.id,
                    created.report,
                    adopted=adopted,
                    request_id=created.request_id,
                    stamp=stamp,
                    token_limit_delays=self._schedule,
                )
            except BatchSubmittedError:
                siblings.append(created)
            for sibling in siblings:
                if sibling.id != batch.provider_batch_id:
                    batch.record_sibling(sibling.id, request_id=sibling.request_id, stamp=stamp)

        await self._runtime.command(batch_id, record)

    async def look_for_siblings(self, batch: Batch) -> Batch:
        """Search again for what a call made that was given up; lists may lag for longer.

        One that somebody has canceled already may have finished rows: it is recorded as well. A
        list that can never be had keeps nobody from the batch that is known.
        """
        if batch.submission is None or not batch.submission.lost_creates:
            return batch
        try:
            listed = await self._search(batch, batch.submission)
        except ProviderError as error:
            if not is_of_this_call(error):
                raise
            _log.warning("siblings of batch %s cannot be looked for: %s", batch.id, error)
            listed = []
        for found in listed:
            if found.id != batch.provider_batch_id and not found.report.never_ran:
                await self.record_submitted(batch.id, found, adopted=True)
        return await self.cancel_siblings(await self._runtime.load(batch.id))

    async def cancel_siblings(self, batch: Batch) -> Batch:
        """Cancel what is not to be paid twice; what cannot be reached now is tried again later."""
        for sibling in batch.siblings:
            _log.warning("canceling %s, a second provider batch of %s", sibling, batch.id)
            request_id = None
            try:
                request_id = (await self._provider.cancel_batch(sibling)).request_id
            except (RefusedError, NotFoundError) as error:
                request_id = error.request_id  # it is over already
            except ProviderError as error:
                _log.warning("the sibling %s could not be canceled yet: %s", sibling, error)
                continue
            batch = await self._record_sibling_canceled(batch.id, sibling, request_id)
        return batch

    async def _record_sibling_canceled(
        self, batch_id: UUID, sibling: str, request_id: str | None
    ) -> Batch:
        return await self._runtime.command(
            batch_id,
            lambda batch, stamp: batch.record_sibling_canceled(
                sibling, request_id=request_id, stamp=stamp
            ),
        )


def _is_ours(listed: ProviderBatch, batch_id: UUID, submission: Submission) -> bool:
    """Whether a create call of this submission made the batch.

    Every call names the one recorded input file, and nobody else knows that file. Our batch id
    is a weaker sign: another database with the same input for the same account has it, too.
    """
    if listed.input_file_id is not None:
        return listed.input_file_id == submission.input_file_id
    return listed.metadata.get(BATCH_ID_KEY) == str(batch_id)


def _older_in_a_row(
    before: list[datetime], listed: ProviderBatch, moment: datetime | None
) -> list[datetime]:
    """The moments of batches from before a moment that came one after the other.

    None of them is newer than the first.
    """
    at = listed.created_at
    if at is None or moment is None or at >= moment:
        return []
    return [at] if before and at > before[0] else [*before, at]
