"""What breaks on the way: connections, time limits, cut answers, proxies."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from batchtrail.adapters.openai import OpenAISettings
from batchtrail.adapters.openai.provider import OpenAIBatchProvider, connect
from batchtrail.application.errors import (
    ClosedError,
    InputError,
    OutcomeUnknownError,
    ProviderError,
    RefusedError,
    UnavailableError,
)
from batchtrail.application.ports import BatchProvider, CreateRequest

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ServeRaw = Callable[[RawHandler], Awaitable[str]]
Connect = Callable[..., Awaitable[BatchProvider]]

REQUEST = CreateRequest("file-1", "/v1/responses", "24h", {})
BATCH = json.dumps({"id": "batch_1", "status": "validating"}).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


async def lines() -> AsyncIterator[bytes]:
    """Yield the bytes of a small upload."""
    yield b"{}\n"


def free_port() -> int:
    """Find a port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


@pytest.mark.parametrize("call", ["create", "upload", "retrieve"])
async def test_a_refused_connection_means_not_done(
    provider_for: Connect, waits: list[float], call: str
) -> None:
    """Nothing was sent; still a create call is repeated by nobody but the caller."""
    provider = await provider_for(f"http://127.0.0.1:{free_port()}/v1")
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: provider.create_batch(REQUEST),
        "upload": lambda: provider.upload(lines(), filename="a.jsonl", size=3),
        "retrieve": lambda: provider.retrieve_batch("batch_1"),
    }
    with pytest.raises(UnavailableError, match="cannot connect"):
        await calls[call]()
    assert len(waits) == (0 if call == "create" else 3)


@pytest.mark.parametrize("call", ["create_batch", "retrieve_batch", "complete_request"])
async def test_a_call_after_the_end(call: str) -> None:
    """It is told as any other use of a trail that is closed, and not tried again."""
    base_url = f"http://127.0.0.1:{free_port()}/v1"
    async with connect(OpenAISettings(api_key="key", base_url=base_url)) as provider:
        pass
    arguments: dict[str, tuple[object, ...]] = {
        "create_batch": (REQUEST,),
        "retrieve_batch": ("batch_1",),
        "complete_request": ("/v1/responses", b"{}"),
    }
    with pytest.raises(ClosedError):
        await getattr(provider, call)(*arguments[call])


async def test_an_unknown_host_means_not_done(provider_for: Connect) -> None:
    """Names under .invalid never resolve."""
    provider = await provider_for("http://batchtrail.invalid/v1")
    with pytest.raises(UnavailableError, match=r"cannot connect|not found"):
        await provider.create_batch(REQUEST)


async def test_a_failed_tls_handshake_means_not_done(
    serve_raw: ServeRaw, provider_for: Connect
) -> None:
    """The request follows the handshake, so it was not sent."""

    async def talk_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    base = (await serve_raw(talk_plainly)).replace("http:", "https:")
    provider = await provider_for(base)
    with pytest.raises(UnavailableError, match="TLS"):
        await provider.create_batch(REQUEST)


async def test_a_connection_that_does_not_come_about_in_time_means_not_done(
    serve_raw: ServeRaw, provider_for: Connect
) -> None:
    """A TLS handshake without an answer is part of connecting, whichever limit ends it."""

    async def be_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    base = (await serve_raw(be_silent)).replace("http:", "https:")
    for limits in ({"connect_timeout": 0.05}, {"create_timeout": 0.05}):
        provider = await provider_for(base, **limits)
        with pytest.raises(UnavailableError, match="in time"):
            await provider.create_batch(REQUEST)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        HEAD,
        HEAD + b"Content-Length: 400\r\n\r\n" + BATCH,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + BATCH[:5],
        HEAD + b"Content-Length: %d\r\n\r\n" % (len(BATCH) - 1) + BATCH,
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
@pytest.mark.parametrize("is_reset", [False, True])
async def test_an_answer_that_breaks_off_is_an_unknown_outcome(
    serve_raw: ServeRaw, provider_for: Connect, answer: bytes, is_reset: bool
) -> None:
    """Each beginning of an answer, ended politely or by a reset; the call is sent once."""
    calls = []

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(await reader.readuntil(b'24h"}'))
        writer.write(answer)
        await writer.drain()
        if is_reset:
            writer.transport.abort()

    provider = await provider_for(await serve_raw(break_off))
    with pytest.raises(OutcomeUnknownError):
        await provider.create_batch(REQUEST)
    assert len(calls) == 1


@pytest.mark.parametrize("answer", [b"", HEAD + b"Content-Length: 400\r\n\r\n" + BATCH])
async def test_a_create_call_is_given_up_after_its_whole_time(
    serve_raw: ServeRaw, provider_for: Connect, answer: bytes
) -> None:
    """Also when the answer has begun; the connection is closed, so that nobody waits for it."""
    closed = asyncio.Event()

    async def be_slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'24h"}')
        writer.write(answer)
        await reader.read(-1)
        closed.set()

    provider = await provider_for(await serve_raw(be_slow), create_timeout=0.05)
    with pytest.raises(OutcomeUnknownError, match="no answer in time"):
        await provider.create_batch(REQUEST)
    await asyncio.wait_for(closed.wait(), 5)


async def test_a_create_call_that_trickles_is_given_up_too(
    serve_raw: ServeRaw, provider_for: Connect
) -> None:
    """A byte now and then satisfies the read limit, but not the total one."""

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'24h"}')
        writer.write(HEAD + b"Content-Length: 9999\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)

    provider = await provider_for(await serve_raw(trickle), create_timeout=0.1, read_timeout=0.05)
    with pytest.raises(OutcomeUnknownError):
        await provider.create_batch(REQUEST)


async def test_a_read_without_an_answer_is_repeated(
    serve_raw: ServeRaw, provider_for: Connect, waits: list[float]
) -> None:
    """The silence limit ends each attempt."""
    calls = []

    async def be_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        calls.append(await reader.read(-1))

    provider = await provider_for(await serve_raw(be_silent), read_timeout=0.05, max_attempts=2)
    with pytest.raises(UnavailableError, match="no answer in time"):
        await provider.retrieve_batch("batch_1")
    assert len(waits) == 1


async def test_a_cancelled_call_stays_cancelled(serve_raw: ServeRaw, provider_for: Connect) -> None:
    """Ctrl-C is not a failure of the provider."""
    begun = asyncio.Event()

    async def be_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        begun.set()
        await reader.read(-1)

    provider = await provider_for(await serve_raw(be_silent))
    task = asyncio.create_task(provider.create_batch(REQUEST))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_stale_connection_of_a_shared_session_is_an_unknown_outcome(
    serve_raw: ServeRaw, key: str
) -> None:
    """A session with a pool may reuse a connection; what the server read of it nobody knows."""
    creates = []

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(BATCH) + BATCH)
        creates.append(await reader.readuntil(b'24h"}'))

    base = await serve_raw(answer_one)
    async with aiohttp.ClientSession() as session:
        settings = OpenAISettings(api_key=key, base_url=base)
        provider = OpenAIBatchProvider(session, settings)
        await provider.retrieve_batch("batch_1")
        with pytest.raises(OutcomeUnknownError):
            await provider.create_batch(REQUEST)
    assert len(creates) == 1


async def test_connections_are_not_reused(serve: Serve, provider_for: Connect) -> None:
    """So a connection that a server is just closing never carries a create call."""
    peers = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        return web.Response(body=BATCH, content_type="application/json")

    provider = await provider_for(await serve(answer))
    await provider.retrieve_batch("batch_1")
    await provider.create_batch(REQUEST)
    assert len(set(peers)) == 2


async def test_a_refusal_whose_body_breaks_off_is_still_a_refusal(
    serve_raw: ServeRaw, provider_for: Connect
) -> None:
    """The status alone says that nothing was done."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'24h"}')
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\n{")

    provider = await provider_for(await serve_raw(refuse))
    with pytest.raises(RefusedError):
        await provider.create_batch(REQUEST)


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request"])
async def test_a_request_id_that_is_no_text_can_be_stored(
    serve_raw: ServeRaw, provider_for: Connect, status: bytes
) -> None:
    """A header may hold any bytes; what came of the call is recorded with it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'24h"}')
        head = b"HTTP/1.1 %s\r\nx-request-id: req\xe9\r\n" % status
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(BATCH) + BATCH)

    provider = await provider_for(await serve_raw(answer))
    try:
        request_id = (await provider.create_batch(REQUEST)).request_id
    except RefusedError as error:
        request_id = error.request_id
    assert request_id == "req\\udce9"
    assert request_id.encode()


async def test_an_endless_error_page_is_cut(serve: Serve, provider_for: Connect) -> None:
    """A server in trouble must not fill our memory."""
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        try:
            while sent < 100_000_000:
                await response.write(b"x" * 100_000)
                sent += 100_000
        except ConnectionError:
            pass
        return response

    provider = await provider_for(await serve(answer))
    with pytest.raises(OutcomeUnknownError):
        await provider.create_batch(REQUEST)
    assert sent < 50_000_000


async def test_gzip_is_read(serve: Serve, provider_for: Connect) -> None:
    """OpenAI compresses JSON when it is offered (recorded traffic, 2025)."""

    async def answer(_: web.Request) -> web.Response:
        response = web.Response(body=BATCH, content_type="application/json")
        response.enable_compression(web.ContentCoding.gzip)
        return response

    provider = await provider_for(await serve(answer))
    assert (await provider.retrieve_batch("batch_1")).id == "batch_1"


async def test_a_proxy_of_the_environment_is_used(
    serve: Serve, provider_for: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the user name and password of its URL, which go to the proxy alone."""
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(body=BATCH, content_type="application/json")

    proxy = (await serve(answer)).removesuffix("/v1")
    monkeypatch.setenv("HTTP_PROXY", proxy.replace("http://", "http://me:pw@"))
    provider = await provider_for("http://batchtrail.invalid/v1")
    assert (await provider.create_batch(REQUEST)).id == "batch_1"
    assert seen[0].headers["Host"] == "batchtrail.invalid"
    assert seen[0].headers["Proxy-Authorization"] == "Basic bWU6cHc="


@pytest.mark.parametrize("with_port", [False, True])
async def test_no_proxy_is_heard(
    serve: Serve, provider_for: Connect, monkeypatch: pytest.MonkeyPatch, *, with_port: bool
) -> None:
    """Hosts inside the network are reached directly."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=BATCH, content_type="application/json")

    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    base = await serve(answer)
    url = URL(base)
    monkeypatch.setenv("NO_PROXY", f"{url.host}:{url.port}" if with_port else "127.0.0.1")
    provider = await provider_for(base)
    assert (await provider.create_batch(REQUEST)).id == "batch_1"


UNUSABLE_PROXIES = [
    "socks5://me:s3cret@127.0.0.1:1",
    "http://me:s3cret@",
    "http://[s3cret",
    "http://me:s3cret@a..b:3128",
]


@pytest.mark.parametrize("proxy", UNUSABLE_PROXIES)
@pytest.mark.parametrize("variable", ["ALL_PROXY", "http_proxy", "HTTP_PROXY"])
async def test_a_proxy_that_cannot_be_used_is_not_passed_by(
    provider_for: Connect, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    """To go around it might break the rules of the network, and to wait heals nothing.

    It is told before the first call, so that nothing is recorded; the password stays secret.
    """
    monkeypatch.setenv(variable, proxy)
    provider = await provider_for("http://batchtrail.invalid/v1")
    assert provider.name == "openai:http://batchtrail.invalid/v1"
    assert provider.limits.max_requests == 50_000
    with pytest.raises(InputError, match=rf"^{variable} ") as caught:
        _ = provider.create_batch
    with pytest.raises(InputError):
        await provider.retrieve_batch("batch_1")
    assert "s3cret" not in str(caught.value)


async def test_the_first_of_two_spellings_of_a_variable_is_named(
    provider_for: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lower-case one counts, as everywhere."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(InputError, match=r"^http_proxy names a socks5 proxy"):
        await (await provider_for("http://batchtrail.invalid/v1")).retrieve_batch("batch_1")


@pytest.mark.parametrize("proxy", UNUSABLE_PROXIES)
async def test_a_proxy_that_only_a_redirect_needs(
    serve: Serve, provider_for: Connect, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """A file may lie elsewhere; the calls before it need no proxy."""

    async def answer(_: web.Request) -> web.Response:
        location = "http://batchtrail.invalid/blob"
        return web.Response(status=302, headers={"Location": location})

    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    provider = await provider_for(await serve(answer))
    with pytest.raises(InputError, match=r"^HTTP_PROXY ") as caught:
        _ = [piece async for piece in provider.download("file-1")]
    assert "s3cret" not in str(caught.value)


async def test_a_dead_proxy_means_not_done(
    provider_for: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the proxy nor its password shows in the error."""
    monkeypatch.setenv("HTTP_PROXY", f"http://me:s3cret@127.0.0.1:{free_port()}")
    provider = await provider_for("http://batchtrail.invalid/v1")
    with pytest.raises(UnavailableError, match="proxy") as caught:
        await provider.create_batch(REQUEST)
    assert "s3cret" not in str(caught.value)


async def test_netrc_is_left_alone(
    serve: Serve,
    provider_for: Connect,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A `default` entry there breaks every call of a session that trusts the environment."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password pw\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.Response(body=BATCH, content_type="application/json")

    await (await provider_for(await serve(answer))).retrieve_batch("batch_1")
    assert seen == [f"Bearer {key}"]


async def test_errors_carry_no_aiohttp_exception(provider_for: Connect) -> None:
    """Its repr may show headers, and error trackers print the whole chain."""
    provider = await provider_for(f"http://127.0.0.1:{free_port()}/v1", max_attempts=1)
    with pytest.raises(ProviderError) as caught:
        await provider.retrieve_batch("batch_1")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
