"""The errors that batch validation finds, with OpenAI's codes and line numbers."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types import Batch

from batchtrail.adapters.emulator import Emulator, EmulatorSettings, ManualClock

Submit = Callable[..., Awaitable[Batch]]
Line = Callable[..., dict[str, Any]]
Found = list[tuple[str | None, str | None, int | None]]
Start = Callable[[EmulatorSettings], Awaitable[Emulator]]
Connect = Callable[[Emulator], AsyncOpenAI]


async def errors_of(client: AsyncOpenAI, clock: ManualClock, batch: Batch) -> Found:
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    if batch.errors is None:
        return []
    assert batch.status == "failed"
    assert batch.request_counts
    assert batch.request_counts.total == 0
    assert (batch.in_progress_at, batch.output_file_id, batch.error_file_id) == (None,) * 3
    return [(error.code, error.param, error.line) for error in batch.errors.data or []]


async def test_all_bad_lines_are_found(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit, line: Line
) -> None:
    """Validation does not stop at the first error, and counts lines from one."""
    bare = {name: value for name, value in line("x").items() if name != "custom_id"}
    batch = await submit(
        client,
        line("good"),
        b"{broken",
        bare,
        {**line("url"), "url": "/v1/embeddings"},
        line("unknown", model="llama"),
        line("other", model="gpt-4o"),
        {**line("none"), "body": {"input": "x"}},
        line("prompt", input=None),
        line("stream", stream=True),
        line("good"),
        {**line("get"), "method": "GET"},
        {**line("body"), "body": "x"},
        {**line("number"), "custom_id": 7},
        b"[]",
        b'{"custom_id": "\xff"}',
        b'{"body": ' + 10_000 * b"[" + 10_000 * b"]" + b"}",
    )
    assert await errors_of(client, clock, batch) == [
        ("invalid_json_line", None, 2),
        ("missing_required_parameter", "custom_id", 3),
        ("invalid_url", "url", 4),
        ("model_not_found", "body.model", 5),
        ("mismatched_model", "body.model", 6),
        ("invalid_request", "body.model", 7),
        ("invalid_request", "body.input", 8),
        ("streaming_unsupported", "body.stream", 9),
        ("duplicate_custom_id", "custom_id", 10),
        ("invalid_value", "method", 11),
        ("invalid_type", "body", 12),
        ("invalid_type", "custom_id", 13),
        ("invalid_json_line", None, 14),
        ("invalid_json_line", None, 15),
        ("invalid_json_line", None, 16),
    ]


async def test_messages_are_openais(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit, line: Line
) -> None:
    """The words are those that OpenAI uses."""
    chat = {**line("a"), "url": "/v1/chat/completions"}
    batch = await submit(
        client,
        {**chat, "body": {"model": "gpt-4o", "stream": True}},
        {"custom_id": "b"},
        endpoint="/v1/chat/completions",
    )
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    assert batch.errors
    assert [error.message for error in batch.errors.data or []] == [
        "Messages parameter is required.",
        "Chat Completions: Streaming is not supported in the Batch API.",
        "Missing required parameter: 'method'.",
        "Missing required parameter: 'url'.",
        "Missing required parameter: 'body'.",
    ]


async def test_blank_lines_are_passed_over(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit, line: Line
) -> None:
    """Blank lines are no requests, but they count as lines."""
    fine = await submit(client, line("a"), b"", b"  ", line("b"), b"", b"")
    bad = await submit(client, line("a"), b"", b"x")
    assert await errors_of(client, clock, fine) == []
    counts = (await client.batches.retrieve(fine.id)).request_counts
    assert counts
    assert counts.completed == 2
    assert await errors_of(client, clock, bad) == [("invalid_json_line", None, 3)]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (EmulatorSettings(max_requests=3), "too_many_tasks"),
        (EmulatorSettings(max_input_bytes=100), "invalid_request"),
    ],
)
async def test_limits(
    *,
    start: Start,
    connect: Connect,
    clock: ManualClock,
    submit: Submit,
    settings: EmulatorSettings,
    code: str,
) -> None:
    """Too many rows and too many bytes fail the batch as a whole."""
    client = connect(await start(settings))
    batch = await submit(client)
    assert await errors_of(client, clock, batch) == [(code, None, None)]


async def test_moderation_needs_no_model(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit
) -> None:
    """Moderations have a model of their own when none is named."""
    request = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/moderations",
        "body": {"input": "x"},
    }
    batch = await submit(client, request, endpoint="/v1/moderations")
    assert await errors_of(client, clock, batch) == []
