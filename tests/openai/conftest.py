"""Small servers on loopback, and providers that talk to them without ever sleeping."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from batchtrail.adapters.openai import OpenAISettings
from batchtrail.adapters.openai.provider import connect
from batchtrail.application.ports import BatchProvider

KEY = "sk-test-4f9a1c7e2b"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback servers are reached directly, whatever the machine's environment says."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Start an HTTP server whose handler gets every request; gives its base URL."""
    async with AsyncExitStack() as stack:

        async def start(handler: Handler) -> str:
            async def answer(request: web.Request) -> web.StreamResponse:
                return await handler(request)

            app = web.Application(client_max_size=0)
            app.router.add_route("*", "/{path:.*}", answer)
            server = await stack.enter_async_context(TestServer(app))
            return str(server.make_url("/v1"))

        yield start


@pytest.fixture
async def serve_raw() -> AsyncIterator[Callable[[RawHandler], Awaitable[str]]]:
    """Start a TCP server for answers that no HTTP library would give; gives its base URL."""
    async with AsyncExitStack() as stack:

        async def start(handler: RawHandler) -> str:
            async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    await handler(reader, writer)
                finally:
                    writer.close()

            server = await asyncio.start_server(closing, "127.0.0.1", 0)
            await stack.enter_async_context(server)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

        yield start


@pytest.fixture
def waits() -> list[float]:
    """The seconds that providers wanted to wait between attempts."""
    return []


@pytest.fixture
async def provider_for(
    waits: list[float],
) -> AsyncIterator[Callable[..., Awaitable[BatchProvider]]]:
    """Connect a provider to a base URL; keywords are settings."""
    async with AsyncExitStack() as stack:

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        async def start(base_url: str, **settings: Any) -> BatchProvider:
            settings = {"api_key": KEY, "base_url": base_url} | settings
            return await stack.enter_async_context(connect(OpenAISettings(**settings), sleep=sleep))

        yield start


@pytest.fixture
def key() -> str:
    """The key that providers send."""
    return KEY
