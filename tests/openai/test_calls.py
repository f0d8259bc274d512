"""What each call sends, and what it makes of the answer."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import web

from batchtrail.adapters.openai import AuthStyle
from batchtrail.application.errors import (
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    QuotaError,
    RateLimitedError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)
from batchtrail.application.ports import BatchProvider, CreateRequest, DirectAnswer, ProviderBatch
from batchtrail.domain.status import BatchStatus

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
Connect = Callable[..., Awaitable[BatchProvider]]

REQUEST = CreateRequest("file-1", "/v1/responses", "24h", {"batchtrail_id": "b-1"})
BATCH = {"id": "batch_1", "status": "validating", "input_file_id": "file-1", "created_at": 1}


async def do(provider: BatchProvider, call: str) -> object:  # noqa: PLR0911 -- a table of calls
    """Make one of the calls with arguments that do not matter."""
    match call:
        case "create":
            return await provider.create_batch(REQUEST)
        case "retrieve":
            return await provider.retrieve_batch("batch_1")
        case "cancel":
            return await provider.cancel_batch("batch_1")
        case "list":
            return [batch async for batch in provider.list_batches()]
        case "download":
            return b"".join([piece async for piece in provider.download("file-1")])
        case "complete":
            return await provider.complete_request("/v1/chat/completions", b'{"model": "m"}')
        case _:
            return await provider.delete_file("file-1")


CALLS = ["create", "complete", "retrieve", "cancel", "list", "download", "delete"]
REPEATABLE = CALLS[2:]
COSTLY = CALLS[:2]
REDIRECTS = (301, 302, 303, 307, 308)


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_carries_the_bearer_key(
    serve: Serve, provider_for: Connect, key: str, call: str
) -> None:
    """With organisation and project where they are set, and an API version only then."""
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response(BATCH | {"data": [], "has_more": False})

    provider = await provider_for(await serve(answer), organization="org-1", project="proj_1")
    await do(provider, call)
    assert seen[0].headers["Authorization"] == f"Bearer {key}"
    assert seen[0].headers["OpenAI-Organization"] == "org-1"
    assert seen[0].headers["OpenAI-Project"] == "proj_1"
    assert "api-key" not in seen[0].headers
    assert "api-version" not in seen[0].query


@pytest.mark.parametrize("call", CALLS)
async def test_azure_style_carries_its_key_and_version(
    serve: Serve, provider_for: Connect, key: str, call: str
) -> None:
    """The `api-key` header stands alone, and each address has the version."""
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response(BATCH | {"data": [], "has_more": False})

    base = await serve(answer)
    provider = await provider_for(base, auth=AuthStyle.API_KEY, api_version="2025-01-01")
    await do(provider, call)
    assert seen[0].headers["api-key"] == key
    assert "Authorization" not in seen[0].headers
    assert seen[0].query["api-version"] == "2025-01-01"


@pytest.mark.parametrize(
    ("call", "method", "path"),
    [
        ("create", "POST", "/v1/batches"),
        ("complete", "POST", "/v1/chat/completions"),
        ("retrieve", "GET", "/v1/batches/batch_1"),
        ("cancel", "POST", "/v1/batches/batch_1/cancel"),
        ("list", "GET", "/v1/batches?limit=100"),
        ("download", "GET", "/v1/files/file-1/content"),
        ("delete", "DELETE", "/v1/files/file-1"),
    ],
)
async def test_every_call_has_its_address(
    serve: Serve, provider_for: Connect, call: str, method: str, path: str
) -> None:
    """As in OpenAI's API reference."""
    seen: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.path_qs))
        return web.json_response(BATCH | {"data": [], "has_more": False})

    await do(await provider_for(await serve(answer)), call)
    assert [(method, path)] == seen


async def test_a_create_call_sends_the_request_and_reads_the_batch(
    serve: Serve, provider_for: Connect
) -> None:
    """The body is JSON with a length, the answer a batch with its request id."""
    bodies: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.content_type == "application/json"
        assert request.content_length == len(await request.read())
        bodies.append(await request.json())
        return web.json_response(BATCH, headers={"x-request-id": "req_7"})

    batch = await (await provider_for(await serve(answer))).create_batch(REQUEST)
    assert bodies == [
        {
            "input_file_id": "file-1",
            "endpoint": "/v1/responses",
            "completion_window": "24h",
            "metadata": {"batchtrail_id": "b-1"},
        }
    ]
    assert (
        batch.id,
        batch.request_id,
        batch.report.status,
    ) == ("batch_1", "req_7", BatchStatus.IN_PROGRESS)


async def test_a_synchronous_call_sends_the_body_and_gives_the_answer_as_they_are(
    serve: Serve, provider_for: Connect
) -> None:
    """Neither is written anew; the answer comes with its status and request id."""
    bodies: list[bytes] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.content_type == "application/json"
        bodies.append(await request.read())
        return web.Response(
            status=201,
            body=b'{ "id": "x", "n": NaN }',
            headers={"x-request-id": "req_7", "Content-Type": "application/json"},
        )

    provider = await provider_for(await serve(answer))
    given = await provider.complete_request("/v1/responses", b'{ "model": "m" }')
    assert bodies == [b'{ "model": "m" }']
    assert given == DirectAnswer(201, b'{ "id": "x", "n": NaN }', "req_7")


@pytest.mark.parametrize(
    ("status", "error", "calls"),
    [
        (400, RefusedError, 1),
        (404, RefusedError, 1),
        (429, RateLimitedError, 4),
        (408, OutcomeUnknownError, 1),
        (500, OutcomeUnknownError, 1),
        (503, OutcomeUnknownError, 1),
    ],
)
async def test_a_synchronous_call_is_repeated_only_when_it_surely_was_not_answered(
    serve: Serve, provider_for: Connect, status: int, error: type[ProviderError], calls: int
) -> None:
    """An answer that was lost may have been paid for; a model that is unknown is no lost file."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        body = {"error": {"message": "in its own words", "code": "c"}}
        return web.json_response(body, status=status, headers={"x-request-id": "req_9"})

    provider = await provider_for(await serve(answer))
    with pytest.raises(ProviderError) as raised:
        await provider.complete_request("/v1/embeddings", b"{}")
    assert type(raised.value) is error
    assert (raised.value.message, raised.value.code) == ("in its own words", "c")
    assert raised.value.request_id == "req_9"
    assert seen == ["/v1/embeddings"] * calls


@pytest.mark.parametrize("body", [b'{"id": "x"', b"[]", b"<html>", b""])
async def test_a_synchronous_answer_that_cannot_be_read_is_an_unknown_outcome(
    serve: Serve, provider_for: Connect, body: bytes
) -> None:
    """It says success, and so it was paid for."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body)

    provider = await provider_for(await serve(answer))
    with pytest.raises(OutcomeUnknownError):
        await provider.complete_request("/v1/responses", b"{}")


@pytest.mark.parametrize("batch_id", ["a/b", "a b?c#d", "YmF0Y2g7bW9kZWw6eA==", "é", "%2F"])
async def test_an_id_is_one_segment_of_the_path(
    serve: Serve, provider_for: Connect, batch_id: str
) -> None:
    """Proxies make ids of base64 and worse; none may lead to another resource."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.raw_path)
        return web.json_response(BATCH)

    await (await provider_for(await serve(answer))).retrieve_batch(batch_id)
    assert [batch_id] == [unquote(path.removeprefix("/v1/batches/")) for path in seen]
    assert seen[0].count("/") == 3


@pytest.mark.parametrize("call", ["retrieve", "cancel"])
async def test_an_answer_is_about_the_batch_that_was_asked_for(
    serve: Serve, provider_for: Connect, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    """A gateway may pass on its upstream's own id; that is told once for a batch."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(BATCH | {"id": "batch_upstream", "status": "completed"})

    provider = await provider_for(await serve(answer))
    for _ in range(2):
        found = await do(provider, call)
        assert isinstance(found, ProviderBatch)
        assert (found.id, found.report.status) == ("batch_1", BatchStatus.ENDED)
    assert [record.args for record in caplog.records] == [("batch_1", "batch_upstream")]


@pytest.mark.parametrize("batch_id", ["", ".", ".."])
async def test_an_id_that_would_change_the_path_is_not_found(
    serve: Serve, provider_for: Connect, batch_id: str
) -> None:
    """An empty id would retrieve the list; nothing is sent."""

    async def answer(_: web.Request) -> web.Response:
        pytest.fail("something was sent")

    with pytest.raises(NotFoundError):
        await (await provider_for(await serve(answer))).retrieve_batch(batch_id)


async def test_the_list_goes_from_page_to_page(serve: Serve, provider_for: Connect) -> None:
    """Each page is asked for with the last id of the one before, and only when it is reached."""
    pages = {
        None: {"data": [{"id": "d"}, {"id": "c"}], "has_more": True},
        "c": {"data": [{"id": "b"}], "has_more": True, "last_id": "b"},
        "b": {"data": [{"id": "a"}], "has_more": False, "last_id": "a"},
    }
    asked: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query.get("after"))
        assert request.query["limit"] == "100"
        return web.json_response(pages[asked[-1]])

    provider = await provider_for(await serve(answer))
    async with aclosing(provider.list_batches()) as batches:
        assert (await anext(batches)).id == "d"
        assert asked == [None]
    assert [batch.id async for batch in provider.list_batches()] == ["d", "c", "b", "a"]
    assert asked == [None, None, "c", "b"]


@pytest.mark.parametrize("call", ["list", "list_files"])
async def test_a_list_in_a_circle_is_no_complete_list(
    serve: Serve, provider_for: Connect, call: str
) -> None:
    """A server that ignores `after` must not make a search look finished, nor go on for ever."""
    asked: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query.get("after"))
        return web.json_response({"data": [{"id": "b"}, {"id": "a"}], "has_more": True})

    provider = await provider_for(await serve(answer))
    items: Any = provider.list_batches() if call == "list" else provider.list_files()
    async with aclosing(items):
        assert [(await anext(items)).id, (await anext(items)).id] == ["b", "a"]
        with pytest.raises(UnavailableError, match="repeats itself"):
            await anext(items)
    assert asked == [None, "a"]


async def test_what_moves_between_two_pages_is_shown_once(
    serve: Serve, provider_for: Connect
) -> None:
    """A batch that is made meanwhile pushes the last of one page to the next."""
    pages = {
        None: {"data": [{"id": "c"}, {"id": "b"}], "has_more": True, "last_id": "offset-2"},
        "offset-2": {"data": [{"id": "b"}, {"id": "a"}], "has_more": False},
    }

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(pages[request.query.get("after")])

    provider = await provider_for(await serve(answer))
    assert [batch.id async for batch in provider.list_batches()] == ["c", "b", "a"]


async def test_delete_gives_the_request_id(serve: Serve, provider_for: Connect) -> None:
    """It goes into the log as the trace of the change."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(
            {"id": "file-1", "deleted": True}, headers={"x-request-id": "req_9"}
        )

    assert await (await provider_for(await serve(answer))).delete_file("file-1") == "req_9"


async def test_a_file_that_a_lost_delete_removed_is_deleted(
    serve: Serve, provider_for: Connect
) -> None:
    """The repeat finds no file any more, because the first call did its work."""
    answers = [502, 404]

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({}, status=answers.pop(0), headers={"x-request-id": "req_2"})

    assert await (await provider_for(await serve(answer))).delete_file("file-1") == "req_2"


async def test_a_file_that_never_was_is_not_found(serve: Serve, provider_for: Connect) -> None:
    """After a 429 nothing was done, so a 404 means what it says."""
    answers = [429, 404]

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({}, status=answers.pop(0))

    with pytest.raises(NotFoundError):
        await (await provider_for(await serve(answer))).delete_file("file-1")


async def test_a_file_that_stays_is_no_success(serve: Serve, provider_for: Connect) -> None:
    """`deleted: false` comes with a 200."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"id": "file-1", "deleted": False})

    with pytest.raises(RefusedError):
        await (await provider_for(await serve(answer))).delete_file("file-1")


def refusal(message: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Make the usual error envelope."""
    return {"error": {"message": message, "type": "t", "param": param, "code": code}}


@pytest.mark.parametrize(
    ("call", "status", "body", "error"),
    [
        ("create", 400, refusal("Invalid value", "invalid_value", "endpoint"), RefusedError),
        ("create", 400, refusal("Cannot find file file-1, or ...", None, "file_id"), NotFoundError),
        ("create", 404, refusal("No such File object: file-1", None, "id"), NotFoundError),
        ("create", 400, refusal("Hard limit", "billing_hard_limit_reached"), QuotaError),
        ("create", 429, refusal("No credit", "insufficient_quota"), QuotaError),
        ("create", 429, refusal("Slow down", "rate_limit_exceeded"), RateLimitedError),
        ("create", 500, refusal("Oops", "server_error"), OutcomeUnknownError),
        ("create", 401, refusal("Bad key", "invalid_api_key"), UnauthorizedError),
        ("retrieve", 401, refusal("Bad key", "invalid_api_key"), UnauthorizedError),
        ("retrieve", 404, refusal("No batch found", "x"), NotFoundError),
        ("retrieve", 500, refusal("Oops", "x"), UnavailableError),
        ("retrieve", 429, refusal("Slow", "x"), RateLimitedError),
        ("retrieve", 429, refusal("No credit", "insufficient_quota"), QuotaError),
        ("cancel", 404, refusal("No batch found", "x"), NotFoundError),
        ("cancel", 409, refusal("Cannot cancel", "x"), RefusedError),
        ("list", 403, refusal("No access", "x"), UnauthorizedError),
        ("download", 404, refusal("No such File object: file-1", "x"), NotFoundError),
        ("download", 502, refusal("Bad gateway", "x"), UnavailableError),
        ("delete", 404, refusal("No such File object: file-1", "x"), NotFoundError),
    ],
)
async def test_every_refusal_has_its_error(  # noqa: PLR0917 -- fixtures and a table
    serve: Serve,
    provider_for: Connect,
    call: str,
    status: int,
    body: dict[str, Any],
    error: type[ProviderError],
) -> None:
    """With the provider's own words, status and request id."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body, status=status, headers={"x-request-id": "req_5"})

    provider = await provider_for(await serve(answer))
    with pytest.raises(ProviderError) as caught:
        await do(provider, call)
    found = caught.value
    assert type(found) is error
    assert (status, "req_5") == (found.http_status, found.request_id)
    assert body["error"] == {
        "message": found.message,
        "type": "t",
        "param": found.param,
        "code": found.code,
    }


@pytest.mark.parametrize("call", REPEATABLE)
async def test_reads_get_over_a_bad_gateway(
    serve: Serve, provider_for: Connect, waits: list[float], call: str
) -> None:
    """An HTML 502, then the answer; one wait between them."""
    answers = [502, 200]

    async def answer(_: web.Request) -> web.Response:
        if answers.pop(0) == 502:
            return web.Response(status=502, text="<h1>Bad</h1>", content_type="text/html")
        return web.json_response(BATCH | {"data": [], "has_more": False})

    await do(await provider_for(await serve(answer)), call)
    assert len(waits) == 1
    assert 0.25 <= waits[0] < 0.5


async def test_an_html_error_is_a_short_sentence(serve: Serve, provider_for: Connect) -> None:
    """Cloudflare's pages are long, and none of their markup belongs into a log."""
    page = f"<html><title>api | 520: Web server error</title>{'<p>long</p>' * 999}</html>"

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=520, text=page, content_type="text/html")

    with pytest.raises(OutcomeUnknownError) as caught:
        await do(await provider_for(await serve(answer)), "create")
    assert caught.value.message == "the server answered 520: api | 520: Web server error"


@pytest.mark.parametrize("call", REPEATABLE)
async def test_attempts_end_with_the_last_error(
    serve: Serve, provider_for: Connect, waits: list[float], call: str
) -> None:
    """Three attempts mean two waits."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=503)

    with pytest.raises(UnavailableError):
        await do(await provider_for(await serve(answer), max_attempts=3), call)
    assert len(waits) == 2


async def test_a_named_wait_is_kept(
    serve: Serve, provider_for: Connect, waits: list[float]
) -> None:
    """The wait that the server asks for, and a little more."""
    answers = [429, 200]

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(BATCH, status=answers.pop(0), headers={"Retry-After": "33"})

    await do(await provider_for(await serve(answer)), "retrieve")
    assert 33 <= waits[0] < 34


@pytest.mark.parametrize("call", CALLS)
async def test_a_long_wait_is_reported_at_once(
    serve: Serve, provider_for: Connect, waits: list[float], call: str
) -> None:
    """The caller has a schedule; the adapter would only hold a connection."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({}, status=429, headers={"Retry-After": "600"})

    with pytest.raises(RateLimitedError) as caught:
        await do(await provider_for(await serve(answer)), call)
    assert (caught.value.retry_after, waits) == (600.0, [])


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_create_call_is_sent_once(
    serve: Serve, provider_for: Connect, waits: list[float], status: int
) -> None:
    """Even when the server asks for another one."""
    calls = []

    async def answer(request: web.Request) -> web.Response:
        calls.append(request)
        headers = {"Retry-After": "1", "x-should-retry": "true"}
        return web.json_response({}, status=status, headers=headers)

    with pytest.raises(ProviderError):
        await do(await provider_for(await serve(answer)), "create")
    assert (len(calls), waits) == (1, [])


@pytest.mark.parametrize(
    "body", [b"", b"<html>Sign in</html>", b'{"id": "batch_1", "sta', b"[]", b'{"status": "x"}']
)
async def test_an_unreadable_success_is_an_unknown_outcome(
    serve: Serve, provider_for: Connect, waits: list[float], body: bytes
) -> None:
    """The batch may run all the same; only a read may be repeated."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/html")

    provider = await provider_for(await serve(answer))
    with pytest.raises(OutcomeUnknownError) as caught:
        await do(provider, "create")
    assert (caught.value.http_status, waits) == (200, [])
    with pytest.raises(UnavailableError):
        await do(provider, "retrieve")
    assert len(waits) == 3


@pytest.mark.parametrize(
    ("call", "status", "error"),
    [
        *((call, status, RefusedError) for call in ("cancel", "delete") for status in REDIRECTS),
        *((call, status, OutcomeUnknownError) for call in COSTLY for status in (301, 302, 303)),
        *((call, status, RefusedError) for call in COSTLY for status in (307, 308)),
    ],
)
async def test_a_redirect_of_a_change_is_not_followed(
    serve: Serve, provider_for: Connect, call: str, status: int, error: type[ProviderError]
) -> None:
    """A redirected POST may become a GET, be done twice, or have been done already."""
    paths = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=status, headers={"Location": "/v1/elsewhere"})

    with pytest.raises(error, match="redirects"):
        await do(await provider_for(await serve(answer)), call)
    assert len(paths) == 1


async def test_name_and_limits_are_data(provider_for: Connect) -> None:
    """The name holds the normalised address and nothing else."""
    provider: BatchProvider = await provider_for("https://Example.com/v1/")
    assert provider.name == "openai:https://example.com/v1"
    assert (provider.limits.max_requests, provider.limits.max_bytes) == (50_000, 209_715_200)
    assert provider.limits.endpoints_without_model < provider.limits.endpoints
