"""What the domain refuses, one error for each refused thing."""

from typing import Any
from uuid import UUID

from .status import BatchStatus


class BatchtrailError(Exception):
    """An error that a user can act on; its text is one clear sentence."""

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is copied and pickled: with its text, from which its class would make another."""
        return self.__new__, (type(self), *self.args), vars(self)


class InputError(BatchtrailError):
    """The input, a setting or an argument is wrong; nothing was sent and nothing is half done."""


class DomainError(BatchtrailError):
    """A command that the rules forbid; nothing was recorded."""


class RequestRefusedError(DomainError, InputError):
    """A request line that no provider would take: names the line, the field and the remedy."""

    def __init__(self, problem: str, *, line: int | None = None, field: str | None = None) -> None:
        self.problem = problem
        self.line = line
        self.field = field
        where = [f"line {line}"] if line is not None else []
        where += [f"field {field}"] if field is not None else []
        super().__init__(": ".join([*([", ".join(where)] if where else []), problem]))


class BodyRemovedError(BatchtrailError):
    """What an event carried is wanted and was removed; its digest and its facts are there."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the {what} is not in this database any more, only its digest: it was pruned or "
            "redacted, or the log was damaged, which `batchtrail verify` would tell"
        )


class UnfinishedError(DomainError):
    """The batch is still at work, or its results or its handler are not done with."""

    def __init__(self, batch_id: UUID, done: str) -> None:
        super().__init__(
            f"batch {batch_id} is not done yet and may need its bodies; it can be {done} when it "
            "is over, its results are collected and its handler has run"
        )


class BatchSubmittedError(DomainError):
    """The batch was submitted already: a submission happens once."""

    def __init__(self, batch_id: UUID, status: BatchStatus) -> None:
        super().__init__(
            f"batch {batch_id} is {status.value} and was handed over for submission already; "
            "wait for it, it is not submitted twice"
        )


class EmptyBatchError(DomainError):
    """A batch without requests cannot be submitted."""

    def __init__(self, batch_id: UUID) -> None:
        super().__init__(f"batch {batch_id} has no requests; add at least one before submitting")


class BatchFinishedError(DomainError):
    """The batch is over; what was asked for comes too late."""

    def __init__(self, batch_id: UUID, status: BatchStatus, wish: str) -> None:
        super().__init__(f"batch {batch_id} is {status.value} already; {wish} is too late")


class AlreadyCancelingError(DomainError):
    """The cancellation of this batch was asked for before."""

    def __init__(self, batch_id: UUID) -> None:
        super().__init__(f"batch {batch_id} is being canceled already; wait for its end")


class NotSubmittedError(DomainError):
    """The step needs an accepted submission, and the log has none."""

    def __init__(self, batch_id: UUID, step: str) -> None:
        super().__init__(f"batch {batch_id} has not been submitted; {step} is impossible")


class NotTerminalError(DomainError):
    """Results are settled only after the batch's end."""

    def __init__(self, batch_id: UUID, status: BatchStatus) -> None:
        super().__init__(f"batch {batch_id} is {status.value}; its results are not final")


class NotCollectedError(DomainError):
    """The step needs an outcome for every request."""

    def __init__(self, batch_id: UUID, status: BatchStatus) -> None:
        super().__init__(
            f"batch {batch_id} is {status.value} and its results are not collected yet; "
            f"`results {batch_id}` collects them when it is over"
        )


class NothingToCollectError(DomainError):
    """No request of the batch is without its result line, or the provider has no more of them.

    `is_complete` in the first case: nothing is wrong then.
    """

    def __init__(self, batch_id: UUID, why: str | None = None) -> None:
        self.is_complete = why is None
        because = why or "every request has its result line"
        super().__init__(f"there is nothing more to collect of batch {batch_id}: {because}")


class NothingToRetryError(DomainError):
    """No request of the batch fits what is to be asked once more."""

    def __init__(self, batch_id: UUID, why: str) -> None:
        super().__init__(f"there is nothing to retry of batch {batch_id}: {why}")


class CreatesLostError(DomainError):
    """Too many create calls were lost without a trace to risk another."""

    def __init__(self, batch_id: UUID, calls: int) -> None:
        super().__init__(
            f"{calls} create calls of batch {batch_id} were lost, and the provider's list shows "
            "nothing of them; look there, then cancel this batch and submit anew"
        )


class OutOfOrderError(DomainError):
    """Something is recorded that cannot follow what was recorded last."""
