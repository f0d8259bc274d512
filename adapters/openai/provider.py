"""The `BatchProvider` port over OpenAI's Files and Batch API."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from http import HTTPMethod
from typing import TypeVar
from urllib.parse import quote

import aiohttp
from attrs import evolve
from yarl import URL

from ...application.errors import (
    InputError,
    NotFoundError,
    ProviderError,
    RefusedError,
    UnavailableError,
)
from ...application.ports import (
    BatchProvider,
    CreateRequest,
    DirectAnswer,
    ProviderBatch,
    StoredFile,
    UploadedFile,
)
from ...application.unreachable import unreachable
from ...domain.values import Limits
from . import wire
from .bodies import JsonBody, UploadBody, WrongSizeError
from .dialect import create_endpoint
from .proxies import environment_proxy
from .retry import Failure, Operation
from .settings import OpenAISettings
from .transport import Answer, Request, Transport

logger = logging.getLogger(__name__)

T = TypeVar("T", ProviderBatch, StoredFile)


@asynccontextmanager
async def connect(
    settings: OpenAISettings,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[BatchProvider]:
    """Open a provider with a session of its own, which is closed at the end.

    Proxies and their passwords come from the environment, as with httpx and curl; `~/.netrc` is
    not read. With one that cannot be used, every call of the provider raises `InputError`.
    `sleep` waits so many seconds between attempts.
    """
    try:
        await asyncio.to_thread(environment_proxy, URL(settings.base_url))
    except InputError as error:
        yield unreachable(settings.name, settings.limits, str(error))
        return
    # Each call gets a connection of its own: polls lie minutes apart, longer than any server
    # keeps one open, and a create call on a connection that the server is just closing would
    # have an unknown outcome. Without a pool there is nothing to queue for, so no limit.
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    ) as session:
        yield OpenAIBatchProvider(session, settings, sleep=sleep)


class OpenAIBatchProvider:
    """OpenAI, Azure OpenAI, or a server that speaks like them.

    Safe to share between tasks of one event loop. Raises the port's errors; their texts hold
    the provider's own words, never the key, headers or more than a sentence of a body. Reads,
    cancels and deletes are repeated up to `max_attempts` times after time-outs, lost connections,
    408, 423, 425, 429, 499 and 5xx; what raises then is `UnavailableError` or
    `RateLimitedError`. A wait of more than 120 s that a server asks for is never sat out here:
    `RateLimitedError` says it.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: OpenAISettings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._transport = Transport(session, settings, sleep)
        self._renamed: set[str] = set()

    @property
    def name(self) -> str:
        """`openai:` and the base URL."""
        return self._settings.name

    @property
    def limits(self) -> Limits:
        """50,000 requests (Azure 100,000) and 209,715,200 bytes a batch.

        Sources: OpenAI's API reference, Aug 2026; Azure's batch guide, 2025.
        """
        return self._settings.limits

    async def upload(
        self, lines: AsyncIterable[bytes], *, filename: str, size: int
    ) -> UploadedFile:
        """Store a batch input file of exactly `size` bytes, in constant memory.

        `filename` must end in `.jsonl` (recorded traffic, Aug 2026). Repeated only when the
        file surely was not taken: no connection, broken off before its last byte, 429, or 503
        with `Retry-After`. `lines` must then begin anew: a generator that is spent does not, and
        ends as a wrong size. What `lines` itself raises is passed on as it is.

        Raises `RefusedError`, also when `lines` has another size or the server counts another one
        (its file is then deleted), `QuotaError`, and `OutcomeUnknownError` when the answer was
        lost. A repeat costs nothing but leaves a file that nothing uses.
        """

        def body() -> UploadBody:
            return UploadBody(
                lines, filename=filename, size=size, stall_timeout=self._settings.read_timeout
            )

        request = Request(Operation.UPLOAD, HTTPMethod.POST, self._settings.url("files"), body)
        problem = None
        try:
            uploaded = await self._transport.fetch(
                request,
                lambda a: wire.read_file(
                    a.body, sent=size, request_id=a.request_id, redact=self._settings.redact
                ),
            )
        except WrongSizeError as error:
            problem = str(error)
        if problem is not None:
            raise RefusedError(f"{problem}; nothing was uploaded")
        if uploaded.size != size:
            raise RefusedError(
                f"file {uploaded.id} has {uploaded.size} bytes at the server, not the {size} sent; "
                + await self._discard(uploaded.id),
                request_id=uploaded.request_id,
            )
        return uploaded

    async def _discard(self, file_id: str) -> str:
        """Delete a file that nothing may use; what came of it, as the end of a sentence."""
        try:
            request_id = await self.delete_file(file_id)
        except ProviderError as error:
            return f"it could not be deleted: {error}"
        return f"it was deleted (request id {request_id})" if request_id else "it was deleted"

    async def create_batch(self, request: CreateRequest) -> ProviderBatch:
        """Start a batch; sent at most once, and given up after `create_timeout` seconds in all.

        OpenAI documents no idempotency key, so a second call makes a second batch that costs
        as much as the first. Raises `UnavailableError` and `RateLimitedError` when it surely
        was not done; `OutcomeUnknownError` after a time-out, a lost connection, 408, 409, 423,
        425, 499, 5xx, a redirect other than 307 and 308, or an answer that cannot be read;
        `RefusedError`, `QuotaError`; and
        `NotFoundError` for an input file that is not visible, or at Azure not processed, which
        happens right after its upload (issue reports): wait and create again. Only then is a
        repeat safe; else look through `list_batches` first.
        """
        endpoint = create_endpoint(self._settings.spoken, request.endpoint)
        content = wire.create_body(evolve(request, endpoint=endpoint))
        return await self._transport.fetch(
            Request(
                Operation.CREATE,
                HTTPMethod.POST,
                self._settings.url("batches"),
                lambda: JsonBody(content),
                total=self._settings.create_timeout,
            ),
            self._read_batch,
        )

    async def retrieve_batch(self, batch_id: str) -> ProviderBatch:
        """One batch as it is now, under the id that was asked for.

        Raises `NotFoundError`. A repeat is safe.
        """
        return await self._fetch_batch(Operation.RETRIEVE, HTTPMethod.GET, batch_id)

    async def cancel_batch(self, batch_id: str) -> ProviderBatch:
        """Ask for a batch's end, which takes about ten minutes (recorded traffic, 2025).

        Raises `RefusedError` when the batch is over (409) and `NotFoundError`. A repeat is safe:
        a batch that is being cancelled answers as before.
        """
        return await self._fetch_batch(Operation.CANCEL, HTTPMethod.POST, batch_id, "cancel")

    async def list_batches(self) -> AsyncGenerator[ProviderBatch, None]:
        """All batches of the project, newest first (recorded traffic, 2025), 100 a page.

        Each page is fetched when it is reached, and each batch shown once. A list that goes in
        circles raises `UnavailableError` rather than seem complete. A repeat is safe and begins at
        the newest.
        """
        query = {"limit": str(wire.PAGE_SIZE)}
        async with aclosing(
            self._list(Operation.LIST, "batches", query, wire.read_batches)
        ) as batches:
            async for batch in batches:
                yield batch

    async def list_files(self) -> AsyncGenerator[StoredFile, None]:
        """All batch input files of the project, newest first, 1,000 a page.

        A page may hold 10,000 (OpenAI's API reference, 2026). Each is fetched when it is reached.
        A repeat is safe and begins at the newest.
        """
        query = {"purpose": "batch", "order": "desc", "limit": str(wire.FILES_PAGE_SIZE)}
        async with aclosing(
            self._list(Operation.LIST_FILES, "files", query, wire.read_files)
        ) as files:
            async for file in files:
                yield file

    async def _list(
        self,
        operation: Operation,
        resource: str,
        query: dict[str, str],
        read: Callable[[bytes, str | None, wire.Redact], wire.Page[T]],
    ) -> AsyncGenerator[T, None]:
        seen: set[str] = set()
        while True:
            request = Request(
                operation, HTTPMethod.GET, self._settings.url(resource).update_query(query)
            )
            page = await self._transport.fetch(
                request,
                lambda answer: read(answer.body, answer.request_id, self._settings.redact),
            )
            fresh = [item for item in page.items if item.id not in seen]
            for item in fresh:
                yield item
            if page.after is None:
                return
            if not fresh:
                raise UnavailableError(f"the provider's list of {resource} repeats itself")
            seen.update(item.id for item in fresh)
            query = {**query, "after": page.after}

    async def download(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """Yield a file's content from its first byte, in pieces of up to 256 KiB.

        Redirects are followed, to another origin without the key. Raises `NotFoundError`, and
        `UnavailableError` when a server sends something else, such as a web page, or when the
        transfer breaks off, which is not repeated here once a piece was yielded: that is good,
        and a repeat is safe and begins at the first byte. An answer without
        Content-Length that is not chunked either ends where its connection ends; then only the
        caller can tell that it is short.
        """
        url = self._settings.url("files", _segment(file_id), "content")
        request = Request(Operation.DOWNLOAD, HTTPMethod.GET, url)
        async with aclosing(self._transport.stream(request)) as pieces:
            async for piece in pieces:
                yield piece

    async def delete_file(self, file_id: str) -> str | None:
        """Delete a file and return the request id. Raises `NotFoundError`. A repeat is safe.

        A file that is gone when the call is repeated after a lost answer counts as deleted.
        """
        doubts: list[Failure] = []

        def note(failure: Failure) -> None:
            if failure.is_doubtful:
                doubts.append(failure)

        def read(answer: Answer) -> tuple[bool, str | None]:
            return wire.read_deleted(answer.body), answer.request_id

        url = self._settings.url("files", _segment(file_id))
        try:
            is_gone, request_id = await self._transport.fetch(
                Request(Operation.DELETE, HTTPMethod.DELETE, url), read, note
            )
        except NotFoundError as error:
            if not doubts:
                raise
            return error.request_id
        if not is_gone:
            raise RefusedError(f"the server did not delete file {file_id}", request_id=request_id)
        return request_id

    async def complete_request(self, endpoint: str, body: bytes) -> DirectAnswer:
        """Have one request answered now, at the full price.

        The base URL ends in `/v1` already, so `endpoint` is asked for without its own. Repeated
        only when the request surely was not answered: no connection, or 429. After a time-out, a
        lost connection, 408, 423, 425, 499, 5xx or a redirect other than 307 and 308 the provider
        may have answered, and charged, a request whose answer was lost: `OutcomeUnknownError`.
        Raises `RefusedError`, `QuotaError`.
        """
        segments = map(_segment, endpoint.removeprefix("/v1").strip("/").split("/"))

        def read(answer: Answer) -> DirectAnswer:
            wire.check_json_object(answer.body)
            return DirectAnswer(answer.status, answer.body, answer.request_id)

        return await self._transport.fetch(
            Request(
                Operation.COMPLETE,
                HTTPMethod.POST,
                self._settings.url(*segments),
                lambda: JsonBody(body),
            ),
            read,
        )

    def _read_batch(self, answer: Answer) -> ProviderBatch:
        return wire.read_batch(answer.body, answer.request_id, self._settings.redact)

    async def _fetch_batch(
        self, operation: Operation, method: HTTPMethod, batch_id: str, *action: str
    ) -> ProviderBatch:
        url = self._settings.url("batches", _segment(batch_id), *action)
        found = await self._transport.fetch(
            Request(operation, method, url),
            self._read_batch,
        )
        if found.id == batch_id:
            return found
        # A gateway that passes on its upstream's own id; the address has said which batch is meant.
        if batch_id not in self._renamed:
            self._renamed.add(batch_id)
            logger.warning("asked for batch %s, the server calls it %s", batch_id, found.id)
        return evolve(found, id=batch_id)


def _segment(resource_id: str) -> str:
    """Quote an id as one segment of a path; some servers' ids hold slashes."""
    if resource_id in {"", ".", ".."}:
        raise NotFoundError(f"{resource_id!r} is no id")
    return quote(resource_id, safe="")
