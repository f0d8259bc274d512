"""The aggregate: every command on a batch decides here and leaves events behind."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4, uuid5

from attrs import evolve, validate
from eventsourcing.domain import Aggregate
from eventsourcing.utils import register_topic

from . import events
from .alike import AlikeResults, AppliedResults
from .bodies import Body, Lines
from .counters import FilePosition, Tally
from .errors import (
    AlreadyCancelingError,
    BatchFinishedError,
    BatchSubmittedError,
    CreatesLostError,
    EmptyBatchError,
    NotCollectedError,
    NothingToCollectError,
    NotSubmittedError,
    NotTerminalError,
    OutOfOrderError,
    RequestRefusedError,
    UnfinishedError,
)
from .outcomes import is_success, judge, rest_of
from .requests import RequestIndex
from .status import BatchStatus, Outcome, ResultFile, SkipReason, WorkStep
from .values import (
    BatchProblem,
    Deferral,
    Limits,
    NewBatch,
    RequestChunk,
    RequestCounts,
    RequestProblem,
    ResultLine,
    Stamp,
    StatusReport,
    Submission,
    Totals,
    Trouble,
)

MAX_LEFT_BATCHES = 5
"""So many provider batches may fail because their input file was not visible yet."""

MAX_DEFERRALS = 50
"""So often is a batch without room in the queue created again: with the usual delays for a day."""

TOKEN_LIMIT_DELAYS = (60.0, 120.0, 300.0, 600.0, 1_800.0)
"""Seconds until a batch without room in the queue is created again; the last repeats."""

MAX_LOST_CREATES = 3
"""So many create calls may vanish without a trace before somebody must look."""

_NAMESPACE = UUID("6f0d2b52-7a0f-4c0e-9a2b-0d5f8f6f2c11")


def _initially(value: Any) -> Any:
    """A field that every new batch has in its own state; a plain default would stay outside."""
    return field(default_factory=lambda: value, init=False)


class Batch(Aggregate):
    """One batch, from its draft to the last outcome.

    Its state stays small: counters and file positions, whatever the number of requests.
    """

    TOPIC: ClassVar[str] = "batchtrail.batch"
    Event = events.BatchEvent
    Created = events.Drafted

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
    model: str | None = _initially(None)
    status: BatchStatus = _initially(BatchStatus.PENDING)
    raw_status: str | None = _initially(None)
    request_count: int = _initially(0)
    input_size: int = _initially(0)
    submission: Submission | None = _initially(None)
    provider_batch_id: str | None = _initially(None)
    siblings: tuple[str, ...] = _initially(())
    canceled_siblings: tuple[str, ...] = _initially(())
    submitted_at: datetime | None = _initially(None)
    ended_at: datetime | None = _initially(None)
    given_up: bool = _initially(False)
    failure: BatchProblem | None = _initially(None)
    report: StatusReport | None = _initially(None)
    error_count: int = _initially(0)
    cancel_requested: bool = _initially(False)
    positions: dict[ResultFile, FilePosition] = field(
        default_factory=lambda: {file: FilePosition() for file in ResultFile}, init=False
    )
    price_source: str | None = _initially(None)
    tally: Tally = field(default_factory=Tally, init=False)
    rest: int = _initially(0)
    rest_outcome: Outcome | None = _initially(None)
    rest_error: RequestProblem | None = _initially(None)
    miscounted: bool = _initially(False)
    results_collected: bool = _initially(False)
    handler_dispatched: bool = _initially(False)
    trouble: Trouble | None = _initially(None)
    retries: tuple[UUID, ...] = _initially(())
    pruned_version: int = _initially(0)
    redactions: int = _initially(0)

    @staticmethod
    def id_for(identity: str | None, generation: int = 1) -> UUID:
        """The id of the batch with this identity, so that the same command finds it again.

        Without an identity each call gives a new id.
        """
        return uuid4() if identity is None else uuid5(_NAMESPACE, f"{identity}\n{generation}")

    @classmethod
    def draft(cls, new: NewBatch, *, stamp: Stamp, batch_id: UUID | None = None) -> "Batch":
        """Begin a batch. Raises `InputError` for what cannot be stored."""
        validate(new)  # once more: a dict can be changed when it is in the value already
        return cls._create(
            events.Drafted,
            id=batch_id or cls.id_for(new.identity, new.generation),
            timestamp=stamp.at,
            by=stamp.by,
            provider=new.provider,
            endpoint=new.endpoint,
            completion_window=new.completion_window,
            metadata=dict(new.metadata),
            send_metadata=new.send_metadata,
            completion_handler=new.completion_handler,
            description=new.description,
            identity=new.identity,
            generation=new.generation,
            retry_of=new.retry_of,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "Batch":
        """The same state for itself; no event changes a value of it, but for these counters."""
        twin = object.__new__(Batch)
        vars(twin).update(vars(self))
        twin.positions = {file: copy(position) for file, position in self.positions.items()}
        twin.tally = copy(self.tally)
        twin._pending_events = list(self._pending_events)
        return twin

    @property
    def totals(self) -> Totals:
        """What has been counted so far."""
        return self.tally.totals()

    @property
    def errors(self) -> tuple[BatchProblem, ...]:
        """Why the batch failed as a whole: why we gave it up, or in the provider's own words.

        Only the first few of `error_count`, which is that of its last report; the log has all.
        """
        if self.failure is not None:
            return (self.failure,)
        return self.report.errors if self.report is not None else ()

    @property
    def is_draft(self) -> bool:
        """Whether requests may still be added, and nobody has decided to submit it."""
        return self.status is BatchStatus.PENDING and self.submission is None

    @property
    def is_submitting(self) -> bool:
        """Whether a submission was begun that has no end in the log yet."""
        return self.status is BatchStatus.PENDING and self.submission is not None

    @property
    def is_unpaid(self) -> bool:
        """Whether there is surely no provider batch of it yet: so far it costs nothing."""
        if self.submission is None:
            return self.is_draft
        may_exist = self.submission.create_started_at is not None or self.submission.lost_creates
        return self.is_submitting and not may_exist

    @property
    def invisible_inputs(self) -> int:
        """How many provider batches failed for want of their input file."""
        left = self.submission.left_batch_ids if self.submission is not None else ()
        return len(left) - self.deferrals

    @property
    def deferrals(self) -> int:
        """How often the provider had no room for the batch in its queue."""
        deferral = self.submission.deferral if self.submission is not None else None
        return 0 if deferral is None else deferral.times

    @property
    def deferral(self) -> Deferral | None:
        """Why the next create call waits; None when nothing keeps it."""
        if not self.is_submitting or self.cancel_requested or self.submission is None:
            return None
        return None if self.submission.create_started_at else self.submission.deferral

    @property
    def awaits_handler(self) -> bool:
        """Whether the completion handler is to be called now."""
        return (
            self.results_collected
            and self.completion_handler is not None
            and not self.handler_dispatched
        )

    @property
    def end_taken_back(self) -> bool:
        """Whether the provider shows it as at work after the end that it had reported."""
        is_shown_at_work = self.report is not None and not self.report.status.is_terminal
        return self.status.is_terminal and not self.given_up and is_shown_at_work

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is at work at the provider, as far as its last report says."""
        return self.status.is_terminal and not self.end_taken_back

    @property
    def is_canceling(self) -> bool:
        """Whether the provider is at a cancellation, as far as its last report says."""
        return self.report is not None and self.report.is_canceling

    @property
    def next_step(self) -> WorkStep | None:
        """What is to be done now; nothing for a draft, and when all is done."""
        if self.is_submitting or self.siblings:
            return WorkStep.SUBMISSION
        if self.is_draft:
            return None
        if not self.status.is_terminal:
            to_tell = self.cancel_requested and not self.is_canceling
            return WorkStep.CANCELLATION if to_tell else WorkStep.POLL
        if not self.results_collected:
            return WorkStep.COLLECTION
        return WorkStep.COMPLETION_HANDLER if self.awaits_handler else None

    @property
    def is_at_rest(self) -> bool:
        """Whether the batch is over and everything was done that follows from that."""
        return self.status.is_terminal and self.next_step is None

    def add_requests(self, chunk: RequestChunk, limits: Limits, *, stamp: Stamp) -> None:
        """Add checked lines that follow the last one added."""
        if not self.is_draft:
            raise BatchSubmittedError(self.id, self.status)
        if chunk.first_number != self.request_count + 1:
            raise OutOfOrderError(
                f"requests of batch {self.id} go on with number {self.request_count + 1}, "
                f"not {chunk.first_number}"
            )
        self._check_chunk(chunk, limits)
        self._trigger(
            events.RequestsAdded,
            stamp,
            first_number=chunk.first_number,
            count=chunk.count,
            size=len(chunk.lines),
            model=chunk.model,
            custom_ids=chunk.custom_ids,
            lines=Lines.of(chunk.lines),
        )

    def _check_chunk(self, chunk: RequestChunk, limits: Limits) -> None:
        line = chunk.first_number
        if chunk.count == 0:
            raise EmptyBatchError(self.id)
        if chunk.endpoint != self.endpoint:
            raise RequestRefusedError(f"must be {self.endpoint!r}", line=line, field="url")
        if self.request_count and chunk.model != self.model:
            raise RequestRefusedError(f"must be {self.model!r}", line=line, field="body.model")
        if self.request_count + chunk.count > limits.max_requests:
            raise RequestRefusedError(
                f"one batch takes at most {limits.max_requests:,} requests", line=line
            )
        if self.input_size + len(chunk.lines) > limits.max_bytes:
            raise RequestRefusedError(
                f"one batch takes at most {limits.max_bytes:,} bytes", line=line
            )

    def start_submission(self, input_sha256: str, *, stamp: Stamp) -> None:
        """Record the intent to submit; nothing may be sent before this is stored.

        `input_sha256` is the hex digest of the exact input bytes. Refused for a batch that was
        submitted before; one that broke off goes on from what the log says.
        """
        if not self.is_draft:
            raise BatchSubmittedError(self.id, self.status)
        if self.request_count == 0:
            raise EmptyBatchError(self.id)
        self._trigger(
            events.SubmissionStarted,
            stamp,
            attempt=1,
            # Another database with the same input has the same id, but never the same file.
            file_name=f"batchtrail-{self.id}-{uuid4().hex[:8]}.jsonl",
            input_sha256=input_sha256,
        )

    def start_upload(self, *, stamp: Stamp) -> None:
        """Record that the input file is about to be sent; nothing may be sent before.

        Not fenced as creates are: a file that nobody uses costs nothing.
        """
        submission = self._open_submission("an upload")
        if self.cancel_requested:
            raise AlreadyCancelingError(self.id)
        if submission.input_file_id is not None:
            raise BatchSubmittedError(self.id, self.status)
        self._trigger(events.UploadStarted, stamp, attempt=submission.upload_attempt + 1)

    def record_upload(
        self,
        file_id: str,
        *,
        provider_created_at: datetime | None,
        request_id: str | None,
        stamp: Stamp,
        adopted: bool = False,
    ) -> None:
        """Record the provider's input file, answered or found; only the first one counts.

        Finding it again is nothing. Raises `BatchSubmittedError` when the log has another file.
        """
        submission = self.submission
        if submission is not None and submission.input_file_id == file_id:
            return
        submission = self._open_submission("an upload")
        if submission.input_file_id is not None:
            raise BatchSubmittedError(self.id, self.status)
        if submission.upload_attempt == 0:
            raise OutOfOrderError(f"no upload of batch {self.id} was begun")
        self._trigger(
            events.InputUploaded,
            stamp,
            file_id=file_id,
            size=self.input_size,
            adopted=adopted,
            provider_created_at=provider_created_at,
            request_id=request_id,
        )

    def record_discarded_upload(
        self,
        file_id: str,
        *,
        upload_request_id: str | None,
        request_id: str | None,
        stamp: Stamp,
    ) -> None:
        """Record that a file which no batch uses was deleted."""
        self._trigger(
            events.InputDiscarded,
            stamp,
            file_id=file_id,
            upload_request_id=upload_request_id,
            request_id=request_id,
        )

    def start_create(self, *, stamp: Stamp) -> None:
        """Record that a create call is about to be sent; nothing may be sent before.

        Refused while an earlier call may have reached the provider: whoever saved this event
        is the only one to send the call.
        """
        submission = self._open_submission("a create call")
        if self.cancel_requested:
            raise AlreadyCancelingError(self.id)
        if submission.input_file_id is None:
            raise NotSubmittedError(self.id, "a create call before the upload")
        if submission.create_started_at is not None:
            raise OutOfOrderError(
                f"create call {submission.create_attempt} of batch {self.id} has no outcome yet"
            )
        if submission.lost_creates == MAX_LOST_CREATES:
            raise CreatesLostError(self.id, submission.lost_creates)
        self._trigger(events.CreateStarted, stamp, attempt=submission.create_attempt + 1)

    def record_not_created(
        self,
        attempt: int,
        error: BatchProblem,
        *,
        request_id: str | None,
        stamp: Stamp,
        searched: bool = False,
    ) -> None:
        """Record that a create call made no batch, so that another may be sent.

        `searched` when nobody said so, but a search of the provider's list found nothing.
        Nothing happens when that call is not the one in question any more.
        """
        submission = self.submission
        if (
            self.status is not BatchStatus.PENDING
            or submission is None
            or submission.create_started_at is None
            or submission.create_attempt != attempt
        ):
            return
        self._trigger(
            events.CreateNotDone,
            stamp,
            attempt=attempt,
            searched=searched,
            error=error,
            request_id=request_id,
        )

    def record_submitted(
        self,
        provider_batch_id: str,
        report: StatusReport,
        *,
        adopted: bool,
        request_id: str | None,
        stamp: Stamp,
        token_limit_delays: Sequence[float] = TOKEN_LIMIT_DELAYS,
    ) -> None:
        """Record the provider's batch, answered or found.

        Finding it again is nothing, and so is an answer about a batch that was left.
        Raises `BatchSubmittedError` when the log has another provider batch: the caller holds
        a sibling, which must be canceled.
        """
        if self.submission is not None and provider_batch_id in self.submission.left_batch_ids:
            return
        if self.provider_batch_id == provider_batch_id:
            # Another process found it before its answer came; the answer's request id counts.
            self.record_status(
                provider_batch_id,
                report,
                request_id=request_id,
                stamp=stamp,
                after_call=not adopted,
                token_limit_delays=token_limit_delays,
            )
            return
        submission = self._open_submission("a provider batch")
        # An answer counts even when another process has given its call up in the meantime.
        if submission.create_attempt == 0:
            raise OutOfOrderError(f"no create call of batch {self.id} was sent")
        self._trigger(
            events.Submitted,
            stamp,
            provider_batch_id=provider_batch_id,
            raw_status=report.raw_status,
            adopted=adopted,
            request_id=request_id,
        )
        if report.raw_status != "validating":
            self.record_status(
                provider_batch_id,
                report,
                request_id=request_id,
                stamp=stamp,
                token_limit_delays=token_limit_delays,
            )

    def record_sibling(
        self, provider_batch_id: str, *, request_id: str | None, stamp: Stamp
    ) -> None:
        """Record a second provider batch of this submission; a repeat is nothing."""
        if provider_batch_id == self.provider_batch_id:
            raise OutOfOrderError(f"{provider_batch_id} is batch {self.id} itself")
        if provider_batch_id not in (*self.siblings, *self.canceled_siblings):
            self._trigger(
                events.SiblingFound,
                stamp,
                provider_batch_id=provider_batch_id,
                request_id=request_id,
            )

    def record_sibling_canceled(
        self, provider_batch_id: str, *, request_id: str | None, stamp: Stamp
    ) -> None:
        """Record that a sibling was told to cancel, or was over; a repeat is nothing."""
        if provider_batch_id in self.siblings:
            self._trigger(
                events.SiblingCanceled,
                stamp,
                provider_batch_id=provider_batch_id,
                request_id=request_id,
            )

    def record_refusal(
        self,
        error: BatchProblem,
        *,
        create_attempt: int | None,
        request_id: str | None,
        stamp: Stamp,
    ) -> None:
        """Record that the provider refused the submission for good.

        `create_attempt` is the create call that was refused, None for the upload. A refusal is
        nothing when another process has come farther in the meantime.
        """
        submission = self.submission
        if not self.is_submitting or submission is None:
            return
        calling = submission.create_started_at is not None
        in_question = submission.create_attempt if calling else None
        uploaded = submission.input_file_id is not None
        if create_attempt != in_question or (create_attempt is None and uploaded):
            return
        self._trigger(events.SubmissionFailed, stamp, error=error, request_id=request_id)

    def record_status(
        self,
        provider_batch_id: str,
        report: StatusReport,
        *,
        request_id: str | None,
        stamp: Stamp,
        after_call: bool = False,
        token_limit_delays: Sequence[float] = TOKEN_LIMIT_DELAYS,
    ) -> None:
        """Record what the provider reports of one of its batches.

        A batch that has no room in the provider's queue is created again, after the
        `token_limit_delays` (seconds; the last repeats).

        A repeat is nothing, unless it answers a call that changed something (`after_call`), whose
        request id belongs in the log. A report after the end, or about a batch that is not ours
        any more, is nothing.
        """
        if self.status.is_terminal:
            return
        if self.provider_batch_id is None and not self.is_submitting:
            raise NotSubmittedError(self.id, "a status")
        if provider_batch_id != self.provider_batch_id:
            return
        if report.in_brief() == self.report and not after_call:
            return
        if report.input_not_found and self._may_create_again():
            self._trigger(
                events.InputNotVisible,
                stamp,
                provider_batch_id=self.provider_batch_id,
                report=report,
                request_id=request_id,
            )
            return
        if report.is_out_of_tokens and self.deferrals < MAX_DEFERRALS:
            delay = token_limit_delays[min(self.deferrals, len(token_limit_delays) - 1)]
            self._trigger(
                events.TokenLimitReached,
                stamp,
                provider_batch_id=self.provider_batch_id,
                report=report,
                retry_at=stamp.at + timedelta(seconds=delay),
                request_id=request_id,
            )
            return
        event = events.Canceled if report.status is BatchStatus.CANCELED else events.StatusChanged
        self._trigger(event, stamp, report=report, request_id=request_id)

    def amend_report(
        self,
        provider_batch_id: str,
        report: StatusReport,
        *,
        request_id: str | None,
        stamp: Stamp,
        after_call: bool = False,
    ) -> None:
        """Record what the provider shows only after the end: files, counts, or a batch at work.

        The status stays what it was; a repeat is nothing, and so is anything after the results
        were collected, unless it answers a call that changed something (`after_call`). A batch
        that was given up takes any end that the provider reports, and so does one whose end was
        taken back. Files that were named once are not forgotten for a report that names none.
        """
        if not self.status.is_terminal or provider_batch_id != self.provider_batch_id:
            return
        if self.report is not None and (report.names_no_file or not report.status.is_terminal):
            report = report.with_files_of(self.report)  # nobody may name them again
        takes_back = not report.status.is_terminal and not self.given_up
        is_news = report.in_brief() != self.report and not self.results_collected
        if (is_news or after_call) and (takes_back or self._fits_end(report)):
            self._trigger(events.ReportAmended, stamp, report=report, request_id=request_id)

    def _fits_end(self, report: StatusReport) -> bool:
        """Whether a report after the end is of this end, or of one that shows what it lacked."""
        if not report.status.is_terminal:
            return False
        shown = self.report
        is_known = report.status in (self.status, shown and shown.status)
        is_bare = self.status is BatchStatus.ENDED and shown is not None and shown.names_no_file
        return is_known or is_bare or self.given_up or self.end_taken_back

    def give_up(self, error: BatchProblem, *, max_age: float, stamp: Stamp) -> None:
        """End a batch that passed the maximum age (seconds); after any other end it is nothing."""
        if self.status.is_terminal:
            return
        if self.provider_batch_id is None:
            raise NotSubmittedError(self.id, "giving it up")
        self._trigger(events.GivenUp, stamp, max_age=max_age, error=error)

    def request_cancel(self, *, stamp: Stamp) -> None:
        """Record the wish to cancel; a batch that was never submitted is canceled with it.

        Raises `BatchFinishedError` after the end, unless the provider has taken it back.
        """
        if self.is_over:
            raise BatchFinishedError(self.id, self.status, "a cancellation")
        if self.cancel_requested:
            raise AlreadyCancelingError(self.id)
        self._trigger(events.CancelRequested, stamp)
        if self.submission is None:
            self._trigger(events.Canceled, stamp, report=None, request_id=None)

    def abandon_submission(self, *, stamp: Stamp) -> None:
        """End a canceled batch whose create calls made nothing, as far as the log knows."""
        submission = self._open_submission("an abandonment")
        if not self.cancel_requested or submission.create_started_at is not None:
            raise OutOfOrderError(f"a create call of batch {self.id} may have been sent")
        self._trigger(events.Canceled, stamp, report=None, request_id=None)

    def apply_results(
        self,
        file: ResultFile,
        lines: Sequence[ResultLine],
        index: RequestIndex,
        *,
        stamp: Stamp,
        behind: int | None = None,
        price_source: str | None = None,
    ) -> None:
        """Apply result lines that follow the file's position, each to its request, once.

        They may come in any order, and by several calls of one decision: `behind` then is the
        position at its beginning. A line that does not parse, has an unknown custom_id or repeats
        one is recorded and skipped. `index` must be as new as this state; it learns what was
        settled. `price_source` names the table that the lines' costs come from.
        """
        self._check_results(file, [(line.offset, line.raw) for line in lines], behind)
        if lines and price_source not in {None, self.price_source}:
            self._trigger(events.PricesUsed, stamp, source=price_source)
        for line in lines:
            self._apply_result(file, line, index, stamp)

    def apply_alike(
        self,
        file: ResultFile,
        results: AlikeResults,
        index: RequestIndex,
        *,
        stamp: Stamp,
        behind: int | None = None,
        price_source: str | None = None,
    ) -> AppliedResults | None:
        """Apply results that are alike as `apply_results` does, but all at once.

        Gives what is to be recorded of them behind the pending events, in whose place it stands.
        None, and nothing is done, unless each of them is the first result of its request and a
        success, and their costs come from the table that was named last: one by one, the same
        lines show what becomes of each.
        """
        lines = zip(results.offsets, results.lines, strict=True)
        end = self._check_results(file, lines, behind)
        if price_source not in {None, self.price_source} or not is_success(results.status_code):
            return None
        count = len(results.numbers)
        if not (count and index.settle_all(results.numbers)):
            return None
        applied = AppliedResults(self.id, self._version + 1, stamp, file, results)
        self.tally.count_successes(results.usages, results.costs)
        self.positions[file].move(end, lines=count)
        self._version += count
        self._modified_on = stamp.at
        return applied

    def _check_results(
        self, file: ResultFile, lines: Iterable[tuple[int, bytes]], behind: int | None
    ) -> int:
        """Refuse what cannot be applied now; give the byte behind the last line and its newline."""
        if not self.status.is_terminal:
            raise NotTerminalError(self.id, self.status)
        if self.results_collected:
            raise BatchFinishedError(self.id, self.status, "applying results")
        expected = self.positions[file].offset if behind is None else behind
        for offset, line in sorted(lines):
            if offset < expected:
                raise OutOfOrderError(
                    f"byte {offset} of the {file.value} file of batch {self.id} was applied before"
                )
            expected = offset + len(line) + 1
        return expected

    def _apply_result(
        self, file: ResultFile, line: ResultLine, index: RequestIndex, stamp: Stamp
    ) -> None:
        if line.custom_id is None:
            problem = line.problem or "unreadable"
            self._skip_result(file, line, SkipReason.UNREADABLE, problem, stamp)
            return
        number = index.settle(line.custom_id)
        if number is None:
            if index.number(line.custom_id) is None:
                problem = "the batch has no request with this custom_id"
                self._skip_result(file, line, SkipReason.UNKNOWN_CUSTOM_ID, problem, stamp)
            else:
                problem = "the request has its result already; the first one counts"
                self._skip_result(file, line, SkipReason.REPEATED_CUSTOM_ID, problem, stamp)
            return
        outcome, error = judge(line)
        used = line.usage is not None or outcome is Outcome.SUCCEEDED
        version = self._version + 1
        # One for each request: the library's way to trigger events takes four times as long.
        event = events.ResultApplied.made(
            {
                "originator_id": self._id,
                "originator_version": version,
                "timestamp": stamp.at,
                "by": stamp.by,
                "custom_id": line.custom_id,
                "number": number,
                "outcome": outcome,
                "status_code": line.status_code,
                "error": error,
                "usage": line.usage,
                "cost": line.cost if used else None,
                "file": file,
                "offset": line.offset,
                "line": Body.of(line.raw),
            }
        )
        event.apply(self)
        self._version = version
        self._modified_on = stamp.at
        self._pending_events.append(event)

    def skip_cut_end(self, file: ResultFile, offset: int, piece: bytes, *, stamp: Stamp) -> None:
        """Record the piece of a line with which a file ends, and that it is applied to nothing.

        Its end is no end of a line, so nothing can follow but a later collection.
        """
        self._check_results(file, [(offset, piece)], None)
        line, problem = ResultLine(offset, piece), "the file ends within this line"
        self._skip_result(file, line, SkipReason.UNREADABLE, problem, stamp, cut_off=True)

    def _skip_result(
        self,
        file: ResultFile,
        line: ResultLine,
        reason: SkipReason,
        problem: str,
        stamp: Stamp,
        *,
        cut_off: bool = False,
    ) -> None:
        self._trigger(
            events.ResultSkipped,
            stamp,
            reason=reason,
            custom_id=line.custom_id,
            problem=problem,
            file=file,
            offset=line.offset,
            line=Body.of(line.raw),
            cut_off=cut_off,
        )

    def finish_collection(self, *, stamp: Stamp, lost: RequestProblem | None = None) -> None:
        """Give every request that no line mentions the outcome of the batch's end.

        `lost` says why a result file is out of reach for good: what it held, nobody knows, so
        those requests are missing, whatever the end. A repeat changes nothing.
        """
        if not self.status.is_terminal:
            raise NotTerminalError(self.id, self.status)
        if self.results_collected:
            return
        totals = self.totals
        rest = self.request_count - totals.outcomes.settled
        outcome, error = rest_of(self.status, given_up=self.given_up, lost=lost)
        self._trigger(
            events.ResultsCollected,
            stamp,
            rest=rest,
            rest_outcome=outcome,
            rest_error=error,
            totals=evolve(totals, outcomes=totals.outcomes.plus(outcome, rest)),
            miscounted=self._miscounted(),
        )
        self.record_work_resumed(stamp=stamp)

    def _miscounted(self) -> RequestCounts | None:
        """The provider's counts, when its result lines say something else."""
        if self.report is None:
            return None
        counts, lines = self.report.request_counts, self.totals.outcomes
        if counts == RequestCounts():  # some servers do not count
            return None
        agree = (counts.completed, counts.failed) == (lines.succeeded, lines.failed)
        return None if agree else counts

    def reopen_collection(
        self,
        report: StatusReport,
        *,
        request_id: str | None,
        stamp: Stamp,
        cut_ends: Mapping[ResultFile, int] | None = None,
    ) -> None:
        """Take up the collection again for the requests that had no line.

        `cut_ends` are the bytes, each of its file, where a last line begins that was not whole
        the last time: from there the file is read again. Raises `NotCollectedError` before the
        results were collected, and `NothingToCollectError` when every request has its line.
        """
        if not self.results_collected:
            raise NotCollectedError(self.id, self.status)
        if not self.rest:
            raise NothingToCollectError(self.id)
        if not self._fits_end(report):
            raise NothingToCollectError(self.id, f"the provider's batch is {report.raw_status}")
        self._trigger(
            events.CollectionReopened,
            stamp,
            report=report,
            request_id=request_id,
            cut_ends={file.value: offset for file, offset in (cut_ends or {}).items()},
        )

    def record_handler_dispatched(self, *, stamp: Stamp) -> None:
        """Record that the completion handler ran to its end; a repeat is nothing."""
        if not self.results_collected:
            raise NotCollectedError(self.id, self.status)
        if self.completion_handler is not None and not self.handler_dispatched:
            self._trigger(events.HandlerDispatched, stamp, handler=self.completion_handler)
            self.record_work_resumed(stamp=stamp)

    def record_work_failed(
        self, step: WorkStep, problem: str, *, retry_at: datetime | None, stamp: Stamp
    ) -> None:
        """Record why a step on this batch failed, and when it is taken again."""
        failures = 1 if self.trouble is None else self.trouble.failures + 1
        self._trigger(
            events.WorkFailed,
            stamp,
            step=step,
            problem=problem,
            failures=failures,
            retry_at=retry_at,
        )

    def record_work_resumed(self, *, stamp: Stamp) -> None:
        """Record that the trouble is over; without any it is nothing.

        The last steps do so themselves: nobody looks at a batch again that is done.
        """
        if self.trouble is not None:
            self._trigger(events.WorkResumed, stamp)

    def record_retry(self, retry_id: UUID, count: int, *, stamp: Stamp) -> None:
        """Record that `count` requests are asked once more in another batch; a repeat is nothing.

        Raises `NotCollectedError` while requests may still get their result.
        """
        if not self.results_collected:
            raise NotCollectedError(self.id, self.status)
        if retry_id not in self.retries:
            self._trigger(events.Retried, stamp, retry_id=retry_id, count=count)

    def prune_bodies(self, export_sha256: str | None, *, through: int, stamp: Stamp) -> None:
        """Decide that the bodies up to an event are needed no more; a repeat is nothing.

        Raises `UnfinishedError` while the batch may still need them.
        """
        self._check_at_rest("pruned")
        if through > self.pruned_version:
            self._trigger(events.BodiesPruned, stamp, through=through, export_sha256=export_sha256)

    def redact_request(
        self, custom_id: str, versions: Sequence[int], reason: str | None, *, stamp: Stamp
    ) -> None:
        """Decide that a request's part of the bodies of some events is removed.

        Raises `UnfinishedError` while the batch may still need it.
        """
        self._check_at_rest("redacted")
        self._trigger(
            events.RequestRedacted,
            stamp,
            custom_id=custom_id,
            versions=tuple(versions),
            reason=reason,
        )

    def _check_at_rest(self, done: str) -> None:
        if not self.is_at_rest:
            raise UnfinishedError(self.id, done)

    def _may_create_again(self) -> bool:
        return self.submission is not None and self.invisible_inputs < MAX_LEFT_BATCHES

    def _open_submission(self, step: str) -> Submission:
        if self.status is not BatchStatus.PENDING:
            raise BatchSubmittedError(self.id, self.status)
        if self.submission is None:
            raise NotSubmittedError(self.id, step)
        return self.submission

    def _trigger(self, event_class: type[events.BatchEvent], stamp: Stamp, **facts: Any) -> None:
        self.trigger_event(event_class, timestamp=stamp.at, by=stamp.by, **facts)


for _event in events.EVENTS:
    register_topic(_event.TOPIC, _event)
