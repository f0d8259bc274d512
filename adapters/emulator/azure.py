"""Azure OpenAI's dialect, as its REST samples and error table show it.

Microsoft's samples (azure-ai-docs, `batch-rest.md` and the troubleshooting part of `batch.md`)
are the source of the status `Validating`, the ISO times with seven digits, the counts of null,
the ids made of GUIDs, the failed batch with `completed_at` and both files, the error codes and
the 14 to 30 days of `expires_after`. Issue reports are the source of the 401, of the 404 for a
call without `api-version`, of the Content-Type that an upload needs, and of the words for a file
that is not processed yet. By analogy, because no
source shows them: the other statuses in the same spelling (`InProgress`), and the codes of HTTP
errors that repeat the status.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from aiohttp import web
from attrs import evolve

from . import wire
from .answers import ENDPOINTS
from .errors import ApiError
from .lifecycle import Stage, Status, expires_at
from .manners import Manners, canonical, check_key
from .records import BatchProblem, BatchRecord, FileRecord
from .shapes import BARE_RESULT_LINE, BARE_UNDONE_LINE
from .wire import Object

_TICKS: Final = 10_000_000  # .NET's, 100 ns each
_DENIED: Final = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a "
    "valid key for an active subscription and use a correct regional API endpoint for your "
    "resource."
)
_EMPTY: Final = (
    "The input file is empty. Please ensure that the batch contains at least one request."
)
_CODES: Final[Mapping[str, str]] = {
    "invalid_url": "url_mismatch",
    "mismatched_model": "model_mismatch",
    "empty_batch": "empty_file",
    # The line's schema is invalid.
    "missing_required_parameter": "invalid_request",
    "invalid_type": "invalid_request",
    "invalid_value": "invalid_request",
    "streaming_unsupported": "invalid_request",
}
_MESSAGES: Final[Mapping[str, str]] = {"empty_batch": _EMPTY}


def _check_access(request: web.Request, bad_keys: tuple[str, ...]) -> None:
    """Demand `api-key` (the emulator knows no Entra tokens), and a version in older addresses."""
    key = request.headers.get("api-key", "").strip()
    check_key(key, bad_keys, ApiError(401, _DENIED))
    if not request.match_info["v1"] and not request.query.get("api-version"):
        raise _unknown_route(request)


def _unknown_route(_request: web.Request) -> ApiError:
    return ApiError(404, "Resource not found")


def _envelope(error: ApiError) -> Object:
    return {"error": {"code": error.code or str(error.status), "message": error.message}}


def _headers(_milliseconds: int) -> dict[str, str]:
    return {"apim-request-id": str(uuid4()), "x-content-type-options": "nosniff"}


def _file_object(record: FileRecord) -> Object:
    """Return a File; its times are Unix seconds even where those of batches are not."""
    shown = wire.file_object(record)
    del shown["status_details"]
    return shown


def _batch_object(record: BatchRecord, stage: Stage) -> Object:
    """Return a Batch, without OpenAI's later fields `model` and `usage`.

    A batch that fails validation seems to have run: its times are set, but not `failed_at`.
    """
    results, failed_at = record.results, stage.failed_at
    has_failed = stage.status is Status.FAILED
    return {
        "cancelled_at": _iso(stage.cancelled_at),
        "cancelling_at": _iso(stage.cancelling_at),
        "completed_at": _iso(stage.completed_at or failed_at),
        "completion_window": "24h",
        "created_at": _iso(record.created_at),
        "endpoint": record.endpoint,
        "error_file_id": results and results.error_file_id,
        "expired_at": _iso(stage.expired_at),
        "expires_at": _iso(expires_at(record)),
        "failed_at": None,
        "finalizing_at": _iso(stage.finalizing_at or failed_at),
        "id": record.id,
        "in_progress_at": _iso(stage.in_progress_at or failed_at),
        "input_file_id": record.input_file_id,
        "errors": wire.errors(record.verdict) if has_failed else None,
        "metadata": record.metadata,
        "object": "batch",
        "output_file_id": results and results.output_file_id,
        "request_counts": _counts(record, stage),
        "status": "".join(word.capitalize() for word in stage.status.split("_")),
    }


def _counts(record: BatchRecord, stage: Stage) -> dict[str, int | None]:
    """Return the counts; what is not known yet is null, and a running batch knows no zeros."""
    counts = wire.counts(record, stage)
    is_known = record.results is not None and stage.status is not Status.FAILED
    return {name: count if is_known else count or None for name, count in counts.items()}


def _iso(moment: float | None) -> str | None:
    if moment is None:
        return None
    seconds, ticks = divmod(int(moment * _TICKS), _TICKS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ticks:07}+00:00"


def _spellings(endpoint: str) -> tuple[str, ...]:
    """Return both spellings of an endpoint; Azure's own comes first."""
    return canonical(endpoint).removeprefix("/v1"), canonical(endpoint)


def _file_not_ready(file_id: str) -> ApiError:
    return ApiError(
        400,
        f"The input file '{file_id}' is in 'pending' state. Only files with status 'Processed' are "
        "accepted for batch inferencing. Please check the file status and try again",
    )


def _problem(problem: BatchProblem) -> BatchProblem:
    code = problem.code
    return evolve(
        problem, code=_CODES.get(code, code), message=_MESSAGES.get(code, problem.message)
    )


AZURE: Final = Manners(
    base_path="/openai/v1",
    routes="/openai{v1:(?:/v1)?}",
    check_access=_check_access,
    unknown_route=_unknown_route,
    envelope=_envelope,
    headers=_headers,
    new_batch_id=lambda _created_at: f"batch_{uuid4()}",
    new_file_id=lambda: f"file-{uuid4().hex}",
    file_object=_file_object,
    batch_object=_batch_object,
    endpoints=tuple(spelling for each in ENDPOINTS for spelling in _spellings(each)),
    urls=_spellings,
    file_not_ready=_file_not_ready,
    problem=_problem,
    result_line=BARE_RESULT_LINE,
    undone_line=BARE_UNDONE_LINE,
    reads_uploads=False,
    needs_part_type=True,
    shortest_life=14 * 86_400,
    keeps_empty_error_file=True,
    failed_has_files=True,
)
