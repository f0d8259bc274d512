"""The key, which some servers repeat, is in no text that is shown or stored."""

import json
import logging
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from batchtrail.adapters.openai import wire
from batchtrail.application.errors import ProviderError, RefusedError
from batchtrail.application.ports import BatchProvider, CreateRequest

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
Connect = Callable[..., Awaitable[BatchProvider]]

NOTHING_SHORTER = 8


def parts_of(key: str) -> list[str]:
    """Every beginning of a key that would give some of it away."""
    return [key[:length] for length in range(NOTHING_SHORTER, len(key) + 1)]


@pytest.mark.parametrize("position", [280, 284, 288, 292, 296, 300])
@pytest.mark.parametrize("shape", ["{}", '{{"error": {{"message": "{}"}}}}', "<title>{}</title>"])
async def test_a_cut_message_keeps_no_part_of_the_key(  # noqa: PLR0917 -- fixtures and a table
    serve: Serve,
    provider_for: Connect,
    key: str,
    caplog: pytest.LogCaptureFixture,
    position: int,
    shape: str,
) -> None:
    """Long messages are shortened, and the cut may run through the key."""
    words = f"{'x' * (position - 1)} {key} and so on"

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=400, body=shape.format(words).encode())

    provider = await provider_for(await serve(answer))
    with caplog.at_level(logging.DEBUG), pytest.raises(RefusedError) as caught:
        await provider.retrieve_batch("batch_1")
    shown = caplog.text + repr(caught.value) + str(vars(caught.value))
    assert [part for part in parts_of(key) if part in shown] == []


async def test_a_cut_message_keeps_no_part_of_a_key_with_quotes(
    serve: Serve, provider_for: Connect
) -> None:
    """In what is no JSON they stand as they are."""
    key = 'sk-"0123456789"-0123456789'

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=400, body=f"{'x' * 280} {key} and so on".encode())

    provider = await provider_for(await serve(answer), api_key=key)
    with pytest.raises(RefusedError) as caught:
        await provider.retrieve_batch("batch_1")
    assert [part for part in parts_of(key) if part in str(caught.value)] == []


@pytest.mark.parametrize("size", [4_096, 64 * 1024])
async def test_a_long_page_keeps_no_part_of_the_key(
    serve: Serve, provider_for: Connect, key: str, size: int
) -> None:
    """What is read and searched of a page is cut as well."""
    markup = "<p>" * (size // 3 - 3)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=400, body=f"{markup} {key}{'!' * 99_999}".encode())

    provider = await provider_for(await serve(answer))
    with pytest.raises(RefusedError) as caught:
        await provider.retrieve_batch("batch_1")
    assert [part for part in parts_of(key) if part in str(caught.value)] == []


@pytest.mark.parametrize("api_key", ["sk-0123456789", 'sk-"quoted\\"-1', "sk/with/slashes+1=="])
@pytest.mark.parametrize("slash", ["/", "\\/"])
async def test_a_report_holds_no_key(
    serve: Serve, provider_for: Connect, caplog: pytest.LogCaptureFixture, api_key: str, slash: str
) -> None:
    """Reports are stored, and a word that is not known is logged; both come with a 200."""
    wire._unknown.cache_clear()
    batch = {
        "id": "batch_1",
        "status": f"stuck {api_key}",
        "errors": {"data": [{"code": api_key, "message": f"Bearer {api_key}", "param": api_key}]},
        "model": api_key,
        "metadata": {api_key: api_key},
    }

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=json.dumps(batch).replace("/", slash).encode())

    provider = await provider_for(await serve(answer), api_key=api_key)
    found = await provider.retrieve_batch("batch_1")
    assert found.report.errors[0].message == "Bearer [key]"
    assert found.report.raw_status == "stuck [key]"
    assert api_key not in f"{found} {caplog.text}"


async def test_no_answer_holds_the_key(serve: Serve, provider_for: Connect, key: str) -> None:
    """Whichever call a report answers."""
    batch = {"id": "batch_1", "status": "in_progress", "model": f"model {key}"}

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({**batch, "data": [batch]})

    provider = await provider_for(await serve(answer))
    reports = [
        await provider.create_batch(CreateRequest("file-1", "/v1/responses", "24h", {})),
        await provider.retrieve_batch("batch_1"),
        await provider.cancel_batch("batch_1"),
        *[each async for each in provider.list_batches()],
    ]
    assert [each.report.model for each in reports] == ["model [key]"] * 4


def page(text: str) -> str:
    return f"<title>{''.join(f'&#{ord(each)};' for each in text)}</title>"


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(each):04x}" for each in text)


def refusal(text: str) -> str:
    words = escaped(text)
    return f'{{"error": {{"message": "{words}", "code": "{words}", "param": "{words}"}}}}'


def cut_off(text: str) -> str:
    return refusal(f"{text} {text.upper()}").partition("code")[0]


@pytest.mark.parametrize("shape", [page, refusal])
async def test_an_escape_hides_no_key(
    serve: Serve, provider_for: Connect, key: str, shape: Callable[[str], str]
) -> None:
    """What is read of an answer is looked at once more."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=400, body=shape(key).encode())

    provider = await provider_for(await serve(answer))
    with pytest.raises(RefusedError, match=r"\[key\]") as caught:
        await provider.retrieve_batch("batch_1")
    error = caught.value
    assert key not in f"{error} {error.message} {error.code} {error.param}"


async def test_an_escape_in_what_is_cut_off_hides_no_key(
    serve: Serve, provider_for: Connect, key: str
) -> None:
    """It is shown as it came, because nobody can decode it."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=400, body=cut_off(key).encode())

    provider = await provider_for(await serve(answer))
    with pytest.raises(RefusedError, match=r"\[key\]") as caught:
        await provider.retrieve_batch("batch_1")
    assert escaped(key) not in str(caught.value)


@pytest.mark.parametrize("position", [280, 290, 299])
@pytest.mark.parametrize("shape", [page, refusal])
async def test_a_cut_message_keeps_no_part_of_a_key_that_was_escaped(
    serve: Serve,
    provider_for: Connect,
    key: str,
    position: int,
    shape: Callable[[str], str],
) -> None:
    """It is looked for in what was decoded, before that is shortened."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=400, body=shape(f"{'x' * (position - 1)} {key}").encode())

    provider = await provider_for(await serve(answer))
    with pytest.raises(RefusedError) as caught:
        await provider.retrieve_batch("batch_1")
    shown = repr(caught.value) + str(vars(caught.value))
    assert [part for part in parts_of(key) if part in shown] == []


@pytest.mark.parametrize("case", [str.lower, str.upper])
async def test_an_escape_in_a_report_hides_no_key(
    serve: Serve, provider_for: Connect, key: str, case: Callable[[str], str]
) -> None:
    """Any JSON may spell any letter as a number; what is stored was decoded."""
    spelled = escaped(key).replace("\\u00", "?").swapcase() if case is str.upper else escaped(key)
    spelled = spelled.replace("?", "\\u00")
    batch = {
        "id": "batch_1",
        "status": "stuck KEY",
        "errors": {"data": [{"code": "KEY", "message": "Bearer KEY", "param": "KEY"}]},
        "model": "KEY",
        "metadata": {"KEY": "KEY"},
    }

    async def answer(request: web.Request) -> web.Response:
        whole = {"data": [batch]} if request.path.endswith("batches") else batch
        return web.Response(body=json.dumps(whole).replace("KEY", spelled).encode())

    provider = await provider_for(await serve(answer))
    listed = [each async for each in provider.list_batches()]
    for found in (await provider.retrieve_batch("batch_1"), *listed):
        assert found.report.raw_status == "stuck [key]"
        assert found.metadata == {"[key]": "[key]"}
        assert key not in str(found)


async def test_an_escape_in_a_file_hides_no_key(
    serve: Serve, provider_for: Connect, key: str
) -> None:
    """Names of files are compared, and ids go into the log."""

    async def answer(_: web.Request) -> web.Response:
        file = f'{{"id": "file-{escaped(key)}", "filename": "{escaped(key)}"}}'
        return web.Response(body=f'{{"data": [{file}]}}'.encode())

    provider = await provider_for(await serve(answer))
    (found,) = [each async for each in provider.list_files()]
    assert (found.id, found.filename) == ("file-[key]", "[key]")


@pytest.mark.parametrize("api_key", ["x", "test", "req", "emulator"])
async def test_a_word_that_stands_for_a_key_mangles_nothing(
    serve: Serve, provider_for: Connect, api_key: str
) -> None:
    """Servers that want no key get some word; their messages and request ids hold such words."""
    message = "the latest request to the emulator was expected to be a text"

    async def answer(_: web.Request) -> web.Response:
        body = {"error": {"message": message}}
        return web.json_response(body, status=400, headers={"x-request-id": "req_test"})

    provider = await provider_for(await serve(answer), api_key=api_key)
    with pytest.raises(ProviderError) as caught:
        await provider.retrieve_batch("batch_1")
    assert (caught.value.message, caught.value.request_id) == (message, "req_test")


async def test_the_content_of_files_and_answers_stays_as_it_is(
    serve: Serve, provider_for: Connect, key: str
) -> None:
    """It is the user's own, whatever it holds."""
    content = json.dumps({"text": f"a text with {key} in it"}).encode()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=content)

    provider = await provider_for(await serve(answer))
    assert (await provider.complete_request("/v1/responses", b"{}")).body == content
    assert b"".join([piece async for piece in provider.download("file-1")]) == content
