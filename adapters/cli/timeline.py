"""Events as text for people and as JSON for programs."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ...domain import events
from ...domain.costs import usd_text
from ...domain.events import BatchEvent, ResultApplied
from .costs import cost_text
from .render import error_text
from .text import clean, elapsed_text, moment_text, size_text

_SHOWN_ID = 8
"""Characters of a correlation id: enough to see which lines belong together."""

_ENVELOPE = {"originator_id", "originator_version", "timestamp", "by", "originator_topic"}


class Timeline:
    """Events as lines, a run of applied results as one line unless `every` asks for all."""

    def __init__(self, begin: datetime, *, every: bool) -> None:
        self._begin = begin
        self._every = every
        self._last: ResultApplied | None = None
        self._applied = 0

    def lines(self, event: BatchEvent) -> Iterator[str]:
        """The lines that an event brings."""
        if isinstance(event, ResultApplied) and not self._every:
            self._last = event
            self._applied += 1
            return
        yield from self.rest()
        yield _event_line(event, self._begin)

    def rest(self) -> Iterator[str]:
        """The line of the results since the last other event, if there were any."""
        if self._last is not None:
            facts = f"results: {self._applied:,}; `--all` shows each"
            yield _event_line(self._last, self._begin, facts)
        self._last, self._applied = None, 0


def event_data(event: events.BatchEvent) -> dict[str, Any]:
    """An event for a program: everything but the body, of which it tells size and digest."""
    facts = {name: value for name, value in vars(event).items() if name not in _ENVELOPE}
    if event.BODY is not None:
        body = facts.pop(event.BODY)
        facts |= {f"{event.BODY}_bytes": body.size, f"{event.BODY}_sha256": body.sha256.hex()}
    return {
        "batch_id": str(event.originator_id),
        "version": event.originator_version,
        "event": type(event).__name__,
        "topic": event.TOPIC,
        "at": event.timestamp,
        "actor": event.by.actor,
        "software": event.by.software,
        "correlation_id": event.by.correlation_id,
        "causation_id": event.by.causation_id,
        **facts,
    }


def _event_line(event: events.BatchEvent, begin: datetime, facts: str | None = None) -> str:
    """An event for people, with the time since `begin`; `facts` in place of its own."""
    elapsed = elapsed_text((event.timestamp - begin).total_seconds())
    said = _event_text(event) if facts is None else facts
    who = f"by {event.by.actor} #{event.by.correlation_id[:_SHOWN_ID]}"
    return (
        f"{event.originator_version:>6}  {moment_text(event.timestamp)}  {elapsed:>10}  "
        f"{type(event).__name__:<17} {clean(f'{said}; {who}' if said else who)}"
    )


def _event_text(event: events.BatchEvent) -> str:
    """What an event says, beside its name."""
    facts = list(_facts(event))
    request_id = getattr(event, "request_id", None)
    if request_id:
        facts.append(f"request id {request_id}")
    return "; ".join(facts)


def _facts(event: events.BatchEvent) -> Iterator[str]:
    match event:
        case events.Drafted() | events.RequestsAdded() | events.Retried():
            yield from _request_facts(event)
        case events.StatusChanged() | events.ReportAmended() | events.Canceled():
            yield from _report_facts(event)
        case events.CollectionReopened():
            yield event.report.raw_status
        case events.PricesUsed():
            yield event.source
        case events.ResultApplied() | events.ResultSkipped() | events.ResultsCollected():
            yield from _result_facts(event)
        case events.HandlerDispatched() | events.WorkFailed():
            yield from _work_facts(event)
        case events.BodiesPruned() | events.RequestRedacted():
            yield from _removal_facts(event)
        case _:
            yield from _submission_facts(event)


def _request_facts(
    event: events.Drafted | events.RequestsAdded | events.Retried,
) -> Iterator[str]:
    match event:
        case events.Drafted():
            yield f"{event.endpoint} at {event.provider}"
            if event.retry_of is not None:
                yield f"retry of batch {event.retry_of}"
            if event.description:
                yield event.description
        case events.RequestsAdded():
            last = event.first_number + event.count - 1
            yield f"requests {event.first_number:,} to {last:,}, {size_text(event.size)}"
        case events.Retried():
            yield f"batch {event.retry_id}"
            yield f"requests: {event.count:,}"


def _submission_facts(event: events.BatchEvent) -> Iterator[str]:
    match event:
        case events.SubmissionStarted():
            yield f"{event.file_name}, sha256 {event.input_sha256}"
        case events.InputUploaded():
            found = ", found in the provider's list" if event.adopted else ""
            yield f"{event.file_id}{found}"
        case events.InputDiscarded():
            yield event.file_id
        case events.CreateStarted() | events.UploadStarted():
            yield f"attempt {event.attempt}"
        case events.CreateNotDone() | events.SubmissionFailed() | events.GivenUp():
            yield error_text(event.error)
        case events.Submitted():
            found = ", found in the provider's list" if event.adopted else ""
            yield f"{event.provider_batch_id}, {event.raw_status}{found}"
        case events.InputNotVisible() | events.SiblingFound() | events.SiblingCanceled():
            yield event.provider_batch_id
        case events.TokenLimitReached():
            until = moment_text(event.retry_at)
            yield f"{event.provider_batch_id}, {event.report.errors[0].message} Again at {until}"
        case _:
            return


def _result_facts(
    event: events.ResultApplied | events.ResultSkipped | events.ResultsCollected,
) -> Iterator[str]:
    match event:
        case events.ResultApplied():
            yield f"{event.custom_id} {event.outcome.value}"
            if event.cost is not None:
                yield f"${usd_text(event.cost)}"
            if event.error is not None:
                yield event.error.message
        case events.ResultSkipped():
            yield f"{event.reason.value} at byte {event.offset:,} of the {event.file.value} file"
            yield event.problem
        case events.ResultsCollected():
            yield f"settled requests: {event.totals.outcomes.settled:,}"
            yield f"cost {cost_text(event.totals)}"
            if event.rest:
                yield f"{event.rest:,} without a line became {event.rest_outcome.value}"
            if event.miscounted is not None:
                counts = event.miscounted
                done = f"{counts.completed:,} completed, {counts.failed:,} failed"
                yield f"the provider counted {done}"


def _work_facts(event: events.HandlerDispatched | events.WorkFailed) -> Iterator[str]:
    match event:
        case events.HandlerDispatched():
            yield event.handler
        case events.WorkFailed():
            yield f"{event.step.value}, failure {event.failures}"
            yield event.problem


def _removal_facts(event: events.BodiesPruned | events.RequestRedacted) -> Iterator[str]:
    match event:
        case events.BodiesPruned():
            yield f"bodies up to event {event.through}"
            kept = event.export_sha256
            yield "not exported" if kept is None else f"exported with SHA-256 {kept}"
        case events.RequestRedacted():
            yield event.custom_id
            if event.reason:
                yield event.reason


def _report_facts(
    event: events.StatusChanged | events.ReportAmended | events.Canceled,
) -> Iterator[str]:
    if event.report is None:
        yield "never submitted"
        return
    counts = event.report.request_counts
    yield event.report.raw_status
    yield f"{counts.completed:,} completed, {counts.failed:,} failed of {counts.total:,}"
    for error in event.report.errors[:3]:
        yield error_text(error)
    if len(event.report.errors) > 3:  # noqa: PLR2004 (as many as were shown)
        yield f"more errors: {len(event.report.errors) - 3:,}"
