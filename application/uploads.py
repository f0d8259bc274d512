"""The uploads of a submission: one is used, and what else was left behind is deleted.

An upload whose answer was lost, by a crash or on the way, may be at the provider all the same. It
carries a file name that no other submission has, by which the list of files shows it.
"""

import logging
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime, timedelta
from uuid import UUID

from ..domain.batch import Batch
from ..domain.errors import DomainError
from ..domain.values import Stamp, Submission
from .errors import NotFoundError, ProviderError, RefusedError
from .ports import BatchProvider, StoredFile, UploadedFile
from .runtime import Runtime

_OLDER_FILES = 1_000
"""A search ends after so many files in a row from before the first upload."""

_MARGIN = timedelta(hours=1)
"""The provider's clock may differ from ours by so much."""

_log = logging.getLogger(__name__)


class Uploads:
    """Finds, records and deletes the input files of submissions."""

    def __init__(self, runtime: Runtime, provider: BatchProvider) -> None:
        self._runtime = runtime
        self._provider = provider

    async def adopt(self, batch: Batch, submission: Submission) -> bool:
        """Use what an earlier upload has left at the provider; whether there was any.

        Raises `ProviderError` while the list cannot be read; a repeat is safe.
        """
        found = await self._search(submission)
        whole = [file for file in found if file.size == batch.input_size]
        if whole:
            file = UploadedFile(
                whole[0].id, batch.input_size, whole[0].created_at, whole[0].request_id
            )
            await self._record(batch.id, file, adopted=True)
            # Not before a file is recorded: it may be the one that another process is about to.
            await self._discard_unused(batch.id, found)
        return bool(whole)

    async def record(self, batch_id: UUID, uploaded: UploadedFile) -> None:
        """Record an upload that was answered, and delete what earlier ones have left behind."""
        batch = await self._record(batch_id, uploaded, adopted=False)
        found = [StoredFile(uploaded.id, None, None, None, uploaded.request_id)]
        if batch.submission is not None and batch.submission.upload_attempt > 1:
            found += await self._search_in_passing(batch.submission)
        await self._discard_unused(batch_id, found)

    async def discard_all(self, batch: Batch) -> None:
        """Delete every input file of a batch that is over without having used any."""
        submission = batch.submission
        if submission is None:
            return
        used = submission.input_file_id
        found = [] if used is None else [StoredFile(used, None, None, None)]
        if submission.upload_attempt > (used is not None):
            listed = await self._search_in_passing(submission)
            found += [file for file in listed if file.id != used]
        for file in found:
            await self._discard(batch.id, file)

    async def _record(self, batch_id: UUID, file: UploadedFile, *, adopted: bool) -> Batch:
        """Record the input file, unless another process had one first or the batch is over."""

        def record(batch: Batch, stamp: Stamp) -> None:
            batch.record_upload(
                file.id,
                provider_created_at=file.created_at,
                request_id=file.request_id,
                stamp=stamp,
                adopted=adopted,
            )

        try:
            return await self._runtime.command(batch_id, record)
        except DomainError:
            return await self._runtime.load(batch_id)

    async def _search(self, submission: Submission) -> list[StoredFile]:
        """The files of this submission in the provider's list, newest first."""
        assert submission.upload_started_at is not None
        is_older = _before(submission.upload_started_at - _MARGIN)
        found: list[StoredFile] = []
        older = 0
        try:
            async with aclosing(self._provider.list_files()) as newest_first:
                async for file in newest_first:
                    older = older + 1 if is_older(file) else 0
                    if older == _OLDER_FILES:
                        break
                    if file.filename == submission.file_name:
                        found.append(file)
        except (NotFoundError, RefusedError) as error:
            _log.info("the provider does not list its files: %s", error)
        return found

    async def _search_in_passing(self, submission: Submission) -> list[StoredFile]:
        """As `_search`, or nothing where that fails: files that stay behind cost nothing."""
        try:
            return await self._search(submission)
        except ProviderError as error:
            _log.warning("unused input files could not be looked for: %s", error)
            return []

    async def _discard_unused(self, batch_id: UUID, found: list[StoredFile]) -> None:
        """Delete these files but for the one that the log has."""
        submission = (await self._runtime.load(batch_id)).submission
        assert submission is not None
        for file in found:
            if file.id != submission.input_file_id:
                await self._discard(batch_id, file)

    async def _discard(self, batch_id: UUID, file: StoredFile) -> None:
        """Delete a file that no batch uses; one that stays behind costs nothing."""
        try:
            request_id = await self._provider.delete_file(file.id)
        except NotFoundError:
            return  # another process was first
        except ProviderError as error:
            _log.warning("the unused input file %s could not be deleted: %s", file.id, error)
            return

        def record(batch: Batch, stamp: Stamp) -> None:
            batch.record_discarded_upload(
                file.id, upload_request_id=file.request_id, request_id=request_id, stamp=stamp
            )

        await self._runtime.command(batch_id, record)


def _before(moment: datetime) -> Callable[[StoredFile], bool]:
    return lambda file: file.created_at is not None and file.created_at < moment
