"""What the application asks of the outside: a provider of batches, and a clock."""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from datetime import datetime
from typing import Protocol

from attrs import field, frozen

from ..domain.costs import ModelPrice
from ..domain.values import Limits, StatusReport


def _known(moment: datetime | None) -> datetime | None:
    """A moment that a provider gives; one without a zone could be compared with nothing.

    It comes behind a call that is paid for, so it is taken for unknown, and is no error.
    """
    is_known = isinstance(moment, datetime) and moment.utcoffset() is not None
    return moment if is_known else None


@frozen
class UploadedFile:
    """A file that the provider holds; `size` in bytes, `created_at` by the provider's clock."""

    id: str
    size: int
    created_at: datetime | None = field(converter=_known)
    request_id: str | None = None


@frozen
class StoredFile:
    """An input file in the provider's list; `size` in bytes, None where the list shows none."""

    id: str
    filename: str | None
    size: int | None
    created_at: datetime | None = field(converter=_known)
    request_id: str | None = None


@frozen
class CreateRequest:
    """What a create call asks for; `metadata` carries our batch id, by which it is found again."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: Mapping[str, str]


@frozen
class ProviderBatch:
    """One batch as the provider shows it; `created_at` by the provider's clock."""

    id: str
    report: StatusReport
    input_file_id: str | None
    metadata: Mapping[str, str]
    created_at: datetime | None = field(converter=_known)
    request_id: str | None = None


@frozen
class DirectAnswer:
    """The success answer of a synchronous call; `body` is JSON text as it came."""

    status_code: int
    body: bytes
    request_id: str | None = None


OPENAI_LIMITS = Limits(
    max_requests=50_000,
    max_bytes=209_715_200,
    endpoints=frozenset(
        {
            "/v1/responses",
            "/v1/chat/completions",
            "/v1/embeddings",
            "/v1/completions",
            "/v1/moderations",
            "/v1/images/generations",
            "/v1/images/edits",
            "/v1/videos",
        }
    ),
    endpoints_without_model=frozenset({"/v1/moderations"}),
)
"""What OpenAI takes in one batch (API reference, 2026), and most servers like it."""


MOST_INPUTS_PER_REQUEST = 2_048
"""Of a request for embeddings (OpenAI's API reference, 2026); other servers may take more."""

CREATE_TIMEOUT = 60.0
"""Seconds after which nobody waits for the answer to a create call, unless settings say less."""

RECONCILE_WAIT = 120.0
"""Seconds for which a create call without an answer is searched for before it is made again."""


class BatchProvider(Protocol):
    """A provider's file and batch API.

    Methods raise only `ProviderError`s. Every method may raise `UnauthorizedError`,
    `RateLimitedError`, `QuotaError` and `UnavailableError`, and `RefusedError` for a call that
    the server does not know (a wrong base URL). A method whose repeat is safe may repeat
    transient failures by itself before it raises.
    """

    @property
    def name(self) -> str:
        """Which provider and account endpoint this is; part of a batch's identity."""
        ...

    @property
    def limits(self) -> Limits:
        """What one batch may hold."""
        ...

    async def upload(
        self, lines: AsyncIterable[bytes], *, filename: str, size: int
    ) -> UploadedFile:
        """Store an input file of `size` bytes under `filename`, streaming the pieces of `lines`.

        `lines` is iterated from its beginning for each attempt; its own exceptions come out
        unchanged. Raises `RefusedError` when the provider does not take the file, or when
        another number of bytes came or arrived, and `OutcomeUnknownError` when the answer was
        lost. A repeat costs nothing but leaves a file that nothing uses.
        """
        ...

    def list_files(self) -> AsyncGenerator[StoredFile, None]:
        """The input files of the account, newest first, fetched page by page as they are asked for.

        A repeat is safe. Raises `RefusedError` or `NotFoundError` where a server has no such list.
        """
        ...

    async def create_batch(self, request: CreateRequest) -> ProviderBatch:
        """Start a batch; this is the call that costs money and is sent exactly once.

        Raises `RefusedError`, `QuotaError`, `NotFoundError` when the input file is not visible
        (yet), and `OutcomeUnknownError` when the call was sent and the answer was lost:
        look through `list_batches` before repeating. The call must end within the create
        time-out that the service was told of (`ServiceSettings.create_timeout`, 60 seconds), by an
        answer or by `OutcomeUnknownError`: after that other processes take it for lost.
        """
        ...

    async def retrieve_batch(self, batch_id: str) -> ProviderBatch:
        """One batch as it is now. Raises `NotFoundError`. A repeat is safe."""
        ...

    def list_batches(self) -> AsyncGenerator[ProviderBatch, None]:
        """All batches of the account, newest first, fetched page by page as they are asked for.

        A repeat is safe. A provider's list may lag behind its creates.
        """
        ...

    async def cancel_batch(self, batch_id: str) -> ProviderBatch:
        """Ask for a batch's end; finished requests keep their results.

        Raises `RefusedError` when the batch is over and `NotFoundError`. A repeat is safe.
        """
        ...

    def download(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """A file's content from its first byte, in pieces of any size.

        Raises `NotFoundError`, and `UnavailableError` when the transfer breaks off: what was
        yielded until then is good, and a repeat begins at the first byte again.
        """
        ...

    async def delete_file(self, file_id: str) -> str | None:
        """Delete a file and return the request id. Raises `NotFoundError`. A repeat is safe."""
        ...

    async def complete_request(self, endpoint: str, body: bytes) -> DirectAnswer:
        """Have one request answered now, at the full price; `body` is a JSON object.

        `endpoint` is spelled as in a batch's lines (`/v1/responses`). Raises `RefusedError` with
        the provider's words, also for an unknown model or endpoint, and `OutcomeUnknownError`
        when the answer was lost: it may have been paid for, and a repeat costs again. Only what
        was surely not done is repeated before it raises.
        """
        ...


class CompletionHandlers(Protocol):
    """Where the users' completion handlers come from."""

    def load(self, reference: str) -> object:
        """What `package.module:Name` names: a class, or an object that serves as it is.

        Raises `HandlerNotAllowedError` when this process may not import it, and
        `HandlerUnavailableError` when it cannot.
        """
        ...


class PriceBook(Protocol):
    """What models cost in a batch. Asked once for each model of a batch, on the store's thread."""

    @property
    def source(self) -> str:
        """Which table this is, with its version and date: the log keeps it beside the costs."""
        ...

    def price(self, model: str | None, endpoint: str) -> ModelPrice | None:
        """The batch price of a model at an endpoint such as `/v1/responses`; None if not known.

        `model` is the name in the answer, or in the requests where the answer has none.
        """
        ...


class Clock(Protocol):
    """Time as the services see it; a test's clock moves by itself."""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        ...
