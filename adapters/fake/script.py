"""The verbs with which a test drives the fake provider."""

from collections.abc import Iterable, Mapping
from typing import Any

from ...application.errors import OutcomeUnknownError, ProviderError, UnavailableError
from ...application.ports import ProviderBatch
from ...domain.status import ResultFile
from ...domain.values import BatchProblem, RequestCounts, RequestProblem
from .account import Account
from .answers import Answer
from .faults import CallFault, Faults, TransferFault
from .life import RawStatus
from .operations import Call, Operation
from .visibility import Lag

UNKNOWN_MODEL = BatchProblem(
    "model_not_found",
    "The provided model is not supported by the Batch API.",
    param="body.model",
    line=1,
)
"""Nothing helps but another input."""

TOKEN_LIMIT = BatchProblem(
    "token_limit_exceeded",
    "Enqueued token limit reached for this model. "
    "Please try again once some in_progress batches have been completed.",
)
"""The same batch may be created again later."""


class Script:
    """What a test may see and do behind the provider's back; nothing here counts as a call.

    A verb raises ValueError when the batch cannot do what it asks for, and `NotFoundError` for an
    unknown batch. `operation` is an `Operation` or its word, such as "create". `times` is how
    often a fault strikes; faults of one operation strike in the order in which they were armed.
    """

    def __init__(self, account: Account) -> None:
        self.calls: list[Call] = []
        """Every call as it arrived, oldest first."""
        self._account = account
        self._faults = Faults()
        self._lag = Lag()

    # What there is to see.

    @property
    def batch_ids(self) -> tuple[str, ...]:
        """Every batch that was truly created, oldest first."""
        return tuple(self._account.batches)

    @property
    def file_ids(self) -> tuple[str, ...]:
        """Every file that is stored now, input and results, oldest first."""
        return tuple(self._account.files)

    def look(self, batch_id: str) -> ProviderBatch:
        """Return a batch as an answer would show it; `auto` does not move it."""
        return self._account.batch(batch_id).show(None)

    def content(self, file_id: str) -> bytes:
        """Return a stored file as it is."""
        return self._account.content(file_id)

    def count(self, operation: str) -> int:
        """How many calls of an operation arrived, whatever became of them."""
        return sum(call.operation == Operation(operation) for call in self.calls)

    # The life of a batch.

    def advance(self, batch_id: str, to: str | None = None) -> None:
        """Move a batch one step, or as many as it takes to the status `to`, OpenAI's word.

        The way is validating, in_progress, finalizing, completed, or failed after validating
        when its input file is bad; and from cancelling to cancelled.
        """
        batch = self._account.batch(batch_id)
        if to is None:
            self._account.step(batch)
        else:
            self._account.step_to(batch, RawStatus(to))

    def work(self, batch_id: str, *, finished: int) -> None:
        """Bring a batch in progress to `finished` requests, the first ones of its input."""
        batch = self._account.batch(batch_id)
        self._account.step_to(batch, RawStatus.IN_PROGRESS)
        self._account.work(batch, finished)

    def complete(self, batch_id: str) -> None:
        """Bring a batch to its regular end."""
        self.advance(batch_id, to=RawStatus.COMPLETED)

    def expire(self, batch_id: str, *, finished: int | None = None) -> None:
        """End a batch's window with `finished` requests done; None is as many as are.

        The rest has `batch_expired` lines in the error file.
        """
        self._account.expire(self._account.batch(batch_id), finished)

    def fail(self, batch_id: str, errors: Iterable[BatchProblem] = (UNKNOWN_MODEL,)) -> None:
        """Fail a validating batch as a whole: with `UNKNOWN_MODEL`, `TOKEN_LIMIT` or your own."""
        self._account.fail(self._account.batch(batch_id), errors)

    def finish_cancel(self, batch_id: str, *, finished: int | None = None) -> None:
        """Bring a cancelling batch to `cancelled` with `finished` requests; None is as many as are.

        The rest has `batch_cancelled` lines in the error file. A batch that was cancelled while
        validating has finished nothing and has no files.
        """
        self._account.finish_cancel(self._account.batch(batch_id), finished)

    # What requests are answered.

    def answer_with(
        self,
        custom_id: str,
        *,
        status_code: int = 200,
        body: Mapping[str, Any] | None = None,
        error: RequestProblem | None = None,
    ) -> None:
        """Answer the requests with this custom_id so, in every batch; see `Answer`."""
        self._account.answers[custom_id] = Answer(status_code, body, error)

    # Faults of calls.

    def fail_next(self, operation: str, error: BaseException, *, times: int = 1) -> None:
        """Have the next calls of an operation raise `error` without being done.

        Any exception will do, so a test can also let its process die there.
        """
        self._faults.arm_call(Operation(operation), CallFault(error, done=False), times)

    def lose_next_answer(
        self, operation: str, *, times: int = 1, error: BaseException | None = None
    ) -> None:
        """Have the next calls of an operation be done, and raise `error` instead of the answer.

        By default that is `OutcomeUnknownError` for an upload, a create or a synchronous request,
        and `UnavailableError` for the calls whose repeat is safe.
        """
        operation = Operation(operation)
        fault = CallFault(error or _lost(operation), done=True)
        self._faults.arm_call(operation, fault, times)

    def fail_always(self, error: BaseException) -> None:
        """Have every call raise `error` without being done, until `heal`."""
        self._faults.always = error

    def break_download(self, *, after_bytes: int, times: int = 1) -> None:
        """Have the next downloads raise `UnavailableError` after so many bytes."""
        error = UnavailableError("The connection broke off during a download.")
        self._faults.arm_transfer(TransferFault(after_bytes, error), times)

    def shorten_download(self, *, after_bytes: int, times: int = 1) -> None:
        """Have the next downloads end after so many bytes as if that were the whole file."""
        self._faults.arm_transfer(TransferFault(after_bytes, None), times)

    def heal(self) -> None:
        """Disarm the faults of calls and downloads that have not struck."""
        self._faults.clear()

    # What lags.

    def hide_from_list(self, batch_id: str | None = None, *, times: int) -> None:
        """Leave a batch out of the next walks through the list; None is the next one created."""
        self._lag.batches.hide(batch_id, times)

    def hide_file(self, file_id: str | None = None, *, times: int) -> None:
        """Have the next creates that name a file not find it; None is the next one uploaded."""
        self._lag.files.hide(file_id, times)

    # What a batch shows of itself.

    def show_status(self, batch_id: str, word: str | None) -> None:
        """Report this word as a batch's status, an unknown one too; None is the truth again."""
        self._account.batch(batch_id).shown_status = word

    def show_counts(self, batch_id: str, counts: RequestCounts | None) -> None:
        """Report these request_counts of a batch, right or wrong; None is the truth again."""
        self._account.batch(batch_id).shown_counts = counts

    # How result lines are written, in every result file that is made afterwards.

    def drop_line(self, custom_id: str) -> None:
        """Leave out a request's line, although the counts include it."""
        self._account.shapes.shape_line(custom_id, copies=0)

    def repeat_line(self, custom_id: str) -> None:
        """Write a request's line twice."""
        self._account.shapes.shape_line(custom_id, copies=2)

    def garble_line(self, custom_id: str) -> None:
        """Write only the first half of a request's line, which is not JSON."""
        self._account.shapes.shape_line(custom_id, garbled=True)

    def rename_line(self, custom_id: str, to: str | None) -> None:
        """Give a request's line another custom_id, or with None take the field away."""
        self._account.shapes.shape_line(custom_id, renamed=True, new_custom_id=to)

    def add_line(self, raw: bytes, file: ResultFile = ResultFile.OUTPUT) -> None:
        """Begin a result file with this line, given without its newline."""
        self._account.shapes.added[file].append(raw)

    def cut_last_line(self, file: ResultFile = ResultFile.OUTPUT) -> None:
        """End a result file in the middle of its last line."""
        self._account.shapes.cut.add(file)


def _lost(operation: Operation) -> ProviderError:
    message = f"The answer to a call of {operation} was lost."
    if operation in (Operation.UPLOAD, Operation.CREATE, Operation.COMPLETE):
        return OutcomeUnknownError(message)
    return UnavailableError(message)
