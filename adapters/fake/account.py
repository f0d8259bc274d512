"""What the fake holds, and the rules by which its files and batches live."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from ...application.errors import NotFoundError, RefusedError
from ...application.ports import CreateRequest, DirectAnswer, StoredFile, UploadedFile
from ...domain.status import ResultFile
from ...domain.values import BatchProblem, Limits, RequestProblem
from .answers import Answer, Answering
from .direct import direct_answer, read_request
from .input_file import InputRequest, begins_with_json, validate
from .life import FakeBatch, RawStatus
from .results import CANCELLED, EXPIRED, FileShapes, answered, not_run

_WINDOWS = frozenset({"24h"})
_START = datetime(2026, 1, 1, tzinfo=UTC)
_UNDER_WAY = (RawStatus.VALIDATING, RawStatus.IN_PROGRESS, RawStatus.FINALIZING)


def seconds_from_start() -> Callable[[], datetime]:
    """Return a clock that starts at a fixed moment and shows one second more at each reading."""
    readings = count()
    return lambda: _START + timedelta(seconds=next(readings))


class Account:
    """Files and batches under one key, in the order in which they were made.

    Errors are those of the port when a call is refused, and ValueError when a test asks a batch
    for something that cannot follow.
    """

    def __init__(
        self,
        limits: Limits,
        answering: Answering,
        seed: int,
        now: Callable[[], datetime],
        models: Container[str] | None,
    ) -> None:
        self.limits = limits
        self.answers: dict[str, Answer] = {}
        self.shapes = FileShapes()
        self.files: dict[str, bytes] = {}
        self.inputs: dict[str, StoredFile] = {}
        self.batches: dict[str, FakeBatch] = {}
        self.now = now
        self._models = models
        self._answering = answering
        self._seed = seed
        self._file_numbers = count(1)
        self._direct_numbers = count(1)

    def content(self, file_id: str, request_id: str | None = None) -> bytes:
        """Return a stored file, or raise `NotFoundError`."""
        if file_id not in self.files:
            raise NotFoundError(
                f"No such File object: {file_id}",
                param="id",
                http_status=404,
                request_id=request_id,
            )
        return self.files[file_id]

    def delete(self, file_id: str, request_id: str) -> None:
        """Forget a stored file, or raise `NotFoundError`."""
        self.content(file_id, request_id)
        del self.files[file_id]
        self.inputs.pop(file_id, None)

    def batch(self, batch_id: str, request_id: str | None = None) -> FakeBatch:
        """Return a batch, or raise `NotFoundError`."""
        if batch_id not in self.batches:
            raise NotFoundError(
                f"No batch found with id '{batch_id}'.", http_status=404, request_id=request_id
            )
        return self.batches[batch_id]

    def newest_first(self, after: str | None) -> Iterator[FakeBatch]:
        """Return the batches older than `after`, or all."""
        end = self.batches[after].number if after else len(self.batches) + 1
        return (batch for batch in reversed(self.batches.values()) if batch.number < end)

    def upload(self, filename: str, content: bytes, request_id: str) -> UploadedFile:
        """Store an input file, or raise `RefusedError` for what OpenAI notices at once."""
        if not filename.endswith(".jsonl") or not begins_with_json(content):
            raise RefusedError(
                "Invalid file format for Batch API. Must be .jsonl",
                http_status=400,
                request_id=request_id,
            )
        uploaded = UploadedFile(self._store(content), len(content), self.now(), request_id)
        self.inputs[uploaded.id] = StoredFile(
            uploaded.id, filename, uploaded.size, uploaded.created_at
        )
        return uploaded

    def create(self, request: CreateRequest, request_id: str, *, sees_file: bool) -> FakeBatch:
        """Start a batch, or raise `RefusedError` or, for its input file, `NotFoundError`."""
        _check_request(request, self.limits, request_id)
        if not sees_file or request.input_file_id not in self.files:
            raise NotFoundError(
                f"Cannot find file {request.input_file_id}, or project proj_fake does not have "
                "access to it.",
                param="file_id",
                http_status=400,
                request_id=request_id,
            )
        number = len(self.batches) + 1
        content = self.files[request.input_file_id]
        verdict = validate(content, request.endpoint, self.limits, self._models)
        batch = FakeBatch(number, f"batch_{number:08d}", request, self.now(), verdict)
        self.batches[batch.id] = batch
        return batch

    def cancel(self, batch: FakeBatch, request_id: str) -> None:
        """Begin to cancel; nothing happens when that was begun before."""
        if batch.status in _UNDER_WAY:
            batch.status = RawStatus.CANCELLING
        elif batch.status not in (RawStatus.CANCELLING, RawStatus.CANCELLED):
            raise RefusedError(
                f"Cannot cancel a batch with status '{batch.status}'.",
                http_status=409,
                request_id=request_id,
            )

    def step(self, batch: FakeBatch) -> None:
        """Go on to the next status."""
        match batch.next_status():
            case RawStatus.FAILED:
                self.fail(batch, batch.verdict.errors)
            case RawStatus.IN_PROGRESS:
                batch.status = RawStatus.IN_PROGRESS
                batch.total = len(batch.verdict.requests)
            case RawStatus.CANCELLED:
                self.finish_cancel(batch, None)
            case RawStatus.FINALIZING:
                self.work(batch, batch.total)
                batch.status = RawStatus.FINALIZING
            case _:
                self._end(batch, RawStatus.COMPLETED, None)

    def step_to(self, batch: FakeBatch, status: RawStatus) -> None:
        """Go on until the batch has this status; nothing happens when it has it already."""
        for _ in range(batch.steps_to(status)):
            self.step(batch)

    def work(self, batch: FakeBatch, finished: int) -> None:
        """Have the first `finished` requests of the input worked off."""
        if not len(batch.done) <= finished <= batch.total:
            raise ValueError(
                f"batch {batch.id} has finished {len(batch.done)} of {batch.total} requests "
                f"and cannot have finished {finished}"
            )
        created = int(batch.created_at.timestamp())
        for request in batch.verdict.requests[len(batch.done) : finished]:
            batch.done.append(answered(request, self._answer(request), batch.number, created))

    def answer_now(self, endpoint: str, body: bytes, request_id: str) -> DirectAnswer:
        """Answer a synchronous request, or raise the error that it is answered with."""
        number = next(self._direct_numbers)
        request = read_request(endpoint, body, number, request_id, self._models)
        answer = self._answer(request)
        return direct_answer(request, answer, lambda: self.now().timestamp(), request_id)

    def _answer(self, request: InputRequest) -> Answer:
        return self.answers.get(request.custom_id) or self._answering(request)

    def fail(self, batch: FakeBatch, errors: Iterable[BatchProblem]) -> None:
        """End the batch before any request is run."""
        batch.require("fail", (RawStatus.VALIDATING,))
        batch.errors = tuple(errors)
        batch.status = RawStatus.FAILED

    def expire(self, batch: FakeBatch, finished: int | None) -> None:
        """End the batch with the rest of its requests not run; None leaves the finished ones."""
        batch.require("expire", _UNDER_WAY)
        if batch.status is RawStatus.VALIDATING:
            self.step_to(batch, RawStatus.IN_PROGRESS)
        self.work(batch, len(batch.done) if finished is None else finished)
        self._end(batch, RawStatus.EXPIRED, EXPIRED)

    def finish_cancel(self, batch: FakeBatch, finished: int | None) -> None:
        """As `expire`, for a batch that is being cancelled.

        One that was cancelled while validating never ran: it has no counts and no files.
        """
        batch.require("finish cancelling", (RawStatus.CANCELLING,))
        self.work(batch, len(batch.done) if finished is None else finished)
        self._end(batch, RawStatus.CANCELLED, CANCELLED)

    def _end(self, batch: FakeBatch, status: RawStatus, rest: RequestProblem | None) -> None:
        batch.status = status
        output = [each.line for each in batch.done if each.succeeded]
        failed = [each.line for each in batch.done if not each.succeeded]
        if rest is not None:
            unfinished = batch.verdict.requests[len(batch.done) : batch.total]
            failed += [not_run(request, rest, batch.number) for request in unfinished]
        order = Random(f"{self._seed} {batch.number}")  # noqa: S311 (an order, not a secret)
        order.shuffle(output)
        order.shuffle(failed)
        batch.output_file_id = self._store_results(ResultFile.OUTPUT, output)
        batch.error_file_id = self._store_results(ResultFile.ERROR, failed)

    def _store_results(self, file: ResultFile, lines: list[Mapping[str, Any]]) -> str | None:
        """Store a result file and return its id; there is none when it would be empty."""
        content = self.shapes.write(file, lines)
        return self._store(content) if content else None

    def _store(self, content: bytes) -> str:
        file_id = f"file-{next(self._file_numbers):08d}"
        self.files[file_id] = content
        return file_id


def _check_request(request: CreateRequest, limits: Limits, request_id: str) -> None:
    """Raise `RefusedError` for what OpenAI refuses in a create call itself."""
    problem = (
        _not_among("endpoint", request.endpoint, limits.endpoints)
        or _not_among("completion_window", request.completion_window, _WINDOWS)
        or _metadata_problem(request.metadata, limits)
    )
    if problem:
        param, message = problem
        raise RefusedError(
            message, code="invalid_value", param=param, http_status=400, request_id=request_id
        )


def _not_among(param: str, value: str, supported: frozenset[str]) -> tuple[str, str] | None:
    if value in supported:
        return None
    known = ", ".join(f"'{each}'" for each in sorted(supported))
    return param, f"Invalid value: '{value}'. Supported values are: {known}."


def _metadata_problem(metadata: Mapping[str, str], limits: Limits) -> tuple[str, str] | None:
    problem = limits.metadata_problem(metadata)
    return None if problem is None else ("metadata", f"Invalid 'metadata': it {problem}.")
