"""What can go wrong outside the domain: at the provider, in the input, in the store."""

from collections.abc import Sequence
from http import HTTPStatus
from uuid import UUID

from ..domain.errors import BatchtrailError, InputError, RequestRefusedError
from .texts import storable

__all__ = [
    "AnswerMismatchError",
    "BatchNotFoundError",
    "BatchtrailError",
    "ClosedError",
    "ConflictError",
    "DatabaseMovedError",
    "DatabaseRefusedError",
    "FileNotReadyError",
    "HandlerError",
    "HandlerFailedError",
    "HandlerNotAllowedError",
    "HandlerUnavailableError",
    "InputError",
    "NoDatabaseError",
    "NotFoundError",
    "OutcomeUnknownError",
    "ProviderError",
    "QuotaError",
    "RateLimitedError",
    "RefusedError",
    "SchemaRefusedError",
    "StoreError",
    "UnauthorizedError",
    "UnavailableError",
    "is_of_account",
    "is_of_this_call",
    "problem_text",
    "worth_tracing",
]

_SHOWN = 3
_LONGEST_PROBLEM = 2_000
"""Characters. A foreign exception may carry a whole answer; the log tells enough of it."""


def problem_text(error: BaseException) -> str:
    """What went wrong, as a text that can be stored: an error of ours speaks for itself."""
    ours = isinstance(error, BatchtrailError)
    text = str(error) if ours else f"{type(error).__name__}: {_words_of(error)}"
    if len(text) > _LONGEST_PROBLEM:
        text = f"{text[:_LONGEST_PROBLEM]}…"
    return storable(text)


def _words_of(error: BaseException) -> str:
    """What an error says; one of users' code may fail even at that."""
    try:
        return str(error)
    except Exception as another:  # noqa: BLE001
        return f"(its text cannot be told: {type(another).__name__})"


def is_of_account(error: Exception) -> bool:
    """Whether an error is about the key or the account, so that every call fails with it.

    Access to a single thing may be forbidden to a key that is right.
    """
    is_of_key = isinstance(error, UnauthorizedError) and error.http_status != HTTPStatus.FORBIDDEN
    return is_of_key or isinstance(error, QuotaError)


def is_of_this_call(error: Exception) -> bool:
    """Whether the provider refuses just this call, for good: others may be answered meanwhile."""
    is_refused = isinstance(error, RefusedError | NotFoundError | UnauthorizedError)
    return is_refused and not is_of_account(error)


def worth_tracing(error: BaseException) -> BaseException | None:
    """The error whose traceback helps: a handler's own, and what nobody has foreseen."""
    if isinstance(error, HandlerFailedError):
        return error.__cause__
    return None if isinstance(error, BatchtrailError) else error


class SchemaRefusedError(RequestRefusedError):
    """A JSON schema that strict mode does not take; `violations` has a sentence for each reason."""

    def __init__(self, field: str, violations: Sequence[str]) -> None:
        self.violations = tuple(violations)
        shown = "; ".join(self.violations[:_SHOWN])
        more = len(self.violations) - _SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        super().__init__(f"does not fit strict mode: {shown}{rest}", field=field)


class AnswerMismatchError(BatchtrailError):
    """The model's answer is not of the form that the caller wants to read."""


class BatchNotFoundError(InputError):
    """The store has no such batch."""

    def __init__(self, batch_id: UUID | str) -> None:
        super().__init__(f"there is no batch {batch_id} in this database; `status` lists them")


class HandlerError(BatchtrailError):
    """The completion handler of a batch did not run to its end; the batch's results are safe."""


class HandlerUnavailableError(HandlerError):
    """The completion handler cannot be had in this process: not allowed, or not importable."""


class HandlerNotAllowedError(HandlerUnavailableError):
    """This process may not import the completion handler; another one may."""


class HandlerFailedError(HandlerError):
    """The completion handler raised; the error is its `__cause__`."""


class StoreError(BatchtrailError):
    """The store failed or holds what cannot be read."""


class DatabaseMovedError(StoreError):
    """The database that was opened does not stand under its name any more.

    What would be written to it is lost, and nobody else sees it.
    """


class DatabaseRefusedError(StoreError, InputError):
    """The named database is not there, not ours or too new; nothing was changed."""

    @classmethod
    def of_newer(cls, where: object, what: str, version: int, known: int) -> "DatabaseRefusedError":
        """The refusal of a database whose `what` only a newer version of this software knows."""
        return cls(
            f"{where} was made by a newer version of batchtrail ({what} {version}, "
            f"this one knows {known}); upgrade batchtrail"
        )


class NoDatabaseError(DatabaseRefusedError):
    """There is no database yet, and what was asked must not begin one."""


class ClosedError(BatchtrailError):
    """The trail was closed: its block is over, and its database is not in use any more."""

    def __init__(self) -> None:
        super().__init__("the trail is closed; open it again to go on")


class ConflictError(BatchtrailError):
    """Another process recorded events of the same batch first; reload and decide again."""


class ProviderError(BatchtrailError):
    """A provider call that did not succeed, with the provider's own words where it gave any.

    `code`, `param` and `message` are as the provider sent them; `http_status` and `request_id`
    come from its answer; `retry_after` is how many seconds it asks to wait, None when it does
    not say. The subclasses tell what the caller may do next.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        http_status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = message
        self.code = code
        self.param = param
        self.http_status = http_status
        self.request_id = request_id
        self.retry_after = retry_after
        notes = [f"code {code}"] if code else []
        notes += [f"HTTP {http_status}"] if http_status else []
        notes += [f"request id {request_id}"] if request_id else []
        super().__init__(f"{message} ({', '.join(notes)})" if notes else message)


class UnavailableError(ProviderError):
    """The provider is out of reach, and a repeat is safe.

    A create or an upload was surely not done; a read, a cancellation or a deletion may have
    been, and repeating it does no harm.
    """


class RateLimitedError(ProviderError):
    """The call was not done because there were too many; repeat it after `retry_after` seconds."""


class OutcomeUnknownError(ProviderError):
    """The call was sent and its answer was lost: it may or may not have been done."""


class RefusedError(ProviderError):
    """The provider refuses this call for good; repeating it as it is cannot help."""


class QuotaError(ProviderError):
    """The account's credit or quota is used up: not done, and not before somebody pays."""


class NotFoundError(ProviderError):
    """The file or batch does not exist, or is not visible yet."""


class FileNotReadyError(NotFoundError):
    """The input file is there, but the provider has not processed it yet: not done."""


class UnauthorizedError(ProviderError):
    """The key is wrong or lacks access: not done."""
