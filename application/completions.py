"""The completions of a batch: each request's outcome, and its line in the results."""

from collections.abc import AsyncIterator, Callable, Collection, Container, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import msgspec
from attrs import frozen

from ..domain.batch import Batch
from ..domain.errors import BodyRemovedError
from ..domain.events import ResultApplied
from ..domain.status import BatchStatus, Outcome
from ..domain.values import BatchProblem, RequestProblem, TokenUsage
from .errors import InputError
from .result_lines import read_json
from .runtime import Runtime
from .store import Batches, refuse_lost_requests
from .views import CompletionRow

if TYPE_CHECKING:
    from .endpoints import Answer

_T = TypeVar("_T")


@frozen
class Completion:
    """One request's outcome.

    `number` is its 1-based position in the input; `usage` counts tokens; `line` is the
    provider's result line exactly as received, None when there was none or when it was removed
    from the database (`removed`), and then whether for this request alone (`redacted`). `endpoint`
    is that of the batch. `cost` is in USD at the batch price, None when it is not known or nothing
    was used.
    """

    number: int
    custom_id: str
    outcome: Outcome
    status_code: int | None = None
    error: RequestProblem | None = None
    usage: TokenUsage | None = None
    line: bytes | None = None
    endpoint: str = ""
    cost: Decimal | None = None
    removed: bool = False
    redacted: bool = False

    @property
    def body(self) -> Any:
        """The body of the provider's answer, decoded; None when there was no answer.

        Read by Python's own parser, which takes what some servers write beyond JSON. Raises
        `BodyRemovedError` for an answer that was removed, as `answer` and `text` do.
        """
        response = self._response()
        if "body" in response or "status_code" in response:
            return response.get("body")
        return response or None  # old servers put the answer itself where its body should be

    @property
    def answer(self) -> "Answer | None":
        """The provider's answer, read; None when the request has no success.

        It is read from the line each time: keep it rather than ask twice.
        """
        if self.outcome is not Outcome.SUCCEEDED:
            return None
        from .endpoints import parse_answer  # noqa: PLC0415 (start-up time)

        request_id = self._response().get("request_id")
        return parse_answer(
            self.endpoint,
            self.body,
            request_id=request_id if isinstance(request_id, str) else None,
        )

    @property
    def text(self) -> str | None:
        """The text of the answer; None when the request has no success, or its answer no text."""
        answer = self.answer
        return None if answer is None else answer.text

    def _response(self) -> dict[str, Any]:
        if self.removed:
            raise _removed(self)
        response = None if self.line is None else read_json(self.line).get("response")
        return response if isinstance(response, dict) else {}


async def completions(runtime: Runtime, batch_id: UUID) -> AsyncIterator[Completion]:
    """The completions of a batch in input order, in constant memory.

    Raises `BatchNotFoundError`.
    """
    async for page in completion_pages(runtime, batch_id):
        for completion in page:
            yield completion


async def result_lines(
    runtime: Runtime, batch_id: UUID, only: Container[Outcome] = frozenset(Outcome)
) -> AsyncIterator[bytes]:
    """The lines of the results file in input order, each with its newline, a megabyte at once.

    `only` names the outcomes that are wanted. Raises `BatchNotFoundError`, and `BodyRemovedError`
    as `output_line` does.
    """
    wanted = [outcome for outcome in Outcome if outcome in only]  # once: a set hashes in Python
    async for batch, why, page in _pages(runtime, batch_id, runtime.batches.lines_page):
        pieces: list[bytes] = []
        for row, line in page:
            if row.outcome in wanted:
                pieces += (_line_without_body(batch, why, row),) if line is None else (line, b"\n")
        yield b"".join(pieces)


def _line_without_body(batch: Batch, why: dict[int, RequestProblem], row: CompletionRow) -> bytes:
    if row.position is None:
        return output_line(completion_of(batch, why, row, None))
    redacted = _is_redacted(batch)
    return output_line(
        Completion(row.number, row.custom_id, row.outcome, removed=True, redacted=redacted)
    )


async def completion_pages(runtime: Runtime, batch_id: UUID) -> AsyncIterator[list[Completion]]:
    """The completions of a batch in input order, about a megabyte at a time."""
    async for batch, why, page in _pages(runtime, batch_id, runtime.batches.completions_page):
        yield [completion_of(batch, why, row, result) for row, result in page]


async def _pages(
    runtime: Runtime, batch_id: UUID, read: Callable[..., Sequence[tuple[CompletionRow, _T]]]
) -> AsyncIterator[tuple[Batch, dict[int, RequestProblem], Sequence[tuple[CompletionRow, _T]]]]:
    """The requests of a batch in input order, by the page; and what says why some have no line.

    Until its results are collected the batch is loaded behind each page: it may have ended since
    the page before, and an outcome without its reason would be told.
    """
    batch = await runtime.load(batch_id)
    why = await runtime.in_store(_errors_of_lines, runtime.batches, batch)
    after = 0
    while page := await runtime.in_store(partial(read, batch_id, after=after)):
        if not batch.results_collected:
            batch = await runtime.load(batch_id)
            why = await runtime.in_store(_errors_of_lines, runtime.batches, batch)
        yield batch, why, page
        after = page[-1][0].number
    refuse_lost_requests(batch, after)


def _errors_of_lines(batches: Batches, batch: Batch) -> dict[int, RequestProblem]:
    """What the provider said of single lines when it failed the batch as a whole."""
    if batch.status is not BatchStatus.FAILED or not (batch.report and batch.report.errors):
        return {}
    report = batches.last_report(batch.id)
    return errors_by_line(report.errors if report is not None else ())


def errors_by_line(errors: Sequence[BatchProblem]) -> dict[int, RequestProblem]:
    """The first error of each line of the input that some are about."""
    return {
        error.line: RequestProblem(error.code, error.message)
        for error in reversed(errors)
        if error.line is not None
    }


def check_outcomes(only: object) -> None:
    """Raise `InputError` for what is no collection of outcomes.

    An outcome is a text as well, and so a collection of letters.
    """
    if isinstance(only, str) or not isinstance(only, Collection):
        raise InputError(f"only is {only!r}; give outcomes, for example [Outcome.FAILED]")
    for each in only:
        if each not in list(Outcome):
            raise InputError(f"only has {each!r}, which is no outcome")


def completion_of(
    batch: Batch, why: dict[int, RequestProblem], row: CompletionRow, result: ResultApplied | None
) -> Completion:
    """The completion of a request, from its row and the event of its result, if it has one.

    `why` is what the provider said of single lines of the input.
    """
    if result is None:
        pending = row.outcome is Outcome.PENDING
        error = None if pending else why.get(row.number, batch.rest_error)
        return Completion(
            row.number, row.custom_id, row.outcome, error=error, endpoint=batch.endpoint
        )
    removed = result.line.content is None
    return Completion(
        row.number,
        row.custom_id,
        row.outcome,
        result.status_code,
        result.error,
        result.usage,
        result.line.content,
        batch.endpoint,
        result.cost,
        removed=removed,
        redacted=removed and _is_redacted(batch),
    )


def _is_redacted(batch: Batch) -> bool:
    """Whether a result whose line was removed was redacted alone, not pruned with all others."""
    return batch.redactions > 0 and batch.pruned_version == 0


_PENDING = RequestProblem("pending", "The request has no result yet.")


def output_line(completion: Completion) -> bytes:
    """A completion as a line of the results file, in the provider's own shape.

    A request without a provider line gets a null response and an error with a code; that of a
    redacted one is `redacted`. Raises `BodyRemovedError` for a line that was pruned: a file of
    such would take the place of the results that somebody kept.
    """
    if completion.line is not None:
        return completion.line + b"\n"
    if completion.removed and not completion.redacted:
        raise _removed(completion)
    error = redaction_of(completion) or completion.error or _PENDING
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


def redaction_of(completion: Completion) -> RequestProblem | None:
    """What stands in the place of an answer that was redacted; None for any other."""
    if not completion.redacted:
        return None
    return RequestProblem("redacted", "What this request asked and got was redacted.")


def _removed(completion: Completion) -> BodyRemovedError:
    return BodyRemovedError(f"result line of request {completion.custom_id!r}")
