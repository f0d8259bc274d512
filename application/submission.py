"""The submit flow: whatever breaks, one submission makes one provider batch.

Every step begins from what the log says, so a flow that was interrupted anywhere, by a crash or
by another process, is taken up by calling `advance` again.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from ..domain.batch import Batch
from ..domain.errors import BatchSubmittedError, DomainError
from ..domain.status import BatchStatus
from ..domain.values import BatchError, Stamp, Submission
from .errors import (
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    RateLimitedError,
    RefusedError,
    UnavailableError,
)
from .ports import BatchProvider, BatchRequest, ProviderBatch, UploadedFile
from .progress import Delayed, OnProgress, Searching, Uploading, silent
from .runtime import Runtime

BATCH_ID_KEY = "batchtrail_batch_id"
"""The metadata key under which a provider's batch carries our batch id."""

_DELAYS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
_SEARCH_DELAYS = (0.5, 1.0, 2.0, 5.0, 10.0)

_DEAD = (BatchStatus.CANCELED, BatchStatus.FAILED)
_TRANSIENT = (UnavailableError, RateLimitedError, OutcomeUnknownError, NotFoundError)
"""After these the step is taken again; NotFoundError means a file that is not visible yet."""

_OLDER_BATCHES = 100
"""A search ends after so many batches in a row from before the upload: lists are not in order."""

_log = logging.getLogger(__name__)


class SubmissionFlow:
    """Brings a batch from its intent to the provider's acceptance or refusal.

    `reconcile_wait` (seconds) is how long a create call without an answer is searched for in
    the provider's list before it is made again; lists may lag behind creates.
    """

    def __init__(self, runtime: Runtime, provider: BatchProvider, *, reconcile_wait: float) -> None:
        self._runtime = runtime
        self._provider = provider
        self._reconcile_wait = reconcile_wait

    async def advance(self, batch_id: UUID, on_progress: OnProgress = silent) -> Batch:
        """Go on from wherever the log stands until the batch is submitted or over.

        Safe to repeat and to run in several processes at once. Raises `UnauthorizedError` and
        `QuotaError`, and `UnavailableError` or `RateLimitedError` when the provider stays out of
        reach; the same call then goes on later.
        """
        batch = await self._runtime.load(batch_id)
        failures = 0
        while batch.is_submitting:
            try:
                await self._step(batch, on_progress)
            except (
                UnavailableError,
                RateLimitedError,
                OutcomeUnknownError,
                NotFoundError,
            ) as error:
                if failures == len(_DELAYS):
                    raise
                await self._pause(batch_id, error, _DELAYS[failures], on_progress)
                failures += 1
            batch = await self._runtime.load(batch_id)
        return batch

    async def _step(self, batch: Batch, on_progress: OnProgress) -> None:
        assert batch.submission is not None
        if batch.submission.create_started_at is not None:
            await self._reconcile(batch, batch.submission, on_progress)
        elif batch.cancel_requested:
            await self._abandon(batch)
        elif batch.submission.input_file_id is None:
            await self._upload(batch, batch.submission, on_progress)
        else:
            await self._create(batch, batch.submission)

    async def _pause(
        self, batch_id: UUID, error: ProviderError, seconds: float, on_progress: OnProgress
    ) -> None:
        if isinstance(error, RateLimitedError) and error.retry_after is not None:
            seconds = max(seconds, error.retry_after)
        on_progress(Delayed(batch_id, str(error), seconds))
        await self._runtime.clock.sleep(seconds)

    async def _upload(self, batch: Batch, submission: Submission, on_progress: OnProgress) -> None:
        lines = _InputLines(self._runtime, batch, on_progress)
        try:
            uploaded = await self._provider.upload(
                lines, filename=submission.file_name, size=batch.input_size
            )
        except RefusedError as error:
            await self._refuse(batch.id, error)
            return
        try:
            await self._runtime.command(batch.id, partial(_record_upload, uploaded))
        except DomainError:
            # Another process uploaded the same input first, or the batch is over.
            await self._discard(batch.id, uploaded)

    async def _discard(self, batch_id: UUID, uploaded: UploadedFile) -> None:
        """Delete a file that no batch uses; one that stays behind costs nothing."""
        try:
            request_id = await self._provider.delete_file(uploaded.id)
        except ProviderError as error:
            _log.warning("the unused input file %s could not be deleted: %s", uploaded.id, error)
            return

        def record(batch: Batch, stamp: Stamp) -> None:
            batch.record_discarded_upload(
                uploaded.id,
                upload_request_id=uploaded.request_id,
                request_id=request_id,
                stamp=stamp,
            )

        await self._runtime.command(batch_id, record)

    async def _create(self, batch: Batch, submission: Submission) -> None:
        assert submission.input_file_id is not None
        with suppress(DomainError):  # another process sends this call, or the batch is over
            started = await self._runtime.command(
                batch.id, lambda batch, stamp: batch.start_create(stamp=stamp)
            )
            await self._send_create(started)

    async def _send_create(self, batch: Batch) -> None:
        assert batch.submission is not None
        assert batch.submission.input_file_id is not None
        own = batch.metadata if batch.send_metadata else {}
        request = BatchRequest(
            input_file_id=batch.submission.input_file_id,
            endpoint=batch.endpoint,
            completion_window=batch.completion_window,
            metadata={**own, BATCH_ID_KEY: str(batch.id)},
        )
        try:
            created = await self._provider.create_batch(request)
        except RefusedError as error:
            await self._refuse(batch.id, error)
        except OutcomeUnknownError:
            _log.warning("the answer to the create call of batch %s was lost", batch.id)
        except ProviderError as error:
            await self._record_not_created(batch, _batch_error(error), error.request_id)
            raise
        else:
            await self._record_submitted(batch.id, created, adopted=False)

    async def _record_not_created(
        self, batch: Batch, reason: BatchError, request_id: str | None
    ) -> None:
        assert batch.submission is not None
        attempt = batch.submission.create_attempt

        def record(batch: Batch, stamp: Stamp) -> None:
            batch.record_not_created(attempt, reason, request_id=request_id, stamp=stamp)

        await self._runtime.command(batch.id, record)

    async def _record_submitted(
        self, batch_id: UUID, created: ProviderBatch, *, adopted: bool
    ) -> None:
        def record(batch: Batch, stamp: Stamp) -> None:
            batch.record_submitted(
                created.id,
                created.report,
                adopted=adopted,
                request_id=created.request_id,
                stamp=stamp,
            )

        try:
            await self._runtime.command(batch_id, record)
        except BatchSubmittedError:
            await self._cancel_sibling(batch_id, created)

    async def _cancel_sibling(self, batch_id: UUID, sibling: ProviderBatch) -> None:
        """Cancel a second provider batch of the same submission: only one is paid for."""
        _log.warning("canceling %s, a second provider batch of %s", sibling.id, batch_id)
        request_id = sibling.request_id
        with suppress(RefusedError, NotFoundError):  # it is over already
            request_id = (await self._provider.cancel_batch(sibling.id)).request_id

        def record(batch: Batch, stamp: Stamp) -> None:
            batch.record_sibling_canceled(sibling.id, request_id=request_id, stamp=stamp)

        await self._runtime.command(batch_id, record)

    async def _reconcile(
        self, batch: Batch, submission: Submission, on_progress: OnProgress
    ) -> None:
        """Find out whether a create call without an answer made a batch; adopt what it made."""
        assert submission.create_started_at is not None
        until = submission.create_started_at + timedelta(seconds=self._reconcile_wait)
        searches = 0
        while True:
            searched_at = self._runtime.clock.now()
            found = await self._search(batch.id, submission)
            if found:
                await self._adopt(batch.id, found)
                return
            if searched_at >= until:
                reason = BatchError(
                    "not_found",
                    "The provider's list shows no batch of this submission after "
                    f"{self._reconcile_wait:g} seconds.",
                )
                await self._record_not_created(batch, reason, None)
                return
            on_progress(Searching(batch.id, until))
            await self._pause_search(searches, until)
            searches += 1
            if not _same_call(await self._runtime.load(batch.id), submission):
                return

    async def _pause_search(self, searches: int, until: datetime) -> None:
        left = (until - self._runtime.clock.now()).total_seconds()
        delay = _SEARCH_DELAYS[min(searches, len(_SEARCH_DELAYS) - 1)]
        await self._runtime.clock.sleep(max(0.0, min(delay, left)))

    async def _search(self, batch_id: UUID, submission: Submission) -> list[ProviderBatch]:
        """The provider's batches of this submission: the living ones first, then by age."""
        found: list[ProviderBatch] = []
        older = 0
        async with aclosing(self._provider.list_batches()) as newest_first:
            async for listed in newest_first:
                older = older + 1 if _is_older(listed, submission.input_file_created_at) else 0
                if older == _OLDER_BATCHES:
                    break
                ours = listed.metadata.get(BATCH_ID_KEY) == str(batch_id)
                same_input = listed.input_file_id == submission.input_file_id
                left = listed.id in submission.left_batch_ids or listed.report.input_not_found
                if (ours or same_input) and not left:
                    found.insert(0, listed)
        return sorted(found, key=lambda batch: batch.report.status in _DEAD)

    async def _adopt(self, batch_id: UUID, found: list[ProviderBatch]) -> None:
        first, *siblings = found
        await self._record_submitted(batch_id, first, adopted=True)
        for sibling in siblings:
            await self._cancel_sibling(batch_id, sibling)

    async def _refuse(self, batch_id: UUID, error: RefusedError) -> None:
        def record(batch: Batch, stamp: Stamp) -> None:
            if batch.is_submitting:
                batch.record_refusal(_batch_error(error), request_id=error.request_id, stamp=stamp)

        await self._runtime.command(batch_id, record)

    async def _abandon(self, batch: Batch) -> None:
        """End a submission that was canceled before its create call was sent."""
        assert batch.submission is not None
        try:
            await self._runtime.command(
                batch.id, lambda batch, stamp: batch.abandon_submission(stamp=stamp)
            )
        except DomainError:
            return
        file_id = batch.submission.input_file_id
        if file_id is not None:
            await self._discard(batch.id, UploadedFile(file_id, batch.input_size, None))


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


def _record_upload(uploaded: UploadedFile, batch: Batch, stamp: Stamp) -> None:
    batch.record_upload(
        uploaded.id,
        provider_created_at=uploaded.created_at,
        request_id=uploaded.request_id,
        stamp=stamp,
    )


def _same_call(batch: Batch, submission: Submission) -> bool:
    """Whether the create call in question is still the one without an answer."""
    return batch.is_submitting and batch.submission == submission


def _is_older(listed: ProviderBatch, moment: datetime | None) -> bool:
    return listed.created_at is not None and moment is not None and listed.created_at < moment


def _batch_error(error: ProviderError) -> BatchError:
    return BatchError(error.code, error.message, error.param)
