"""Synchronous requests to the fake, and the errors that a script gives them."""

from typing import Any

import msgspec
import pytest

from batchtrail.adapters.fake import Call, FakeBatchProvider, Operation
from batchtrail.application.errors import (
    OutcomeUnknownError,
    ProviderError,
    RateLimitedError,
    RefusedError,
    UnauthorizedError,
)
from batchtrail.domain.values import RequestProblem

CHAT = "/v1/chat/completions"
BODY = b'{"model": "m", "messages": []}'


async def test_each_request_has_a_name_by_which_it_is_scripted(provider: FakeBatchProvider) -> None:
    """They are numbered; what is scripted for one is not given to another."""
    provider.answer_with("direct-2", body={"id": "mine"})
    first = await provider.complete_request(CHAT, BODY)
    second = await provider.complete_request(CHAT, BODY)
    assert b"This is the answer to direct-1." in first.body
    assert second.body == b'{"id":"mine"}'
    assert first.request_id != second.request_id
    assert provider.calls == [Call(Operation.COMPLETE, CHAT)] * 2


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RefusedError),
        (401, UnauthorizedError),
        (404, RefusedError),
        (429, RateLimitedError),
        (500, OutcomeUnknownError),
        (503, OutcomeUnknownError),
    ],
)
async def test_an_answer_that_is_no_success_raises(
    provider: FakeBatchProvider, status: int, error: type[ProviderError]
) -> None:
    """The error that the real adapter makes of this status."""
    provider.answer_with("direct-1", status_code=status)
    with pytest.raises(ProviderError) as raised:
        await provider.complete_request(CHAT, BODY)
    assert type(raised.value) is error
    assert raised.value.http_status == status
    assert raised.value.message == f"The fake provider was told to answer {status}."


@pytest.mark.parametrize("body", [{}, {"error": "overloaded"}, {"error": {"message": ""}}])
async def test_an_error_in_words_of_its_own(
    provider: FakeBatchProvider, body: dict[str, Any]
) -> None:
    """A body that is not OpenAI's envelope has no message; the status is told."""
    provider.answer_with("direct-1", status_code=503, body=body)
    with pytest.raises(OutcomeUnknownError, match=r"^the server answered 503"):
        await provider.complete_request(CHAT, BODY)


async def test_a_request_without_an_answer_has_an_unknown_outcome(
    provider: FakeBatchProvider,
) -> None:
    """As when its connection is lost."""
    provider.answer_with("direct-1", error=RequestProblem("lost", "Gone."))
    with pytest.raises(OutcomeUnknownError, match="Gone"):
        await provider.complete_request(CHAT, BODY)


async def test_a_request_needs_a_model(provider: FakeBatchProvider) -> None:
    """But for moderations, which have one of their own."""
    with pytest.raises(RefusedError, match="model"):
        await provider.complete_request(CHAT, b"{}")
    assert (await provider.complete_request("/v1/moderations", b"{}")).status_code == 200


async def test_too_many_inputs_to_embed_are_refused(provider: FakeBatchProvider) -> None:
    """As by OpenAI, which takes as many token numbers as the model does."""
    for inputs in ([1] * 2_049, ["x"] * 2_048):
        body = msgspec.json.encode({"model": "m", "input": inputs})
        assert (await provider.complete_request("/v1/embeddings", body)).status_code == 200
    body = msgspec.json.encode({"model": "m", "input": ["x"] * 2_049})
    with pytest.raises(RefusedError, match="input' is invalid") as refused:
        await provider.complete_request("/v1/embeddings", body)
    assert refused.value.http_status == 400


async def test_only_the_models_that_are_named_exist() -> None:
    """By default all do; moderations without a model have one of their own."""
    provider = FakeBatchProvider(models={"m"})
    assert (await provider.complete_request(CHAT, BODY)).status_code == 200
    assert (await provider.complete_request("/v1/moderations", b"{}")).status_code == 200
    with pytest.raises(RefusedError, match="does not exist") as refused:
        await provider.complete_request(CHAT, b'{"model": "other"}')
    assert (refused.value.code, refused.value.http_status) == ("model_not_found", 404)
