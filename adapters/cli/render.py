"""Batches as text for people and as JSON for programs."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ...application.views import BatchSummary
from ...domain.status import Outcome
from ...domain.values import BatchProblem, Deferral, TokenUsage, Trouble
from .costs import cost_data, cost_text
from .text import clean, escaped, moment_text, size_text

OUTCOMES = tuple(outcome for outcome in Outcome if outcome is not Outcome.PENDING)


def json_text(value: Any) -> str:
    """A value as one line of JSON, in which no character drives a terminal."""
    return escaped(msgspec.json.encode(value).decode())  # they stand only within strings


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
        "version": summary.version,
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
        "ended_at": summary.ended_at,
        "given_up": summary.given_up,
        "updated_at": summary.updated_at,
        "requests": summary.request_count,
        "input_bytes": summary.input_size,
        "cancel_requested": summary.cancel_requested,
        "results_collected": summary.results_collected,
        "next_step": summary.next_step,
        "completion_handler": summary.completion_handler,
        "handler_dispatched": summary.handler_dispatched,
        "trouble": summary.trouble,
        "deferral": summary.deferral,
        "retry_of": summary.retry_of,
        "retries": summary.retries,
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
        "miscounted": summary.miscounted,
        "errors": summary.errors,
        "error_count": summary.error_count,
    }


def summary_lines(summary: BatchSummary) -> Iterator[tuple[str, str]]:
    """A batch for people: what, and its value."""
    yield "batch", str(summary.id)
    yield "status", status_text(summary)
    yield "provider", clean(f"{summary.provider} {summary.provider_batch_id or ''}".strip())
    yield "endpoint", clean(f"{summary.endpoint}  model {summary.model}")
    yield from _origin_lines(summary)
    for what, moment in (
        ("created", summary.created_at),
        ("submitted", summary.submitted_at),
        ("ended", summary.ended_at),
    ):
        if moment is not None:
            yield what, moment_text(moment)
    yield "requests", f"{summary.request_count:,}  ({size_text(summary.input_size)})"
    yield "outcomes", outcomes_text(summary)
    yield from _count_lines(summary)
    yield "tokens", tokens_text(summary.totals.usage)
    if summary.totals.outcomes.settled:
        yield "cost", cost_text(summary.totals)
    if summary.price_source is not None:
        yield "prices", clean(summary.price_source)
    yield from _work_lines(summary)
    yield "log", f"events: {summary.version:,}, the last at {moment_text(summary.updated_at)}"
    for error in summary.errors:
        yield "error", error_text(error)


def status_text(summary: BatchSummary) -> str:
    """Where a batch stands, and the provider's own word for it."""
    raw = f" (the provider says {summary.raw_status})" if summary.raw_status else ""
    wish = ", canceling" if summary.cancel_requested and not summary.status.is_terminal else ""
    return f"{summary.status.value}{wish}{clean(raw)}"


def print_lines(lines: Iterable[tuple[str, str]]) -> None:
    """Print what, and its value, below each other."""
    for name, value in lines:
        print(f"{name:<10} {value}")


def _origin_lines(summary: BatchSummary) -> Iterator[tuple[str, str]]:
    """Why there is this batch, and which other ones it belongs to."""
    if summary.description:
        yield "why", clean(summary.description)
    for key, value in summary.metadata.items():
        yield "metadata", clean(f"{key}={value}")
    if summary.retry_of is not None:
        yield "retry of", str(summary.retry_of)
    for retry in summary.retries:
        yield "retried", str(retry)


def _count_lines(summary: BatchSummary) -> Iterator[tuple[str, str]]:
    """What the provider counted, and lines that fitted nowhere."""
    if summary.request_counts is not None:
        counts = summary.request_counts
        done = f"{counts.completed:,} completed, {counts.failed:,} failed"
        wrong = "; its result lines say otherwise, and count" if summary.miscounted else ""
        yield "counted", f"{done} of {counts.total:,} by the provider{wrong}"
    if summary.totals.skipped_lines:
        yield "skipped", f"result lines that fit no request: {summary.totals.skipped_lines:,}"


def _work_lines(summary: BatchSummary) -> Iterator[tuple[str, str]]:
    """The completion handler, and what keeps a worker from going on."""
    if summary.completion_handler is not None:
        state = "has run" if summary.handler_dispatched else "has not run yet"
        yield "handler", clean(f"{summary.completion_handler} {state}")
    if summary.deferral is not None:
        yield "waits", deferral_text(summary.deferral)
    if summary.trouble is not None:
        yield "trouble", trouble_text(summary.trouble)


def outcomes_text(summary: BatchSummary) -> str:
    """The outcomes that occur, in words."""
    counts = outcome_counts(summary)
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"


def tokens_text(usage: TokenUsage) -> str:
    """The tokens of an answer, or of many."""
    return (
        f"{usage.input:,} input ({usage.cached:,} cached), "
        f"{usage.output:,} output ({usage.reasoning:,} reasoning)"
    )


def trouble_text(trouble: Trouble) -> str:
    """What keeps a batch, and when it is tried again."""
    at = trouble.retry_at
    when = "with the next start of a worker" if at is None else f"at {moment_text(at)}"
    what = trouble.step.value.replace("_", " ")
    times = "once" if trouble.failures == 1 else f"{trouble.failures:,} times in a row"
    return clean(f"{what} failed {times}, again {when}: {trouble.problem}")


def deferral_text(deferral: Deferral) -> str:
    """Why the batch is not created yet, and when that is tried again."""
    return clean(f"until {moment_text(deferral.until)}: {error_text(deferral.problem)}")


def error_text(error: BatchProblem) -> str:
    """An error of a whole batch: the provider's code, line and message as sent."""
    where = [error.code] if error.code else []
    where += [f"line {error.line}"] if error.line is not None else []
    where += [f"field {error.param}"] if error.param else []
    return clean(f"{', '.join(where)}: {error.message}" if where else error.message)
