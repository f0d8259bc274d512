"""What the fake refuses, when, and in which words."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from attrs import evolve

from batchtrail.adapters.fake import FakeBatchProvider
from batchtrail.adapters.fake.stage import Actor, Pieces
from batchtrail.application.errors import NotFoundError, RefusedError
from batchtrail.application.ports import OPENAI_LIMITS
from batchtrail.domain.status import BatchStatus
from batchtrail.domain.values import BatchProblem, Limits


def line(**changes: Any) -> bytes:
    """Make a request line that is valid but for the changes; None takes a field away."""
    body = {"model": "gpt-5-nano", "input": "Say hello."}
    request = {"custom_id": "b", "method": "POST", "url": "/v1/responses", "body": body} | changes
    return msgspec.json.encode({k: v for k, v in request.items() if v is not None}) + b"\n"


async def errors_of(
    provider: FakeBatchProvider, actor: Actor, content: bytes
) -> list[BatchProblem]:
    """Validate a file and return what the failed batch reports."""
    file = await actor.upload(content)
    batch = await provider.create_batch(actor.request(file.id))
    assert batch.report.raw_status == "validating"
    provider.advance(batch.id)
    report = provider.look(batch.id).report
    assert report.status is BatchStatus.FAILED
    return list(report.errors)


@pytest.mark.parametrize(
    ("second", "code", "param"),
    [
        (b"{broken\n", "invalid_json_line", None),
        (b"\n", "invalid_json_line", None),
        (b"[1, 2]\n", "invalid_json_line", None),
        (line(custom_id=None), "missing_required_parameter", "custom_id"),
        (line(method=None), "missing_required_parameter", "method"),
        (line(url=None), "missing_required_parameter", "url"),
        (line(body=None), "missing_required_parameter", "body"),
        (line(method="GET"), "invalid_value", "method"),
        (line(url="/v1/embeddings"), "invalid_url", "url"),
        (
            line(body={"model": "gpt-5-nano", "stream": True}),
            "streaming_unsupported",
            "body.stream",
        ),
        (line(body={"input": "x"}), "invalid_request", "body.model"),
        (line(custom_id="a"), "duplicate_custom_id", "custom_id"),
        (line(body={"model": "gpt-4o"}), "mismatched_model", "body.model"),
    ],
)
async def test_bad_line_fails_the_batch(
    provider: FakeBatchProvider, actor: Actor, second: bytes, code: str, param: str | None
) -> None:
    """A bad line is reported with OpenAI's code, the field and its line."""
    (error,) = await errors_of(provider, actor, line(custom_id="a") + second)
    assert (error.code, error.param, error.line) == (code, param, 2)
    assert error.message


async def test_an_unknown_model_fails_the_batch() -> None:
    """Where the models that exist are named."""
    provider = FakeBatchProvider(models={"gpt-5-nano"})
    content = line(custom_id="a") + line(body={"model": "gpt-9", "input": "x"})
    (error,) = await errors_of(provider, Actor(provider, "/v1/responses", {}), content)
    assert (error.code, error.param, error.line) == ("model_not_found", "body.model", 2)


async def test_every_bad_line_is_reported(provider: FakeBatchProvider, actor: Actor) -> None:
    """Validation does not stop at the first error."""
    content = line(custom_id="a") + b"{\n" + line() + line(method="GET", custom_id="c")
    errors = await errors_of(provider, actor, content)
    assert [error.line for error in errors] == [2, 4]


async def test_bad_file_cannot_run(provider: FakeBatchProvider, actor: Actor) -> None:
    """A batch with a bad line cannot be made to complete."""
    file = await actor.upload(line(custom_id="a") + b"{\n")
    batch = await provider.create_batch(actor.request(file.id))
    with pytest.raises(ValueError, match="cannot become completed"):
        provider.complete(batch.id)


async def test_moderations_need_no_model(provider: FakeBatchProvider) -> None:
    """An endpoint that takes requests without a model is not asked for one."""
    actor = Actor(provider, "/v1/moderations", {"input": "some text"})
    batch = await actor.start()
    provider.complete(batch.id)
    assert provider.look(batch.id).report.request_counts.completed == 2


async def test_last_newline_is_optional(provider: FakeBatchProvider, actor: Actor) -> None:
    """A file may end without a newline."""
    file = await actor.upload(line().removesuffix(b"\n"))
    batch = await provider.create_batch(actor.request(file.id))
    provider.complete(batch.id)
    assert provider.look(batch.id).report.request_counts.total == 1


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(1, 209_715_200, OPENAI_LIMITS.endpoints), "more than the 1 maximum"),
        (Limits(50_000, 150, OPENAI_LIMITS.endpoints), "larger than the 150 maximum"),
    ],
)
async def test_limits_hold(limits: Limits, words: str) -> None:
    """A file beyond the limits fails its batch."""
    provider = FakeBatchProvider(limits=limits)
    actor = Actor(provider, "/v1/responses", {})
    (error,) = await errors_of(provider, actor, line(custom_id="a") + line())
    assert words in error.message


@pytest.mark.parametrize(
    ("filename", "content"),
    [("input.txt", b"{}\n"), ("input.jsonl", b""), ("input.jsonl", b"hello\n{}\n")],
)
async def test_upload_refuses_what_is_no_jsonl(
    provider: FakeBatchProvider, filename: str, content: bytes
) -> None:
    """The file name, an empty file and a first line that is not JSON are noticed at once."""
    with pytest.raises(RefusedError) as refused:
        await provider.upload(Pieces(content), filename=filename, size=len(content))
    assert refused.value.http_status == 400
    assert provider.file_ids == ()


async def test_upload_refuses_a_wrong_size(provider: FakeBatchProvider) -> None:
    """The file must have as many bytes as were announced."""
    with pytest.raises(RefusedError, match="3 bytes, not the announced 4"):
        await provider.upload(Pieces(b"{}\n"), filename="input.jsonl", size=4)


async def test_upload_joins_pieces_of_any_size(provider: FakeBatchProvider) -> None:
    """Where the pieces of a file begin does not matter."""

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"a', b"", b'":1}', b"\n"):
            yield piece

    uploaded = await provider.upload(pieces(), filename="input.jsonl", size=8)
    assert provider.content(uploaded.id) == b'{"a":1}\n'


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"endpoint": "/v1/nothing"}, "endpoint"),
        ({"completion_window": "48h"}, "completion_window"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: ""}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
    ],
)
async def test_create_refuses_bad_arguments(
    provider: FakeBatchProvider, actor: Actor, changes: dict[str, Any], param: str
) -> None:
    """What is wrong with the call itself is refused at once, and names the parameter."""
    file = await actor.upload_requests()
    with pytest.raises(RefusedError) as refused:
        await provider.create_batch(evolve(actor.request(file.id), **changes))
    assert (refused.value.param, refused.value.http_status) == (param, 400)
    assert provider.batch_ids == ()


async def test_create_needs_its_file(provider: FakeBatchProvider, actor: Actor) -> None:
    """A create without its file finds nothing and leaves nothing."""
    with pytest.raises(NotFoundError, match="Cannot find file file-unknown"):
        await provider.create_batch(actor.request("file-unknown"))
    assert provider.batch_ids == ()


async def test_deleted_input_does_not_hurt_a_batch(
    provider: FakeBatchProvider, actor: Actor
) -> None:
    """A batch runs on when its input file is deleted."""
    batch = await actor.start()
    assert batch.input_file_id is not None
    await provider.delete_file(batch.input_file_id)
    provider.complete(batch.id)
    assert await actor.answered(provider.look(batch.id).report) == ["a", "b"]
