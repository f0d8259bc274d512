"""Requests made by the builders go through a batch, or straight, and come back as answers."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from attrs import frozen

from batchtrail.adapters.fake import Answer as Scripted, FakeBatchProvider, InputRequest
from batchtrail.application.endpoints import (
    Answer,
    ChatCompletionsRequest,
    CompletionsRequest,
    EmbeddingsRequest,
    EndpointRequest,
    ModerationsRequest,
    ResponsesRequest,
)
from batchtrail.application.errors import InputError, OutcomeUnknownError, RefusedError
from batchtrail.application.ports import DirectAnswer
from batchtrail.application.service import BatchService
from batchtrail.domain.status import Outcome
from batchtrail.domain.values import TokenUsage

Serve = Callable[..., BatchService]


@frozen
class Colour:
    name: str
    warm: bool


ASK = ResponsesRequest(
    model="gpt-5-nano", input="Which colour?", max_output_tokens=50, output=Colour
)
OTHERS: dict[str, EndpointRequest] = {
    "chat": ChatCompletionsRequest(model="gpt-5-nano", messages="Hello"),
    "completion": CompletionsRequest(model="gpt-3.5-turbo-instruct", prompt="Once"),
    "embedding": EmbeddingsRequest(model="text-embedding-3-small", input=["a", "b"]),
    "moderation": ModerationsRequest(model="omni-moderation-latest", input="Hello"),
}


def a_colour(request: InputRequest) -> Scripted:
    """Answer in the form that was asked for, and one request badly."""
    if request.custom_id == "bad":
        return Scripted(status_code=500)
    assert request.body["text"]["format"]["name"] == "Colour"
    text = '{"name": "red", "warm": true}'
    output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}]
    usage = {"input_tokens": 9, "output_tokens": 4}
    return Scripted(body={"status": "completed", "output": output, "usage": usage})


@pytest.fixture
def provider(lab: Any) -> FakeBatchProvider:
    return FakeBatchProvider(auto=True, now=lab.clock.now, answering=a_colour)


async def test_a_built_request_comes_back_as_the_users_value(
    lab: Any, provider: FakeBatchProvider
) -> None:
    """Through submit, wait and completions; a failed request has no answer."""
    service = lab.service(provider)
    batch_id = await service.submit([ASK.line("good"), ASK.line("bad")])
    await service.wait(batch_id)
    good, bad = await lab.completions(service, batch_id)
    assert Colour("red", warm=True) == good.answer.as_type(Colour)
    assert good.text == '{"name": "red", "warm": true}'
    assert good.answer.usage == good.usage == TokenUsage(input=9, output=4)
    assert good.answer.request_id == msgspec.json.decode(good.line)["response"]["request_id"]
    assert (bad.outcome, bad.answer, bad.text) == (Outcome.FAILED, None, None)


async def test_a_request_without_a_line_has_no_answer(
    lab: Any, provider: FakeBatchProvider
) -> None:
    """Neither before the results nor when they never come."""
    service = lab.service(provider)
    provider.drop_line("good")
    batch_id = await service.submit([ASK.line("good")])
    (pending,) = await lab.completions(service, batch_id)
    assert (pending.outcome, pending.answer, pending.body) == (Outcome.PENDING, None, None)
    await service.wait(batch_id)
    (missing,) = await lab.completions(service, batch_id)
    assert (missing.outcome, missing.answer, missing.text) == (Outcome.MISSING, None, None)


@pytest.mark.parametrize("name", OTHERS)
async def test_a_batch_and_a_synchronous_call_are_answered_alike(lab: Any, name: str) -> None:
    """One builder and one parser: the answers differ in what names the request alone."""
    request = OTHERS[name]
    provider = FakeBatchProvider(auto=True, now=lab.clock.now)
    service = lab.service(provider)
    batch_id = await service.submit([request.line("direct-1")])
    await service.wait(batch_id)
    (completion,) = await lab.completions(service, batch_id)
    direct = await service.complete_now(request)
    assert facts(direct) == facts(completion.answer)
    assert direct.request_id is not None
    assert provider.count("complete") == 1
    assert any([direct.text, direct.embeddings, direct.moderations])


def facts(answer: Answer) -> tuple[object, ...]:
    """What does not name the request."""
    return (
        answer.texts,
        answer.finish_reason,
        answer.usage,
        answer.embeddings,
        answer.moderations,
        answer.model,
    )


@pytest.mark.parametrize("wrapped", [True, False])
async def test_an_answer_that_servers_write_in_their_own_way_is_read(
    lab: Any, wrapped: bool
) -> None:
    """Without a status, or, by old ones, where the response should be."""
    provider = FakeBatchProvider(auto=True, now=lab.clock.now)
    service = lab.service(provider)
    body = {"choices": [{"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}]}
    provider.drop_line("a")
    response = {"body": body} if wrapped else body
    provider.add_line(msgspec.json.encode({"custom_id": "a", "response": response}))
    batch_id = await service.submit([OTHERS["chat"].line("a")])
    await service.wait(batch_id)
    (completion,) = await lab.completions(service, batch_id)
    assert (completion.outcome, completion.text) == (Outcome.SUCCEEDED, "Hi.")
    assert completion.body == body


async def test_a_refused_synchronous_call_has_the_providers_words(
    lab: Any, provider: FakeBatchProvider
) -> None:
    """With its code and request id."""
    error = {"message": "Too long.", "code": "context_length_exceeded", "param": "input"}
    provider.answer_with("direct-1", status_code=400, body={"error": error})
    with pytest.raises(RefusedError) as refused:
        await lab.service(provider).complete_now(ASK)
    assert (refused.value.message, refused.value.code) == ("Too long.", "context_length_exceeded")
    assert (refused.value.param, refused.value.http_status) == ("input", 400)
    assert refused.value.request_id


async def test_a_lost_synchronous_answer_is_not_asked_for_again(
    lab: Any, provider: FakeBatchProvider
) -> None:
    """It may have been paid for: only the caller can decide to pay again."""
    provider.lose_next_answer("complete")
    with pytest.raises(OutcomeUnknownError):
        await lab.service(provider).complete_now(ASK)
    assert provider.count("complete") == 1


@pytest.mark.parametrize("user", [object(), {"a", "b"}, float("nan")])
async def test_a_synchronous_body_that_cannot_be_json_is_told(
    lab: Any, provider: FakeBatchProvider, user: object
) -> None:
    """Before anything is sent."""
    request = ChatCompletionsRequest(model="m", messages="x", extra={"user": user})
    with pytest.raises(InputError, match="the request cannot be JSON"):
        await lab.service(provider).complete_now(request)
    assert provider.count("complete") == 0


class ManyDigits(FakeBatchProvider):
    """A provider whose answer holds a whole number that Python refuses to read as one."""

    async def complete_request(self, endpoint: str, body: bytes) -> DirectAnswer:
        await super().complete_request(endpoint, body)
        return DirectAnswer(200, b'{"id": "x", "n": %s}' % (b"9" * 5_000), "req-1")


async def test_a_synchronous_answer_is_read_as_a_line_is(lab: Any) -> None:
    """What a batch's parser takes is not refused here, where it is paid for as well."""
    answer = await lab.service(ManyDigits(now=lab.clock.now)).complete_now(ASK)
    assert answer.request_id == "req-1"
