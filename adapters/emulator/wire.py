"""Records as the JSON objects that OpenAI answers, in the order of its keys."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from .faults import Fault, FaultKind
from .lifecycle import Stage, Status, expires_at
from .records import BatchRecord, FileRecord, Usage, Verdict

ORGANIZATION: Final = "org-emulator"
PROJECT: Final = "proj_emulator"

Object = dict[str, Any]


def file_object(record: FileRecord) -> Object:
    """Return a File; batch files are `processed` at once."""
    return {
        "object": "file",
        "id": record.id,
        "purpose": record.purpose,
        "filename": record.filename,
        "bytes": record.bytes,
        "created_at": int(record.created_at),
        "expires_at": _seconds(record.expires_at),
        "status": "processed",
        "status_details": None,
    }


def batch_object(record: BatchRecord, stage: Stage) -> Object:
    """Return a Batch; all keys are present, whatever its status."""
    results = record.results
    return {
        "id": record.id,
        "object": "batch",
        "endpoint": record.endpoint,
        "model": record.verdict and record.verdict.model,
        "errors": errors(record.verdict) if stage.status is Status.FAILED else None,
        "input_file_id": record.input_file_id,
        "completion_window": "24h",
        "status": stage.status.value,
        "output_file_id": results and results.output_file_id,
        "error_file_id": results and results.error_file_id,
        "created_at": int(record.created_at),
        "in_progress_at": _seconds(stage.in_progress_at),
        "expires_at": int(expires_at(record)),
        "finalizing_at": _seconds(stage.finalizing_at),
        "completed_at": _seconds(stage.completed_at),
        "failed_at": _seconds(stage.failed_at),
        "expired_at": _seconds(stage.expired_at),
        "cancelling_at": _seconds(stage.cancelling_at),
        "cancelled_at": _seconds(stage.cancelled_at),
        "request_counts": counts(record, stage),
        "usage": _usage(results.usage if results else Usage()),
        "metadata": record.metadata,
    }


def deformed(shown: Object, faults: Iterable[Fault]) -> Object:
    """Return a Batch as these faults show it."""
    for fault in faults:
        _deform(shown, fault)
    return shown


def list_object(items: Sequence[Object], *, has_more: bool) -> Object:
    """Return a page of a list."""
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": has_more,
    }


def errors(verdict: Verdict | None) -> Object | None:
    """Return the `errors` of a Batch that failed validation."""
    if verdict is None:
        return None
    return {
        "object": "list",
        "data": [
            {
                "code": error.code,
                "message": error.message,
                "param": error.param,
                "line": error.line,
            }
            for error in verdict.errors
        ],
    }


def counts(record: BatchRecord, stage: Stage) -> dict[str, int]:
    """Return the `request_counts` of a Batch; zeros until its input was read."""
    verdict, results = record.verdict, record.results
    if verdict is None or stage.in_progress_at is None:
        return {"total": 0, "completed": 0, "failed": 0}
    if results is not None:
        completed, failed = results.completed, results.failed
    else:
        # On the way the failures count as evenly spread; only the end counts them exactly.
        failed = verdict.failing * stage.done // verdict.total
        completed = stage.done - failed
    return {"total": verdict.total, "completed": completed, "failed": failed}


def _usage(usage: Usage) -> Object:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def _seconds(moment: float | None) -> int | None:
    return None if moment is None else int(moment)


def _deform(shown: Object, fault: Fault) -> None:
    match fault.kind:
        case FaultKind.EMPTY_FILE_IDS:
            for name in ("output_file_id", "error_file_id"):
                shown[name] = shown[name] or ""
        case FaultKind.CAPITALISED_STATUS:
            shown["status"] = shown["status"].capitalize()
        case FaultKind.UNKNOWN_STATUS:
            shown["status"] = fault.word
        case FaultKind.WRONG_COUNTS:
            seen: Mapping[str, int | None] = shown["request_counts"]
            wrong = {name: (seen[name] or 0) + fault.count for name in ("total", "completed")}
            shown["request_counts"] = {**seen, **wrong}
        case _:
            pass
