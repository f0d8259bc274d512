"""Request bodies that know how much of them may have reached the server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import Protocol

from aiohttp import FormData, Payload
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload

_PIECE = 1 << 18  # one system call for many short lines


class WrongSizeError(ValueError):
    """The lines to upload do not add up to the size that was announced."""


class Body(Protocol):
    """One request's body, made anew for each attempt."""

    @property
    def may_have_arrived(self) -> bool:
        """Whether the server may hold the whole request; it never acts on less than that."""
        ...

    @property
    def fault(self) -> Exception | None:
        """What went wrong on our side while the body was made."""
        ...

    def payload(self) -> Payload | FormData:
        """Return what aiohttp sends."""
        ...


class JsonBody:
    """A short body that leaves in one piece."""

    fault: Exception | None = None

    def __init__(self, body: bytes) -> None:
        self._payload = _MarkedPayload(body, content_type="application/json")

    @property
    def may_have_arrived(self) -> bool:
        """True from the moment that aiohttp had a connection and began to write."""
        return self._payload.begun

    def payload(self) -> Payload:
        """Return the JSON text."""
        return self._payload


class UploadBody:
    """A multipart form with one streamed file of a known size, and so an exact Content-Length."""

    def __init__(
        self, lines: AsyncIterable[bytes], *, filename: str, size: int, stall_timeout: float
    ) -> None:
        self._filename = filename
        self._payload = _FilePayload(lines, size, stall_timeout)

    @property
    def may_have_arrived(self) -> bool:
        """True once the last byte of the file was handed over."""
        return self._payload.complete

    @property
    def fault(self) -> Exception | None:
        """An exception of the caller's iterable, or a `WrongSizeError`."""
        return self._payload.fault

    def payload(self) -> FormData:
        """Make the form, with the purpose before the file for servers that read in order."""
        # quote_fields=False: a form's names are quoted as browsers do it, not percent-encoded.
        form = FormData(quote_fields=False)
        form.add_field("purpose", "batch")
        form.add_field("file", self._payload, filename=self._filename)
        return form


class _MarkedPayload(BytesPayload):
    begun = False

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.begun = True
        await super().write(writer)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        self.begun = True
        await super().write_with_length(writer, content_length)


class _FilePayload(Payload):
    """Streams the lines once, in constant memory.

    aiohttp's own payload for async iterables has no size, which would make the request chunked,
    and takes what comes as the whole: a short iterable would make a short file.
    """

    _value: AsyncIterable[bytes]

    def __init__(self, lines: AsyncIterable[bytes], size: int, stall_timeout: float) -> None:
        super().__init__(lines, content_type="application/jsonl")
        self._size = size
        self._stall_timeout = stall_timeout
        self.complete = size == 0
        self.fault: Exception | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002
        """Refuse: only aiohttp's debugging and digest helpers ask for it."""
        raise TypeError("a streamed file has no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write exactly `size` bytes or raise.

        An exception from here makes aiohttp close the connection before the form's last
        boundary, short of the Content-Length: no server can take that for a complete request.
        """
        self._consumed = True  # aiohttp must not send the rest of it as if it were the whole
        try:
            await self._write(writer)
        except _LinesError as error:
            self.fault = error.cause
            raise
        except WrongSizeError as error:
            self.fault = error
            raise

    async def _write(self, writer: AbstractStreamWriter) -> None:
        size = self._size or 0
        sent = 0
        async with aclosing(_pieces(self._value)) as pieces:
            async for piece in pieces:
                if sent + len(piece) > size:
                    raise WrongSizeError(f"the file has more than the {size} bytes announced")
                sent += len(piece)
                self.complete = sent == size
                # aiohttp has no time limit for sending; a server that stops reading would
                # hold the upload for ever.
                async with asyncio.timeout(self._stall_timeout):
                    await writer.write(piece)
        # What aiohttp writes after this, the last boundary, must find room without waiting.
        async with asyncio.timeout(self._stall_timeout):
            await writer.drain()
        if sent < size:
            raise WrongSizeError(f"the file has {sent} bytes where {size} were announced")


class _LinesError(Exception):
    """Wraps what the caller's iterable raised, so that aiohttp cannot take it for its own."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("the lines to upload could not be read")
        self.cause = cause


async def _pieces(lines: AsyncIterable[bytes]) -> AsyncGenerator[bytes | memoryview, None]:
    """Yield the same bytes in pieces worth a system call, copying none that are large."""
    iterator = aiter(lines)
    held = bytearray()
    try:
        while True:
            try:
                part = await anext(iterator)
            except StopAsyncIteration:
                break
            except Exception as cause:
                raise _LinesError(cause) from cause
            if len(part) >= _PIECE and not held:
                view = memoryview(part)
                for begin in range(0, len(part), _PIECE):
                    yield view[begin : begin + _PIECE]
                continue
            held += part
            if len(held) >= _PIECE:
                yield bytes(held)
                held.clear()
        if held:
            yield bytes(held)
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()
