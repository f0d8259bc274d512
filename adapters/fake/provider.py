"""The fake provider: the port in memory."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Container, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count, islice

from attrs import evolve

from ...application.errors import RefusedError
from ...application.ports import (
    OPENAI_LIMITS,
    CreateRequest,
    DirectAnswer,
    ProviderBatch,
    StoredFile,
    UploadedFile,
)
from ...domain.values import Limits
from .account import Account, seconds_from_start
from .answers import Answering, plain_answer
from .life import FakeBatch
from .operations import Call, Operation
from .script import Script


class FakeBatchProvider(Script):
    """A `BatchProvider` in memory: no sockets, no real time, the same answers on every run.

    A created batch stays `validating` until the test moves it; with `auto`, each time that
    `retrieve_batch` or `list_batches` shows a batch it first moves one step, so that waiting for
    it just works. Requests are worked off in input order and answered by `answering`; result
    lines come in an order that `seed` decides. `now` gives the `created_at` of files and batches;
    by default a fixed start and one second more at each reading. `chunk_size` is the size in
    bytes of a download's pieces, `page_size` the number of batches on a page of the list; both
    may be set at any time. `models` are the names of the models that exist; None is every name.

    The verbs that drive it are those of `Script`.
    """

    def __init__(
        self,
        *,
        name: str = "fake",
        limits: Limits = OPENAI_LIMITS,
        auto: bool = False,
        seed: int = 0,
        answering: Answering = plain_answer,
        now: Callable[[], datetime] | None = None,
        chunk_size: int = 65_536,
        page_size: int = 20,
        models: Container[str] | None = None,
    ) -> None:
        super().__init__(Account(limits, answering, seed, now or seconds_from_start(), models))
        self.name = name
        self.limits = limits
        self.auto = auto
        self.chunk_size = chunk_size
        self.page_size = page_size
        self._request_numbers = count(1)

    async def upload(
        self, lines: AsyncIterable[bytes], *, filename: str, size: int
    ) -> UploadedFile:
        """Store a file; refused unless it ends in .jsonl, begins with JSON and has `size` bytes."""
        with self._call(Operation.UPLOAD, filename) as request_id:
            content = b"".join([piece async for piece in lines])
            if len(content) != size:
                raise RefusedError(
                    f"The file has {len(content)} bytes, not the announced {size}.",
                    http_status=400,
                    request_id=request_id,
                )
            uploaded = self._account.upload(filename, content, request_id)
            self._lag.files.made(uploaded.id)
            return uploaded

    async def create_batch(self, request: CreateRequest) -> ProviderBatch:
        """Start a batch; whatever is wrong inside its file shows only after `validating`."""
        with self._call(Operation.CREATE, request.input_file_id) as request_id:
            sees_file = self._lag.files.look(request.input_file_id)
            batch = self._account.create(request, request_id, sees_file=sees_file)
            self._lag.batches.made(batch.id)
            return batch.show(request_id)

    async def retrieve_batch(self, batch_id: str) -> ProviderBatch:
        """One batch; with `auto`, one step further than last time."""
        with self._call(Operation.RETRIEVE, batch_id) as request_id:
            return self._seen(self._account.batch(batch_id, request_id), request_id)

    async def list_batches(self) -> AsyncGenerator[ProviderBatch, None]:
        """All batches, newest first; every page is a call of its own."""
        hidden = self._lag.hidden_from_this_walk()
        after: str | None = None
        while True:
            with self._call(Operation.LIST, after) as request_id:
                older = (b for b in self._account.newest_first(after) if b.id not in hidden)
                batches = list(islice(older, self.page_size + 1))
                page = [self._seen(batch, request_id) for batch in batches[: self.page_size]]
            for batch in page:
                yield batch
            if len(batches) <= self.page_size:
                return
            after = page[-1].id

    async def list_files(self) -> AsyncGenerator[StoredFile, None]:
        """All input files, newest first; every page is a call of its own."""
        files = list(reversed(self._account.inputs.values()))
        for start in range(0, max(len(files), 1), self.page_size):
            after = files[start - 1].id if start else None
            with self._call(Operation.LIST_FILES, after) as request_id:
                page = files[start : start + self.page_size]
            for file in page:
                yield evolve(file, request_id=request_id)

    async def cancel_batch(self, batch_id: str) -> ProviderBatch:
        """Begin to cancel a batch; it stays `cancelling` until it is moved on."""
        with self._call(Operation.CANCEL, batch_id) as request_id:
            batch = self._account.batch(batch_id, request_id)
            self._account.cancel(batch, request_id)
            return batch.show(request_id)

    async def download(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """Yield a file's content in pieces of `chunk_size` bytes."""
        with self._call(Operation.DOWNLOAD, file_id) as request_id:
            content = self._account.content(file_id, request_id)
        fault = self._faults.draw_transfer()
        end = len(content) if fault is None else min(fault.after_bytes, len(content))
        for start in range(0, end, self.chunk_size):
            yield content[start : min(start + self.chunk_size, end)]
        if fault is not None and fault.error is not None:
            raise fault.error

    async def delete_file(self, file_id: str) -> str | None:
        """Delete a file; batches that were created from it go on."""
        with self._call(Operation.DELETE, file_id) as request_id:
            self._account.delete(file_id, request_id)
            return request_id

    async def complete_request(self, endpoint: str, body: bytes) -> DirectAnswer:
        """Answer one request as `answering` would in a batch; its custom_id is `direct-1`, -2, ...

        An answer that is no success raises: 4xx `RefusedError`, 5xx `OutcomeUnknownError`.
        """
        with self._call(Operation.COMPLETE, endpoint) as request_id:
            return self._account.answer_now(endpoint, body, request_id)

    @contextmanager
    def _call(self, operation: Operation, subject: str | None) -> Iterator[str]:
        """Record a call, number its answer, and have it meet the fault that awaits it."""
        self.calls.append(Call(operation, subject))
        fault = self._faults.draw_call(operation)
        if fault is not None and not fault.done:
            raise fault.error
        try:
            yield f"req_{next(self._request_numbers):08d}"
        finally:
            if fault is not None:
                raise fault.error

    def _seen(self, batch: FakeBatch, request_id: str) -> ProviderBatch:
        if self.auto and not batch.status.is_over:
            self._account.step(batch)
        return batch.show(request_id)
