"""The states of a batch and of one request, in our words."""

from enum import StrEnum


class BatchStatus(StrEnum):
    """Where a batch stands; a provider's own word is kept beside it."""

    PENDING = "pending"
    SUBMITTED = "submitted"
    IN_PROGRESS = "in_progress"
    ENDED = "ended"
    CANCELED = "canceled"
    EXPIRED = "expired"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether no later report may change this status."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {BatchStatus.ENDED, BatchStatus.CANCELED, BatchStatus.EXPIRED, BatchStatus.FAILED}
)


class Outcome(StrEnum):
    """What became of one request."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELED = "canceled"
    MISSING = "missing"


class ResultFile(StrEnum):
    """Which of a batch's two result files a line stood in."""

    OUTPUT = "output"
    ERROR = "error"


class WorkStep(StrEnum):
    """What is to be done for a batch."""

    SUBMISSION = "submission"
    CANCELLATION = "cancellation"
    POLL = "poll"
    COLLECTION = "collection"
    COMPLETION_HANDLER = "completion_handler"


class SkipReason(StrEnum):
    """Why a result line was recorded but applied to no request."""

    UNREADABLE = "unreadable"
    UNKNOWN_CUSTOM_ID = "unknown_custom_id"
    REPEATED_CUSTOM_ID = "repeated_custom_id"
