"""One request as text for people and as JSON for programs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...domain.costs import usd_text
from .costs import usd_or_none
from .render import tokens_text
from .text import clean, size_text

if TYPE_CHECKING:
    from ...application.request_history import RequestLife

_SHOWN = 300
"""Characters of a body for people; programs get all of it."""


def life_lines(life: "RequestLife") -> Iterator[tuple[str, str]]:
    """A request in one batch for people: what, and its value."""
    completion, batch = life.completion, life.batch
    yield "batch", str(batch.id)
    if batch.retry_of is not None:
        yield "retry of", str(batch.retry_of)
    number = f"number {completion.number:,} of {batch.request_count:,}"
    yield "request", clean(f"{completion.custom_id}, {number}")
    yield "asked", "removed" if life.line is None else _body_text(life.line)
    http = "" if completion.status_code is None else f" (HTTP {completion.status_code})"
    yield "outcome", f"{completion.outcome.value}{http}"
    if completion.error is not None:
        code = f"{completion.error.code}: " if completion.error.code else ""
        yield "error", clean(f"{code}{completion.error.message}")
    if completion.usage is not None:
        yield "tokens", tokens_text(completion.usage)
    if completion.cost is not None:
        yield "cost", f"${usd_text(completion.cost)}"
    if completion.removed:
        yield "answered", "removed"
    elif completion.line is not None:
        yield "answered", _body_text(completion.line)


def _body_text(body: bytes) -> str:
    text = _text(body)
    if len(text) <= _SHOWN:
        return clean(text)
    return clean(text[:_SHOWN]) + f"… ({size_text(len(body))}; --json shows all)"


def life_data(life: "RequestLife") -> dict[str, Any]:
    """A request in one batch for a program: the lines as they were sent and as they came back."""
    from ...application.tables import row_of  # noqa: PLC0415 (start-up time)

    completion = life.completion
    row = None if completion.removed else row_of(completion)
    return {
        "batch_id": str(life.batch.id),
        "batch_status": life.batch.status.value,
        "retry_of": life.batch.retry_of,
        "version": life.batch.version,
        "number": completion.number,
        "custom_id": completion.custom_id,
        "outcome": completion.outcome.value,
        "status_code": completion.status_code,
        "error": completion.error,
        "text": row and row.text,
        "model": row and row.model,
        "finish_reason": row and row.finish_reason,
        "usage": completion.usage,
        "cost_usd": usd_or_none(completion.cost),
        "request": None if life.line is None else _text(life.line),
        "result": None if completion.line is None else _text(completion.line),
    }


def _text(body: bytes) -> str:
    return body.decode(errors="backslashreplace")
