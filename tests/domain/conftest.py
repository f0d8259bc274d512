"""A batch that tells its life: commands with short arguments, and the facts they left behind."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest

from batchtrail.domain.batch import Batch
from batchtrail.domain.events import BatchEvent
from batchtrail.domain.requests import RequestIndex
from batchtrail.domain.status import BatchStatus, ResultFile, WorkStep
from batchtrail.domain.values import (
    BatchProblem,
    Limits,
    NewBatch,
    Provenance,
    RequestChunk,
    RequestProblem,
    ResultLine,
    Stamp,
    StatusReport,
)

Fact = tuple[str, dict[str, Any]]

LIMITS = Limits(
    max_requests=1_000_000,
    max_bytes=209_715_200,
    endpoints=frozenset({"/v1/responses", "/v1/embeddings", "/v1/moderations"}),
    endpoints_without_model=frozenset({"/v1/moderations"}),
)

_WORDS = {
    "completed": BatchStatus.ENDED,
    "failed": BatchStatus.FAILED,
    "expired": BatchStatus.EXPIRED,
    "cancelled": BatchStatus.CANCELED,
}
_STAMPS = {"originator_id", "originator_version", "originator_topic", "timestamp", "by"}


def report(raw_status: str, **also: Any) -> StatusReport:
    """What a provider says with this word."""
    status = _WORDS.get(raw_status, BatchStatus.IN_PROGRESS)
    return StatusReport(status=status, raw_status=raw_status, **also)


NOT_VISIBLE = report(
    "failed",
    errors=(BatchProblem("invalid_request", "No such File object: file-1", param="file_id"),),
)


NO_ROOM = report(
    "failed", errors=(BatchProblem("token_limit_exceeded", "Enqueued token limit reached."),)
)


class Story:
    """A batch and its past: every verb is one command, with a later moment each time."""

    def __init__(self, **new: Any) -> None:
        self.past: list[BatchEvent] = []
        self.limits = LIMITS
        self.index = RequestIndex()
        self._next_offset = dict.fromkeys(ResultFile, 0)
        self._now = datetime(2026, 11, 23, 12, tzinfo=UTC)
        plain = NewBatch(provider="openai", endpoint="/v1/responses", identity="some input")
        self.batch = Batch.draft(attrs.evolve(plain, **new), stamp=self.stamp())

    def stamp(self) -> Stamp:
        """A moment after all earlier ones."""
        self._now += timedelta(seconds=1)
        return Stamp(self._now, Provenance("anna", "batchtrail 0.1.0", "run-1", "step-1"))

    # What happened

    def facts(self) -> list[Fact]:
        """The events since the last look, without when, by whom and to which batch."""
        news = self.batch.collect_events()
        assert all(isinstance(event, BatchEvent) for event in news)
        self.past += [event for event in news if isinstance(event, BatchEvent)]
        return [
            (
                type(event).__name__,
                {name: value for name, value in vars(event).items() if name not in _STAMPS},
            )
            for event in news
        ]

    def news(self) -> list[str]:
        """The names of the events since the last look."""
        return [name for name, _ in self.facts()]

    def state(self) -> dict[str, Any]:
        """The state that the aggregate carries, without events that wait to be stored."""
        return _state(self.batch)

    def replayed(self) -> dict[str, Any]:
        """The state that the log alone gives."""
        self.facts()
        copy: Batch | None = None
        for event in self.past:
            copy = event.mutate(copy)
        assert copy is not None
        return _state(copy)

    # The commands

    def add(
        self,
        *custom_ids: str,
        first: int | None = None,
        endpoint: str = "/v1/responses",
        model: str | None = "gpt-5-nano",
    ) -> "Story":
        chunk = RequestChunk(
            first_number=self.batch.request_count + 1 if first is None else first,
            custom_ids=custom_ids,
            lines=b"".join(b'{"custom_id":"%s"}\n' % each.encode() for each in custom_ids),
            endpoint=endpoint,
            model=model,
        )
        self.batch.add_requests(chunk, self.limits, stamp=self.stamp())
        for custom_id in custom_ids:
            self.index.add(custom_id)
        return self

    def start(self) -> "Story":
        self.batch.start_submission("ab" * 32, stamp=self.stamp())
        return self

    def upload(self, file_id: str = "file-1") -> "Story":
        return self.begin_upload().record_upload(file_id)

    def begin_upload(self) -> "Story":
        self.batch.start_upload(stamp=self.stamp())
        return self

    def record_upload(self, file_id: str, *, adopted: bool = False) -> "Story":
        self.batch.record_upload(
            file_id,
            provider_created_at=None,
            request_id="req-upload",
            stamp=self.stamp(),
            adopted=adopted,
        )
        return self

    def discard(self, file_id: str = "file-2") -> "Story":
        self.batch.record_discarded_upload(
            file_id, upload_request_id="req-upload", request_id="req-delete", stamp=self.stamp()
        )
        return self

    def create(self) -> "Story":
        self.batch.start_create(stamp=self.stamp())
        return self

    def not_created(self, attempt: int = 1, *, searched: bool = False) -> "Story":
        error = BatchProblem("rate_limit_exceeded", "Slow down.")
        self.batch.record_not_created(
            attempt, error, request_id="req-create", stamp=self.stamp(), searched=searched
        )
        return self

    def answer(
        self,
        provider_batch_id: str = "batch_1",
        raw: str | StatusReport = "validating",
        *,
        adopted: bool = False,
        **also: Any,
    ) -> "Story":
        seen = raw if isinstance(raw, StatusReport) else report(raw, **also)
        self.batch.record_submitted(
            provider_batch_id,
            seen,
            adopted=adopted,
            request_id="req-create",
            stamp=self.stamp(),
        )
        return self

    def sibling(self, provider_batch_id: str = "batch_2") -> "Story":
        self.batch.record_sibling(provider_batch_id, request_id="req-create", stamp=self.stamp())
        return self

    def cancel_sibling(self, provider_batch_id: str = "batch_2") -> "Story":
        self.batch.record_sibling_canceled(
            provider_batch_id, request_id="req-cancel", stamp=self.stamp()
        )
        return self

    def refuse(self) -> "Story":
        error = BatchProblem("billing_hard_limit_reached", "Billing hard limit has been reached.")
        submission = self.batch.submission
        calling = submission is not None and submission.create_started_at is not None
        self.batch.record_refusal(
            error,
            create_attempt=submission.create_attempt if submission and calling else None,
            request_id="req-create",
            stamp=self.stamp(),
        )
        return self

    def poll(
        self,
        raw: str | StatusReport,
        *,
        of: str | None = None,
        after_call: bool = False,
        **also: Any,
    ) -> "Story":
        """A report about the provider batch `of`: the current one, unless told otherwise."""
        seen = raw if isinstance(raw, StatusReport) else report(raw, **also)
        self.batch.record_status(
            of or self.batch.provider_batch_id or "batch_1",
            seen,
            request_id="req-poll",
            stamp=self.stamp(),
            after_call=after_call,
        )
        return self

    def cancel(self) -> "Story":
        self.batch.request_cancel(stamp=self.stamp())
        return self

    def abandon(self) -> "Story":
        self.batch.abandon_submission(stamp=self.stamp())
        return self

    def line(self, custom_id: str | None, *, file: ResultFile, **also: Any) -> ResultLine:
        """The next line of a file: a success, unless told otherwise."""
        facts: dict[str, Any] = {"answered": True, "status_code": 200, "raw": b'{"a":"b"}', **also}
        line = ResultLine(offset=self._next_offset[file], custom_id=custom_id, **facts)
        self._next_offset[file] += len(line.raw) + 1
        return line

    def apply(self, *results: str | ResultLine, file: ResultFile = ResultFile.OUTPUT) -> "Story":
        lines = [self.line(each, file=file) if isinstance(each, str) else each for each in results]
        self.batch.apply_results(file, lines, self.index, stamp=self.stamp())
        return self

    def collect(self, *, lost: RequestProblem | None = None) -> "Story":
        self.batch.finish_collection(stamp=self.stamp(), lost=lost)
        return self

    def give_up(self) -> "Story":
        error = BatchProblem("given_up", "Too old.")
        self.batch.give_up(error, max_age=93_600.0, stamp=self.stamp())
        return self

    def amend(self, raw: str, *, after_call: bool = False, **also: Any) -> "Story":
        self.batch.amend_report(
            self.batch.provider_batch_id or "batch_1",
            report(raw, **also),
            request_id="req-poll",
            stamp=self.stamp(),
            after_call=after_call,
        )
        return self

    def reopen(self, raw: str = "completed", **also: Any) -> "Story":
        self.batch.reopen_collection(report(raw, **also), request_id="req-poll", stamp=self.stamp())
        return self

    def dispatch(self) -> "Story":
        self.batch.record_handler_dispatched(stamp=self.stamp())
        return self

    def fail_work(self, problem: str = "boom", *, retry_at: datetime | None = None) -> "Story":
        self.batch.record_work_failed(
            WorkStep.COLLECTION, problem, retry_at=retry_at, stamp=self.stamp()
        )
        return self

    def resume_work(self) -> "Story":
        self.batch.record_work_resumed(stamp=self.stamp())
        return self

    def retry(self, retry_id: UUID, count: int = 1) -> "Story":
        self.batch.record_retry(retry_id, count, stamp=self.stamp())
        return self


def _state(batch: Batch) -> dict[str, Any]:
    return {name: value for name, value in vars(batch).items() if name != "_pending_events"}


_STAGES: dict[str, Callable[[], Story]] = {
    "drafted": Story,
    "filled": lambda: Story().add("a", "b").add("c"),
    "started": lambda: at("filled").start(),
    "uploaded": lambda: at("started").upload(),
    "creating": lambda: at("uploaded").create(),
    "submitted": lambda: at("creating").answer(),
    "in_progress": lambda: at("submitted").poll("in_progress"),
    "canceling": lambda: (
        at("in_progress").cancel().poll("cancelling", is_canceling=True, after_call=True)
    ),
    "ended": lambda: at("in_progress").poll("completed", output_file_id="file-out"),
    "expired": lambda: at("in_progress").poll("expired", output_file_id="file-out"),
    "canceled": lambda: at("canceling").poll("cancelled", output_file_id="file-out"),
    "failed": lambda: at("in_progress").poll("failed", output_file_id="file-out"),
    "refused": lambda: at("creating").refuse(),
    "withdrawn": lambda: at("filled").cancel(),
    "given_up": lambda: at("in_progress").give_up(),
    "collected": lambda: at("ended").apply("a", "b").collect(),
    "left": lambda: at("submitted").poll(NOT_VISIBLE),
    "deferred": lambda: at("submitted").poll(NO_ROOM),
    "created_again": lambda: at("left").create().answer("batch_2"),
}


def at(stage: str) -> Story:
    """A batch that has come so far; what happened until then is past."""
    story = _STAGES[stage]()
    story.facts()
    return story


class Stages:
    """Where a test begins."""

    names: Sequence[str] = tuple(_STAGES)
    terminal_with_files: Sequence[str] = ("ended", "expired", "canceled", "failed")
    terminal: Sequence[str] = (
        *terminal_with_files,
        "refused",
        "withdrawn",
        "given_up",
        "collected",
    )
    not_visible = NOT_VISIBLE
    no_room = NO_ROOM
    at = staticmethod(at)
    report = staticmethod(report)
    new = Story


@pytest.fixture(scope="session")
def given() -> Stages:
    """Batches at any stage of their life; without state of its own."""
    return Stages()
