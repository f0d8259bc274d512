"""Recording a checked input as a draft; all of it runs on the store's thread."""

import hashlib
from contextlib import suppress
from uuid import UUID

import msgspec

from ..domain.batch import Batch
from ..domain.errors import BatchSubmittedError, RequestRefusedError
from ..domain.values import Limits, NewBatch
from .errors import BatchNotFoundError, ConflictError, InputError
from .input import CheckedInput
from .runtime import Runtime
from .store import Batches


def identity_of(provider: str, checked: CheckedInput) -> str:
    """What a batch is made from: the same input for the same provider is the same batch."""
    return f"{provider}\n{checked.endpoint}\n{checked.sha256}"


def input_digest(batches: Batches, batch_id: UUID) -> str:
    """SHA-256, in hex, of a batch's input as the log has it."""
    digest = hashlib.sha256()
    for lines in batches.input_lines(batch_id):
        digest.update(lines)
    return digest.hexdigest()


def record_input(runtime: Runtime, new: NewBatch, checked: CheckedInput, limits: Limits) -> UUID:
    """Draft a batch, add every request and record the intent to submit it.

    Goes on where another process, or this one before a crash, stopped; a repeat changes
    nothing. Raises `InputError` when the input is not the one that was checked.
    """
    batch_id = Batch.id_for(new.identity, new.generation)
    try:
        batch = runtime.batches.get(batch_id)
    except BatchNotFoundError:
        batch = Batch.draft(new, stamp=runtime.stamp(), batch_id=batch_id)
    alone = batch.request_count == 0
    while batch.submission is None and not batch.status.is_terminal:
        try:
            _add_requests(runtime, batch, checked, limits)
            if not alone and input_digest(runtime.batches, batch_id) != checked.sha256:
                raise _changed(checked)
            batch.start_submission(checked.sha256, stamp=runtime.stamp())
            runtime.batches.save_batch(batch)
        except (ConflictError, BatchSubmittedError):
            alone = False
            batch = runtime.batches.get(batch_id)
        except InputError:
            _drop(runtime, batch_id)
            raise
    return batch_id


def _drop(runtime: Runtime, batch_id: UUID) -> None:
    """Cancel a draft with requests that nobody meant; the next submission begins another."""
    batch = runtime.batches.get(batch_id)
    if batch.submission is None and not batch.status.is_terminal:
        batch.request_cancel(stamp=runtime.stamp())
        with suppress(ConflictError):
            runtime.batches.save_batch(batch)


def _changed(checked: CheckedInput) -> InputError:
    return InputError(f"{checked.name} changed while it was being read; run again")


def _add_requests(runtime: Runtime, batch: Batch, checked: CheckedInput, limits: Limits) -> None:
    try:
        for chunk in checked.chunks(after=batch.request_count):
            batch.add_requests(chunk, limits, stamp=runtime.stamp())
            runtime.batches.save_batch(batch)
    except (RequestRefusedError, OSError, msgspec.MsgspecError) as error:
        raise _changed(checked) from error
