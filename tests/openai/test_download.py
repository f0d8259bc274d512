"""Downloads: whole, cut, redirected; and the key, which goes nowhere else."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest
from aiohttp import ClientResponse, web

from batchtrail.adapters.openai import AuthStyle
from batchtrail.application.errors import ProviderError, RefusedError, UnavailableError
from batchtrail.application.ports import BatchProvider, CreateRequest

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ServeRaw = Callable[[RawHandler], Awaitable[str]]
Connect = Callable[..., Awaitable[BatchProvider]]

CONTENT = b'{"custom_id": "1"}\n' * 100_000


async def whole(provider: BatchProvider) -> bytes:
    """Download a file to its end."""
    return b"".join([piece async for piece in provider.download("file-1")])


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_file_comes_whole(serve: Serve, provider_for: Connect, is_chunked: bool) -> None:
    """With a Content-Length as in 2026, or chunked as in 2025; nothing is compressed."""

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        response = web.Response(body=CONTENT, content_type="application/octet-stream")
        if is_chunked:
            response.enable_chunked_encoding()
        return response

    assert await whole(await provider_for(await serve(answer))) == CONTENT


@pytest.mark.parametrize("status", [200, 204])
async def test_an_empty_file_is_no_error(serve: Serve, provider_for: Connect, status: int) -> None:
    """Azure makes error files of zero bytes."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    assert await whole(await provider_for(await serve(answer))) == b""


async def test_a_part_of_a_file_is_not_the_file(serve: Serve, provider_for: Connect) -> None:
    """A 206 that nobody asked for comes from a broken cache."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=206, body=b"part")

    with pytest.raises(UnavailableError):
        await whole(await provider_for(await serve(answer)))


@pytest.mark.parametrize("status", [201, 202, 203, 226, 299])
async def test_another_success_is_not_the_file(
    serve: Serve, provider_for: Connect, waits: list[float], status: int
) -> None:
    """What it holds are a server's words about the file, such as that it is not ready."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"status": "in preparation"}, status=status)

    with pytest.raises(UnavailableError, match=f"answered {status}"):
        await whole(await provider_for(await serve(answer)))
    assert len(waits) == 3


@pytest.mark.parametrize("content_type", ["text/html", "application/xhtml+xml"])
@pytest.mark.parametrize("begin", ["<html>", "\n <!DOCTYPE html>", "\ufeff<html>"])
async def test_a_page_is_not_the_file(
    serve: Serve, provider_for: Connect, waits: list[float], content_type: str, begin: str
) -> None:
    """A gateway that shows its notices with a 200; the next attempt may find the file."""
    answers = [begin, begin]

    async def answer(_: web.Request) -> web.Response:
        if answers:
            page = f"{answers.pop()}<h1>We will be back soon</h1>"
            return web.Response(text=page, content_type=content_type)
        return web.Response(body=CONTENT)

    base = await serve(answer)
    with pytest.raises(UnavailableError, match="web page"):
        await whole(await provider_for(base, max_attempts=1))
    assert await whole(await provider_for(base)) == CONTENT
    assert len(waits) == 1


@pytest.mark.parametrize("content", [CONTENT, b""])
async def test_a_file_that_is_called_a_page_is_the_file(
    serve: Serve, provider_for: Connect, content: bytes
) -> None:
    """HTML is what many frameworks call an answer when nobody says what it is."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type="text/html")

    assert await whole(await provider_for(await serve(answer))) == content


@pytest.mark.parametrize("content_type", ["application/octet-stream", "text/plain"])
async def test_a_file_that_begins_like_a_page_is_the_file(
    serve: Serve, provider_for: Connect, content_type: str
) -> None:
    """Nobody says that it is a page; what its lines are worth is for others to find out."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"<" + CONTENT, content_type=content_type)

    assert await whole(await provider_for(await serve(answer))) == b"<" + CONTENT


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3e7\r\n"]
)
@pytest.mark.parametrize("is_reset", [False, True])
async def test_a_cut_transfer_is_noticed(
    serve_raw: ServeRaw, provider_for: Connect, waits: list[float], framing: bytes, is_reset: bool
) -> None:
    """What came is good; the rest is the caller's to fetch from the first byte."""
    go_on = asyncio.Event()

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"begun")
        await go_on.wait()
        if is_reset:
            writer.transport.abort()

    provider = await provider_for(await serve_raw(cut))
    async with aclosing(provider.download("file-1")) as pieces:
        assert await anext(pieces) == b"begun"
        go_on.set()
        with pytest.raises(UnavailableError, match=r"cut off|lost"):
            await anext(pieces)
    assert waits == []


async def test_silence_in_the_middle_ends_a_transfer(
    serve_raw: ServeRaw, provider_for: Connect
) -> None:
    """Between two bytes, not for the whole file."""

    async def pause(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nbegun")
        await reader.read(-1)

    provider = await provider_for(await serve_raw(pause), read_timeout=0.05)
    with pytest.raises(UnavailableError, match="no answer in time"):
        await whole(provider)


async def test_a_broken_chunk_ends_a_transfer(serve_raw: ServeRaw, provider_for: Connect) -> None:
    """One whose length is none, after good ones: nothing more can be read, and nobody says so."""
    go_on, over = asyncio.Event(), asyncio.Event()

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
        await go_on.wait()
        writer.write(b"zz\r\n")
        await over.wait()

    provider = await provider_for(await serve_raw(break_off), read_timeout=0.05)
    async with asyncio.timeout(5), aclosing(provider.download("file-1")) as pieces:
        assert await anext(pieces) == b"begun"
        go_on.set()
        with pytest.raises(UnavailableError):
            await anext(pieces)
    over.set()


async def test_a_download_that_is_dropped_closes_its_connection(
    serve_raw: ServeRaw, provider_for: Connect
) -> None:
    """A caller may stop early; the rest of 200 MB must not flow."""
    closed = asyncio.Event()

    async def flow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nbegun")
        await reader.read(-1)
        closed.set()

    provider = await provider_for(await serve_raw(flow))
    async with aclosing(provider.download("file-1")) as pieces:
        await anext(pieces)
    await asyncio.wait_for(closed.wait(), 5)


async def test_only_the_beginning_is_repeated(
    serve: Serve, provider_for: Connect, waits: list[float]
) -> None:
    """Before the first byte a failure is like that of any read."""
    answers = [502, 503, 200]

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=answers.pop(0), body=b"content")

    assert await whole(await provider_for(await serve(answer))) == b"content"
    assert len(waits) == 2


@pytest.mark.parametrize("auth", list(AuthStyle))
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_key_never_follows_to_another_origin(
    serve: Serve, provider_for: Connect, key: str, auth: AuthStyle, status: int
) -> None:
    """Neither header, nor organisation and project; and it stays dropped on the way back."""
    seen: list[web.Request] = []
    home = ""

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(status=status, headers={"Location": f"{home}/back"})

    other = await serve(elsewhere)

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/v1/back":
            seen.append(request)
            return web.Response(body=b"content")
        assert key in str(request.headers)
        return web.Response(status=status, headers={"Location": f"{other}/blob?sig=a%2Bb%2F"})

    home = await serve(answer)
    provider = await provider_for(
        home, auth=auth, organization="org-1", project="proj-1", api_version="2025-01-01"
    )
    assert await whole(provider) == b"content"
    assert len(seen) == 2
    for request in seen:
        assert key not in str(request.headers)
        assert "openai-organization" not in request.headers
        assert "openai-project" not in request.headers
        assert "cookie" not in request.headers
    # A new quoting would break the signature of a presigned address.
    assert seen[0].raw_path == "/v1/blob?sig=a%2Bb%2F"


async def test_the_key_follows_within_its_origin(
    serve: Serve, provider_for: Connect, key: str
) -> None:
    """A server may move its own files, also by a relative address."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/moved":
            assert request.headers["Authorization"] == f"Bearer {key}"
            return web.Response(body=b"content")
        return web.Response(status=302, headers={"Location": "/moved"})

    assert await whole(await provider_for(await serve(answer))) == b"content"


@pytest.mark.parametrize(
    "location",
    [
        "", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "http://[", "http://h:99999/",
        "http://a..b/x", "http://.blob.example.org/x", "http://xn--a/x",
    ],
)  # fmt: skip
async def test_a_redirect_to_nowhere_is_refused(
    serve: Serve, provider_for: Connect, location: str
) -> None:
    """Only http and https addresses with a host are followed."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location} if location else {})

    with pytest.raises(RefusedError):
        await whole(await provider_for(await serve(answer)))


@pytest.mark.parametrize(("scheme", "error"), [("http", RefusedError), ("https", UnavailableError)])
async def test_a_redirect_never_leads_out_of_tls(
    serve: Serve,
    provider_for: Connect,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    error: type[ProviderError],
) -> None:
    """What came by https is not read in the open; nobody answers at the address that may be."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{scheme}://127.0.0.1:1/blob"})

    by_tls = property(lambda response: response.real_url.with_scheme("https"))
    provider = await provider_for(await serve(answer))
    monkeypatch.setattr(ClientResponse, "url", by_tls)
    with pytest.raises(error):
        await whole(provider)


async def test_redirects_end(serve: Serve, provider_for: Connect) -> None:
    """A circle is left after ten steps."""
    steps = []

    async def answer(request: web.Request) -> web.Response:
        steps.append(request.path)
        return web.Response(status=302, headers={"Location": request.path})

    with pytest.raises(RefusedError):
        await whole(await provider_for(await serve(answer)))
    assert len(steps) == 10


@pytest.mark.parametrize("auth", list(AuthStyle))
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 502])
async def test_the_key_shows_nowhere(  # noqa: PLR0917 -- fixtures and a table
    serve: Serve,
    provider_for: Connect,
    key: str,
    caplog: pytest.LogCaptureFixture,
    auth: AuthStyle,
    status: int,
) -> None:
    """Some servers repeat it in every field of an error; str, repr, traceback and log are clean."""

    async def answer(_: web.Request) -> web.Response:
        error = {"message": f"Incorrect API key provided: {key}.", "code": key, "param": key}
        return web.json_response({"error": error}, status=status, headers={"x-request-id": key})

    async def lines() -> AsyncIterator[bytes]:
        yield b"{}\n"

    provider = await provider_for(await serve(answer), auth=auth, max_attempts=2)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: provider.create_batch(CreateRequest("f", "/v1/responses", "24h", {})),
        lambda: provider.upload(lines(), filename="a.jsonl", size=3),
        lambda: provider.retrieve_batch("b"),
        lambda: provider.delete_file("f"),
        lambda: whole(provider),
    ]
    with caplog.at_level(logging.DEBUG):
        for call in calls:
            with pytest.raises(ProviderError) as caught:
                await call()
            shown = "".join(traceback.format_exception(caught.value))
            shown += repr(caught.value) + str(vars(caught.value))
            assert key not in shown
            assert caught.value.message.startswith(("Incorrect API key provided", "the file has"))
    assert key not in caplog.text
    assert key not in repr(provider)
