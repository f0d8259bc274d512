"""A batch's life as the official SDK sees it, with the clock moved by hand."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from openai import AsyncOpenAI, ConflictError
from openai.types import Batch

from batchtrail.adapters.emulator import Emulator, EmulatorSettings, Fault, ManualClock

Submit = Callable[..., Awaitable[Batch]]
Results = Callable[[AsyncOpenAI, str | None], Awaitable[dict[str, Any]]]
Line = Callable[..., dict[str, Any]]


def counts(batch: Batch) -> tuple[int, int, int]:
    assert batch.request_counts
    return (
        batch.request_counts.total,
        batch.request_counts.completed,
        batch.request_counts.failed,
    )


async def test_create_answers_validating(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """A new batch has its expiry and zeros, and neither model nor files."""
    batch = await submit(client)
    assert batch.status == "validating"
    assert batch.expires_at == clock.now + 86_400
    assert counts(batch) == (0, 0, 0)
    assert batch.usage
    assert batch.usage.total_tokens == 0
    assert (batch.model, batch.output_file_id, batch.error_file_id) == (None, None, None)


async def test_batch_completes(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit, results: Results
) -> None:
    """Status, counts and model move with the clock; files and usage come at the very end."""
    created = clock.now
    batch = await submit(client)
    seen = []
    for seconds in (0.6, 0.4, 1.5, 1.5, 0.5):
        clock.advance(seconds)
        batch = await client.batches.retrieve(batch.id)
        seen.append((batch.status, counts(batch), batch.output_file_id is not None))
    assert seen == [
        ("validating", (0, 0, 0), False),
        ("in_progress", (4, 0, 0), False),
        ("in_progress", (4, 2, 0), False),
        ("finalizing", (4, 4, 0), False),
        ("completed", (4, 4, 0), True),
    ]
    assert batch.model == "gpt-5-nano-2025-08-07"
    assert batch.in_progress_at == created + 1
    assert batch.finalizing_at == created + 4
    assert batch.completed_at == created + 4
    assert batch.error_file_id is None
    answers = await results(client, batch.output_file_id)
    assert sorted(answers) == ["a", "b", "c", "d"]
    usages = [each["response"]["body"]["usage"] for each in answers.values()]
    assert batch.usage
    assert batch.usage.total_tokens == sum(usage["total_tokens"] for usage in usages) > 0


async def test_poller_may_jump(client: AsyncOpenAI, clock: ManualClock, submit: Submit) -> None:
    """Whoever looks once, late, sees the end and all the moments before it."""
    batch = await submit(client)
    clock.advance(3600)
    batch = await client.batches.retrieve(batch.id)
    assert batch.status == "completed"
    assert batch.completed_at == batch.created_at + 4


async def test_requests_can_ask_for_failure(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit, results: Results, line: Line
) -> None:
    """A line's own wish puts an HTTP error into the error file, with `error` null."""
    batch = await submit(
        client,
        line("good"),
        line("long", user="emulator:400:context_length_exceeded"),
        line("slow", metadata={"wish": "emulator:503:overloaded"}),
    )
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    assert counts(batch) == (3, 1, 2)
    assert list(await results(client, batch.output_file_id)) == ["good"]
    failed = await results(client, batch.error_file_id)
    assert {name: each["response"]["status_code"] for name, each in failed.items()} == {
        "long": 400,
        "slow": 503,
    }
    assert failed["long"]["error"] is None
    assert failed["long"]["response"]["body"]["error"]["code"] == "context_length_exceeded"


async def test_every_nth_request_fails(
    start: Callable[[EmulatorSettings], Awaitable[Emulator]],
    connect: Callable[[Emulator], AsyncOpenAI],
    clock: ManualClock,
    submit: Submit,
    results: Results,
) -> None:
    """`fail_every` counts in the order of the input file."""
    client = connect(await start(EmulatorSettings(fail_every=2)))
    batch = await submit(client)
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    assert sorted(await results(client, batch.error_file_id)) == ["b", "d"]


async def test_all_failed_batch_completes_without_output(
    emulator: Emulator, client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """`completed` is no success: there may be an error file only."""
    emulator.faults.arm(Fault(op="create", kind="all_failed"))
    batch = await submit(client)
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    assert (batch.status, counts(batch)) == ("completed", (4, 0, 4))
    assert batch.output_file_id is None
    assert batch.error_file_id


async def test_expiry_keeps_what_is_done(
    emulator: Emulator, client: AsyncOpenAI, clock: ManualClock, submit: Submit, results: Results
) -> None:
    """Expired lines stand in the error file and are not counted as failed."""
    emulator.faults.arm(Fault(op="create", kind="expire", fraction=0.75))
    batch = await submit(client)
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    assert (batch.status, counts(batch)) == ("expired", (4, 3, 0))
    assert batch.expired_at == batch.expires_at
    assert (batch.finalizing_at, batch.completed_at) == (None, None)
    assert sorted(await results(client, batch.output_file_id)) == ["a", "b", "c"]
    undone = (await results(client, batch.error_file_id))["d"]
    assert undone["response"] is None
    assert undone["error"] == {
        "code": "batch_expired",
        "message": "This request could not be executed before the completion window expired.",
    }


async def test_window_ends_a_slow_batch(
    start: Callable[[EmulatorSettings], Awaitable[Emulator]],
    connect: Callable[[Emulator], AsyncOpenAI],
    clock: ManualClock,
    submit: Submit,
) -> None:
    """A batch that takes longer than the window expires when it ends."""
    client = connect(await start(EmulatorSettings(in_progress=200_000)))
    batch = await submit(client)
    clock.advance(86_399)
    assert (await client.batches.retrieve(batch.id)).status == "in_progress"
    clock.advance(1)
    batch = await client.batches.retrieve(batch.id)
    assert (batch.status, counts(batch)) == ("expired", (4, 1, 0))


async def test_cancel_while_validating(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """A batch cancelled at once ends without counts, files or `in_progress_at`."""
    batch = await submit(client)
    cancelling = await client.batches.cancel(batch.id)
    assert (cancelling.status, cancelling.cancelling_at) == ("cancelling", clock.now)
    clock.advance(1)
    batch = await client.batches.retrieve(batch.id)
    assert (batch.status, counts(batch)) == ("cancelled", (0, 0, 0))
    assert (batch.in_progress_at, batch.output_file_id, batch.error_file_id) == (None,) * 3


async def test_cancel_keeps_what_is_done(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit, results: Results
) -> None:
    """A batch cancelled half-way has both files."""
    batch = await submit(client)
    clock.advance(2.5)
    assert (await client.batches.cancel(batch.id)).status == "cancelling"
    clock.advance(0.5)
    assert (await client.batches.cancel(batch.id)).status == "cancelling"
    clock.advance(0.5)
    batch = await client.batches.cancel(batch.id)
    assert (batch.status, counts(batch)) == ("cancelled", (4, 2, 0))
    assert sorted(await results(client, batch.output_file_id)) == ["a", "b"]
    undone = await results(client, batch.error_file_id)
    assert {each["error"]["code"] for each in undone.values()} == {"batch_cancelled"}


async def test_ended_batch_refuses_cancel(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """A completed batch answers 409."""
    batch = await submit(client)
    clock.advance(10)
    with pytest.raises(ConflictError, match="Cannot cancel a batch with status 'completed'"):
        await client.batches.cancel(batch.id)


async def test_cancelling_can_be_stuck(
    emulator: Emulator, client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """As recorded at OpenAI, cancelling may take ten minutes."""
    emulator.faults.arm(Fault(op="cancel", kind="stuck_cancelling"))
    batch = await submit(client)
    await client.batches.cancel(batch.id)
    clock.advance(604)
    assert (await client.batches.retrieve(batch.id)).status == "cancelling"
    clock.advance(1)
    assert (await client.batches.retrieve(batch.id)).status == "cancelled"


async def test_finalizing_can_be_slow(
    emulator: Emulator, client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """The time that a fault gives belongs to the batch that drew it, not to the next one."""
    emulator.faults.arm(Fault(op="create", kind="slow_finalizing", seconds=600))
    slow, fast = await submit(client), await submit(client)
    clock.advance(603)
    assert (await client.batches.retrieve(slow.id)).status == "finalizing"
    assert (await client.batches.retrieve(fast.id)).status == "completed"


async def test_window_can_end_before_validation(
    start: Callable[[EmulatorSettings], Awaitable[Emulator]],
    connect: Callable[[Emulator], AsyncOpenAI],
    clock: ManualClock,
    submit: Submit,
) -> None:
    """A batch that expires unread has no counts and no files."""
    client = connect(await start(EmulatorSettings(validating=100, completion_window=10)))
    batch = await submit(client)
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    assert (batch.status, counts(batch)) == ("expired", (0, 0, 0))
    assert (batch.in_progress_at, batch.error_file_id) == (None, None)
