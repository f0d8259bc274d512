"""Every fault, as a client meets it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, BadRequestError, InternalServerError, RateLimitError
from openai.types import Batch, FileObject
from yarl import URL

from batchtrail.adapters.emulator import (
    Emulator,
    EmulatorSettings,
    Fault,
    FaultKind,
    Faults,
    ManualClock,
    Operation,
)

Submit = Callable[..., Awaitable[Batch]]
Upload = Callable[..., Awaitable[FileObject]]
Line = Callable[..., dict[str, Any]]
Start = Callable[[EmulatorSettings], Awaitable[Emulator]]
Connect = Callable[[Emulator], AsyncOpenAI]
NEW = {"input_file_id": "file-x", "endpoint": "/v1/responses", "completion_window": "24h"}


async def create(emulator: Emulator, http: aiohttp.ClientSession) -> aiohttp.ClientResponse:
    async with http.post(f"{emulator.base_url}/batches", json=NEW) as response:
        await response.read()
        return response


async def until(condition: Callable[[], bool]) -> None:
    """Let the others have their turns until something holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (nothing of the emulator says when)
            await asyncio.sleep(0)


async def ids(client: AsyncOpenAI) -> list[str]:
    return [batch.id async for batch in client.batches.list()]


@pytest.mark.parametrize("wait", [None, 2, 180])
async def test_rate_limit(emulator: Emulator, client: AsyncOpenAI, wait: float | None) -> None:
    """A 429 names a wait only when the fault has one, and goes away after its times."""
    emulator.faults.arm(Fault(op="retrieve", kind="rate_limit", times=2, retry_after=wait))
    for _ in range(2):
        with pytest.raises(RateLimitError) as caught:
            await client.batches.retrieve("batch_x")
        assert caught.value.response.headers.get("retry-after") == (wait and str(wait))
    assert list(emulator.faults) == []


@pytest.mark.parametrize("applied", [False, True])
async def test_gateway_error(
    emulator: Emulator, client: AsyncOpenAI, http: aiohttp.ClientSession, applied: bool
) -> None:
    """A 502 is a page of the gateway; whether the call took effect, it does not say."""
    emulator.faults.arm(Fault(op="create", kind="bad_gateway", applied=applied))
    response = await create(emulator, http)
    assert (response.status, response.content_type) == (502, "text/html")
    assert "x-request-id" not in response.headers
    assert len(await ids(client)) == applied


async def test_unavailable(emulator: Emulator, client: AsyncOpenAI) -> None:
    """A 503 comes in the envelope, before anything is done."""
    emulator.faults.arm(Fault(op="create", kind="unavailable"))
    with pytest.raises(InternalServerError) as caught:
        await client.batches.create(**NEW)  # type: ignore[arg-type]
    assert caught.value.status_code == 503
    assert await ids(client) == []


@pytest.mark.parametrize(("kind", "made"), [("reset_before", 0), ("reset_after", 1)])
async def test_reset(
    emulator: Emulator, client: AsyncOpenAI, http: aiohttp.ClientSession, kind: str, made: int
) -> None:
    """A connection breaks before the work, or after it: then only the list knows."""
    emulator.faults.arm(Fault(op="create", kind=kind))
    with pytest.raises(aiohttp.ClientError):
        await create(emulator, http)
    assert len(await ids(client)) == made
    assert emulator.calls.received[Operation.CREATE] == 1
    assert emulator.calls.applied[Operation.CREATE] == made


async def test_upload_can_be_lost(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The answer of an upload can be lost as well; the file is there."""
    emulator.faults.arm(Fault(op="upload", kind="reset_after"))
    form = aiohttp.FormData({"purpose": "batch"})
    form.add_field("file", b"{}", filename="x.jsonl")
    with pytest.raises(aiohttp.ClientError):
        await http.post(f"{emulator.base_url}/files", data=form)
    async with http.get(f"{emulator.base_url}/files") as response:
        assert len((await response.json())["data"]) == 1


async def test_cut_answer(
    emulator: Emulator, client: AsyncOpenAI, http: aiohttp.ClientSession
) -> None:
    """An answer breaks off in its middle, after the batch was made."""
    emulator.faults.arm(Fault(op="create", kind="cut_body"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await create(emulator, http)
    assert len(await ids(client)) == 1


@pytest.mark.parametrize("applied", [False, True])
async def test_slow_answer(
    emulator: Emulator, client: AsyncOpenAI, http: aiohttp.ClientSession, applied: bool
) -> None:
    """A client that loses patience cannot know whether the call took effect."""
    emulator.faults.arm(Fault(op="create", kind="delay", seconds=60, applied=applied))
    with pytest.raises(TimeoutError):
        await http.post(
            f"{emulator.base_url}/batches",
            json=NEW,
            timeout=aiohttp.ClientTimeout(total=0.1),
        )
    assert len(await ids(client)) == applied


async def test_late_call_of_a_dead_client(
    emulator: Emulator, client: AsyncOpenAI, http: aiohttp.ClientSession
) -> None:
    """A call that was sent takes effect, also when its sender was killed before that."""
    emulator.faults.arm(Fault(op="create", kind="delay", seconds=0.2))
    with pytest.raises(TimeoutError):
        await http.post(
            f"{emulator.base_url}/batches", json=NEW, timeout=aiohttp.ClientTimeout(total=0.1)
        )
    assert await ids(client) == []
    await until(lambda: bool(emulator.calls.applied[Operation.CREATE]))
    assert len(await ids(client)) == 1


@pytest.mark.parametrize("op", ["upload", "download", "list"])
async def test_clients_that_hang_up(
    emulator: Emulator,
    client: AsyncOpenAI,
    upload: Upload,
    caplog: pytest.LogCaptureFixture,
    op: str,
) -> None:
    """Clients that are killed are no error of the emulator: it says nothing, and goes on."""
    file = await upload(client, b"{}")
    emulator.faults.arm(Fault(op=op, kind="delay", seconds=0.2, times=1))
    head = {
        "upload": "POST /v1/files HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        "Content-Length: 1000\r\n",
        "download": f"GET /v1/files/{file.id}/content HTTP/1.1\r\n",
        "list": "GET /v1/batches HTTP/1.1\r\n",
    }[op]
    address, before = URL(emulator.base_url), asyncio.all_tasks()
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(f"{head}Host: here\r\nAuthorization: Bearer sk-test\r\n\r\n".encode())
    await until(lambda: emulator.calls.received[Operation(op)] > (op == "upload"))
    writer.transport.abort()
    await until(lambda: not asyncio.all_tasks() - before)
    assert caplog.records == []
    assert await ids(client) == []


@pytest.mark.parametrize(("kinds", "encoding"), [((), "gzip"), (("no_gzip",), None)])
async def test_gzip(
    emulator: Emulator, http: aiohttp.ClientSession, kinds: tuple[str, ...], encoding: str | None
) -> None:
    """JSON is compressed for those who take it, unless a fault keeps it plain."""
    emulator.faults.arm(*(Fault(op="list", kind=kind) for kind in kinds))
    async with http.get(f"{emulator.base_url}/batches") as response:
        assert (await response.json())["data"] == []
    assert response.headers.get("Content-Encoding") == encoding


async def test_download_can_be_chunked(
    emulator: Emulator, http: aiohttp.ClientSession, client: AsyncOpenAI, upload: Upload
) -> None:
    """Chunked content carries no length."""
    file = await upload(client, b"{}")
    emulator.faults.arm(Fault(op="download", kind="chunked"))
    async with http.get(f"{emulator.base_url}/files/{file.id}/content") as response:
        assert await response.read() == b"{}"
    assert response.content_length is None


async def test_download_breaks_off(
    emulator: Emulator, http: aiohttp.ClientSession, client: AsyncOpenAI, upload: Upload
) -> None:
    """A download that is closed early is an error for the client, and works the next time."""
    file = await upload(client, b"{}" + b" " * 998)
    emulator.faults.arm(Fault(op="download", kind="break_after", bytes=100))
    url = f"{emulator.base_url}/files/{file.id}/content"
    async with http.get(url) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    async with http.get(url) as response:
        assert len(await response.read()) == 1000


async def test_download_ends_short(
    emulator: Emulator, http: aiohttp.ClientSession, client: AsyncOpenAI, upload: Upload
) -> None:
    """A short download ends cleanly: only its content can tell."""
    file = await upload(client, b"{}" + b" " * 998)
    emulator.faults.arm(Fault(op="download", kind="short_after", bytes=100))
    async with http.get(f"{emulator.base_url}/files/{file.id}/content") as response:
        assert len(await response.read()) == 100


async def test_fresh_file_is_refused(
    emulator: Emulator, client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """For a while a create does not see a new file, and says so at once."""
    emulator.faults.arm(Fault(op="create", kind="file_hidden_refused", seconds=5, times=None))
    with pytest.raises(BadRequestError, match="Cannot find file"):
        await submit(client)
    [file] = (await client.files.list()).data
    clock.advance(5)
    batch = await client.batches.create(
        input_file_id=file.id, endpoint="/v1/responses", completion_window="24h"
    )
    assert batch.status == "validating"


async def test_fresh_file_fails_the_batch(
    emulator: Emulator, client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """The same, but the batch is made and fails."""
    emulator.faults.arm(Fault(op="create", kind="file_hidden_failed"))
    batch = await submit(client)
    clock.advance(1)
    batch = await client.batches.retrieve(batch.id)
    assert batch.status == "failed"
    assert (await submit(client)).status == "validating"


async def test_no_room_for_its_tokens(
    emulator: Emulator, client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """The batch is created, fails validation and costs nothing; the next one has room."""
    emulator.faults.arm(Fault(op="create", kind="queue_full"))
    batch = await submit(client)
    clock.advance(1)
    batch = await client.batches.retrieve(batch.id)
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [error.code for error in batch.errors.data] == ["token_limit_exceeded"]
    assert (batch.status, (await submit(client)).status) == ("failed", "validating")


async def test_list_lags(
    emulator: Emulator, client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """A new batch can be retrieved before it is listed."""
    emulator.faults.arm(Fault(op="list", kind="batches_hidden", seconds=30, times=None))
    batch = await submit(client)
    assert await ids(client) == []
    assert (await client.batches.retrieve(batch.id)).id == batch.id
    clock.advance(30)
    assert await ids(client) == [batch.id]


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("empty_file_ids", "output_file_id", ""),
        ("capitalised_status", "status", "Validating"),
        ("unknown_status", "status", "queued"),
        ("wrong_counts", "request_counts", {"total": 1, "completed": 1, "failed": 0}),
    ],
)
async def test_odd_batch_objects(
    *,
    emulator: Emulator,
    client: AsyncOpenAI,
    http: aiohttp.ClientSession,
    submit: Submit,
    kind: str,
    field: str,
    value: object,
) -> None:
    """A batch can look odd, for one answer."""
    batch = await submit(client)
    emulator.faults.arm(Fault(op="retrieve", kind=kind))
    url = f"{emulator.base_url}/batches/{batch.id}"
    async with http.get(url) as odd, http.get(url) as usual:
        assert (await odd.json())[field] == value
        assert (await usual.json())[field] != value


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("drop_lines", {"lines": 3, "ids": 3}),
        ("duplicate_line", {"lines": 5}),
        ("garbage_line", {"lines": 5, "bad": 1}),
        ("missing_custom_id", {"ids": 3}),
        ("unknown_custom_id", {"lines": 5, "strange": 1}),
        ("truncated_line", {"ids": 3, "bad": 1, "newline": False}),
    ],
)
async def test_deformed_results(
    *,
    emulator: Emulator,
    client: AsyncOpenAI,
    clock: ManualClock,
    submit: Submit,
    kind: str,
    changes: dict[str, int],
) -> None:
    """Result files can be wrong in each way, whatever the batch counts."""
    emulator.faults.arm(Fault(op="create", kind=kind))
    batch = await submit(client)
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    assert batch.request_counts
    assert batch.request_counts.completed == 4
    assert batch.output_file_id
    content = (await client.files.content(batch.output_file_id)).content
    seen = {"lines": 0, "ids": 0, "bad": 0, "strange": 0, "newline": content.endswith(b"\n")}
    found = set()
    for each in content.splitlines():
        seen["lines"] += 1
        try:
            found.add(json.loads(each).get("custom_id"))
        except ValueError:
            seen["bad"] += 1
    seen["ids"] = len(found & set("abcd"))
    seen["strange"] = len(found - {*"abcd", None})
    expected = {"lines": 4, "ids": 4, "bad": 0, "strange": 0, "newline": True}
    assert seen == {**expected, **changes}


async def test_empty_error_file(
    emulator: Emulator, client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """An error file of no bytes has an id and can be fetched."""
    emulator.faults.arm(Fault(op="create", kind="empty_error_file"))
    batch = await submit(client)
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    assert batch.error_file_id
    assert (await client.files.content(batch.error_file_id)).content == b""


async def test_faults_can_be_settings(start: Start, connect: Connect) -> None:
    """A fault may be armed from the start and for ever."""
    fault = Fault(op="list", kind="rate_limit", times=None)
    client = connect(await start(EmulatorSettings(faults=(fault,))))
    for _ in range(3):
        with pytest.raises(RateLimitError):
            await client.batches.list()


def test_skipped_calls_are_let_through() -> None:
    """`skip` counts down first, then `times`."""
    faults = Faults([Fault(op="list", kind="delay", skip=1, times=2)])
    drawn = [faults.draw(Operation.LIST, FaultKind.DELAY) is not None for _ in range(4)]
    assert drawn == [False, True, True, False]


@pytest.mark.parametrize(
    "fields",
    [
        {"op": "list", "kind": "reset"},
        {"op": "list", "kind": "chunked"},
        {"op": "list", "kind": "delay", "times": -1},
        {"op": "list", "kind": "rate_limit", "retry_after": -1},
        {"op": "create", "kind": "expire", "fraction": 1},
        {"op": "download", "kind": "unavailable", "applied": True},
    ],
)
def test_impossible_faults_are_refused(fields: dict[str, Any]) -> None:
    """A fault that could never strike is an error of the test that arms it."""
    with pytest.raises(ValueError, match=r"not a valid|must be|does not occur|no effect"):
        Fault(**fields)


async def test_control_routes(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Faults are armed, merged, shown and disarmed over HTTP; calls are counted."""
    url = f"{emulator.control_url}/faults"
    first = {"op": "create", "kind": "delay", "seconds": 1, "times": None}
    second = {"op": "create", "kind": "unavailable"}
    for body in ({"faults": [first]}, {"faults": [second]}):
        async with http.put(url, json=body) as response:
            assert response.status == 200
    async with http.put(url, json={"faults": [{**first, "times": 0}]}) as response:
        armed = (await response.json())["faults"]
    assert [(fault["kind"], fault["times"]) for fault in armed] == [("unavailable", 1)]
    assert (await create(emulator, http)).status == 503
    async with http.get(url) as response:
        assert (await response.json()) == {"faults": []}
    async with http.get(f"{emulator.control_url}/calls") as response:
        assert (await response.json())["create"] == {"received": 1, "applied": 0}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"faults": [{"op": "create"}]},
        {"faults": [[]]},
        {"faults": [{"op": "list", "kind": "rate_limit", "retry_after": "soon"}]},
        {"faults": [{"op": "list", "kind": "rate_limit", "retry_after": -1}]},
        {"faults": [{"op": "create", "kind": "delay", "second": 1}]},
        {"faults": [{"op": "create", "kind": "chunked"}]},
    ],
)
async def test_control_refuses_bad_faults(
    emulator: Emulator, http: aiohttp.ClientSession, body: object
) -> None:
    """A misspelt fault is refused rather than ignored, and DELETE disarms what is armed."""
    emulator.faults.arm(Fault(op="list", kind="delay", seconds=0))
    async with http.put(f"{emulator.control_url}/faults", json=body) as response:
        assert response.status == 400
    async with http.delete(f"{emulator.control_url}/faults") as response:
        assert await response.json() == {"faults": []}
