"""`/v1/batches`: creating, showing and listing, and what is refused at once."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from openai.types import Batch, FileObject

from batchtrail.adapters.emulator import Emulator, EmulatorSettings, ManualClock

Upload = Callable[..., Awaitable[FileObject]]
Submit = Callable[..., Awaitable[Batch]]
Start = Callable[[EmulatorSettings], Awaitable[Emulator]]
Connect = Callable[[Emulator], AsyncOpenAI]

KEYS = [
    "id",
    "object",
    "endpoint",
    "model",
    "errors",
    "input_file_id",
    "completion_window",
    "status",
    "output_file_id",
    "error_file_id",
    "created_at",
    "in_progress_at",
    "expires_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
    "request_counts",
    "usage",
    "metadata",
]


async def test_batch_object_on_the_wire(
    *,
    emulator: Emulator,
    http: aiohttp.ClientSession,
    clock: ManualClock,
    submit: Submit,
    client: AsyncOpenAI,
) -> None:
    """Every key is there from the start, in OpenAI's order, indented by two."""
    batch = await submit(client)
    async with http.get(f"{emulator.base_url}/batches/{batch.id}") as response:
        text = await response.text()
    shown = json.loads(text)
    assert list(shown) == KEYS
    assert text == json.dumps(shown, indent=2)
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["openai-version"] == "2020-10-01"
    assert response.headers["openai-processing-ms"].isdecimal()
    assert re.fullmatch(f"batch_{int(clock.now):08x}[0-9a-f]{{24}}", batch.id)
    assert shown["usage"] == {
        "input_tokens": 0,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 0,
    }


async def test_cancel_answers_compact_json(
    emulator: Emulator, http: aiohttp.ClientSession, client: AsyncOpenAI, submit: Submit
) -> None:
    """The cancel call alone answers without spaces, and takes an empty body."""
    batch = await submit(client)
    async with http.post(f"{emulator.base_url}/batches/{batch.id}/cancel") as response:
        text = await response.text()
    assert text == json.dumps(json.loads(text), separators=(",", ":"))


async def test_create_keeps_metadata(client: AsyncOpenAI, upload: Upload) -> None:
    """Metadata come back as they were sent, and null when they were not."""
    file = await upload(client, b"{}")
    for metadata in (None, {}, {"key": "v" * 512}):
        batch = await client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/responses",
            completion_window="24h",
            **({} if metadata is None else {"metadata": metadata}),  # type: ignore[arg-type]
        )
        assert (await client.batches.retrieve(batch.id)).metadata == metadata


@pytest.mark.parametrize(
    ("change", "code", "param", "message"),
    [
        (
            {"input_file_id": None},
            "missing_required_parameter",
            "input_file_id",
            "Missing required",
        ),
        ({"endpoint": "/v1/x"}, "invalid_value", "endpoint", "Invalid value: '/v1/x'. Supported"),
        ({"endpoint": 7}, "invalid_type", "endpoint", "an integer instead"),
        ({"completion_window": "1h"}, "invalid_value", "completion_window", "Invalid value: '1h'"),
        (
            {"metadata": {"tags": ["a"]}},
            "invalid_type",
            "metadata.tags",
            "Invalid type for 'metadata.tags': expected a string, but got an array instead.",
        ),
        ({"metadata": "x"}, "invalid_type", "metadata", "expected an object"),
        ({"metadata": {"k": "v" * 513}}, "string_above_max_length", "metadata.k", "length 513"),
        ({"metadata": {"k" * 65: ""}}, "string_above_max_length", f"metadata.{'k' * 65}", "65"),
        (
            {"metadata": {str(n): "" for n in range(17)}},
            "object_above_max_properties",
            "metadata",
            "17 properties",
        ),
        ({"output_expires_after": 1}, "invalid_type", "output_expires_after", "an object"),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": "x"}},
            "invalid_type",
            "output_expires_after.seconds",
            "an integer",
        ),
    ],
)
async def test_create_refuses(
    *,
    emulator: Emulator,
    http: aiohttp.ClientSession,
    change: dict[str, Any],
    code: str,
    param: str,
    message: str,
) -> None:
    """What is wrong with the request itself is a 400 at once."""
    body = {
        "input_file_id": "file-x",
        "endpoint": "/v1/responses",
        "completion_window": "24h",
        **change,
    }
    async with http.post(f"{emulator.base_url}/batches", json=body) as response:
        error = (await response.json())["error"]
    assert (response.status, error["code"], error["param"]) == (400, code, param)
    assert message in error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", [b"{", b"[]"])
async def test_create_needs_a_json_object(
    emulator: Emulator, http: aiohttp.ClientSession, body: bytes
) -> None:
    """Anything but an object is refused."""
    async with http.post(f"{emulator.base_url}/batches", data=body) as response:
        assert response.status == 400


async def test_input_must_be_a_batch_file(client: AsyncOpenAI) -> None:
    """A file of another purpose is refused."""
    file = await client.files.create(file=("x.jsonl", b"{}"), purpose="user_data")
    with pytest.raises(BadRequestError, match="expected purpose 'batch'"):
        await client.batches.create(
            input_file_id=file.id, endpoint="/v1/responses", completion_window="24h"
        )


async def test_unknown_input_fails_the_batch(client: AsyncOpenAI, clock: ManualClock) -> None:
    """A batch with an unknown input file is created, then fails."""
    batch = await client.batches.create(
        input_file_id="file-x", endpoint="/v1/responses", completion_window="24h"
    )
    assert batch.status == "validating"
    clock.advance(1)
    batch = await client.batches.retrieve(batch.id)
    assert (batch.status, batch.failed_at) == ("failed", clock.now)
    assert batch.errors
    assert batch.errors.data
    [error] = batch.errors.data
    assert (error.code, error.param, error.line) == ("invalid_request", "file_id", None)
    assert error.message == (
        "Cannot find file file-x, or organization org-emulator does not have access to it."
    )


async def test_unknown_input_can_be_refused(start: Start, connect: Connect) -> None:
    """The settings bring back the synchronous 400 of 2024."""
    client = connect(await start(EmulatorSettings(unknown_file="refused")))
    with pytest.raises(BadRequestError, match="Cannot find file file-x, or project") as caught:
        await client.batches.create(
            input_file_id="file-x", endpoint="/v1/responses", completion_window="24h"
        )
    assert (caught.value.param, caught.value.code) == ("file_id", None)
    assert (await client.batches.list()).data == []


async def test_unknown_batch(client: AsyncOpenAI) -> None:
    """An unknown id is 404 for every call that takes one."""
    for call in (client.batches.retrieve, client.batches.cancel):
        with pytest.raises(NotFoundError, match="No batch found"):
            await call("batch_x")
    with pytest.raises(NotFoundError):
        await client.batches.list(after="batch_x")


async def test_list_batches(client: AsyncOpenAI, clock: ManualClock, submit: Submit) -> None:
    """Batches are listed newest first, twenty a page, each as it stands now."""
    made = [(await submit(client)).id for _ in range(23)]
    clock.advance(10)
    page = await client.batches.list()
    assert (len(page.data), page.has_more) == (20, True)
    assert {batch.status for batch in page.data} == {"completed"}
    assert [batch.id async for batch in client.batches.list()] == made[::-1]
    assert [batch.id async for batch in client.batches.list(limit=7)] == made[::-1]
    older = await client.batches.list(after=made[2])
    assert [batch.id for batch in older.data] == [made[1], made[0]]
    assert older.has_more is False


async def test_list_limits(
    emulator: Emulator, http: aiohttp.ClientSession, client: AsyncOpenAI, submit: Submit
) -> None:
    """A limit outside its range is moved into it; an empty page has null ids."""
    url = f"{emulator.base_url}/batches"
    async with http.get(url) as response:
        empty = await response.json()
    assert empty == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    made = [(await submit(client)).id for _ in range(2)]
    async with http.get(url, params={"limit": "0"}) as response:
        page = await response.json()
    assert (page["first_id"], page["last_id"], page["has_more"]) == (made[1], made[1], True)
    async with http.get(url, params={"limit": "x"}) as response:
        assert response.status == 400
