"""The completions of a batch: each request's outcome, and its line in the results."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from attrs import frozen

from ..domain.batch import Batch
from ..domain.events import ResultApplied
from ..domain.status import BatchStatus, Outcome
from ..domain.values import RequestProblem, TokenUsage
from .runtime import Runtime
from .store import Batches
from .views import CompletionRow


@frozen
class Completion:
    """One request's outcome.

    `number` is its 1-based position in the input; `usage` counts tokens; `cost` is in USD at the
    batch price, None when it is not known or nothing was used; `line` is the
    provider's result line exactly as received, None when there was none.
    """

    number: int
    custom_id: str
    outcome: Outcome
    status_code: int | None = None
    error: RequestProblem | None = None
    usage: TokenUsage | None = None
    line: bytes | None = None
    cost: Decimal | None = None

    @property
    def body(self) -> Any:
        """The body of the provider's answer, decoded; None when there was no answer.

        Read by Python's own parser, which takes what some servers write beyond JSON.
        """
        if self.line is None:
            return None
        response = json.loads(self.line).get("response")
        return response.get("body") if isinstance(response, dict) else None


async def completions(runtime: Runtime, batch_id: UUID) -> AsyncIterator[Completion]:
    """The completions of a batch in input order, in constant memory.

    Raises `BatchNotFoundError`.
    """
    batch = await runtime.load(batch_id)
    why = await runtime.in_store(_errors_by_line, runtime.batches, batch)
    after = 0
    while page := await runtime.in_store(
        partial(runtime.batches.completions_page, batch_id, after=after)
    ):
        for row, result in page:
            yield _completion(batch, why, row, result)
        after = page[-1][0].number


def _errors_by_line(batches: Batches, batch: Batch) -> dict[int, RequestProblem]:
    """What the provider said of single lines when it failed the batch as a whole."""
    if batch.status is not BatchStatus.FAILED:
        return {}
    report = batches.last_report(batch.id)
    errors = report.errors if report is not None else ()
    return {
        error.line: RequestProblem(error.code, error.message)
        for error in reversed(errors)
        if error.line is not None
    }


def _completion(
    batch: Batch, why: dict[int, RequestProblem], row: CompletionRow, result: ResultApplied | None
) -> Completion:
    if result is None:
        pending = row.outcome is Outcome.PENDING
        error = None if pending else why.get(row.number, batch.rest_error)
        return Completion(row.number, row.custom_id, row.outcome, error=error)
    return Completion(
        row.number,
        row.custom_id,
        row.outcome,
        result.status_code,
        result.error,
        result.usage,
        result.line,
        result.cost,
    )


def output_line(completion: Completion) -> bytes:
    """A completion as a line of the results file, in the provider's own shape.

    A request without a provider line gets a null response and an error with a code.
    """
    if completion.line is not None:
        return completion.line + b"\n"
    error = completion.error or RequestProblem("pending", "The request has no result yet.")
    return (
        msgspec.json.encode(
            {
                "id": None,
                "custom_id": completion.custom_id,
                "response": None,
                "error": {"code": error.code, "message": error.message},
            }
        )
        + b"\n"
    )
