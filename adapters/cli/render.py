"""Batches and events as text for people and as JSON for programs."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from ...application.views import BatchSummary
from ...domain import events
from ...domain.costs import usd_text
from ...domain.status import Outcome
from ...domain.values import BatchProblem
from .costs import cost_data, cost_text
from .text import clean, moment_text, size_text

OUTCOMES = (
    Outcome.SUCCEEDED,
    Outcome.FAILED,
    Outcome.EXPIRED,
    Outcome.CANCELED,
    Outcome.MISSING,
)
_BODIES = {"lines", "line"}
_ENVELOPE = {"originator_id", "originator_version", "timestamp", "by", "originator_topic"}


def json_text(value: Any) -> str:
    """A value as one line of JSON."""
    return msgspec.json.encode(value).decode()


def outcome_counts(summary: BatchSummary) -> dict[str, int]:
    """The requests of a batch by outcome, those without one as pending."""
    outcomes = summary.totals.outcomes
    counts = {outcome.value: getattr(outcomes, outcome.value) for outcome in OUTCOMES}
    return {**counts, Outcome.PENDING.value: summary.request_count - outcomes.settled}


def summary_data(summary: BatchSummary) -> dict[str, Any]:
    """A batch for a program."""
    usage = summary.totals.usage
    return {
        "id": str(summary.id),
        "status": summary.status.value,
        "raw_status": summary.raw_status,
        "provider": summary.provider,
        "provider_batch_id": summary.provider_batch_id,
        "endpoint": summary.endpoint,
        "model": summary.model,
        "completion_window": summary.completion_window,
        "description": summary.description,
        "metadata": summary.metadata,
        "created_at": summary.created_at,
        "submitted_at": summary.submitted_at,
        "updated_at": summary.updated_at,
        "requests": summary.request_count,
        "input_bytes": summary.input_size,
        "cancel_requested": summary.cancel_requested,
        "results_collected": summary.results_collected,
        "outcomes": outcome_counts(summary),
        "skipped_lines": summary.totals.skipped_lines,
        "usage": {
            "input_tokens": usage.input,
            "cached_tokens": usage.cached,
            "output_tokens": usage.output,
            "reasoning_tokens": usage.reasoning,
            "cache_write_tokens": usage.cache_write,
            "total_tokens": usage.total,
        },
        "cost": cost_data(summary),
        "request_counts": summary.request_counts,
        "errors": summary.errors,
        "error_count": summary.error_count,
    }


def summary_lines(summary: BatchSummary) -> Iterator[tuple[str, str]]:
    """A batch for people: what, and its value."""
    yield "batch", str(summary.id)
    raw = f" (the provider says {summary.raw_status})" if summary.raw_status else ""
    wish = ", canceling" if summary.cancel_requested and not summary.status.is_terminal else ""
    yield "status", f"{summary.status.value}{wish}{clean(raw)}"
    yield "provider", clean(f"{summary.provider} {summary.provider_batch_id or ''}".strip())
    yield "endpoint", clean(f"{summary.endpoint}  model {summary.model}")
    if summary.description:
        yield "why", clean(summary.description)
    for key, value in summary.metadata.items():
        yield "metadata", clean(f"{key}={value}")
    yield "created", moment_text(summary.created_at)
    if summary.submitted_at is not None:
        yield "submitted", moment_text(summary.submitted_at)
    yield "requests", f"{summary.request_count:,}  ({size_text(summary.input_size)})"
    yield "outcomes", outcomes_text(summary)
    if summary.request_counts is not None:
        counts = summary.request_counts
        done = f"{counts.completed:,} completed, {counts.failed:,} failed"
        yield "counted", f"{done} of {counts.total:,} by the provider"
    if summary.totals.skipped_lines:
        yield "skipped", f"{summary.totals.skipped_lines:,} result lines fit no request"
    yield "tokens", tokens_text(summary)
    if summary.totals.outcomes.settled:
        yield "cost", cost_text(summary.totals)
    if summary.price_source is not None:
        yield "prices", clean(summary.price_source)
    for error in summary.errors:
        yield "error", error_text(error)


def outcomes_text(summary: BatchSummary) -> str:
    """The outcomes that occur, in words."""
    counts = outcome_counts(summary)
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"


def tokens_text(summary: BatchSummary) -> str:
    """The tokens of all answers."""
    usage = summary.totals.usage
    return (
        f"{usage.input:,} input ({usage.cached:,} cached), "
        f"{usage.output:,} output ({usage.reasoning:,} reasoning)"
    )


def error_text(error: BatchProblem) -> str:
    """An error of a whole batch: the provider's code, line and message as sent."""
    where = [error.code] if error.code else []
    where += [f"line {error.line}"] if error.line is not None else []
    where += [f"field {error.param}"] if error.param else []
    return clean(f"{', '.join(where)}: {error.message}" if where else error.message)


def event_data(event: events.BatchEvent) -> dict[str, Any]:
    """An event for a program: everything but the bodies, of which it tells the size."""
    facts = {name: value for name, value in vars(event).items() if name not in _ENVELOPE}
    for name in _BODIES & facts.keys():
        facts[f"{name}_bytes"] = len(facts.pop(name))
    return {
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


def event_line(event: events.BatchEvent, begin: datetime, facts: str | None = None) -> str:
    """An event for people, with the time since `begin`; `facts` in place of its own."""
    elapsed = (event.timestamp - begin).total_seconds()
    return (
        f"{event.originator_version:>6}  {moment_text(event.timestamp)}  {elapsed:>+9.1f}s  "
        f"{type(event).__name__:<17} {clean(event_text(event) if facts is None else facts)}"
    ).rstrip()


def event_text(event: events.BatchEvent) -> str:
    """What an event says, beside its name."""
    facts = [*_facts(event)]
    request_id = getattr(event, "request_id", None)
    if request_id:
        facts.append(f"request id {request_id}")
    return "; ".join(facts)


def _facts(event: events.BatchEvent) -> Iterator[str]:  # noqa: C901, PLR0912 (a case an event)
    match event:
        case events.Drafted():
            yield f"{event.endpoint} at {event.provider} by {event.by.actor}"
            if event.description:
                yield event.description
        case events.RequestsAdded():
            last = event.first_number + event.count - 1
            yield f"requests {event.first_number:,} to {last:,}, {size_text(event.size)}"
        case events.SubmissionStarted():
            yield f"{event.file_name}, sha256 {event.input_sha256}"
        case events.InputUploaded() | events.InputDiscarded():
            yield event.file_id
        case events.CreateStarted():
            yield f"attempt {event.attempt}"
        case events.CreateNotDone() | events.SubmissionFailed():
            yield error_text(event.error)
        case events.Submitted():
            found = ", found in the provider's list" if event.adopted else ""
            yield f"{event.provider_batch_id}, {event.raw_status}{found}"
        case events.InputNotVisible() | events.SiblingFound() | events.SiblingCanceled():
            yield event.provider_batch_id
        case events.StatusChanged() | events.ReportAmended() | events.Canceled():
            yield from _report_facts(event)
        case events.PricesUsed():
            yield event.source
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
            yield f"{event.totals.outcomes.settled:,} requests settled"
            yield f"cost {cost_text(event.totals)}"
            if event.rest:
                yield f"{event.rest:,} without a line became {event.rest_outcome.value}"
        case _:
            return


def _report_facts(
    event: events.StatusChanged | events.ReportAmended | events.Canceled,
) -> Iterator[str]:
    if event.report is None:
        yield "never submitted"
        return
    counts = event.report.request_counts
    yield f"{event.report.raw_status}"
    yield f"{counts.completed:,} completed, {counts.failed:,} failed of {counts.total:,}"
    for error in event.report.errors[:3]:
        yield error_text(error)
    if len(event.report.errors) > 3:  # noqa: PLR2004 (as many as were shown)
        yield f"and {len(event.report.errors) - 3:,} more errors"
