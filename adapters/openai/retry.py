"""Pure decisions: what a failed call means, whether to repeat it, and after how long."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus

from attrs import frozen

from ...application.errors import (
    FileNotReadyError,
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    QuotaError,
    RateLimitedError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)

LONGEST_WAIT = 120.0
"""Seconds that the adapter itself waits for a server; a longer wait is the caller's to schedule."""

_WEEK = 7 * 24 * 3600.0
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_CLIENT_CLOSED_REQUEST = 499  # nginx and its kin, which then do not know what came of it
_UNCLEAR = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.LOCKED,
        HTTPStatus.TOO_EARLY,
        _CLIENT_CLOSED_REQUEST,
    }
)
"""Refusals by their number that are none: they pass, or say nothing of what was done."""

_NOT_HERE = frozenset({HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT})
_FILE_PARAMS = frozenset({"file_id", "input_file_id", "file", "id"})
_FILE_MISSING = re.compile(
    r"\b(cannot|can't|could not|couldn't|unable to) find (the |an? )?(input )?file\b"
    r"|\bno such (input )?file\b"
    # Between the word and what is said of it there may be an id, and nothing else: in "the file
    # uses model x, which does not exist" it is not the file that is missing.
    r"|\b(input_)?file(_id)?( object)?( with id)?[ :=]*"
    r"(['\"`][^'\"`]{1,300}['\"`]|[^\s'\"`]*[\d_=-][^\s'\"`]*)?"
    r" (was |is |could |can)?(not (be )?found|does not exist|doesn't exist)",
    re.IGNORECASE,
)
_FILE_NOT_READY = re.compile(
    # Azure's words for a file that it has not processed yet; of the state 'error' none will be.
    r"\bfile '[^\s']{1,300}' is in '(uploaded|pending|running)' state\b",
    re.IGNORECASE,
)


class Operation(Enum):
    """The calls of the adapter, by what a repeat of each would do."""

    RETRIEVE = "retrieve batch"
    LIST = "list batches"
    LIST_FILES = "list files"
    CANCEL = "cancel batch"
    DOWNLOAD = "download file"
    DELETE = "delete file"
    UPLOAD = "upload file"
    CREATE = "create batch"
    COMPLETE = "complete request"

    @property
    def is_repeatable(self) -> bool:
        """Whether a second call does no harm even if the first was carried out."""
        return self not in {Operation.UPLOAD, Operation.CREATE, Operation.COMPLETE}

    @property
    def names_a_resource(self) -> bool:
        """Whether a 404 is about the batch or file in the address."""
        return self in {Operation.RETRIEVE, Operation.CANCEL, Operation.DOWNLOAD, Operation.DELETE}


@frozen
class Failure:
    """A call that brought no usable answer.

    `status` is None when no answer came. `may_be_done` is false only when the request surely
    did not reach the server whole. `retry_after` is in seconds, `should_retry` the server's own
    opinion (`x-should-retry`).
    """

    message: str
    may_be_done: bool = True
    status: int | None = None
    code: str | None = None
    param: str | None = None
    kind: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    should_retry: bool | None = None

    @property
    def is_doubtful(self) -> bool:
        """Whether the call may have been carried out all the same."""
        status = self.status
        return self.may_be_done and (status is None or _is_trouble(status) or _may_follow(status))


@frozen
class Backoff:
    """How often to try in all, and the waits between: doubling from `first` to `longest` s."""

    max_attempts: int
    first: float
    longest: float

    def delay(self, attempt: int, chance: float) -> float:
        """Return the seconds after failed attempt `attempt`, spread over their upper half."""
        bound = min(self.longest, self.first * 2.0 ** min(attempt - 1, 60))
        return bound * (1 + chance) / 2


def error_for(operation: Operation, failure: Failure) -> ProviderError:  # noqa: PLR0911 -- a decision table
    """Choose the error that tells the caller what it may do next."""
    status = failure.status
    if status is None or status < HTTPStatus.MULTIPLE_CHOICES:  # nothing came, or nothing readable
        return _error(_lost(operation, failure), failure)
    if _is_about_money(failure):
        return _error(QuotaError, failure)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return _error(UnauthorizedError, failure)
    if status == HTTPStatus.TOO_MANY_REQUESTS or _is_told_to_wait(operation, failure):
        return _error(RateLimitedError, failure)
    # What a create call is in conflict with may be what it made itself on another way.
    is_own_conflict = operation is Operation.CREATE and status == HTTPStatus.CONFLICT
    # Of an upload that was done all the same nobody pays, and more redirects would follow.
    is_led_away = _may_follow(status) and operation in {Operation.CREATE, Operation.COMPLETE}
    if _is_trouble(status) or is_own_conflict or is_led_away:
        return _error(_lost(operation, failure), failure)
    if status == HTTPStatus.NOT_FOUND and operation.names_a_resource:
        return _error(NotFoundError, failure)
    if operation is Operation.CREATE and _says_of_the_file(failure, _FILE_NOT_READY):
        return _error(FileNotReadyError, failure)
    if operation is Operation.CREATE and _is_about_a_missing_file(failure):
        return _error(NotFoundError, failure)
    return _error(RefusedError, failure)


def wait_before_repeat(
    operation: Operation, failure: Failure, attempt: int, backoff: Backoff, chance: float
) -> float | None:
    """Return the seconds to wait before the call is repeated, or None when it must not be.

    `attempt` counts from 1; `chance` is a random number from [0, 1). A create call is never
    repeated here, whatever happened: only the caller can find out whether it was done.
    """
    if (
        operation is Operation.CREATE
        or attempt >= backoff.max_attempts
        or failure.should_retry is False
    ):
        return None
    error = error_for(operation, failure)
    # These two say that the call was not done or does no harm when it is done twice.
    is_transient = isinstance(error, UnavailableError | RateLimitedError)
    # 409 is how a cancel learns that the batch is over; the official SDK repeats it in vain.
    is_asked_for = (
        failure.should_retry is True
        and operation.is_repeatable
        and isinstance(error, RefusedError)
        and failure.status != HTTPStatus.CONFLICT
    )
    if not (is_transient or is_asked_for):
        return None
    if failure.retry_after is None:
        return backoff.delay(attempt, chance)
    if failure.retry_after > LONGEST_WAIT:
        return None
    return failure.retry_after + chance * backoff.first


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read the seconds that a server asks to wait; None when it asks for none or for nonsense.

    Reads `retry-after-ms`, then `Retry-After` as seconds or as an HTTP date. `headers` must
    ignore case. A wait of more than a week is cut to a week.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) / unit
        except ValueError:
            seconds = _seconds_until(text, now) if unit == 1 else 0.0
        if math.isfinite(seconds) and seconds > 0:
            return min(seconds, _WEEK)
    return None


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """Read the server's opinion in `x-should-retry`, if any. `headers` must ignore case."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def _seconds_until(http_date: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(http_date)
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError):
        return 0.0


def _lost(operation: Operation, failure: Failure) -> type[ProviderError]:
    is_harmless = operation.is_repeatable or not failure.may_be_done
    return UnavailableError if is_harmless else OutcomeUnknownError


def _is_trouble(status: int) -> bool:
    return status in _UNCLEAR or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _may_follow(status: int) -> bool:
    """Whether a success or a redirect may come after the deed, as in POST-redirect-GET.

    307 and 308 do not: they ask for the same call at another address.
    """
    return status < HTTPStatus.BAD_REQUEST and status not in _NOT_HERE


def _is_about_money(failure: Failure) -> bool:
    # A proxy's 5xx may repeat the words, but does not prove that nothing was done.
    if failure.status is None or _is_trouble(failure.status):
        return False
    names_money = bool({failure.code, failure.kind} & _QUOTA_CODES)
    return names_money or failure.status == HTTPStatus.PAYMENT_REQUIRED


def _is_told_to_wait(operation: Operation, failure: Failure) -> bool:
    """Whether a server in trouble names a time: an upload was then not taken, a read can wait."""
    if failure.retry_after is None or failure.status is None:
        return False
    if operation is Operation.UPLOAD:
        return failure.status == HTTPStatus.SERVICE_UNAVAILABLE
    is_long = failure.retry_after > LONGEST_WAIT
    return is_long and operation.is_repeatable and _is_trouble(failure.status)


def _is_about_a_missing_file(failure: Failure) -> bool:
    # A file that was uploaded a moment ago may not be visible yet (issue reports).
    if failure.status == HTTPStatus.NOT_FOUND and failure.param in _FILE_PARAMS:
        return True
    return _says_of_the_file(failure, _FILE_MISSING)


def _says_of_the_file(failure: Failure, words: re.Pattern[str]) -> bool:
    if failure.status not in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}:
        return False
    is_about_another = failure.param is not None and failure.param not in _FILE_PARAMS
    return not is_about_another and words.search(failure.message) is not None


def _error(kind: type[ProviderError], failure: Failure) -> ProviderError:
    return kind(
        failure.message,
        code=failure.code,
        param=failure.param,
        http_status=failure.status,
        request_id=failure.request_id,
        retry_after=failure.retry_after,
    )
