"""`/v1/files`: what is taken in, listed, sent back and refused."""

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
Line = Callable[..., dict[str, Any]]
Start = Callable[[EmulatorSettings], Awaitable[Emulator]]
Connect = Callable[[Emulator], AsyncOpenAI]


async def test_upload_round_trip(
    client: AsyncOpenAI, clock: ManualClock, upload: Upload, line: Line
) -> None:
    """A file comes back byte for byte, and its record says what was sent."""
    file = await upload(client, line("a"), line("b"))
    content = "\n".join(json.dumps(line(each)) for each in "ab").encode()
    assert re.fullmatch("file-[2-9A-HJ-NP-Za-km-z]{22}", file.id)
    assert (file.bytes, file.filename, file.purpose) == (len(content), "input.jsonl", "batch")
    assert (file.status, file.expires_at) == ("processed", clock.now + 30 * 86_400)
    assert await client.files.retrieve(file.id) == file
    assert (await client.files.content(file.id)).content == content


@pytest.mark.parametrize(
    ("name", "content"),
    [("input.txt", b"{}"), ("input.jsonl", b""), ("input.jsonl", b"no json\n{}")],
    ids=["name", "empty", "first line"],
)
async def test_upload_refuses(client: AsyncOpenAI, name: str, content: bytes) -> None:
    """The name, emptiness and the first line are looked at before a batch is made."""
    with pytest.raises(BadRequestError, match=r"Must be \.jsonl"):
        await client.files.create(file=(name, content), purpose="batch")


async def test_too_large_upload_is_refused(start: Start, connect: Connect) -> None:
    """No trace is left of an upload that is cut short."""
    client = connect(await start(EmulatorSettings(max_upload_bytes=1000)))
    with pytest.raises(Exception, match="larger than the 1000 bytes"):
        await client.files.create(file=("input.jsonl", b"{}\n" * 1000), purpose="batch")
    assert (await client.files.list()).data == []


@pytest.mark.parametrize("spelling", ["expires_after[{}]", "expires_after.{}"])
async def test_parts_come_in_any_order(
    emulator: Emulator, http: aiohttp.ClientSession, spelling: str
) -> None:
    """The file may stand before its purpose, and a life may be spelled as Azure does."""
    form = aiohttp.FormData()
    form.add_field("file", b"{}\n", filename="x.jsonl", content_type="application/jsonl")
    form.add_field(spelling.format("anchor"), "created_at")
    form.add_field(spelling.format("seconds"), "3600")
    form.add_field("purpose", "batch")
    async with http.post(f"{emulator.base_url}/files", data=form) as response:
        file = await response.json()
    assert file["expires_at"] == file["created_at"] + 3600


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "batch"}, "file"),
        ({"file": b"{}"}, "purpose"),
        ({"file": b"{}", "purpose": "fun"}, "purpose"),
        (
            {"file": b"{}", "purpose": "batch", "expires_after[seconds]": "3600"},
            "expires_after.anchor",
        ),
        (
            {
                "file": b"{}",
                "purpose": "batch",
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "60",
            },
            "expires_after.seconds",
        ),
    ],
)
async def test_upload_form_is_checked(
    emulator: Emulator, http: aiohttp.ClientSession, fields: dict[str, Any], param: str
) -> None:
    """A refusal names the field."""
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value, filename="x.jsonl" if name == "file" else None)
    async with http.post(f"{emulator.base_url}/files", data=form) as response:
        assert response.status == 400
        assert (await response.json())["error"]["param"] == param


async def test_body_must_be_multipart(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """JSON is no upload, nor is a body that only claims to be multipart."""
    url = f"{emulator.base_url}/files"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with http.post(url, json={}) as one, http.post(url, data=b"x", headers=headers) as two:
        assert (one.status, two.status) == (400, 400)


async def test_file_expires(client: AsyncOpenAI, clock: ManualClock, upload: Upload) -> None:
    """Batch files go after thirty days."""
    file = await upload(client, b"{}")
    clock.advance(30 * 86_400)
    with pytest.raises(NotFoundError, match=f"No such File object: {file.id}"):
        await client.files.retrieve(file.id)
    assert (await client.files.list()).data == []


async def test_delete(client: AsyncOpenAI, upload: Upload) -> None:
    """A deleted file is gone from every call."""
    file = await upload(client, b"{}")
    assert (await client.files.delete(file.id)).deleted
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(NotFoundError):
            await call(file.id)


async def test_running_batch_keeps_a_deleted_input(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """Deleting the input does not take the requests from a batch that has begun."""
    batch = await submit(client)
    await client.files.delete(batch.input_file_id)
    clock.advance(10)
    assert (await client.batches.retrieve(batch.id)).status == "completed"


async def test_list_files(client: AsyncOpenAI, clock: ManualClock, submit: Submit) -> None:
    """Files are listed by purpose and order, page by page."""
    batches = [await submit(client) for _ in range(3)]
    clock.advance(10)
    inputs = [batch.input_file_id for batch in batches]
    output = (await client.batches.retrieve(batches[0].id)).output_file_id
    assert [file.id async for file in client.files.list()] == [output, *reversed(inputs)]
    oldest_first = client.files.list(purpose="batch", order="asc", limit=2)
    assert [file.id async for file in oldest_first] == inputs
    page = await client.files.list(purpose="batch", limit=2)
    assert page.has_more
    assert [file.id for file in (await page.get_next_page()).data] == [inputs[0]]
    with pytest.raises(NotFoundError):
        await client.files.list(after="file-unknown")
    with pytest.raises(BadRequestError):
        await client.files.list(order="up")  # type: ignore[arg-type]


async def test_download_headers(
    emulator: Emulator,
    http: aiohttp.ClientSession,
    client: AsyncOpenAI,
    clock: ManualClock,
    submit: Submit,
) -> None:
    """Content comes as an attachment with its length, never compressed."""
    batch = await submit(client)
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    url = f"{emulator.base_url}/files/{batch.output_file_id}/content"
    async with http.get(url, headers={"Accept-Encoding": "gzip"}) as response:
        content = await response.read()
    assert response.content_length == len(content)
    assert response.headers["Content-Type"] == "application/octet-stream"
    name = f'attachment; filename="{batch.id}_output.jsonl"'
    assert response.headers["Content-Disposition"] == name
    assert "Content-Encoding" not in response.headers
    assert re.fullmatch("req_[0-9a-f]{32}", response.headers["x-request-id"])
