"""Uploads: framing, wrong sizes, memory, and what a lost one leaves behind."""

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import BodyPartReader, web

from batchtrail.application.errors import (
    OutcomeUnknownError,
    ProviderError,
    RateLimitedError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)
from batchtrail.application.ports import BatchProvider

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ServeRaw = Callable[[RawHandler], Awaitable[str]]
Connect = Callable[..., Awaitable[BatchProvider]]

MEGABYTE = 1024 * 1024


class Lines:
    """Pieces that can be iterated again and again, as the port asks for."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.begun = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces from the first one."""
        self.begun += 1
        for piece in self.pieces:
            yield piece

    @property
    def size(self) -> int:
        """The bytes of all pieces together."""
        return sum(map(len, self.pieces))


class Shelf:
    """A server that stores uploads; each answer may be changed before it is sent."""

    def __init__(self) -> None:
        self.parts: list[list[tuple[str | None, str | None, str | None, str]]] = []
        self.lengths: list[int | None] = []
        self.sizes: list[int] = []
        self.adjust: Callable[[web.Request, dict[str, object]], web.StreamResponse | None]
        self.adjust = lambda _request, _answer: None

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Read the form to its end, without keeping it."""
        parts = []
        size = 0
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            digest, size = hashlib.sha256(), 0
            while piece := await part.read_chunk(65536):
                digest.update(piece)
                size += len(piece)
            parts.append(
                (part.name, part.filename, part.headers.get("Content-Type"), digest.hexdigest())
            )
        self.parts.append(parts)
        self.lengths.append(request.content_length)
        self.sizes.append(size)
        answer = {"id": "file-1", "bytes": size, "created_at": 1741967568}
        changed = self.adjust(request, answer)
        return changed or web.json_response(answer, headers={"x-request-id": "req_3"})


def lose(request: web.Request, _: object) -> None:
    """Break the connection instead of an answer."""
    assert request.transport is not None
    request.transport.abort()


@pytest.mark.parametrize(
    "pieces",
    [
        (b'{"custom_id": "a"}\n', b'{"custom_id": "\xc3\xa9"}\n'),
        (b"x" * 600_000, b"", b"\r\n--boundary\r\n", b"y" * 300_000, b"z" * MEGABYTE),
        tuple(b"%d\n" % n for n in range(20_000)),
        (),
    ],
)
async def test_a_file_arrives_as_it_is(
    serve: Serve, provider_for: Connect, pieces: tuple[bytes, ...]
) -> None:
    """One form with purpose, name, type and an exact Content-Length, whatever the pieces."""
    shelf, lines = Shelf(), Lines(*pieces)
    provider = await provider_for(await serve(shelf))
    uploaded = await provider.upload(lines, filename="batchtrail-b1.jsonl", size=lines.size)
    sent = hashlib.sha256(b"".join(pieces)).hexdigest()
    assert shelf.parts[0][1] == ("file", "batchtrail-b1.jsonl", "application/jsonl", sent)
    assert shelf.parts[0][0][0] == "purpose"
    assert shelf.parts[0][0][3] == hashlib.sha256(b"batch").hexdigest()
    assert shelf.lengths[0] is not None
    assert ("file-1", lines.size, "req_3") == (uploaded.id, uploaded.size, uploaded.request_id)
    assert uploaded.created_at is not None


async def test_the_length_is_exact(serve_raw: ServeRaw, provider_for: Connect) -> None:
    """So many bytes follow the head, the last boundary ends them, and no byte comes after."""
    rest: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b"transfer-encoding" not in head
        form = await reader.readexactly(int(head.split(b"content-length: ")[1].split()[0]))
        boundary = form.split(b"\r\n", 1)[0]
        assert form.endswith(b"\r\n" + boundary + b"--\r\n")
        assert b'name="file"; filename="a.jsonl"' in form
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"id": "file-1"}')
        rest.put_nowait(await reader.read(-1))

    provider = await provider_for(await serve_raw(read))
    uploaded = await provider.upload(Lines(b"{}\n" * 99_999), filename="a.jsonl", size=299_997)
    assert uploaded.size == 299_997
    assert await asyncio.wait_for(rest.get(), 5) == b""


@pytest.mark.parametrize("size", [0, 1, 11, 13, 100_000_000])
async def test_a_wrong_size_never_makes_a_file(
    serve: Serve, provider_for: Connect, waits: list[float], size: int
) -> None:
    """Too few or too many bytes end before the form does, and are not tried again."""
    shelf, lines = Shelf(), Lines(b"12345\n", b"12345\n")
    provider = await provider_for(await serve(shelf))
    with pytest.raises(RefusedError, match="nothing was uploaded"):
        await provider.upload(lines, filename="a.jsonl", size=size)
    assert (shelf.parts, waits, lines.begun) == ([], [], 1)


async def test_what_the_lines_raise_comes_out(serve: Serve, provider_for: Connect) -> None:
    """A broken source is not a broken provider."""

    async def lines() -> AsyncIterator[bytes]:
        yield b"1" * 100_000
        raise LookupError("the store is gone")

    shelf = Shelf()
    provider = await provider_for(await serve(shelf))
    with pytest.raises(LookupError, match="the store is gone"):
        await provider.upload(lines(), filename="a.jsonl", size=200_000)
    assert shelf.parts == []


async def test_an_os_error_of_the_lines_is_not_taken_for_a_network_error(
    serve: Serve, provider_for: Connect, waits: list[float]
) -> None:
    """A disk that fails would otherwise look like a lost connection, and be tried again."""

    async def lines() -> AsyncIterator[bytes]:
        yield b"1" * 100_000
        raise TimeoutError("the disk is asleep")

    provider = await provider_for(await serve(Shelf()))
    with pytest.raises(TimeoutError, match="the disk is asleep"):
        await provider.upload(lines(), filename="a.jsonl", size=200_000)
    assert waits == []


async def test_memory_does_not_grow_with_the_file(serve: Serve, provider_for: Connect) -> None:
    """48 MB go up while less than 6 MB are held on both sides together."""
    line = b"x" * 2599 + b"\n"
    count = 48 * MEGABYTE // len(line)

    async def lines() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield line

    shelf = Shelf()
    provider = await provider_for(await serve(shelf))
    tracemalloc.start()
    try:
        await provider.upload(lines(), filename="a.jsonl", size=count * len(line))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert shelf.sizes == [count * len(line)]
    assert peak < 6 * MEGABYTE


@pytest.mark.parametrize("counted", [11, 13])
@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (200, "it was deleted (request id req_9)"),
        (404, "it could not be deleted: gone (HTTP 404, request id req_9)"),
    ],
)
async def test_a_file_that_the_server_counts_otherwise_is_refused(
    serve: Serve, provider_for: Connect, counted: int, status: int, ending: str
) -> None:
    """What was stored is not what was sent; a batch from it would be wrong, so it is deleted.

    The refusal is recorded, and with it what came of the deletion.
    """
    shelf = Shelf()
    shelf.adjust = lambda _, answer: answer.update(bytes=counted)
    deleted: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return await shelf(request)
        deleted.append(request.path)
        body = {"deleted": True, "message": "gone"}
        return web.json_response(body, status=status, headers={"x-request-id": "req_9"})

    provider = await provider_for(await serve(answer))
    with pytest.raises(RefusedError) as caught:
        await provider.upload(Lines(b"1234567890\n1"), filename="a.jsonl", size=12)
    counts = f"file file-1 has {counted} bytes at the server, not the 12 sent"
    assert (caught.value.message, caught.value.request_id) == (f"{counts}; {ending}", "req_3")
    assert deleted == ["/v1/files/file-1"]


async def test_a_file_whose_size_is_not_told_is_taken(serve: Serve, provider_for: Connect) -> None:
    """Gateways write 0 bytes of a file that they pass on."""
    shelf, lines = Shelf(), Lines(b"1234567890\n1")
    shelf.adjust = lambda _, answer: answer.update(bytes=0)
    provider = await provider_for(await serve(shelf))
    uploaded = await provider.upload(lines, filename="a.jsonl", size=12)
    assert (uploaded.id, uploaded.size) == ("file-1", 12)


@pytest.mark.parametrize(
    ("status", "headers"), [(429, {}), (503, {"Retry-After": "2"}), (429, {"Retry-After": "2"})]
)
async def test_an_upload_that_was_put_off_is_sent_again_from_its_beginning(
    serve: Serve, provider_for: Connect, waits: list[float], status: int, headers: dict[str, str]
) -> None:
    """The server said that it did not take the file."""
    shelf, lines = Shelf(), Lines(b"12345\n" * 9, b"67890\n")

    def put_off(_request: web.Request, _answer: object) -> web.Response | None:
        return web.Response(status=status, headers=headers) if len(shelf.parts) == 1 else None

    shelf.adjust = put_off
    provider = await provider_for(await serve(shelf))
    uploaded = await provider.upload(lines, filename="a.jsonl", size=lines.size)
    assert (2, 1, lines.size) == (lines.begun, len(waits), uploaded.size)
    assert shelf.parts[0] == shelf.parts[1]


async def test_a_spent_generator_is_not_sent_as_an_empty_file(
    serve: Serve, provider_for: Connect
) -> None:
    """A second attempt of it fails as a wrong size, and nothing is stored."""

    async def once() -> AsyncGenerator[bytes, None]:
        yield b"12345\n"

    shelf = Shelf()
    shelf.adjust = lambda _request, _answer: web.Response(status=429)
    provider = await provider_for(await serve(shelf))
    with pytest.raises(RefusedError, match="0 bytes where 6 were announced"):
        await provider.upload(once(), filename="a.jsonl", size=6)


@pytest.mark.parametrize(
    ("adjust", "error"),
    [
        (lose, OutcomeUnknownError),
        (lambda _r, _a: web.Response(text="<html>"), OutcomeUnknownError),
        (lambda _r, _a: web.Response(text='{"id": "file-1", "by'), OutcomeUnknownError),
        (lambda _r, _a: web.Response(status=500), OutcomeUnknownError),
        (lambda _r, _a: web.Response(status=503), OutcomeUnknownError),
        (lambda _r, _a: web.Response(status=400), RefusedError),
        (lambda _r, _a: web.Response(status=401), UnauthorizedError),
        (lambda _r, _a: web.Response(status=303, headers={"Location": "/"}), RefusedError),
        (lambda _r, _a: web.Response(status=307, headers={"Location": "/"}), RefusedError),
        (
            lambda _r, _a: web.Response(status=503, headers={"Retry-After": "900"}),
            RateLimitedError,
        ),
    ],
)
async def test_an_upload_that_may_be_stored_is_not_repeated(
    serve: Serve,
    provider_for: Connect,
    adjust: Callable[[web.Request, dict[str, object]], web.StreamResponse | None],
    error: type[ProviderError],
) -> None:
    """The service decides whether a file that nothing uses matters."""
    shelf, lines = Shelf(), Lines(b"12345\n")
    shelf.adjust = adjust
    provider = await provider_for(await serve(shelf))
    with pytest.raises(ProviderError) as caught:
        await provider.upload(lines, filename="a.jsonl", size=6)
    assert (error, 1) == (type(caught.value), lines.begun)


async def test_an_upload_cut_off_in_the_middle_is_repeated(
    serve: Serve, provider_for: Connect, waits: list[float]
) -> None:
    """No server stores a form that ends before its Content-Length."""
    shelf, lines = Shelf(), Lines(*[b"x" * MEGABYTE] * 24)
    attempts = []

    async def answer(request: web.Request) -> web.StreamResponse:
        attempts.append(request)
        if len(attempts) == 1:
            lose(request, None)
        return await shelf(request)

    provider = await provider_for(await serve(answer))
    uploaded = await provider.upload(lines, filename="a.jsonl", size=lines.size)
    assert (2, 1, lines.size) == (lines.begun, len(waits), uploaded.size)


async def test_an_early_refusal_ends_the_upload(serve_raw: ServeRaw, provider_for: Connect) -> None:
    """A server that knows the key is wrong does not read the file first."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        await reader.readuntil(b"never comes")

    async def lines() -> AsyncIterator[bytes]:
        yield b"x" * MEGABYTE
        await asyncio.Event().wait()

    provider = await provider_for(await serve_raw(refuse))
    with pytest.raises(UnauthorizedError):
        await provider.upload(lines(), filename="a.jsonl", size=9 * MEGABYTE)


async def test_a_server_that_stops_reading_does_not_hold_the_upload(
    serve_raw: ServeRaw, provider_for: Connect
) -> None:
    """The silence limit holds for sending too; the file surely was not stored."""
    over = asyncio.Event()

    async def stop(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await over.wait()

    lines = Lines(*[b"x" * MEGABYTE] * 24)
    provider = await provider_for(await serve_raw(stop), read_timeout=0.05, max_attempts=1)
    with pytest.raises(UnavailableError, match="in time"):
        await provider.upload(lines, filename="a.jsonl", size=lines.size)
    over.set()
