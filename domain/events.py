"""The events of a batch: what happened, under permanent topics; each only assigns.

A stored event is rebuilt without its constructor, so nothing here validates. The topics, the
field names and the meaning of both are in databases for ever: a new or changed field needs a
higher `class_version` and an upcast.
"""

# No `from __future__ import annotations` here: stored fields are typed by what stands below.
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Self
from uuid import UUID

from attrs import evolve
from eventsourcing.domain import Aggregate

from .bodies import Body, Lines
from .errors import BodyRemovedError
from .status import BatchStatus, Outcome, ResultFile, SkipReason, WorkStep
from .values import (
    BatchProblem,
    Deferral,
    Provenance,
    RequestCounts,
    RequestProblem,
    StatusReport,
    Submission,
    TokenUsage,
    Totals,
    Trouble,
)

if TYPE_CHECKING:
    from .batch import Batch


_REMEMBERED_SIBLINGS = 10
"""More than can be made; the state stays small whatever the log holds."""

_REMEMBERED_RETRIES = 20


def _without(ids: tuple[str, ...], one: str) -> tuple[str, ...]:
    """The ids but for one."""
    return tuple(each for each in ids if each != one)


def _end(batch: "Batch", status: BatchStatus, at: datetime) -> None:
    """Take a terminal status, once and for all."""
    batch.status = status
    batch.ended_at = at


def _take_report(batch: "Batch", report: StatusReport) -> None:
    """Keep a report, but not its every error: the state stays small."""
    batch.raw_status = report.raw_status
    batch.report = report.in_brief()
    batch.error_count = len(report.errors)


def _leave(batch: "Batch", provider_batch_id: str) -> None:
    """Go back to the state before the create that made a batch which never ran."""
    assert batch.submission is not None
    batch.submission = evolve(
        batch.submission,
        create_started_at=None,
        left_batch_ids=(*batch.submission.left_batch_ids, provider_batch_id),
    )
    batch.status = BatchStatus.PENDING
    batch.raw_status = None
    batch.report = None
    batch.error_count = 0
    batch.provider_batch_id = None
    batch.submitted_at = None


class BatchEvent(Aggregate.Event):
    """A fact about one batch: `timestamp` says when, `by` who recorded it."""

    TOPIC: ClassVar[str]
    BODY: ClassVar[str | None] = None
    """The field that holds the event's body, if it has one; it is stored beside the state."""

    IN_ORDER: ClassVar[Mapping[int, tuple[str, ...]]] = {}
    """By version, the fields whose values are stored in this order and without their names.

    The digest of the body stands behind them. Events of other versions are stored with names.
    """

    by: Provenance

    @classmethod
    def made(cls, fields: dict[str, Any]) -> Self:
        """An event of exactly these fields, which nothing checks.

        The constructor of a frozen class sets them one by one, in several times the time; so this
        is for events that come by the thousand.
        """
        event = object.__new__(cls)
        object.__setattr__(event, "__dict__", fields)
        return event

    @property
    def body(self) -> Body | None:
        """What the event carries; None for an event without a body."""
        return None if self.BODY is None else getattr(self, self.BODY)

    @property
    def text(self) -> bytes:
        """The content of the body. Raises `BodyRemovedError` when it is not at hand."""
        if self.body is None or self.body.content is None:
            raise self.without_body()
        return self.body.content

    def without_body(self) -> BodyRemovedError:
        """The error of somebody who needs the body of this event and cannot have it."""
        return BodyRemovedError(
            f"body of event {self.originator_version} of batch {self.originator_id}"
        )


def _refuse_field(state: dict[str, Any], name: str) -> None:
    if name in state:
        raise ValueError(f"its version has no field {name}")


class Drafted(BatchEvent, Aggregate.Created):
    """A batch was begun: for whom, where it goes and why."""

    TOPIC: ClassVar[str] = "batchtrail.batch.drafted"
    provider: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str]
    send_metadata: bool
    completion_handler: str | None
    description: str | None
    identity: str | None
    generation: int
    retry_of: UUID | None


class RequestsAdded(BatchEvent):
    """A chunk of request lines exactly as they will be sent, each ended by a newline.

    The digest of `lines` is made of those of the single lines, so that one request can be
    redacted and the others still be checked.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch.requests_added"
    BODY: ClassVar[str | None] = "lines"
    first_number: int
    count: int
    size: int
    model: str | None
    custom_ids: tuple[str, ...]
    lines: Lines

    def apply(self, aggregate: "Batch") -> None:
        """Count the requests; their text stays in the log."""
        aggregate.request_count += self.count
        aggregate.input_size += self.size
        aggregate.model = self.model


class SubmissionStarted(BatchEvent):
    """The intent to submit, written before any network call."""

    TOPIC: ClassVar[str] = "batchtrail.batch.submission_started"
    attempt: int
    file_name: str
    input_sha256: str

    def apply(self, aggregate: "Batch") -> None:
        """Remember the intent."""
        aggregate.submission = Submission(
            attempt=self.attempt, file_name=self.file_name, input_sha256=self.input_sha256
        )


class UploadStarted(BatchEvent):
    """The input file is about to be sent; without a later answer the provider may have it."""

    TOPIC: ClassVar[str] = "batchtrail.batch.upload_started"
    attempt: int

    def apply(self, aggregate: "Batch") -> None:
        """Remember since when there may be a file."""
        assert aggregate.submission is not None
        aggregate.submission = evolve(
            aggregate.submission,
            upload_attempt=self.attempt,
            upload_started_at=aggregate.submission.upload_started_at or self.timestamp,
        )


class InputUploaded(BatchEvent):
    """The provider holds the input file; `adopted` when it was found instead of answered.

    `provider_created_at` is by the provider's clock.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch.input_uploaded"
    file_id: str
    size: int
    adopted: bool
    provider_created_at: datetime | None
    request_id: str | None

    def apply(self, aggregate: "Batch") -> None:
        """Remember the file, so that no later attempt uploads it again."""
        assert aggregate.submission is not None
        aggregate.submission = evolve(
            aggregate.submission,
            input_file_id=self.file_id,
            input_file_created_at=self.provider_created_at,
        )


class InputDiscarded(BatchEvent):
    """An uploaded file that no batch uses was deleted at the provider."""

    TOPIC: ClassVar[str] = "batchtrail.batch.input_discarded"
    file_id: str
    upload_request_id: str | None
    request_id: str | None


class CreateStarted(BatchEvent):
    """A create call is about to be sent; without a later answer its outcome is unknown."""

    TOPIC: ClassVar[str] = "batchtrail.batch.create_started"
    attempt: int

    def apply(self, aggregate: "Batch") -> None:
        """Remember when the call may have reached the provider."""
        assert aggregate.submission is not None
        aggregate.submission = evolve(
            aggregate.submission, create_attempt=self.attempt, create_started_at=self.timestamp
        )


class CreateNotDone(BatchEvent):
    """The create call made no batch; `error` says why, in the provider's own words.

    Surely, when the provider said so; as far as its list shows, when it was `searched`.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch.create_not_done"
    attempt: int
    searched: bool
    error: BatchProblem
    request_id: str | None

    def apply(self, aggregate: "Batch") -> None:
        """Go back to the state before the call."""
        assert aggregate.submission is not None
        aggregate.submission = evolve(
            aggregate.submission,
            create_started_at=None,
            lost_creates=aggregate.submission.lost_creates + self.searched,
        )


class Submitted(BatchEvent):
    """The provider accepted the batch; `adopted` when it was found instead of answered."""

    TOPIC: ClassVar[str] = "batchtrail.batch.submitted"
    provider_batch_id: str
    raw_status: str
    adopted: bool
    request_id: str | None

    def apply(self, aggregate: "Batch") -> None:
        """Remember the provider's batch."""
        aggregate.status = BatchStatus.SUBMITTED
        aggregate.raw_status = self.raw_status
        aggregate.provider_batch_id = self.provider_batch_id
        aggregate.siblings = _without(aggregate.siblings, self.provider_batch_id)
        aggregate.submitted_at = self.timestamp


class SubmissionFailed(BatchEvent):
    """The provider refused the submission for good, in its own words."""

    TOPIC: ClassVar[str] = "batchtrail.batch.submission_failed"
    error: BatchProblem
    request_id: str | None

    def apply(self, aggregate: "Batch") -> None:
        """End the batch."""
        _end(aggregate, BatchStatus.FAILED, self.timestamp)
        aggregate.failure = self.error
        aggregate.error_count = 1


class StatusChanged(BatchEvent):
    """The provider's report differs from the one before, or answers a call of ours."""

    TOPIC: ClassVar[str] = "batchtrail.batch.status_changed"
    report: StatusReport
    request_id: str | None

    def apply(self, aggregate: "Batch") -> None:
        """Remember the latest report."""
        _take_report(aggregate, self.report)
        if self.report.status.is_terminal:
            _end(aggregate, self.report.status, self.timestamp)
        else:
            aggregate.status = self.report.status


class InputNotVisible(BatchEvent):
    """A provider batch failed because its input file could not be found yet: it cost nothing.

    The upload is good and the create is made again; `provider_batch_id` is never adopted.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch.input_not_visible"
    provider_batch_id: str
    report: StatusReport
    request_id: str | None

    def apply(self, aggregate: "Batch") -> None:
        """Go back to the state before the create."""
        _leave(aggregate, self.provider_batch_id)


class TokenLimitReached(BatchEvent):
    """A provider batch failed for want of enqueued tokens: it cost nothing.

    The create is made again, not before `retry_at`; `provider_batch_id` is never adopted.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch.token_limit_reached"
    provider_batch_id: str
    report: StatusReport
    retry_at: datetime
    request_id: str | None

    def apply(self, aggregate: "Batch") -> None:
        """Go back to the state before the create, and wait."""
        _leave(aggregate, self.provider_batch_id)
        assert aggregate.submission is not None
        deferral = Deferral(self.report.errors[0], self.retry_at, aggregate.deferrals + 1)
        aggregate.submission = evolve(aggregate.submission, deferral=deferral)


class ReportAmended(BatchEvent):
    """After the end the provider shows other files or counts, or a batch that is at work again."""

    TOPIC: ClassVar[str] = "batchtrail.batch.report_amended"
    report: StatusReport
    request_id: str | None

    def apply(self, aggregate: "Batch") -> None:
        """Remember the report; the status stays as it was."""
        _take_report(aggregate, self.report)


class CancelRequested(BatchEvent):
    """Somebody wants the batch canceled; written before the provider is told."""

    TOPIC: ClassVar[str] = "batchtrail.batch.cancel_requested"

    def apply(self, aggregate: "Batch") -> None:
        """Remember the wish."""
        aggregate.cancel_requested = True


class Canceled(BatchEvent):
    """The batch ended by cancellation; without a report the provider has no batch of it."""

    TOPIC: ClassVar[str] = "batchtrail.batch.canceled"
    report: StatusReport | None
    request_id: str | None

    def apply(self, aggregate: "Batch") -> None:
        """End the batch; finished rows stay collectable through the report's files."""
        _end(aggregate, BatchStatus.CANCELED, self.timestamp)
        if self.report is not None:
            _take_report(aggregate, self.report)


class GivenUp(BatchEvent):
    """Nobody waits for the batch any longer: it passed the maximum age, in seconds.

    The batch is failed; what the provider delivers even so is collected.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch.given_up"
    max_age: float
    error: BatchProblem

    def apply(self, aggregate: "Batch") -> None:
        """End the batch; the last report stays, with the files that it may name."""
        _end(aggregate, BatchStatus.FAILED, self.timestamp)
        aggregate.given_up = True
        aggregate.failure = self.error
        aggregate.error_count = 1


class SiblingFound(BatchEvent):
    """A second provider batch of this submission exists, and must be canceled."""

    TOPIC: ClassVar[str] = "batchtrail.batch.sibling_found"
    provider_batch_id: str
    request_id: str | None

    def apply(self, aggregate: "Batch") -> None:
        """Remember it until it is canceled."""
        aggregate.siblings = (*aggregate.siblings, self.provider_batch_id)


class SiblingCanceled(BatchEvent):
    """A second provider batch of this submission was told to cancel, or was over already."""

    TOPIC: ClassVar[str] = "batchtrail.batch.sibling_canceled"
    provider_batch_id: str
    request_id: str | None

    def apply(self, aggregate: "Batch") -> None:
        """Nothing is left to do about it."""
        done = (*aggregate.canceled_siblings, self.provider_batch_id)
        aggregate.canceled_siblings = done[-_REMEMBERED_SIBLINGS:]
        aggregate.siblings = _without(aggregate.siblings, self.provider_batch_id)


class PricesUsed(BatchEvent):
    """Which table, of which date, prices the results that follow, until the next such event."""

    TOPIC: ClassVar[str] = "batchtrail.batch.prices_used"
    source: str

    def apply(self, aggregate: "Batch") -> None:
        """Remember the table."""
        aggregate.price_source = self.source


class ResultApplied(BatchEvent):
    """One request's outcome, with the provider's line as received and where it stood.

    `number` is the request's position in the input; `offset` is the line's first byte in its
    file. `cost` is in USD, by the table that the last `PricesUsed` before it names; None when
    no price is known or nothing was used. Rebuilding a batch from its log reads one of these for
    every request since the last snapshot, so it stays small; the line is its body.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch.result_applied"
    BODY: ClassVar[str | None] = "line"
    class_version: ClassVar[int] = 3
    IN_ORDER: ClassVar[Mapping[int, tuple[str, ...]]] = {
        2: (
            "timestamp",
            "by",
            "custom_id",
            "number",
            "outcome",
            "status_code",
            "error",
            "usage",
            "cost",
            "file",
            "offset",
        ),
        # What the results of a chunk have in common stands first; a store may keep it once.
        3: (
            "timestamp",
            "by",
            "file",
            "outcome",
            "status_code",
            "error",
            "custom_id",
            "number",
            "usage",
            "cost",
            "offset",
        ),
    }
    custom_id: str
    number: int
    outcome: Outcome
    status_code: int | None
    error: RequestProblem | None
    usage: TokenUsage | None
    cost: Decimal | None
    file: ResultFile
    offset: int
    line: Body

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """The fields are the same, and from this version on stored without their names."""

    @staticmethod
    def upcast_v2_v3(state: dict[str, Any]) -> None:
        """The fields are the same, in another order, and their parts without names as well."""

    def apply(self, aggregate: "Batch") -> None:
        """Count the outcome and move the file position."""
        aggregate.tally.count(self.outcome, self.usage, cost=self.cost)
        aggregate.positions[self.file].move(self.offset + self.line.size + 1)


class ResultSkipped(BatchEvent):
    """A result line that fits no request: kept, reported, and applied to nothing.

    `cut_off` says that the file ended within this line when the collection ended.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch.result_skipped"
    class_version: ClassVar[int] = 2
    BODY: ClassVar[str | None] = "line"
    reason: SkipReason
    custom_id: str | None
    problem: str
    file: ResultFile
    offset: int
    line: Body
    cut_off: bool

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """Take the line for whole: version 1 did not say whether it was cut off.

        Raises `ValueError` for the state of a later version.
        """
        _refuse_field(state, "cut_off")
        state["cut_off"] = False

    def apply(self, aggregate: "Batch") -> None:
        """Count the line and move the file position."""
        aggregate.tally.skipped_lines += 1
        aggregate.positions[self.file].move(self.offset + self.line.size + 1)


class ResultsCollected(BatchEvent):
    """Every request has an outcome: the lines gave most, the batch's end gave the rest.

    `miscounted` holds the provider's own counts where its lines say something else; the lines
    are what counts.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch.results_collected"
    rest: int
    rest_outcome: Outcome
    rest_error: RequestProblem
    totals: Totals
    miscounted: RequestCounts | None

    def apply(self, aggregate: "Batch") -> None:
        """Settle what no line mentioned."""
        aggregate.tally.count(self.rest_outcome, None, self.rest)
        aggregate.rest = self.rest
        aggregate.rest_outcome = self.rest_outcome
        aggregate.rest_error = self.rest_error
        aggregate.miscounted = self.miscounted is not None
        aggregate.results_collected = True


class CollectionReopened(BatchEvent):
    """Somebody asks once more for the results of the requests that had no line."""

    TOPIC: ClassVar[str] = "batchtrail.batch.collection_reopened"
    class_version: ClassVar[int] = 2
    report: StatusReport
    request_id: str | None
    cut_ends: dict[str, int]
    """By file, the byte from which it is read again: its last line was not whole."""

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """Read no line again: in version 1, files were read on behind one that was cut off.

        Raises `ValueError` for the state of a later version.
        """
        _refuse_field(state, "cut_ends")
        state["cut_ends"] = {}

    def apply(self, aggregate: "Batch") -> None:
        """Take back what the end of the batch had settled."""
        assert aggregate.rest_outcome is not None
        aggregate.tally.count(aggregate.rest_outcome, None, -aggregate.rest)
        aggregate.rest = 0
        aggregate.rest_outcome = None
        aggregate.rest_error = None
        aggregate.miscounted = False
        aggregate.results_collected = False
        for file, offset in self.cut_ends.items():
            aggregate.positions[ResultFile(file)].offset = offset
        _take_report(aggregate, self.report)


class HandlerDispatched(BatchEvent):
    """The completion handler has run to its end, and is never called again."""

    TOPIC: ClassVar[str] = "batchtrail.batch.handler_dispatched"
    handler: str

    def apply(self, aggregate: "Batch") -> None:
        """Remember it."""
        aggregate.handler_dispatched = True


class WorkFailed(BatchEvent):
    """A step on the batch failed for a reason of its own, and is taken again later.

    At `retry_at`, or without one when a worker starts; `failures` counts them in a row, this one
    included.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch.work_failed"
    step: WorkStep
    problem: str
    failures: int
    retry_at: datetime | None

    def apply(self, aggregate: "Batch") -> None:
        """Remember what keeps the batch."""
        before = aggregate.trouble
        since = self.timestamp if before is None else before.since
        aggregate.trouble = Trouble(self.step, self.problem, self.failures, since, self.retry_at)


class WorkResumed(BatchEvent):
    """The step that had failed succeeded."""

    TOPIC: ClassVar[str] = "batchtrail.batch.work_resumed"

    def apply(self, aggregate: "Batch") -> None:
        """Forget the trouble."""
        aggregate.trouble = None


class Retried(BatchEvent):
    """Some requests of the batch, so many, are asked once more in another batch."""

    TOPIC: ClassVar[str] = "batchtrail.batch.retried"
    retry_id: UUID
    count: int

    def apply(self, aggregate: "Batch") -> None:
        """Remember the newest retries."""
        aggregate.retries = (*aggregate.retries, self.retry_id)[-_REMEMBERED_RETRIES:]


class BodiesPruned(BatchEvent):
    """The bodies of all events up to `through` were removed; their digests and facts stay.

    `export_sha256` is that of the export file (64 hex digits) in which they were kept; None when
    somebody did without one.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch.bodies_pruned"
    through: int
    export_sha256: str | None

    def apply(self, aggregate: "Batch") -> None:
        """Remember up to where nothing is left to prune: this event, if none came in between."""
        is_next = self.originator_version == self.through + 1
        aggregate.pruned_version = self.originator_version if is_next else self.through


class RequestRedacted(BatchEvent):
    """What one request asked and got was removed from the bodies of the events `versions`.

    The request keeps its custom_id, its outcome, its cost and its error.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch.request_redacted"
    custom_id: str
    versions: tuple[int, ...]
    reason: str | None

    def apply(self, aggregate: "Batch") -> None:
        """Count it: a result that is missing may be one of these."""
        aggregate.redactions += 1


EVENTS: tuple[type[BatchEvent], ...] = (
    Drafted,
    RequestsAdded,
    SubmissionStarted,
    UploadStarted,
    InputUploaded,
    InputDiscarded,
    CreateStarted,
    CreateNotDone,
    Submitted,
    SubmissionFailed,
    StatusChanged,
    InputNotVisible,
    TokenLimitReached,
    ReportAmended,
    CancelRequested,
    Canceled,
    GivenUp,
    SiblingFound,
    SiblingCanceled,
    PricesUsed,
    ResultApplied,
    ResultSkipped,
    ResultsCollected,
    CollectionReopened,
    HandlerDispatched,
    WorkFailed,
    WorkResumed,
    Retried,
    BodiesPruned,
    RequestRedacted,
)

REPORTING = (StatusChanged, ReportAmended, Canceled, CollectionReopened)
"""They carry a report of the provider with its every error, of which the state keeps a few."""
