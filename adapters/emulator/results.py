"""The end of a batch: its result files are written and described."""

from typing import Final

from attrs import frozen

from .deforming import deform
from .faults import FaultKind
from .generation import Job, Tally, generate
from .lifecycle import Stage, Status
from .manners import canonical
from .records import BatchRecord, FileRecord, Results
from .settings import EmulatorSettings
from .store import Store

FILE_LIFE: Final = 30 * 86_400
"""Seconds until batch files expire, unless the client asks for another time."""


@frozen
class Made:
    """Result files that lie at their partial places, and what is to be recorded about them."""

    results: Results
    files: list[FileRecord]


def make_results(
    store: Store, settings: EmulatorSettings, record: BatchRecord, now_at: Stage
) -> Made:
    """Write the result files of a batch that has ended; for a worker thread.

    A file that would be empty is left out.
    """
    manners = settings.manners
    output, error = manners.new_file_id(), manners.new_file_id()
    has_failed = now_at.status is Status.FAILED
    if has_failed:
        tally = _nothing(store, output, error)
    else:
        job = _job(settings, record, now_at)
        tally = generate(
            store.content(record.input_file_id), job, store.partial(output), store.partial(error)
        )
        deform(store.partial(output if tally.succeeded else error), record.shaping)
    asked = any(fault.kind is FaultKind.EMPTY_ERROR_FILE for fault in record.shaping)
    keep_empty = manners.keeps_empty_error_file or asked
    ended_at = _ended_at(now_at)
    output_file = _described(store, record, output, "output", ended_at, keep_empty=has_failed)
    error_file = _described(store, record, error, "error", ended_at, keep_empty=keep_empty)
    results = Results(
        completed=tally.succeeded,
        failed=tally.failed,
        usage=tally.usage(),
        output_file_id=output_file.id if output_file else None,
        error_file_id=error_file.id if error_file else None,
    )
    return Made(results, [file for file in (output_file, error_file) if file is not None])


def _job(settings: EmulatorSettings, record: BatchRecord, now_at: Stage) -> Job:
    cancelled = now_at.status is Status.CANCELLED
    return Job(
        endpoint=canonical(record.endpoint),
        done=now_at.done,
        undone_code="batch_cancelled" if cancelled else "batch_expired",
        made_at=now_at.finalizing_at or _ended_at(now_at),
        fail_every=record.fail_every,
        answer_bytes=settings.answer_bytes,
        seed=settings.seed,
        salt=record.id,
        deployments=settings.deployments,
        result_line=settings.manners.result_line,
        undone_line=settings.manners.undone_line,
    )


def _ended_at(now_at: Stage) -> float:
    ends = (now_at.completed_at, now_at.failed_at, now_at.expired_at, now_at.cancelled_at)
    return next((end for end in ends if end is not None), 0.0)


def _nothing(store: Store, *file_ids: str) -> Tally:
    """Write the files of a batch whose input was never worked on."""
    for file_id in file_ids:
        store.partial(file_id).touch()
    return Tally()


def _described(
    store: Store,
    record: BatchRecord,
    file_id: str,
    kind: str,
    made_at: float,
    *,
    keep_empty: bool,
) -> FileRecord | None:
    """Return the record of a file that has been written; an empty one is removed."""
    size = store.partial(file_id).stat().st_size
    if not size and not keep_empty:
        store.partial(file_id).unlink()
        return None
    return FileRecord(
        id=file_id,
        filename=f"{record.id}_{kind}.jsonl",
        purpose="batch_output",
        bytes=size,
        created_at=made_at,
        expires_at=made_at + (record.output_expires_after or FILE_LIFE),
    )
