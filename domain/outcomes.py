"""What became of a request: judged from its result line, or from the end of its batch."""

from .status import BatchStatus, Outcome
from .values import RequestProblem, ResultLine

_SUCCESS = (Outcome.SUCCEEDED, None)
_NOT_RUN = {
    "batch_expired": Outcome.EXPIRED,
    "batch_cancelled": Outcome.CANCELED,
    "batch_canceled": Outcome.CANCELED,
}
_GIVEN_UP = RequestProblem(
    "given_up", "The batch was given up at its maximum age; this request has no result line."
)
_PASSING_STATUSES = (408, 429)
_SERVER_ERROR = 500
_PASSING_CODES = (
    "given_up",
    "token_limit_exceeded",
    "rate_limit_exceeded",
    "request_timeout",  # of the call to the model (OpenAI's API reference)
    "server_error",
)
_NO_REASON = "The provider reported a failure without saying why."
_REST: dict[BatchStatus, tuple[Outcome, RequestProblem]] = {
    BatchStatus.ENDED: (
        Outcome.MISSING,
        RequestProblem("missing", "The batch ended and neither result file mentions this request."),
    ),
    BatchStatus.EXPIRED: (
        Outcome.EXPIRED,
        RequestProblem("batch_expired", "The batch expired before this request was executed."),
    ),
    BatchStatus.CANCELED: (
        Outcome.CANCELED,
        RequestProblem(
            "batch_cancelled", "The batch was canceled before this request was executed."
        ),
    ),
    BatchStatus.FAILED: (
        Outcome.FAILED,
        RequestProblem("batch_failed", "The batch failed before this request was executed."),
    ),
}


def judge(line: ResultLine) -> tuple[Outcome, RequestProblem | None]:
    """The outcome that a readable result line gives its request, and the error if it failed.

    The line's content decides, not the file it came from: compatible servers put failures
    into the output file.
    """
    if line.answered and is_success(line.status_code):
        return _SUCCESS
    error = _error_of(line)
    if not line.answered and error.code in _NOT_RUN:
        return _NOT_RUN[error.code], error
    return Outcome.FAILED, error


def is_success(status_code: int | None) -> bool:
    """Whether an answer with this status is a success; one that tells none is."""
    return status_code is None or 200 <= status_code < 300  # noqa: PLR2004 (the HTTP success range)


def _error_of(line: ResultLine) -> RequestProblem:
    """The first code and the first message that the line gives, beside or inside the body."""
    given = [error for error in (line.error, line.body_error) if error is not None]
    code = next((error.code for error in given if error.code), None)
    message = next((error.message for error in given if error.message), _NO_REASON)
    return RequestProblem(code, message)


def rest_of(
    status: BatchStatus, *, given_up: bool = False, lost: RequestProblem | None = None
) -> tuple[Outcome, RequestProblem]:
    """The outcome of a request that no result line mentions, after the batch's end.

    `lost` says why a result file is out of reach: what happened to the request is then unknown.
    """
    if lost is not None:
        return Outcome.MISSING, lost
    if given_up:
        return Outcome.FAILED, _GIVEN_UP
    return _REST[status]


def is_worth_retrying(outcome: Outcome, status_code: int | None, code: str | None) -> bool:
    """Whether asking the same once more may succeed.

    So for requests that never ran, and for answers that speak of the server, of a time-out or
    of too many calls (408, 429, 5xx); not for what is wrong with the request itself.
    """
    if outcome is Outcome.FAILED:
        if status_code is None:
            return code in _PASSING_CODES
        return status_code in _PASSING_STATUSES or status_code >= _SERVER_ERROR
    return outcome in (Outcome.EXPIRED, Outcome.CANCELED, Outcome.MISSING)
