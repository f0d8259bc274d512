"""One HTTP call: headers, redirects, time limits, repeats; failures become values."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from http import HTTPMethod, HTTPStatus
from typing import TypeVar

import aiohttp
from attrs import frozen
from yarl import URL

from ...application.errors import ClosedError
from ...application.texts import storable
from . import failures
from .bodies import Body
from .hosts import has_host
from .proxies import environment_proxy
from .retry import (
    Backoff,
    Failure,
    Operation,
    error_for,
    retry_after,
    should_retry,
    wait_before_repeat,
)
from .settings import OpenAISettings
from .wire import UnexpectedAnswerError, read_error

logger = logging.getLogger(__name__)

T = TypeVar("T")

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
_LONGEST_ANSWER = 64 * 1024 * 1024  # a page of 100 failed batches lists many errors
_LONGEST_ERROR = 64 * 1024
_PIECE = 256 * 1024
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_HARMLESS_HEADERS = {"Accept": "application/json, */*", "User-Agent": "batchtrail"}


@frozen
class Request:
    """One call to make, within `total` seconds; `body` makes a fresh body for each attempt."""

    operation: Operation
    method: HTTPMethod
    url: URL
    body: Callable[[], Body] | None = None
    total: float | None = None


@frozen
class Answer:
    """A success answer, read to its end."""

    status: int
    body: bytes
    request_id: str | None


class Transport:
    """Makes calls on a session that somebody else owns; once that is closed, `ClosedError`.

    aiohttp silently sends a GET or DELETE once more when the connection drops, and never a POST:
    `IDEMPOTENT_METHODS` in its client.py lacks it (read in 3.14). So a POST leaves once for
    each attempt that `retry.py` allows, and a create call, which has one attempt, once.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: OpenAISettings,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._session = session
        self._settings = settings
        self._sleep = sleep
        self._origin = URL(settings.base_url).origin()
        self._backoff = Backoff(
            settings.max_attempts, settings.first_backoff, settings.longest_backoff
        )
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=settings.connect_timeout, sock_read=settings.read_timeout
        )

    async def fetch(
        self,
        request: Request,
        read: Callable[[Answer], T],
        failed: Callable[[Failure], None] = lambda _: None,
    ) -> T:
        """Return what `read` makes of the answer, after as many attempts as are allowed.

        `read` may raise `UnexpectedAnswerError`, which counts as a failed attempt; `failed` hears
        of each one. Raises `ProviderError`s, whatever broke while the body was made, and
        `InputError` for a proxy of the environment that cannot be used.
        """
        attempt = 0
        while True:
            attempt += 1
            result = await self._attempt(request, read)
            if not isinstance(result, Failure):
                return result
            failed(result)
            await self._wait_or_raise(request.operation, result, attempt)

    async def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of an answer as they come; only its beginning is repeated."""
        attempt = 0
        while True:
            attempt += 1
            async with AsyncExitStack() as stack:
                begun = await self._begin(stack, request)
                if not isinstance(begun, Failure):
                    response, piece = begun
                    while piece:
                        yield piece
                        result = await self._piece(response)
                        if isinstance(result, Failure):
                            raise error_for(request.operation, result)
                        piece = result
                    return
            await self._wait_or_raise(request.operation, begun, attempt)

    async def _wait_or_raise(self, operation: Operation, failure: Failure, attempt: int) -> None:
        chance = random.random()  # noqa: S311 -- spreads the load, keeps no secret
        wait = wait_before_repeat(operation, failure, attempt, self._backoff, chance)
        if wait is None:
            raise error_for(operation, failure)
        logger.info("%s: %s; repeated in %.1f s", operation.value, failure.message, wait)
        await self._sleep(wait)

    async def _attempt(self, request: Request, read: Callable[[Answer], T]) -> T | Failure:
        body = request.body() if request.body is not None else None
        result: aiohttp.ClientResponse | Answer | Failure
        try:
            async with asyncio.timeout(request.total), AsyncExitStack() as stack:
                result = await self._open(stack, request, body)
                if not isinstance(result, Failure):
                    result = await self._read(result, body)
        except failures.TRANSPORT_ERRORS as error:
            # Only noted here: raised inside, our error would carry aiohttp's as its context,
            # whose repr may show headers.
            result = failures.no_answer(error, body)
        if body is not None and body.fault is not None:
            raise body.fault
        if isinstance(result, Failure):
            return result
        try:
            return read(result)
        except UnexpectedAnswerError as error:
            reason = str(error)
        return Failure(reason, status=result.status, request_id=result.request_id)

    async def _begin(
        self, stack: AsyncExitStack, request: Request
    ) -> tuple[aiohttp.ClientResponse, bytes] | Failure:
        """Open a file and read its first piece."""
        try:
            response = await self._open(stack, request, None)
            if isinstance(response, Failure):
                return response
            piece = await self._next(response)
        except failures.TRANSPORT_ERRORS as error:
            return failures.no_answer(error)
        reason = _not_the_file(response, piece)
        if reason is None:
            return response, piece
        return Failure(reason, status=response.status, request_id=self._request_id(response))

    async def _open(
        self, stack: AsyncExitStack, request: Request, body: Body | None
    ) -> aiohttp.ClientResponse | Failure:
        """Send the request and return a success answer to read, or what else came of it."""
        url = request.url
        headers = _HARMLESS_HEADERS | self._settings.credentials()
        if request.operation is Operation.DOWNLOAD:
            # Stored bytes as they are, so that Content-Length counts what is yielded.
            headers["Accept-Encoding"] = "identity"
        for _ in range(_MOST_REDIRECTS):
            proxy = await asyncio.to_thread(environment_proxy, url)
            if self._session.closed:
                raise ClosedError
            response = await stack.enter_async_context(
                self._session.request(
                    request.method,
                    url,
                    data=body.payload() if body is not None else None,
                    headers=headers,
                    # aiohttp would drop Authorization at another origin, but not `api-key`, and
                    # would turn a redirected POST into a GET.
                    allow_redirects=False,
                    proxy=proxy,
                    timeout=self._timeout,
                )
            )
            if response.status not in _REDIRECTS:
                return response if response.ok else await self._refusal(response)
            target = _target(response) if request.method is HTTPMethod.GET else None
            response.close()
            if target is None:
                return Failure(
                    f"the server redirects this {request.method}, which is not followed;"
                    " is the base URL right?",
                    status=response.status,
                    request_id=self._request_id(response),
                )
            if target.origin() != self._origin:
                # Once dropped, the key stays dropped, even if the way leads back.
                for name in self._settings.credentials():
                    headers.pop(name, None)
            url = target
        return Failure("the server redirects without end", status=response.status)

    async def _refusal(self, response: aiohttp.ClientResponse) -> Failure:
        received = bytearray()
        try:
            # Not response.read(): that waits until the body is sent, which a server that
            # refuses an upload early never lets happen.
            while len(received) < _LONGEST_ERROR and (piece := await self._next(response)):
                received += piece
        except failures.TRANSPORT_ERRORS:
            pass  # the status says what matters
        error = read_error(response.status, bytes(received), self._settings.redact)
        return Failure(
            error.message,
            status=response.status,
            code=error.code,
            param=error.param,
            kind=error.kind,
            request_id=self._request_id(response),
            retry_after=retry_after(response.headers, datetime.now(UTC)),
            should_retry=should_retry(response.headers),
        )

    async def _read(self, response: aiohttp.ClientResponse, body: Body | None) -> Answer | Failure:
        request_id = self._request_id(response)
        received = bytearray()
        while piece := await self._next(response):
            received += piece
            if len(received) > _LONGEST_ANSWER:
                return Failure(
                    "the answer is too long", status=response.status, request_id=request_id
                )
        if body is not None and not body.may_have_arrived:
            return Failure(
                "the server answered before it had the whole request",
                status=response.status,
                request_id=request_id,
            )
        return Answer(response.status, bytes(received), request_id)

    async def _piece(self, response: aiohttp.ClientResponse) -> bytes | Failure:
        try:
            return await self._next(response)
        except failures.TRANSPORT_ERRORS as error:
            return failures.no_answer(error)

    async def _next(self, response: aiohttp.ClientResponse) -> bytes:
        """Read what comes next of an answer, nothing at its end. Raises `TRANSPORT_ERRORS`.

        With a limit of our own: where a chunk begins with nonsense, aiohttp closes the connection,
        and with it its own limit, and leaves the reader waiting (seen in 3.14.5).
        """
        async with asyncio.timeout(self._settings.read_timeout):
            return await response.content.read(_PIECE)

    def _request_id(self, response: aiohttp.ClientResponse) -> str | None:
        """OpenAI's `x-request-id`, or Azure's spelling of it; any bytes may stand in a header."""
        headers = response.headers
        found = headers.get("x-request-id") or headers.get("apim-request-id")
        return storable(self._settings.redact(found)) if found else None


def _not_the_file(response: aiohttp.ClientResponse, begin: bytes) -> str | None:
    """Why a success answer is not the file that was asked for; None when it may be."""
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        return "the server sent a part of the file"
    if response.status not in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
        return f"the server answered {response.status}, not with the file"
    # Some small servers call everything HTML, but no line of a file of JSON begins like a page.
    if response.content_type in _PAGES and begin.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "the server, or a gateway before it, sent a web page in place of the file"
    return None


def _target(response: aiohttp.ClientResponse) -> URL | None:
    """Where a redirect leads; None when that is nowhere, or from https to plain http."""
    location = response.headers.get("Location", "")
    try:
        # As it was sent: a new quoting would break the signature of a presigned address.
        target = response.url.join(URL(location, encoded=location.isascii()))
        _ = target.port  # yarl checks an encoded URL's port only now
    except ValueError:
        return None
    is_downgrade = response.url.scheme == "https" and target.scheme != "https"
    if not location or target.scheme not in {"http", "https"} or is_downgrade:
        return None
    if not has_host(target):
        return None
    return target.with_user(None).with_fragment(None)
