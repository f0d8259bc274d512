"""Azure's dialect of the emulator: addresses, keys, ids, objects, files and error codes."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from batchtrail.adapters.emulator import (
    Dialect,
    Emulator,
    EmulatorSettings,
    Fault,
    FaultKind,
    ManualClock,
    Operation,
)

Start = Callable[[EmulatorSettings], Awaitable[Emulator]]
Json = dict[str, Any]
NIGHTLY = {"nightly": "gpt-4o-mini"}
GUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
ISO = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00"


class Azure:
    """A client that speaks to the emulator as Azure's REST samples do."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, clock: ManualClock) -> None:
        self.session = session
        self.base_url = base_url
        self.clock = clock

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.base_url + path, **more) as response:
            return response.status, json.loads(await response.read())

    async def upload(
        self, content: bytes, content_type: str | None = "application/json", **fields: str
    ) -> tuple[int, Any]:
        with aiohttp.MultipartWriter("form-data") as form:
            for name, value in {"purpose": "batch", **fields}.items():
                form.append(value).set_content_disposition("form-data", name=name)
            part = form.append(content)
            part.set_content_disposition("form-data", name="file", filename="test.jsonl")
            if content_type is None:
                del part.headers["Content-Type"]
        return await self.call("POST", "/files", data=form)

    async def create(self, content: bytes, endpoint: str = "/chat/completions") -> Json:
        _, file = await self.upload(content)
        order = {
            "input_file_id": file["id"],
            "endpoint": endpoint,
            "completion_window": "24h",
        }
        status, batch = await self.call("POST", "/batches", json=order)
        assert status == 200, batch
        return dict(batch)

    async def later(self, batch: Json, seconds: float) -> Json:
        self.clock.advance(seconds)
        return dict((await self.call("GET", f"/batches/{batch['id']}"))[1])

    async def content(self, file_id: str) -> bytes:
        async with self.session.get(f"{self.base_url}/files/{file_id}/content") as response:
            assert response.status == 200
            return await response.read()


def line(custom_id: str, url: str = "/chat/completions", model: str = "nightly") -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi."}]}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body}).encode()


def lines(*each: bytes) -> bytes:
    return b"".join(one + b"\n" for one in each)


@pytest.fixture
async def emulator(start: Start) -> Emulator:
    return await start(EmulatorSettings(dialect=Dialect.AZURE, deployments=NIGHTLY))


@pytest.fixture
async def azure(emulator: Emulator, clock: ManualClock) -> AsyncIterator[Azure]:
    async with aiohttp.ClientSession(headers={"api-key": "k"}) as session:
        yield Azure(session, emulator.base_url, clock)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/openai/v1/batches", {"api-key": "k"}, 200),
        ("/openai/v1/batches?api-version=preview", {"api-key": "k"}, 200),
        ("/openai/batches?api-version=2024-10-21", {"api-key": "k"}, 200),
        ("/openai/batches", {"api-key": "k"}, 404),
        ("/openai/batches?api-version=", {"api-key": "k"}, 404),
        ("/v1/batches", {"api-key": "k"}, 404),
        ("/openai/v1/batches", {"Authorization": "Bearer k"}, 401),
        ("/openai/v1/batches", {"api-key": "sk-invalid"}, 401),
        ("/openai/v1/batches", {}, 401),
    ],
)
async def test_key_and_version(
    emulator: Emulator, path: str, headers: dict[str, str], status: int
) -> None:
    """The key has its own header, older addresses need a version; refusals are in Azure's words."""
    origin = emulator.base_url.removesuffix("/openai/v1")
    async with (
        aiohttp.ClientSession() as session,
        session.get(origin + path, headers=headers) as response,
    ):
        assert response.status == status
        assert re.fullmatch(GUID, response.headers.get("apim-request-id", "")) or path[:4] == "/v1/"
        assert "x-request-id" not in response.headers
        error = (await response.json()).get("error", {})
    if status != 200:
        assert error.keys() == {"code", "message"}
        assert error["code"] == str(status)
    if status == 401:
        assert error["message"].startswith("Access denied due to invalid subscription key")


async def test_the_life_of_a_batch(azure: Azure) -> None:
    """GUIDs, capitalised statuses, ISO times, and counts that are null until they are known."""
    created = await azure.create(lines(*map(line, "abcd")))
    assert re.fullmatch(f"batch_{GUID}", created["id"])
    assert re.fullmatch("file-[0-9a-f]{32}", created["input_file_id"])
    assert re.fullmatch(ISO, created["created_at"])
    assert re.fullmatch(ISO, created["expires_at"])
    assert created["endpoint"] == "/chat/completions"
    assert created["request_counts"] == {"total": None, "completed": None, "failed": None}
    assert not created.keys() & {"model", "usage"}

    begun = await azure.later(created, 1.0)
    assert begun["request_counts"] == {"total": 4, "completed": None, "failed": None}
    running = await azure.later(created, 1.5)
    assert running["request_counts"] == {"total": 4, "completed": 2, "failed": None}
    assert running["output_file_id"] is None
    finalizing = await azure.later(created, 1.5)
    ended = await azure.later(created, 0.5)
    statuses = [each["status"] for each in (created, begun, running, finalizing, ended)]
    assert statuses == ["Validating", "InProgress", "InProgress", "Finalizing", "Completed"]
    assert ended["request_counts"] == {"total": 4, "completed": 4, "failed": 0}
    assert re.fullmatch(ISO, ended["completed_at"])

    assert await azure.content(ended["error_file_id"]) == b""
    rows = [json.loads(row) for row in (await azure.content(ended["output_file_id"])).splitlines()]
    assert sorted(row["custom_id"] for row in rows) == list("abcd")
    assert {row["response"]["body"]["model"] for row in rows} == {"gpt-4o-mini-2024-07-18"}
    assert all("id" not in row for row in rows)


async def test_cancelled(azure: Azure) -> None:
    """A batch that is cancelled keeps what was done, in Azure's spelling."""
    created = await azure.create(lines(*map(line, "abcd")))
    await azure.later(created, 2.5)
    status, cancelling = await azure.call("POST", f"/batches/{created['id']}/cancel")
    assert (status, cancelling["status"]) == (200, "Cancelling")
    cancelled = await azure.later(created, 10)
    assert cancelled["status"] == "Cancelled"
    assert cancelled["request_counts"] == {"total": 4, "completed": 2, "failed": 0}
    assert len((await azure.content(cancelled["output_file_id"])).splitlines()) == 2
    undone = [
        json.loads(row) for row in (await azure.content(cancelled["error_file_id"])).splitlines()
    ]
    assert [row["error"]["code"] for row in undone] == ["batch_cancelled"] * 2


@pytest.mark.parametrize("endpoint", ["/chat/completions", "/v1/chat/completions"])
@pytest.mark.parametrize("url", ["/chat/completions", "/v1/chat/completions"])
async def test_both_spellings(azure: Azure, endpoint: str, url: str) -> None:
    """The lines and the create call may each leave `/v1` out; it is answered as it was sent."""
    created = await azure.create(lines(line("a", url), line("b", url)), endpoint)
    ended = await azure.later(created, 60)
    assert (ended["status"], ended["endpoint"]) == ("Completed", endpoint)
    assert len((await azure.content(ended["output_file_id"])).splitlines()) == 2


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        (lines(line("a"), line("b", "/v1/chat/completions")), [("url_mismatch", 2)]),
        (lines(line("a", "/responses")), [("url_mismatch", 1)]),
        (lines(line("a"), line("b", model="gpt-4o")), [("model_mismatch", 2)]),
        (lines(line("a", model="llama")), [("model_not_found", 1)]),
        (lines(line("a"), line("a")), [("duplicate_custom_id", 2)]),
        (b"{\n", [("invalid_json_line", 1)]),
        (b"", [("empty_file", None)]),
        (
            lines(line("a"), line("b").replace(b"custom_id", b"id")),
            [("invalid_request", 2)],
        ),
    ],
    ids=["spellings", "url", "model", "deployment", "custom_id", "json", "empty", "schema"],
)  # fmt: skip
async def test_failed_validation(
    azure: Azure, content: bytes, problems: list[tuple[str, int | None]]
) -> None:
    """The codes are Azure's; the batch looks finished and has both files, which are empty."""
    failed = await azure.later(await azure.create(content), 60)
    assert [(each["code"], each["line"]) for each in failed["errors"]["data"]] == problems
    assert all(each["message"] for each in failed["errors"]["data"])
    assert (failed["status"], failed["failed_at"]) == ("Failed", None)
    assert re.fullmatch(ISO, failed["completed_at"])
    assert failed["output_file_id"] != failed["error_file_id"]
    assert await azure.content(failed["output_file_id"]) == b""
    assert await azure.content(failed["error_file_id"]) == b""


async def test_too_many_requests(start: Start, clock: ManualClock) -> None:
    """The limit has a code of its own."""
    emulator = await start(EmulatorSettings(dialect=Dialect.AZURE, max_requests=1))
    async with aiohttp.ClientSession(headers={"api-key": "k"}) as session:
        azure = Azure(session, emulator.base_url, clock)
        content = lines(line("a", model="gpt-4o"), line("b", model="gpt-4o"))
        failed = await azure.later(await azure.create(content), 60)
    assert [each["code"] for each in failed["errors"]["data"]] == ["too_many_tasks"]


@pytest.mark.parametrize(
    ("seconds", "status"), [("1209600", 200), ("2592000", 200), ("1209599", 400), ("2592001", 400)]
)
async def test_expires_after(azure: Azure, seconds: str, status: int) -> None:
    """Names with dots, from 14 to 30 days; a file has its times in seconds even here."""
    wish = {"expires_after.seconds": seconds, "expires_after.anchor": "created_at"}
    answered, file = await azure.upload(lines(line("a")), **wish)
    assert answered == status, file
    if status == 200:
        assert file["expires_at"] - file["created_at"] == int(seconds)
        assert "status_details" not in file


async def test_an_upload_needs_a_content_type(azure: Azure) -> None:
    """A file part without one is refused, as issue reports say."""
    status, answer = await azure.upload(lines(line("a")), content_type=None)
    assert (status, answer["error"]["code"]) == (400, "400")
    assert "content type" in answer["error"]["message"]


async def test_faults_bend_this_dialect_too(azure: Azure, emulator: Emulator) -> None:
    """Null counts and capitals do not get in the way of faults."""
    emulator.faults.arm(
        Fault(op=Operation.CREATE, kind=FaultKind.WRONG_COUNTS, count=2),
        Fault(op=Operation.LIST, kind=FaultKind.RATE_LIMIT, retry_after=3),
    )
    created = await azure.create(lines(line("a")))
    assert created["request_counts"] == {"total": 2, "completed": 2, "failed": None}
    status, answer = await azure.call("GET", "/batches")
    assert (status, answer["error"]["code"]) == (429, "rate_limit_exceeded")


async def test_one_request_alone(azure: Azure) -> None:
    """The synchronous endpoint resolves a deployment too."""
    body = json.loads(line("a"))["body"]
    status, answer = await azure.call("POST", "/chat/completions", json=body)
    assert (status, answer["model"]) == (200, "gpt-4o-mini-2024-07-18")
