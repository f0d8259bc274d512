"""One batch of the fake: where it stands, and where it can go from there.

validating -> in_progress -> finalizing -> completed
validating -> failed                          the input file is bad
in_progress, finalizing -> expired            the window is over
any of the first three -> cancelling -> cancelled
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from attrs import Factory, define

from ...application.ports import CreateRequest, ProviderBatch
from ...domain.status import BatchStatus
from ...domain.values import BatchProblem, RequestCounts, StatusReport, TokenUsage
from .input_file import Verdict
from .results import DoneRequest


class RawStatus(StrEnum):
    """OpenAI's words for the status of a batch."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether no other status follows."""
        return self in _ENDS


_ENDS: dict[str, BatchStatus] = {
    RawStatus.COMPLETED: BatchStatus.ENDED,
    RawStatus.FAILED: BatchStatus.FAILED,
    RawStatus.EXPIRED: BatchStatus.EXPIRED,
    RawStatus.CANCELLED: BatchStatus.CANCELED,
}
_NEXT = {
    RawStatus.VALIDATING: RawStatus.IN_PROGRESS,
    RawStatus.IN_PROGRESS: RawStatus.FINALIZING,
    RawStatus.FINALIZING: RawStatus.COMPLETED,
    RawStatus.CANCELLING: RawStatus.CANCELLED,
}


@define
class FakeBatch:
    """A batch as the fake keeps it; `shown_...` replace what it truly would report."""

    number: int
    id: str
    request: CreateRequest
    created_at: datetime
    verdict: Verdict
    status: RawStatus = RawStatus.VALIDATING
    total: int = 0
    done: list[DoneRequest] = Factory(list)
    errors: tuple[BatchProblem, ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None
    shown_status: str | None = None
    shown_counts: RequestCounts | None = None

    def next_status(self) -> RawStatus:
        """Return the status that follows if nobody interferes; ValueError after the end."""
        self.require("go further", _NEXT)
        return self._after(self.status)

    def steps_to(self, status: RawStatus) -> int:
        """Count the steps to a status; ValueError when it does not lie ahead."""
        steps, reached = 0, self.status
        while reached is not status:
            if reached.is_over:
                raise ValueError(f"batch {self.id} is {self.status} and cannot become {status}")
            reached = self._after(reached)
            steps += 1
        return steps

    def _after(self, status: RawStatus) -> RawStatus:
        if status is RawStatus.VALIDATING and self.verdict.errors:
            return RawStatus.FAILED
        return _NEXT[status]

    def require(self, wish: str, allowed: Iterable[RawStatus]) -> None:
        """Raise ValueError when the script asks for something that its status rules out."""
        if self.status not in allowed:
            raise ValueError(f"batch {self.id} is {self.status} and cannot {wish}")

    def show(self, request_id: str | None) -> ProviderBatch:
        """Return the batch as an answer shows it."""
        return ProviderBatch(
            id=self.id,
            report=self._report(),
            input_file_id=self.request.input_file_id,
            metadata=dict(self.request.metadata),
            created_at=self.created_at,
            request_id=request_id,
        )

    def _report(self) -> StatusReport:
        word = self.shown_status or self.status.value
        return StatusReport(
            status=_ENDS.get(word, BatchStatus.IN_PROGRESS),
            raw_status=word,
            request_counts=self.shown_counts or self._counts(),
            output_file_id=self.output_file_id,
            error_file_id=self.error_file_id,
            errors=self.errors,
            usage=self._usage(),
            model=self.verdict.model if self.total else None,
            is_canceling=word == RawStatus.CANCELLING,
        )

    def _counts(self) -> RequestCounts:
        completed = sum(each.succeeded for each in self.done)
        return RequestCounts(self.total, completed, len(self.done) - completed)

    def _usage(self) -> TokenUsage | None:
        """Return the sum of the lines at the end; until then, and without any, there is none."""
        done = self.done if self.status.is_over else []
        usage = sum((each.usage for each in done), TokenUsage())
        return usage if usage != TokenUsage() else None
