"""The server itself: keys, unknown routes, restarts, concurrency and memory."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, AuthenticationError
from openai.types import Batch

from batchtrail.adapters.emulator import (
    Emulator,
    EmulatorSettings,
    Fault,
    ManualClock,
    running_emulator,
)

Submit = Callable[..., Awaitable[Batch]]
Start = Callable[[EmulatorSettings], Awaitable[Emulator]]
Connect = Callable[[Emulator], AsyncOpenAI]
MEGABYTE = 1024 * 1024


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Basic abc"}, 401),
        ({"Authorization": "Bearer sk-invalid-123"}, 401),
        ({"api-key": "sk-invalid"}, 401),
        ({"Authorization": "Bearer sk-x"}, 200),
        ({"api-key": "any"}, 200),
    ],
)
async def test_keys(emulator: Emulator, headers: dict[str, str], status: int) -> None:
    """Any key will do but a blank one and those said to be bad, in either header."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{emulator.base_url}/batches", headers=headers) as response,
    ):
        body = await response.json()
    assert response.status == status
    if status == 401:
        assert body["error"]["code"] == "invalid_api_key"
        assert body["error"]["param"] is None
        assert body["error"]["message"].startswith("Incorrect API key provided: ")


async def test_sdk_knows_a_bad_key(emulator: Emulator) -> None:
    """The SDK raises its own error, which has the request id."""
    async with AsyncOpenAI(
        api_key="sk-invalid-abcdefgh", base_url=emulator.base_url, max_retries=0
    ) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.batches.list()
    assert caught.value.request_id
    assert "abcdefgh" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/unknown", 404), ("PATCH", "/files", 405), ("POST", "/uploads", 404)],
)
async def test_unknown_routes(
    emulator: Emulator, http: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    """Even what does not exist is answered in the envelope."""
    async with http.request(method, emulator.base_url + path) as response:
        error = (await response.json())["error"]
    assert response.status == status
    assert error["type"] == "invalid_request_error"


async def test_restart_changes_nothing(
    tmp_path: Path, connect: Connect, clock: ManualClock, submit: Submit
) -> None:
    """With a data directory, batches go on through a restart, even with other durations."""
    settings = EmulatorSettings(data_dir=tmp_path)
    async with running_emulator(settings, clock=clock) as emulator:
        client = connect(emulator)
        done, running = await submit(client), None
        clock.advance(10)
        before = await client.batches.retrieve(done.id)
        running = await submit(client)
        clock.advance(2)
    slower = EmulatorSettings(data_dir=tmp_path, validating=100, in_progress=100)
    async with running_emulator(slower, clock=clock) as emulator:
        client = connect(emulator)
        assert await client.batches.retrieve(done.id) == before
        assert before.output_file_id
        assert (await client.files.content(before.output_file_id)).content
        assert (await client.batches.retrieve(running.id)).status == "in_progress"
        assert [each.id async for each in client.batches.list()] == [running.id, done.id]


async def test_leftovers_of_a_crash_are_removed(
    tmp_path: Path, start: Start, connect: Connect
) -> None:
    """Half-written files do not outlive the next start."""
    leftover = tmp_path / "files" / "file-x.part"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    client = connect(await start(EmulatorSettings(data_dir=tmp_path)))
    assert not leftover.exists()
    assert (await client.files.list()).data == []


async def test_results_are_made_once(
    tmp_path: Path, start: Start, connect: Connect, clock: ManualClock, submit: Submit
) -> None:
    """Many who look at the same moment see the same files."""
    client = connect(await start(EmulatorSettings(data_dir=tmp_path)))
    batch = await submit(client)
    clock.advance(10)
    looks = [client.batches.retrieve(batch.id) for _ in range(8)]
    seen = await asyncio.gather(*looks, client.batches.list())
    outputs = {each.output_file_id for each in seen[:8] if isinstance(each, Batch)}
    assert len(outputs) == 1
    assert len(list((tmp_path / "files").iterdir())) == 2


async def test_cancellation_stops_the_server() -> None:
    """Cancelling the task that runs the server frees its port, open requests or not."""
    started: asyncio.Future[Emulator] = asyncio.get_running_loop().create_future()
    called = asyncio.Event()

    def clock() -> float:
        called.set()
        return 0.0

    async def serve() -> None:
        async with running_emulator(clock=clock) as emulator:
            emulator.faults.arm(Fault(op="list", kind="delay", seconds=60, applied=True))
            started.set_result(emulator)
            await asyncio.Event().wait()

    server = asyncio.create_task(serve())
    emulator = await started
    async with aiohttp.ClientSession(headers={"api-key": "x"}) as session:
        slow = asyncio.create_task(session.get(f"{emulator.base_url}/batches"))
        await called.wait()
        server.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server
        with pytest.raises(aiohttp.ClientError):
            await slow
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{emulator.base_url}/batches")


async def test_memory_does_not_grow_with_the_file(
    start: Start, http: aiohttp.ClientSession, clock: ManualClock
) -> None:
    """Thirty megabytes go in, are checked, answered and come out in a few megabytes of memory."""

    def request(number: int) -> bytes:
        body = {"model": "gpt-4o", "input": "word " * 6000}
        request = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/responses"}
        return json.dumps({**request, "body": body}).encode() + b"\n"

    async def lines() -> AsyncIterator[bytes]:
        for number in range(1000):
            yield request(number)

    emulator = await start(EmulatorSettings(answer_bytes=30_000))
    form = aiohttp.FormData({"purpose": "batch"})
    form.add_field("file", lines(), filename="x.jsonl", content_type="application/jsonl")
    tracemalloc.start()
    try:
        async with http.post(f"{emulator.base_url}/files", data=form) as response:
            file = await response.json()
        assert file["bytes"] > 30 * 1000 * 1000
        new = {"input_file_id": file["id"], "endpoint": "/v1/responses", "completion_window": "24h"}
        batch: dict[str, Any]
        async with http.post(f"{emulator.base_url}/batches", json=new) as response:
            batch = await response.json()
        clock.advance(10)
        async with http.get(f"{emulator.base_url}/batches/{batch['id']}") as response:
            batch = await response.json()
        assert batch["request_counts"] == {"total": 1000, "completed": 1000, "failed": 0}
        url = f"{emulator.base_url}/files/{batch['output_file_id']}/content"
        size = 0
        async with http.get(url) as response:
            async for chunk in response.content.iter_any():
                size += len(chunk)
        assert size > 30 * 1000 * 1000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEGABYTE
