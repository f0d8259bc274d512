"""An emulator on a free port, whose clock stands still until a test moves it, and its clients."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types import Batch, FileObject

from batchtrail.adapters.emulator import (
    Emulator,
    EmulatorSettings,
    ManualClock,
    running_emulator,
)

Start = Callable[[EmulatorSettings], Awaitable[Emulator]]
Connect = Callable[[Emulator], AsyncOpenAI]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached directly, whatever the machine's environment says."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def start(clock: ManualClock) -> AsyncIterator[Start]:
    """Start an emulator with settings of the test's own."""
    async with AsyncExitStack() as stack:

        async def enter(settings: EmulatorSettings) -> Emulator:
            return await stack.enter_async_context(running_emulator(settings, clock=clock))

        yield enter


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Make an SDK client that never repeats a call."""
    async with AsyncExitStack() as stack:

        def client(emulator: Emulator) -> AsyncOpenAI:
            made = AsyncOpenAI(
                api_key="sk-test",
                base_url=emulator.base_url,
                max_retries=0,
                # Reading the certificates would take longer than most of these tests.
                http_client=DefaultAsyncHttpxClient(verify=False),
            )
            stack.push_async_callback(made.close)
            return made

        yield client


@pytest.fixture
async def emulator(start: Start) -> Emulator:
    return await start(EmulatorSettings())


@pytest.fixture
def client(connect: Connect, emulator: Emulator) -> AsyncOpenAI:
    return connect(emulator)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A bare session, for what the SDK hides."""
    headers = {"Authorization": "Bearer sk-test"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield session


@pytest.fixture
def line() -> Callable[..., dict[str, Any]]:
    """Make a request line for `/v1/responses`; further fields go into its body."""

    def make(custom_id: str, **body: object) -> dict[str, Any]:
        return {
            "custom_id": custom_id,
            "method": "POST",
            "url": "/v1/responses",
            "body": {"model": "gpt-5-nano", "input": f"Say {custom_id}.", **body},
        }

    return make


@pytest.fixture
def upload() -> Callable[..., Awaitable[FileObject]]:
    """Upload lines: objects, or bytes that are sent as they are."""

    async def send(client: AsyncOpenAI, *lines: dict[str, Any] | bytes) -> FileObject:
        content = b"\n".join(
            each if isinstance(each, bytes) else json.dumps(each).encode() for each in lines
        )
        return await client.files.create(file=("input.jsonl", content), purpose="batch")

    return send


@pytest.fixture
def submit(
    upload: Callable[..., Awaitable[FileObject]], line: Callable[..., dict[str, Any]]
) -> Callable[..., Awaitable[Batch]]:
    """Upload lines, by default four, and create a batch of them."""

    async def send(
        client: AsyncOpenAI, *lines: dict[str, Any] | bytes, endpoint: Any = "/v1/responses"
    ) -> Batch:
        file = await upload(client, *(lines or map(line, "abcd")))
        return await client.batches.create(
            input_file_id=file.id, endpoint=endpoint, completion_window="24h"
        )

    return send


@pytest.fixture
def results() -> Callable[[AsyncOpenAI, str | None], Awaitable[dict[str, Any]]]:
    """Download a result file; gives its lines by custom_id."""

    async def fetch(client: AsyncOpenAI, file_id: str | None) -> dict[str, Any]:
        assert file_id
        content = (await client.files.content(file_id)).content
        assert content.endswith(b"\n")
        lines = [json.loads(each) for each in content.splitlines()]
        return {each["custom_id"]: each for each in lines}

    return fetch
