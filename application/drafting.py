"""From requests to a recorded draft: checked as a whole first, then stored in chunks."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO
from uuid import UUID

from ..domain.batch import Batch
from ..domain.errors import BatchSubmittedError, RequestRefusedError
from ..domain.requests import RequestCheck
from ..domain.values import Limits, NewBatch, RequestChunk
from .errors import BatchNotFoundError, ConflictError, InputError
from .input import (
    CheckedInput,
    Requests,
    check_file,
    check_input,
    fill,
    is_stream,
    reread,
    spool,
)
from .request_lines import CHUNK_BYTES, checked_chunks
from .runtime import Runtime
from .saving import Steps
from .store import Batches

_BYTES_A_SAVE = 2 * CHUNK_BYTES
"""Each save writes some pages of its own; with more chunks it gains little, and holds them."""


@asynccontextmanager
async def checked_input(
    requests: Requests | Path, limits: Limits, runtime: Runtime
) -> AsyncIterator[CheckedInput]:
    """The requests, checked; what can be iterated only once is kept until the end of the block.

    Raises `InputError` for the first line that breaks a rule.
    """
    if isinstance(requests, Path) and not is_stream(requests):
        yield await runtime.in_store(check_file, requests, limits)
        return
    with spool() as file:
        await fill(file, requests, limits)
        name = str(requests) if isinstance(requests, Path) else "the requests"
        yield await runtime.in_store(check_input, name, partial(reread, file, limits), limits)


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
    nothing. Raises `InputError` when the input is not the one that was checked, and for a batch
    that was begun with another completion handler.
    """
    batch_id = Batch.id_for(new.identity, new.generation)
    try:
        batch = runtime.batches.get(batch_id)
    except BatchNotFoundError:
        batch = Batch.draft(new, stamp=runtime.stamp(), batch_id=batch_id)
    _refuse_another_handler(batch, new, checked.name)
    alone = batch.request_count == 0
    while batch.is_draft:
        try:
            _add_requests(runtime, batch, checked, limits)
            if not alone and input_digest(runtime.batches, batch_id) != checked.sha256:
                raise checked.changed()
            batch.start_submission(checked.sha256, stamp=runtime.stamp())
            runtime.batches.save_batch(batch)
        except (ConflictError, BatchSubmittedError):
            alone = False
            batch = runtime.batches.get(batch_id)
            _refuse_another_handler(batch, new, checked.name)
        except InputError:
            _drop(runtime, batch_id)
            raise
    return batch_id


def _refuse_another_handler(batch: Batch, new: NewBatch, name: str) -> None:
    """Raise `InputError` for a handler that would never be called."""
    if new.completion_handler in {None, batch.completion_handler}:
        return
    handler = batch.completion_handler
    begun = f"the completion handler {handler}" if handler else "no completion handler"
    raise InputError(
        f"{name} is batch {batch.id} already, which was begun with {begun}; leave "
        f"{new.completion_handler} out, or make a new batch of it with --new"
    )


def _drop(runtime: Runtime, batch_id: UUID) -> None:
    """Cancel a draft with requests that nobody meant; the next submission begins another."""
    batch = runtime.batches.get(batch_id)
    if batch.is_draft:
        batch.request_cancel(stamp=runtime.stamp())
        with suppress(ConflictError):
            runtime.batches.save_batch(batch)


def _add_requests(runtime: Runtime, batch: Batch, checked: CheckedInput, limits: Limits) -> None:
    held = 0
    try:
        for chunk in checked.chunks(after=batch.request_count):
            batch.add_requests(chunk, limits, stamp=runtime.stamp())
            held += len(chunk.lines)
            if held >= _BYTES_A_SAVE:
                runtime.batches.save_batch(batch)
                held = 0
        runtime.batches.save_batch(batch)
    except (RequestRefusedError, OSError) as error:
        raise checked.changed() from error


def add_requests(runtime: Runtime, batch_id: UUID, file: IO[bytes], limits: Limits) -> int:
    """Add the lines of a file to a draft, after all of them were checked; returns its requests.

    All in one save, so all or none. Raises `InputError` for a line that breaks a rule, and
    `ConflictError` when another process was first.
    """
    batch = runtime.batches.get(batch_id)

    def chunks() -> Iterator[RequestChunk]:
        check = RequestCheck(
            limits,
            endpoint=batch.endpoint,
            model=batch.model,
            known=runtime.batches.request_index(batch_id),
            size=batch.input_size,
        )
        return checked_chunks(reread(file, limits), check)

    try:
        for _ in chunks():
            pass
    except RequestRefusedError as error:
        raise InputError(f"the requests: {error}") from error

    def steps() -> Steps:
        for chunk in chunks():
            batch.add_requests(chunk, limits, stamp=stamp)
            yield None

    stamp = runtime.stamp()
    try:
        runtime.batches.save_batch(batch, steps())
    except RequestRefusedError as error:  # each was admitted a moment ago
        raise ConflictError(f"batch {batch_id} was changed by another process") from error
    return batch.request_count
