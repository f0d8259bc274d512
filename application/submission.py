"""The submit flow: whatever breaks, one submission makes one provider batch.

Every step begins from what the log says, so a flow that was interrupted anywhere, by a crash or
by another process, is taken up by calling `advance` again.
"""

import logging
import math
from collections.abc import AsyncIterator, Mapping
from uuid import UUID

from ..domain.batch import MAX_LEFT_BATCHES, Batch
from ..domain.errors import (
    AlreadyCancelingError,
    BatchSubmittedError,
    DomainError,
    OutOfOrderError,
)
from ..domain.values import BatchProblem, Submission
from .errors import (
    FileNotReadyError,
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    RateLimitedError,
    RefusedError,
    UnavailableError,
)
from .polling import Patience
from .ports import BatchProvider, CreateRequest
from .progress import Delayed, OnProgress, Uploading, silent
from .reconciliation import BATCH_ID_KEY, Reconciliation
from .runtime import Runtime, finishing
from .uploads import Uploads

TRANSIENT = (UnavailableError, RateLimitedError, OutcomeUnknownError, NotFoundError)
"""After these a step is taken again; NotFoundError means a file that is not visible yet."""

_DELAYS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)

_NOT_VISIBLE_DELAYS = (2.0, 5.0, 10.0, 30.0, 60.0)
assert len(_NOT_VISIBLE_DELAYS) == MAX_LEFT_BATCHES

_log = logging.getLogger(__name__)


def sent_metadata(own: Mapping[str, str], batch_id: UUID) -> dict[str, str]:
    """The metadata of a create call: somebody's own, and by what the batch is found again."""
    return {**own, BATCH_ID_KEY: str(batch_id)}


class SubmissionFlow:
    """Brings a batch from its intent to the provider's acceptance or refusal."""

    def __init__(
        self, runtime: Runtime, provider: BatchProvider, reconciliation: Reconciliation
    ) -> None:
        self._runtime = runtime
        self._provider = provider
        self._reconciliation = reconciliation
        self._uploads = Uploads(runtime, provider)

    async def advance(
        self, batch_id: UUID, on_progress: OnProgress = silent, *, longest_wait: float = math.inf
    ) -> Batch:
        """Go on from wherever the log stands until the batch is submitted, deferred or over.

        Safe to repeat and to run in several processes at once. Raises `UnauthorizedError` and
        `QuotaError`, one of `TRANSIENT` when the trouble lasts for minutes or the provider asks to
        wait for more than `longest_wait` seconds (the same call then goes on later), and
        `CreatesLostError` when create calls vanish again and again.
        """
        batch = await self._runtime.load(batch_id)
        if batch.is_submitting:
            self.check_can_call()
        failures = 0
        while batch.is_submitting and not self._is_deferred(batch):
            try:
                await self._step(batch, on_progress)
            except TRANSIENT as error:
                if failures == len(_DELAYS) or (error.retry_after or 0.0) > longest_wait:
                    raise
                await self._pause(batch_id, error, _DELAYS[failures], on_progress)
                failures += 1
            else:
                failures = 0
            batch = await self._runtime.load(batch_id)
        return await self._reconciliation.cancel_siblings(batch)

    async def submit(self, batch_id: UUID, on_progress: OnProgress) -> Batch:
        """As `advance`, but an input file that is being processed is waited for, for an hour.

        One of 200 MB takes Azure some minutes.
        """
        patience = Patience(self._runtime.clock)
        while True:
            try:
                return await self.advance(batch_id, on_progress)
            except FileNotReadyError as error:
                patience.wait_after(error)
                await self._pause(batch_id, error, _DELAYS[-1], on_progress)

    def check_can_call(self) -> None:
        """Raise `InputError` where the provider cannot be called, as for want of a key.

        Before anything is recorded: a worker that can would submit it, for money, or cancel it;
        and a call that was begun in the log is searched for. What stands for such a provider has
        no methods.
        """
        _ = self._provider.create_batch

    async def _step(self, batch: Batch, on_progress: OnProgress) -> None:
        assert batch.submission is not None
        if batch.submission.create_started_at is not None:
            await self._reconciliation.reconcile(batch, batch.submission, on_progress)
        elif await self._reconciliation.adopt_late(batch, batch.submission):
            return
        elif batch.cancel_requested:
            await self._abandon(batch)
        elif batch.submission.input_file_id is None:
            await self._tell_parent(batch)
            await self._upload(batch, batch.submission, on_progress)
        else:
            await self._let_file_appear(batch)
            await finishing(self._create(batch))  # a call broken off is a call searched for

    async def _tell_parent(self, batch: Batch) -> None:
        """Note a retry at the batch that it came from, before it may cost anything.

        Here, because whoever began it may have died since. Raises `NotCollectedError`.
        """
        if batch.retry_of is not None:
            await self._runtime.command(
                batch.retry_of,
                lambda parent, stamp: parent.record_retry(
                    batch.id, batch.request_count, stamp=stamp
                ),
            )

    def _is_deferred(self, batch: Batch) -> bool:
        return batch.deferral is not None and self._runtime.clock.now() < batch.deferral.until

    async def _let_file_appear(self, batch: Batch) -> None:
        """Wait, the longer the oftener, after batches that failed for want of their input file."""
        if batch.invisible_inputs:
            await self._runtime.clock.sleep(_NOT_VISIBLE_DELAYS[batch.invisible_inputs - 1])

    async def _pause(
        self, batch_id: UUID, error: ProviderError, seconds: float, on_progress: OnProgress
    ) -> None:
        seconds = max(seconds, error.retry_after or 0.0)
        on_progress(Delayed(batch_id, str(error), seconds))
        await self._runtime.clock.sleep(seconds)

    async def _upload(self, batch: Batch, submission: Submission, on_progress: OnProgress) -> None:
        if submission.upload_attempt and await self._uploads.adopt(batch, submission):
            return
        try:
            batch = await self._runtime.command(
                batch.id, lambda batch, stamp: batch.start_upload(stamp=stamp)
            )
        except DomainError:
            return  # another process uploaded the same input first, or the batch is over
        lines = _InputLines(self._runtime, batch, on_progress)
        try:
            uploaded = await self._provider.upload(
                lines, filename=submission.file_name, size=batch.input_size
            )
        except RefusedError as error:
            await self._refuse(batch.id, error, create_attempt=None)
            return
        await self._uploads.record(batch.id, uploaded)

    async def _create(self, batch: Batch) -> None:
        try:
            started = await self._runtime.command(
                batch.id, lambda batch, stamp: batch.start_create(stamp=stamp)
            )
        except (AlreadyCancelingError, BatchSubmittedError, OutOfOrderError):
            return  # another process sends this call, or the batch is over
        await self._send_create(started)

    async def _send_create(self, batch: Batch) -> None:
        assert batch.submission is not None
        assert batch.submission.input_file_id is not None
        attempt = batch.submission.create_attempt
        request = CreateRequest(
            input_file_id=batch.submission.input_file_id,
            endpoint=batch.endpoint,
            completion_window=batch.completion_window,
            metadata=sent_metadata(batch.metadata if batch.send_metadata else {}, batch.id),
        )
        try:
            self._reconciliation.check_in_time(batch.submission)
            created = await self._provider.create_batch(request)
        except RefusedError as error:
            if not await self._reconciliation.adopt_late(batch, batch.submission):
                await self._refuse(batch.id, error, create_attempt=attempt)
        except OutcomeUnknownError as error:
            self._reconciliation.note_lost(batch.id, attempt)
            _log.warning("the answer to the create call of batch %s was lost: %s", batch.id, error)
        except ProviderError as error:
            await self._record_not_created(batch.id, attempt, error)
            raise
        else:
            await self._reconciliation.record_submitted(batch.id, created, adopted=False)

    async def _record_not_created(self, batch_id: UUID, attempt: int, error: ProviderError) -> None:
        await self._runtime.command(
            batch_id,
            lambda batch, stamp: batch.record_not_created(
                attempt, _problem(error), request_id=error.request_id, stamp=stamp
            ),
        )

    async def _refuse(
        self, batch_id: UUID, error: RefusedError, *, create_attempt: int | None
    ) -> None:
        batch = await self._runtime.command(
            batch_id,
            lambda batch, stamp: batch.record_refusal(
                _problem(error),
                create_attempt=create_attempt,
                request_id=error.request_id,
                stamp=stamp,
            ),
        )
        # The refused upload itself left nothing, but earlier ones may have.
        uploads = batch.submission.upload_attempt if batch.submission is not None else 0
        if batch.failure is not None and (create_attempt is not None or uploads > 1):
            await self._uploads.discard_all(batch)

    async def _abandon(self, batch: Batch) -> None:
        """End a submission that was canceled before its create call was sent."""
        assert batch.submission is not None
        try:
            await self._runtime.command(
                batch.id, lambda batch, stamp: batch.abandon_submission(stamp=stamp)
            )
        except DomainError:
            return
        await self._uploads.discard_all(batch)


class _InputLines:
    """A batch's input from the log, from its beginning each time it is iterated."""

    def __init__(self, runtime: Runtime, batch: Batch, on_progress: OnProgress) -> None:
        self._runtime = runtime
        self._batch = batch
        self._on_progress = on_progress

    async def __aiter__(self) -> AsyncIterator[bytes]:
        lines = self._runtime.batches.input_lines(self._batch.id)
        sent = 0
        while (piece := await self._runtime.in_store(next, lines, None)) is not None:
            self._on_progress(Uploading(self._batch.id, sent, self._batch.input_size))
            yield piece
            sent += len(piece)
        self._on_progress(Uploading(self._batch.id, sent, self._batch.input_size))


def _problem(error: ProviderError) -> BatchProblem:
    return BatchProblem(error.code, error.message, error.param)
