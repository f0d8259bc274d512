"""Which requests of a batch are asked once more, and their lines."""

from collections import Counter
from collections.abc import AsyncIterator, Collection

from ..domain.batch import Batch
from ..domain.errors import NotCollectedError, NothingToRetryError
from ..domain.outcomes import is_worth_retrying
from ..domain.status import Outcome
from .completions import Completion, completions
from .runtime import Runtime


async def requests_to_retry(
    runtime: Runtime, batch: Batch, only: Collection[Outcome] | None
) -> AsyncIterator[bytes]:
    """The request lines of a collected batch that are to be sent again, in input order.

    Those worth it, or with `only` those that came to one of these outcomes. Constant memory.
    Raises `NotCollectedError`, and `NothingToRetryError` at the end when there was none.
    """
    if not batch.results_collected:
        raise NotCollectedError(batch.id, batch.status)
    lines = _lines(runtime, batch)
    left = Counter[Outcome]()
    found = False
    async for completion in completions(runtime, batch.id):
        line = await anext(lines)
        if _is_wanted(batch, completion, only):
            found = True
            yield line
        else:
            left[completion.outcome] += 1
    if not found:
        raise NothingToRetryError(batch.id, _why_nothing(left, only))


def _is_wanted(batch: Batch, completion: Completion, only: Collection[Outcome] | None) -> bool:
    if only is not None:
        return completion.outcome in only
    return is_worth_retrying(completion.outcome, completion.status_code, _code(batch, completion))


def _code(batch: Batch, completion: Completion) -> str | None:
    """Why a request failed; one that only went down with its batch, why that did."""
    if completion.error == batch.rest_error and batch.errors:
        return batch.errors[0].code
    return completion.error.code if completion.error else None


def _why_nothing(left: Counter[Outcome], only: Collection[Outcome] | None) -> str:
    counts = ", ".join(f"{count:,} {outcome.value}" for outcome, count in left.items())
    if only is not None:
        return f"no request is {' or '.join(sorted(only))} ({counts})"
    if left[Outcome.FAILED]:
        return (
            f"{counts}; those that failed would fail again (no 408, 429, 5xx or time-out); "
            "take them all the same with `--only failed`"
        )
    return counts


async def _lines(runtime: Runtime, batch: Batch) -> AsyncIterator[bytes]:
    """The request lines of a batch, as they were recorded."""
    chunks = runtime.batches.input_lines(batch.id)
    while (chunk := await runtime.in_store(next, chunks, None)) is not None:
        for line in chunk.split(b"\n")[:-1]:
            yield line
