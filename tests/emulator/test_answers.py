"""The generated answers: shapes, determinism, and the lines they stand in."""

import base64
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import given, strategies as st
from openai import APIStatusError, AsyncOpenAI, BadRequestError
from openai.types import Batch, ImagesResponse, Video

from batchtrail.adapters.emulator import Emulator, EmulatorSettings, ManualClock
from batchtrail.adapters.emulator.answers import ENDPOINTS, answer
from batchtrail.application.ports import OPENAI_LIMITS

Submit = Callable[..., Awaitable[Batch]]
Line = Callable[..., dict[str, Any]]
Results = Callable[[AsyncOpenAI, str | None], Awaitable[dict[str, Any]]]
Start = Callable[[EmulatorSettings], Awaitable[Emulator]]
Connect = Callable[[Emulator], AsyncOpenAI]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "size": {"type": "integer", "minimum": 3},
        "kind": {"enum": ["town", "village"]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
        "near": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "open": {"type": "boolean"},
        "code": {"const": 7},
        "none": {"type": "null"},
    },
    "$defs": {"tag": {"type": ["string", "null"]}},
}


async def test_line_shape(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit, line: Line
) -> None:
    """Lines are spaced like Python's JSON, end in a newline and carry the finalizing time."""
    batch = await submit(client, line('quoted "ü" \\'))
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    assert batch.output_file_id
    text = (await client.files.content(batch.output_file_id)).text
    shown = json.loads(text)
    assert text == json.dumps(shown) + "\n"
    assert list(shown) == ["id", "custom_id", "response", "error"]
    assert shown["custom_id"] == 'quoted "ü" \\'
    assert re.fullmatch(f"batch_req_{batch.finalizing_at:08x}[0-9a-f]{{24}}", shown["id"])
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}",
        shown["response"]["request_id"],
    )
    assert shown["response"]["body"]["output"][-1]["content"][0]["text"].startswith("You asked")


async def test_lines_are_shuffled_the_same_way(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit, line: Line
) -> None:
    """The order differs from that of the input, and is the same each time."""
    orders = []
    for _ in range(2):
        batch = await submit(client, *(line(str(n)) for n in range(50)))
        clock.advance(10)
        batch = await client.batches.retrieve(batch.id)
        assert batch.output_file_id
        content = (await client.files.content(batch.output_file_id)).content
        orders.append([json.loads(each)["custom_id"] for each in content.splitlines()])
    assert orders[0] == orders[1]
    assert sorted(orders[0], key=int) == [str(n) for n in range(50)] != orders[0]


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/responses", {"model": "gpt-5-nano", "input": [{"role": "user", "content": "Why?"}]}),
        (
            "/v1/chat/completions",
            {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]},
        ),
        ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Say this"}),
        (
            "/v1/embeddings",
            {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8},
        ),
        ("/v1/moderations", {"model": "omni-moderation-latest", "input": "x"}),
    ],
)
async def test_batch_and_synchronous_answers_agree(
    *,
    emulator: Emulator,
    http: aiohttp.ClientSession,
    client: AsyncOpenAI,
    clock: ManualClock,
    submit: Submit,
    results: Results,
    endpoint: str,
    body: dict[str, Any],
) -> None:
    """The same request gets the same answer here and there."""
    request = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}
    batch = await submit(client, request, endpoint=endpoint)
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    url = emulator.base_url.removesuffix("/v1") + endpoint
    async with http.post(url, data=json.dumps(body)) as response:
        direct = await response.json()
    answer = (await results(client, batch.output_file_id))["a"]["response"]["body"]
    times = {"created": 0, "created_at": 0}
    assert {**answer, **times} == {**direct, **times}


@pytest.mark.parametrize(
    ("endpoint", "more"),
    [
        ("/v1/images/generations", {"n": 2}),
        ("/v1/images/edits", {"n": 2, "images": [{"file_id": "file-1"}]}),
    ],
)
async def test_sdk_reads_pictures(
    *,
    client: AsyncOpenAI,
    clock: ManualClock,
    submit: Submit,
    results: Results,
    endpoint: str,
    more: dict[str, Any],
) -> None:
    """As many as are asked for, the same small one each time, with their tokens."""
    body = {"model": "gpt-image-1", "prompt": 'A red "dot".', **more}
    request = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}
    batch = await submit(client, request, endpoint=endpoint)
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    row = (await results(client, batch.output_file_id))["a"]
    answered = ImagesResponse.model_validate(row["response"]["body"], strict=True)
    pictures = [base64.b64decode(each.b64_json or "") for each in answered.data or []]
    assert len(pictures) == 2
    assert all(each.startswith(b"\x89PNG") for each in pictures)
    assert answered.usage
    assert batch.usage
    assert answered.usage.total_tokens == batch.usage.total_tokens > 0


async def test_sdk_reads_videos(
    client: AsyncOpenAI, clock: ManualClock, submit: Submit, results: Results
) -> None:
    """A video that is done, in the size and of the length that were asked for."""
    body = {"model": "sora-2", "prompt": 'A "dot".', "size": "1280x720", "seconds": "8"}
    request = {"custom_id": "a", "method": "POST", "url": "/v1/videos", "body": body}
    batch = await submit(client, request, endpoint="/v1/videos")
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    row = (await results(client, batch.output_file_id))["a"]
    video = Video.model_validate(row["response"]["body"], strict=True)
    assert (video.status, video.progress, video.error) == ("completed", 100, None)
    assert (video.prompt, video.size, video.seconds) == ('A "dot".', "1280x720", "8")


def test_every_endpoint_of_batches_is_answered() -> None:
    """Those that the adapter and the fake take."""
    assert set(ENDPOINTS) == OPENAI_LIMITS.endpoints


async def test_sdk_reads_responses(client: AsyncOpenAI) -> None:
    """The Responses answer echoes the question and counts reasoning for models that reason."""
    response = await client.responses.create(model="gpt-5-nano", input="Why is the sky blue?")
    assert '"Why is the sky blue?"' in response.output_text
    assert response.usage
    assert response.usage.output_tokens > response.usage.output_tokens_details.reasoning_tokens > 0
    assert response.model == "gpt-5-nano-2025-08-07"


async def test_sdk_reads_embeddings(client: AsyncOpenAI) -> None:
    """Vectors have the length that is asked for, or the model's own, in both encodings."""
    create = client.embeddings.create
    short = await create(model="text-embedding-3-small", input=["a", "b"], dimensions=5)
    assert [len(each.embedding) for each in short.data] == [5, 5]
    assert short.data[0].embedding != short.data[1].embedding
    plain = await create(model="text-embedding-3-large", input=[1, 2, 3], encoding_format="float")
    assert [len(each.embedding) for each in plain.data] == [3072]
    assert plain.usage.prompt_tokens == 3
    assert sum(value**2 for value in plain.data[0].embedding) == pytest.approx(1, abs=0.2)


async def test_limit_on_tokens_cuts_the_answer(client: AsyncOpenAI) -> None:
    """An answer that hits the limit says so, in each endpoint's way."""
    chat = await client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hi"}], max_completion_tokens=3
    )
    assert chat.choices[0].finish_reason == "length"
    assert chat.usage
    assert chat.usage.completion_tokens == 3
    response = await client.responses.create(model="gpt-4o", input="Hi", max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details
    assert response.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize("limit", [16, 40, 120, 1_000])
async def test_limit_on_tokens_holds_for_reasoning(client: AsyncOpenAI, limit: int) -> None:
    """What is estimated to be the most that a request can cost is the most."""
    response = await client.responses.create(model="gpt-5", input="Hi", max_output_tokens=limit)
    assert response.usage
    used = response.usage.output_tokens
    assert used <= limit
    assert used - response.usage.output_tokens_details.reasoning_tokens > 0
    assert (response.status == "incomplete") == (limit == 16)


async def test_structured_answers_fit_the_schema(client: AsyncOpenAI) -> None:
    """JSON is answered where JSON is asked for."""
    chat = await client.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": "Rome"}],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": SCHEMA},
        },
    )
    place = json.loads(chat.choices[0].message.content or "")
    assert place.keys() == SCHEMA["properties"].keys()
    assert place["city"] == "Rome"
    assert place["size"] >= 3
    assert (place["code"], place["none"], place["tags"]) == (7, None, ["Rome"])
    response = await client.responses.create(
        model="gpt-5", input="Rome", text={"format": {"type": "json_object"}}
    )
    assert json.loads(response.output_text) == {"answer": "Rome"}


async def test_synchronous_call_can_ask_for_failure(client: AsyncOpenAI) -> None:
    """The wish for an HTTP error works here as well."""
    with pytest.raises(BadRequestError) as caught:
        await client.responses.create(
            model="gpt-5", input="x", safety_identifier="emulator:400:invalid_prompt"
        )
    assert caught.value.code == "invalid_prompt"
    with pytest.raises(APIStatusError) as failed:
        await client.responses.create(model="gpt-5", input="x", user="emulator:529:odd")
    assert failed.value.status_code == 529


@pytest.mark.parametrize("size", [0, 10, 5000])
async def test_answers_can_be_padded(start: Start, connect: Connect, size: int) -> None:
    """`answer_bytes` is the length of the text, to the byte."""
    client = connect(await start(EmulatorSettings(answer_bytes=size)))
    response = await client.responses.create(model="gpt-5", input="größer?")
    assert len(response.output_text.encode()) == size


async def test_endless_schema_has_an_end(client: AsyncOpenAI) -> None:
    """A schema that nothing finite fits does not hang the emulator."""
    response = await client.responses.create(
        model="gpt-5",
        input="x",
        text={"format": {"type": "json_schema", "name": "x", "schema": {"$ref": "#"}}},
    )
    assert response.output_text == "null"


UNUSABLE: dict[str, dict[str, Any]] = {
    "no properties": {"type": "object", "properties": None},
    "a property that is no schema": {"type": "object", "properties": {"a": 5}},
    "length as text": {"type": "array", "minItems": "2"},
    "items in a row": {"type": "array", "items": [{"type": "null"}]},
    "minimum as text": {"type": "integer", "minimum": "low"},
    "maximum of null": {"type": "number", "maximum": None},
    "limit as object": {"type": "number", "exclusiveMinimum": {}},
    "no type": {"type": []},
    "type of another kind": {"type": {}},
    "type that is none": {"type": "text"},
    "options in no list": {"anyOf": 5},
    "values in no list": {"enum": {"a": 1}},
    "reference to nothing": {"$ref": "#/$defs/lost"},
    "reference into a text": {"$ref": "#/type/0", "type": "object"},
    "reference that is no text": {"$ref": 7},
}


@pytest.mark.parametrize("schema", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_an_unusable_schema_refuses_its_request_alone(
    *,
    client: AsyncOpenAI,
    clock: ManualClock,
    submit: Submit,
    line: Line,
    results: Results,
    schema: dict[str, Any],
) -> None:
    """The other lines are answered, and the batch can be looked at."""
    form = {"type": "json_schema", "name": "x", "schema": schema}
    batch = await submit(client, line("good"), line("bad", text={"format": form}))
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    assert batch.request_counts
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    bad = (await results(client, batch.error_file_id))["bad"]
    error = bad["response"]["body"]["error"]
    assert bad["response"]["status_code"] == 400
    assert (error["param"], error["code"]) == ("text.format.schema", "invalid_json_schema")
    with pytest.raises(BadRequestError, match="Invalid schema for 'response_format'"):
        await client.chat.completions.create(
            model="gpt-4o",
            messages=[],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": schema},
            },
        )


@pytest.mark.parametrize("schema", ["x", 5, []])
async def test_a_schema_is_an_object(client: AsyncOpenAI, schema: Any) -> None:
    """Nothing else is answered as if no schema had been sent."""
    form: Any = {"type": "json_schema", "name": "x", "schema": schema}
    with pytest.raises(BadRequestError, match="Invalid schema"):
        await client.responses.create(model="gpt-5", input="x", text={"format": form})


async def test_a_reference_may_be_quoted(client: AsyncOpenAI) -> None:
    """As JSON pointers in addresses are."""
    form: Any = {
        "type": "json_schema",
        "name": "x",
        "schema": {"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": {"const": 1}}},
    }
    response = await client.responses.create(model="gpt-5", input="x", text={"format": form})
    assert response.output_text == "1"


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "object", "properties": {"a": False, "b": {"const": 1}}}, '{"b": 1}'),
        ({"type": "array", "items": False, "prefixItems": [{"type": "null"}]}, "[]"),
    ],
)
async def test_a_part_that_nothing_fits_is_left_out(
    client: AsyncOpenAI, schema: dict[str, Any], text: str
) -> None:
    """False is a schema as well."""
    form: Any = {"type": "json_schema", "name": "x", "schema": schema}
    response = await client.responses.create(model="gpt-5", input="x", text={"format": form})
    assert json.loads(response.output_text) == json.loads(text)


async def test_a_schema_that_branches_without_end_has_one(client: AsyncOpenAI) -> None:
    """Each level would have ten times the values of the one before."""
    branch = {"type": "object", "properties": {str(n): {"$ref": "#"} for n in range(10)}}
    form: Any = {"type": "json_schema", "name": "x", "schema": branch}
    response = await client.responses.create(model="gpt-5", input="x", text={"format": form})
    assert len(response.output_text) < 1_000_000


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-9, 9)
    | st.sampled_from(["object", "array", "integer", "string", "#", "#/items", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(
            ["type", "properties", "items", "minItems", "minimum", "exclusiveMinimum", "maximum",
             "enum", "const", "anyOf", "oneOf", "$ref"]
        ),
        inner,
    ),
)  # fmt: skip


@given(ANY, st.integers(-3, 3))
def test_no_schema_is_too_odd_to_be_answered(schema: Any, limit: int) -> None:
    """A batch whose results cannot be written could not be looked at any more."""
    form = {"type": "json_schema", "name": "x", "schema": schema}
    body = {"model": "gpt-5", "text": {"format": form}, "max_output_tokens": limit}
    outcome = answer("/v1/responses", json.dumps(body).encode(), created=0, answer_bytes=None)
    assert (outcome.usage is None) == (outcome.status == 400)
    json.loads(outcome.body)


@pytest.mark.parametrize("limit", [0, -1])
@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        ("/v1/responses", "max_output_tokens"),
        ("/v1/chat/completions", "max_completion_tokens"),
        ("/v1/chat/completions", "max_tokens"),
        ("/v1/completions", "max_tokens"),
    ],
)
async def test_a_limit_on_tokens_leaves_room_for_one(
    *,
    client: AsyncOpenAI,
    clock: ManualClock,
    submit: Submit,
    results: Results,
    endpoint: str,
    name: str,
    limit: int,
) -> None:
    """Fewer are refused; no answer has a negative number of tokens."""
    body = {"model": "gpt-4o", "input": "x", "messages": [], "prompt": "x", name: limit}
    request = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}
    batch = await submit(client, request, endpoint=endpoint)
    clock.advance(10)
    batch = await client.batches.retrieve(batch.id)
    response = (await results(client, batch.error_file_id))["a"]["response"]
    assert response["status_code"] == 400
    assert response["body"]["error"] == {
        "message": f"Invalid '{name}': integer below minimum value. "
        f"Expected a value >= 1, but got {limit} instead.",
        "type": "invalid_request_error",
        "param": name,
        "code": "integer_below_min_value",
    }


@pytest.mark.parametrize(
    ("changes", "status", "param", "code"),
    [
        ({"model": None}, 400, None, None),
        ({"model": 5}, 400, None, None),
        ({"model": "llama"}, 404, None, "model_not_found"),
        ({"input": None}, 400, "input", "missing_required_parameter"),
        ({"stream": True}, 400, "stream", "streaming_unsupported"),
    ],
)
async def test_synchronous_endpoints_refuse_what_fails_a_batch(
    *,
    emulator: Emulator,
    http: aiohttp.ClientSession,
    changes: dict[str, Any],
    status: int,
    param: str | None,
    code: str | None,
) -> None:
    """With the status, and in the words, of a call."""
    body = {"model": "gpt-5", "input": "x", **changes}
    async with http.post(f"{emulator.base_url}/responses", json=body) as response:
        error = (await response.json())["error"]
    assert (response.status, error["param"], error["code"]) == (status, param, code)
    assert "Batch" not in error["message"]


async def test_too_many_inputs_to_embed(client: AsyncOpenAI) -> None:
    """A call is refused in OpenAI's words; as many as it takes get a vector each."""
    model = "text-embedding-3-small"
    found = await client.embeddings.create(model=model, input=["x"] * 2_048, dimensions=1)
    assert len(found.data) == 2_048
    with pytest.raises(BadRequestError) as refused:
        await client.embeddings.create(model=model, input=["x"] * 2_049)
    assert refused.value.body == {
        "message": "'$.input' is invalid. Please check the API reference: "
        "https://platform.openai.com/docs/api-reference.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


async def test_ordinary_users_ask_for_nothing(client: AsyncOpenAI) -> None:
    """A `user` that is no wish is just a user."""
    response = await client.responses.create(model="gpt-5", input="x", user="emulator")
    assert response.status == "completed"
