"""Faults of calls and transfers, what lags, and the record of calls."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime

import pytest

from batchtrail.adapters.fake import Call, FakeBatchProvider, Operation
from batchtrail.adapters.fake.stage import Actor
from batchtrail.application.errors import (
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    UnavailableError,
)
from batchtrail.application.ports import OPENAI_LIMITS, BatchProvider, ProviderBatch

SLOW_DOWN = RateLimitedError("slow down", retry_after=5, http_status=429)


async def every_call(
    actor: Actor, batch: ProviderBatch
) -> dict[str, Callable[[], Awaitable[object]]]:
    """Give one call of each operation that would succeed."""
    file = await actor.upload_requests()
    return {
        "upload": actor.upload_requests,
        "create": lambda: actor.provider.create_batch(actor.request(file.id)),
        "retrieve": lambda: actor.provider.retrieve_batch(batch.id),
        "list": actor.listed,
        "list_files": lambda: anext(actor.provider.list_files()),
        "cancel": lambda: actor.provider.cancel_batch(batch.id),
        "download": lambda: actor.content(file.id),
        "delete": lambda: actor.provider.delete_file(file.id),
        "complete": lambda: actor.provider.complete_request(actor.endpoint, actor.body_bytes),
    }


def state(provider: FakeBatchProvider) -> list[object]:
    """Take down everything that a call could change."""
    batches = [provider.look(batch_id) for batch_id in provider.batch_ids]
    return [*batches, *provider.file_ids]


def test_fake_is_a_provider(provider: FakeBatchProvider) -> None:
    """The fake fits the port and has OpenAI's limits."""
    port: BatchProvider = provider
    assert port.name == "fake"
    assert port.limits is OPENAI_LIMITS


@pytest.mark.parametrize("operation", Operation)
async def test_fail_next_prevents_the_call(
    provider: FakeBatchProvider, actor: Actor, operation: Operation
) -> None:
    """A call that is made to fail changes nothing, and the next one succeeds."""
    call = (await every_call(actor, await actor.start()))[operation]
    before = state(provider)
    provider.fail_next(operation, SLOW_DOWN)
    with pytest.raises(RateLimitedError) as limited:
        await call()
    assert limited.value is SLOW_DOWN
    assert state(provider) == before
    await call()


async def test_fail_next_strikes_so_many_times(provider: FakeBatchProvider, actor: Actor) -> None:
    """Faults strike in the order in which they were armed, each as often as told."""
    batch = await actor.start()
    provider.fail_next("retrieve", SLOW_DOWN, times=2)
    provider.fail_next("retrieve", UnavailableError("down"))
    seen = []
    for _ in range(3):
        with pytest.raises((RateLimitedError, UnavailableError)) as caught:
            await provider.retrieve_batch(batch.id)
        seen.append(caught.type)
    assert seen == [RateLimitedError, RateLimitedError, UnavailableError]
    await provider.retrieve_batch(batch.id)


async def test_fail_next_takes_any_exception(provider: FakeBatchProvider, actor: Actor) -> None:
    """A test can let its process die at a call."""
    provider.fail_next("upload", asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await actor.upload_requests()


def test_operations_are_checked(provider: FakeBatchProvider) -> None:
    """A fault for an operation that does not exist is a mistake of the test."""
    with pytest.raises(ValueError, match="'creat' is not a valid Operation"):
        provider.fail_next("creat", SLOW_DOWN)


@pytest.mark.parametrize("operation", ["upload", "create"])
async def test_lost_answer_of_a_change_leaves_its_outcome_unknown(
    provider: FakeBatchProvider, actor: Actor, operation: str
) -> None:
    """The call is done, and the caller cannot know it."""
    call = (await every_call(actor, await actor.start()))[operation]
    before = state(provider)
    provider.lose_next_answer(operation)
    with pytest.raises(OutcomeUnknownError):
        await call()
    assert len(state(provider)) == len(before) + 1


@pytest.mark.parametrize("operation", ["retrieve", "list", "download"])
async def test_lost_answer_of_a_read_is_unavailable(
    provider: FakeBatchProvider, actor: Actor, operation: str
) -> None:
    """A read whose answer is lost can simply be repeated."""
    call = (await every_call(actor, await actor.start()))[operation]
    provider.lose_next_answer(operation)
    with pytest.raises(UnavailableError):
        await call()
    await call()


async def test_lost_answer_of_cancel(provider: FakeBatchProvider, actor: Actor) -> None:
    """The cancel is done although its answer is lost; a repeat changes nothing."""
    batch = await actor.start()
    provider.lose_next_answer("cancel")
    with pytest.raises(UnavailableError):
        await provider.cancel_batch(batch.id)
    assert provider.look(batch.id).report.raw_status == "cancelling"
    assert (await provider.cancel_batch(batch.id)).report.raw_status == "cancelling"


async def test_lost_answer_of_delete(provider: FakeBatchProvider, actor: Actor) -> None:
    """The file is gone although the answer is lost, so a repeat does not find it."""
    file = await actor.upload_requests()
    provider.lose_next_answer("delete")
    with pytest.raises(UnavailableError):
        await provider.delete_file(file.id)
    with pytest.raises(NotFoundError):
        await provider.delete_file(file.id)


async def test_lost_answer_hides_a_refusal(provider: FakeBatchProvider) -> None:
    """A lost answer is lost whatever it said."""
    provider.lose_next_answer("retrieve")
    with pytest.raises(UnavailableError):
        await provider.retrieve_batch("batch_unknown")


async def test_lost_answer_may_raise_anything(provider: FakeBatchProvider, actor: Actor) -> None:
    """A test can let its process die right after a call was done."""
    provider.lose_next_answer("upload", error=asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await actor.upload_requests()
    assert len(provider.file_ids) == 1


async def test_fail_always_lasts_until_heal(provider: FakeBatchProvider, actor: Actor) -> None:
    """In an outage every call fails; `heal` ends it and disarms the rest."""
    batch = await actor.start()
    calls = await every_call(actor, batch)
    provider.fail_next("retrieve", SLOW_DOWN)
    provider.shorten_download(after_bytes=0)
    provider.fail_always(UnavailableError("down"))
    for call in calls.values():
        with pytest.raises(UnavailableError):
            await call()
    provider.heal()
    for call in calls.values():
        await call()


async def received(provider: FakeBatchProvider, file_id: str) -> list[bytes]:
    """Collect the pieces of a download until its end or its break."""
    pieces: list[bytes] = []
    async with aclosing(provider.download(file_id)) as download:
        with suppress(UnavailableError):
            async for piece in download:
                pieces.append(piece)  # noqa: PERF401 (what came before the break counts)
            return pieces
    return [*pieces, b"broken"]


async def test_download_comes_in_chunks(provider: FakeBatchProvider, actor: Actor) -> None:
    """The pieces are `chunk_size` bytes long, but for the last."""
    content = actor.line("a")
    file = await actor.upload(content)
    provider.chunk_size = 40
    assert await received(provider, file.id) == [
        content[start : start + 40] for start in range(0, len(content), 40)
    ]


async def test_break_download(provider: FakeBatchProvider, actor: Actor) -> None:
    """A broken download yields what came before the break, then raises; the next is whole."""
    content = actor.line("a")
    file = await actor.upload(content)
    provider.chunk_size = 40
    provider.break_download(after_bytes=50)
    assert await received(provider, file.id) == [content[:40], content[40:50], b"broken"]
    assert b"".join(await received(provider, file.id)) == content


async def test_shorten_download(provider: FakeBatchProvider, actor: Actor) -> None:
    """A shortened download ends as if it were whole; so often as told."""
    content = actor.line("a")
    file = await actor.upload(content)
    provider.shorten_download(after_bytes=50, times=2)
    assert await received(provider, file.id) == [content[:50]]
    assert await received(provider, file.id) == [content[:50]]
    assert await received(provider, file.id) == [content]


async def test_break_after_the_last_byte(provider: FakeBatchProvider, actor: Actor) -> None:
    """A transfer may break even when all bytes have come."""
    content = actor.line("a")
    file = await actor.upload(content)
    provider.break_download(after_bytes=10_000)
    assert await received(provider, file.id) == [content, b"broken"]


async def test_hide_from_list(provider: FakeBatchProvider, actor: Actor) -> None:
    """A hidden batch is left out of so many walks, though it can be retrieved."""
    hidden, shown = await actor.start(), await actor.start()
    provider.hide_from_list(hidden.id, times=2)
    for _ in range(2):
        assert [batch.id for batch in await actor.listed()] == [shown.id]
        assert (await provider.retrieve_batch(hidden.id)).id == hidden.id
    assert [batch.id for batch in await actor.listed()] == [shown.id, hidden.id]


async def test_hide_next_batch_from_list(provider: FakeBatchProvider, actor: Actor) -> None:
    """The next batch created may be hidden before it has an id, even when its answer is lost."""
    provider.hide_from_list(times=1)
    provider.lose_next_answer("create")
    with pytest.raises(OutcomeUnknownError):
        await actor.start()
    assert await actor.listed() == []
    assert [batch.id for batch in await actor.listed()] == list(provider.batch_ids)


async def test_hidden_batch_stays_hidden_on_every_page(
    provider: FakeBatchProvider, actor: Actor
) -> None:
    """A walk counts once, however many pages it has."""
    provider.page_size = 1
    oldest = await actor.start()
    others = [(await actor.start()).id for _ in range(2)]
    provider.hide_from_list(oldest.id, times=1)
    assert [batch.id for batch in await actor.listed()] == others[::-1]
    assert len(await actor.listed()) == 3


async def test_hide_file(provider: FakeBatchProvider, actor: Actor) -> None:
    """A hidden file is not found by so many creates, though it can be downloaded."""
    file = await actor.upload_requests()
    provider.hide_file(file.id, times=2)
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await provider.create_batch(actor.request(file.id))
    assert await actor.content(file.id)
    await provider.create_batch(actor.request(file.id))
    assert len(provider.batch_ids) == 1


async def test_hide_next_file(provider: FakeBatchProvider, actor: Actor) -> None:
    """The next file uploaded may be hidden before it has an id; the one after it is not."""
    provider.hide_file(times=1)
    with pytest.raises(NotFoundError):
        await actor.start()
    await actor.start()


async def test_calls_are_recorded(provider: FakeBatchProvider, actor: Actor) -> None:
    """Every call is recorded as it arrived, the failed ones too."""
    batch = await actor.start()
    provider.fail_next("retrieve", SLOW_DOWN)
    with pytest.raises(RateLimitedError):
        await provider.retrieve_batch(batch.id)
    assert provider.calls == [
        Call(Operation.UPLOAD, "contract.jsonl"),
        Call(Operation.CREATE, batch.input_file_id),
        Call(Operation.RETRIEVE, batch.id),
    ]
    assert provider.count("create") == 1


async def test_every_page_of_the_list_is_a_call(provider: FakeBatchProvider, actor: Actor) -> None:
    """Pages are fetched as they are needed, each going on after the last batch seen."""
    provider.page_size = 2
    for _ in range(3):
        await actor.start()
    await actor.listed()
    pages = [call.subject for call in provider.calls if call.operation is Operation.LIST]
    assert pages == [None, provider.batch_ids[1]]


async def test_verbs_are_no_calls(provider: FakeBatchProvider, actor: Actor) -> None:
    """What a test does behind the provider's back is not recorded."""
    batch = await actor.start()
    before = list(provider.calls)
    provider.complete(batch.id)
    provider.look(batch.id)
    provider.content(provider.file_ids[0])
    assert provider.calls == before


async def test_every_answer_has_its_own_request_id(
    provider: FakeBatchProvider, actor: Actor
) -> None:
    """Answers and refusals carry request ids, no two the same."""
    file = await actor.upload_requests()
    batch = await provider.create_batch(actor.request(file.id))
    with pytest.raises(NotFoundError) as missing:
        await provider.retrieve_batch("batch_unknown")
    deleted = await provider.delete_file(file.id)
    request_ids = [file.request_id, batch.request_id, missing.value.request_id, deleted]
    assert None not in request_ids
    assert len(set(request_ids)) == 4


async def test_time_is_the_same_on_every_run(provider: FakeBatchProvider, actor: Actor) -> None:
    """Without a clock, files and batches are a second apart from a fixed moment on."""
    file = await actor.upload_requests()
    batch = await provider.create_batch(actor.request(file.id))
    assert file.created_at == datetime(2026, 1, 1, 0, 0, 0, tzinfo=UTC)
    assert batch.created_at == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)


async def test_clock_may_be_given() -> None:
    """The test's own clock stamps what is made."""
    moment = datetime(2030, 5, 5, tzinfo=UTC)
    provider = FakeBatchProvider(now=lambda: moment)
    actor = Actor(provider, "/v1/responses", {"model": "m", "input": "x"})
    assert (await actor.start()).created_at == moment
