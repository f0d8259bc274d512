"""The lines of result files: what is answered, in which order, and how a test deforms them."""

from typing import Any

import pytest

from batchtrail.adapters.fake import Answer, FakeBatchProvider, InputRequest
from batchtrail.adapters.fake.stage import Actor
from batchtrail.domain.status import ResultFile
from batchtrail.domain.values import RequestCounts, RequestProblem, StatusReport

MANY = tuple(f"request-{number:02d}" for number in range(20))
BODIES: dict[str, dict[str, Any]] = {
    "/v1/responses": {"model": "m", "input": "x"},
    "/v1/chat/completions": {"model": "m", "messages": []},
    "/v1/completions": {"model": "m", "prompt": "x"},
    "/v1/embeddings": {"model": "m", "input": ["x", "y"]},
    "/v1/moderations": {"input": "x"},
    "/v1/images/generations": {"model": "m", "prompt": "x"},
    "/v1/images/edits": {"model": "m", "prompt": "x"},
    "/v1/videos": {"model": "m", "prompt": "x"},
}


async def completed(actor: Actor, provider: FakeBatchProvider, *custom_ids: str) -> StatusReport:
    """Run a batch to its regular end."""
    batch = await actor.start(custom_ids)
    provider.complete(batch.id)
    return provider.look(batch.id).report


async def raw_lines(actor: Actor, file_id: str | None) -> list[bytes]:
    """Read a result file as its lines, each with its newline."""
    assert file_id is not None
    return (await actor.content(file_id)).splitlines(keepends=True)


@pytest.mark.parametrize("endpoint", BODIES)
async def test_every_endpoint_is_answered(provider: FakeBatchProvider, endpoint: str) -> None:
    """Each endpoint gets a line in OpenAI's shape, with a body of its own."""
    actor = Actor(provider, endpoint, BODIES[endpoint])
    report = await completed(actor, provider, "a")
    (row,) = await actor.rows(report.output_file_id)
    assert list(row) == ["id", "custom_id", "response", "error"]
    assert (row["custom_id"], row["error"]) == ("a", None)
    assert list(row["response"]) == ["status_code", "request_id", "body"]
    assert row["response"]["status_code"] == 200
    assert row["response"]["body"].get("model", "m") in {"m", "omni-moderation-latest"}


async def test_usage_of_lines_is_the_usage_of_the_batch(
    provider: FakeBatchProvider, actor: Actor
) -> None:
    """The batch's tokens are the sum of its lines' tokens."""
    report = await completed(actor, provider, "a", "b")
    bodies = [row["response"]["body"] for row in await actor.rows(report.output_file_id)]
    assert report.usage is not None
    assert report.usage.total == sum(body["usage"]["total_tokens"] for body in bodies)


@pytest.mark.parametrize("usage", ["much", {"input_tokens": "5"}, {"input_tokens": None}])
async def test_answers_with_an_odd_usage(
    provider: FakeBatchProvider, actor: Actor, usage: object
) -> None:
    """A test may ask for what compatible servers write; the batch still comes to its end."""
    provider.answer_with("a", body={"usage": usage})
    report = await completed(actor, provider, "a")
    (row,) = await actor.rows(report.output_file_id)
    assert row["response"]["body"]["usage"] == usage


@pytest.mark.parametrize(("texts", "vectors"), [(["x", "y"], [0, 1]), ("xyz", [0])])
async def test_embeddings_have_one_vector_for_each_input(
    provider: FakeBatchProvider, texts: str | list[str], vectors: list[int]
) -> None:
    """A list of two texts is embedded as two vectors, a text as one."""
    actor = Actor(provider, "/v1/embeddings", {"model": "m", "input": texts})
    report = await completed(actor, provider, "a")
    (row,) = await actor.rows(report.output_file_id)
    assert [each["index"] for each in row["response"]["body"]["data"]] == vectors


async def order_with(seed: int) -> list[str]:
    """Run many requests and list the custom_ids as they stand in the output file."""
    provider = FakeBatchProvider(seed=seed)
    actor = Actor(provider, "/v1/responses", BODIES["/v1/responses"])
    report = await completed(actor, provider, *MANY)
    return [row["custom_id"] for row in await actor.rows(report.output_file_id)]


async def test_lines_are_shuffled_by_the_seed() -> None:
    """Lines come out of order, in the same order for the same seed."""
    first, again, other = await order_with(1), await order_with(1), await order_with(2)
    assert sorted(first) == list(MANY)
    assert first not in (list(MANY), other)
    assert first == again


async def test_answer_with_a_body(provider: FakeBatchProvider, actor: Actor) -> None:
    """A body is answered as the test wrote it."""
    provider.answer_with("a", body={"text": "mine"})
    report = await completed(actor, provider, "a")
    (row,) = await actor.rows(report.output_file_id)
    assert row["response"]["body"] == {"text": "mine"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (300, "invalid_request_error"),
        (400, "invalid_request_error"),
        (499, "invalid_request_error"),
        (500, "server_error"),
    ],
)
async def test_answer_with_an_http_error(
    provider: FakeBatchProvider, actor: Actor, status: int, kind: str
) -> None:
    """A status that is no success goes to the error file, with OpenAI's envelope in its body."""
    provider.answer_with("a", status_code=status)
    report = await completed(actor, provider, "a", "b")
    assert report.request_counts == RequestCounts(total=2, completed=1, failed=1)
    (row,) = await actor.rows(report.error_file_id)
    assert (row["custom_id"], row["error"]) == ("a", None)
    assert row["response"]["status_code"] == status
    assert row["response"]["body"]["error"]["type"] == kind


async def test_answer_with_an_error_beside_the_response(
    provider: FakeBatchProvider, actor: Actor
) -> None:
    """An error that is no HTTP answer leaves the line without a response."""
    provider.answer_with("a", error=RequestProblem("request_timeout", "too slow"))
    report = await completed(actor, provider, "a")
    (row,) = await actor.rows(report.error_file_id)
    assert row["response"] is None
    assert row["error"] == {"code": "request_timeout", "message": "too slow"}


async def test_answering_decides_for_every_request() -> None:
    """A function may answer each request from its body; `answer_with` outranks it."""

    def echo(request: InputRequest) -> Answer:
        return Answer(body={"echo": request.body["input"], "number": request.number})

    provider = FakeBatchProvider(answering=echo)
    provider.answer_with("b", body={"echo": "special"})
    actor = Actor(provider, "/v1/responses", {"model": "m", "input": "x"})
    report = await completed(actor, provider, "a", "b")
    rows = await actor.rows(report.output_file_id)
    bodies = {row["custom_id"]: row["response"]["body"] for row in rows}
    assert bodies == {"a": {"echo": "x", "number": 1}, "b": {"echo": "special"}}


async def test_dropped_line_is_missing(provider: FakeBatchProvider, actor: Actor) -> None:
    """A dropped line is in neither file, although the counts include it."""
    provider.drop_line("a")
    report = await completed(actor, provider, "a", "b")
    assert await actor.answered(report) == ["b"]
    assert report.request_counts.completed == 2


async def test_repeated_line_stands_twice(provider: FakeBatchProvider, actor: Actor) -> None:
    """A repeated line is there twice, byte for byte."""
    provider.repeat_line("a")
    report = await completed(actor, provider, "a")
    first, second = await raw_lines(actor, report.output_file_id)
    assert first == second


async def test_garbled_line_is_not_json(provider: FakeBatchProvider, actor: Actor) -> None:
    """A garbled line ends in its middle, and the next line stands on its own."""
    provider.garble_line("a")
    report = await completed(actor, provider, "a", "b")
    lines = await raw_lines(actor, report.output_file_id)
    assert sorted(line.endswith(b"}\n") for line in lines) == [False, True]


@pytest.mark.parametrize("to", ["stranger", None])
async def test_renamed_line(provider: FakeBatchProvider, actor: Actor, to: str | None) -> None:
    """A line may have another custom_id, or none."""
    provider.rename_line("a", to)
    report = await completed(actor, provider, "a")
    (row,) = await actor.rows(report.output_file_id)
    assert row.get("custom_id") == to
    assert ("custom_id" in row) is (to is not None)


@pytest.mark.parametrize("file", ResultFile)
async def test_added_line_stands_first(
    provider: FakeBatchProvider, actor: Actor, file: ResultFile
) -> None:
    """A line of the test's own begins the file, even one that would not be there without it."""
    provider.add_line(b"hello", file)
    report = await completed(actor, provider, "a")
    file_ids = {ResultFile.OUTPUT: report.output_file_id, ResultFile.ERROR: report.error_file_id}
    assert (await raw_lines(actor, file_ids[file]))[0] == b"hello\n"


async def test_shapes_of_one_line_add_up(provider: FakeBatchProvider, actor: Actor) -> None:
    """A line can be renamed and repeated."""
    provider.rename_line("a", "stranger")
    provider.repeat_line("a")
    report = await completed(actor, provider, "a")
    rows = await actor.rows(report.output_file_id)
    assert [row["custom_id"] for row in rows] == ["stranger", "stranger"]


async def test_cut_last_line_has_no_newline(provider: FakeBatchProvider, actor: Actor) -> None:
    """The file stops in the middle of its last line; those before are whole."""
    provider.cut_last_line()
    report = await completed(actor, provider, "a", "b")
    first, last = await raw_lines(actor, report.output_file_id)
    assert first.endswith(b"}\n")
    assert last.startswith(b"{")
    assert len(last) < len(first)
    assert b"\n" not in last


async def test_cut_of_an_empty_file_makes_none(provider: FakeBatchProvider, actor: Actor) -> None:
    """Where there is no line there is nothing to cut, and still no file."""
    provider.cut_last_line(ResultFile.ERROR)
    report = await completed(actor, provider, "a")
    assert report.error_file_id is None
