"""Where a batch stands: a pure function of its record and the time.

validating -> in_progress -> finalizing -> completed
validating -> failed                          the input file is bad
validating, in_progress -> expired            the window is over
any of the first three -> cancelling -> cancelled
"""

from enum import StrEnum

from attrs import evolve, frozen

from .records import BatchRecord


class Status(StrEnum):
    """OpenAI's words for the states of a batch."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


@frozen(kw_only=True)
class Stage:
    """The status of a batch and the moments that led to it, in Unix seconds."""

    status: Status
    done: int = 0
    """Requests that have been worked off, well or badly: the first ones of the input file."""
    in_progress_at: float | None = None
    finalizing_at: float | None = None
    completed_at: float | None = None
    failed_at: float | None = None
    expired_at: float | None = None
    cancelling_at: float | None = None
    cancelled_at: float | None = None

    @property
    def results_at(self) -> float | None:
        """When result files were made; None for a batch that has none (yet, or at all)."""
        if self.in_progress_at is None:
            return None
        if self.completed_at is not None:
            return self.finalizing_at
        return self.expired_at or self.cancelled_at


def verdict_at(batch: BatchRecord) -> float:
    """Return when validation ends."""
    return batch.created_at + batch.timetable.validating


def expires_at(batch: BatchRecord) -> float:
    """Return when the completion window ends."""
    return batch.created_at + batch.timetable.window


def needs_verdict(batch: BatchRecord, now: float) -> bool:
    """Tell whether the input file must be read before `stage` can be asked.

    OpenAI fills in the model while the batch is still validating; here half-way.
    """
    times = batch.timetable
    if batch.verdict is not None:
        return False
    if batch.cancelled_at is not None and batch.cancelled_at - batch.created_at < times.validating:
        return False
    return now - batch.created_at >= times.validating / 2


def stage(batch: BatchRecord, now: float) -> Stage:
    """Return where the batch stands at `now`."""
    if batch.cancelled_at is None:
        return _undisturbed(batch, now)
    until_cancel = _undisturbed(batch, batch.cancelled_at)
    ends = batch.cancelled_at + batch.timetable.cancelling
    if now < ends:
        return evolve(until_cancel, status=Status.CANCELLING, cancelling_at=batch.cancelled_at)
    return evolve(
        until_cancel,
        status=Status.CANCELLED,
        cancelling_at=batch.cancelled_at,
        cancelled_at=ends,
    )


def _undisturbed(batch: BatchRecord, now: float) -> Stage:
    """Return the stage of a batch that nobody cancels."""
    times, age = batch.timetable, now - batch.created_at
    if age < min(times.validating, times.window):
        return Stage(status=Status.VALIDATING)
    if times.window < times.validating:
        return Stage(status=Status.EXPIRED, expired_at=expires_at(batch))
    verdict = batch.verdict
    if verdict is None:
        raise RuntimeError(f"{batch.id} was not validated before it was asked for")
    if verdict.errors:
        return Stage(status=Status.FAILED, failed_at=verdict_at(batch))
    return _at_work(batch, verdict.total, age)


def _at_work(batch: BatchRecord, total: int, age: float) -> Stage:
    """Return the stage of a batch whose input file is good."""
    times = batch.timetable
    working = Stage(status=Status.IN_PROGRESS, in_progress_at=verdict_at(batch))
    worked = times.validating + times.in_progress
    if age < min(worked, times.window):
        return evolve(working, done=_done(batch, total, age))
    if times.window < worked:
        return evolve(
            working,
            status=Status.EXPIRED,
            done=_done(batch, total, times.window),
            expired_at=expires_at(batch),
        )
    finalizing = evolve(
        working,
        status=Status.FINALIZING,
        done=total,
        finalizing_at=batch.created_at + worked,
    )
    if age < worked + times.finalizing:
        return finalizing
    return evolve(
        finalizing,
        status=Status.COMPLETED,
        completed_at=batch.created_at + worked + times.finalizing,
    )


def _done(batch: BatchRecord, total: int, age: float) -> int:
    """Return how many requests a batch in progress has worked off at that age."""
    share = (age - batch.timetable.validating) / batch.timetable.in_progress
    return int(total * share + 1e-6)  # Rounding must not lose a request at a round share.
