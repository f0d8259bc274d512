"""Over real HTTP: what is built is answered, by a batch and at once, with the same answer."""

from collections.abc import AsyncIterator

import pytest
from attrs import evolve, frozen

from batchtrail import (
    BatchProvider,
    ChatCompletionsRequest,
    CompletionsRequest,
    EmbeddingsRequest,
    EndpointRequest,
    ModerationsRequest,
    ResponsesRequest,
    open_trail,
)
from batchtrail.adapters.emulator import EmulatorSettings, running_emulator
from batchtrail.adapters.fake import VirtualClock
from batchtrail.adapters.openai import OpenAISettings
from batchtrail.adapters.openai.provider import connect


@frozen
class Capital:
    city: str
    inhabitants: int


REQUESTS: dict[str, EndpointRequest] = {
    "responses": ResponsesRequest(model="gpt-5-nano", input="France?", output=Capital),
    "chat": ChatCompletionsRequest(model="gpt-4o-mini", messages="France?", output=Capital),
    "completions": CompletionsRequest(model="gpt-3.5-turbo-instruct", prompt="France"),
    "embeddings": EmbeddingsRequest(
        model="text-embedding-3-small",
        input=["a", "b"],
        dimensions=4,
        extra={"encoding_format": "base64"},
    ),
    "moderations": ModerationsRequest(model="omni-moderation-latest", input=["a", "b"]),
}


@pytest.fixture
async def provider() -> AsyncIterator[BatchProvider]:
    settings = EmulatorSettings(validating=0, in_progress=0, finalizing=0)
    async with (
        running_emulator(settings) as emulator,
        connect(OpenAISettings(api_key="sk-good", base_url=emulator.base_url)) as provider,
    ):
        yield provider


@pytest.mark.parametrize("name", REQUESTS)
async def test_both_ways_give_the_same_answer(provider: BatchProvider, name: str) -> None:
    """Only the HTTP call has another name."""
    request = REQUESTS[name]
    async with open_trail("sqlite:///:memory:", provider=provider, clock=VirtualClock()) as trail:
        batch = await trail.submit([request.line("a")])
        await trail.wait(batch)
        (completion,) = [each async for each in trail.completions(batch)]
        direct = await trail.complete_now(request)
    assert completion.answer is not None
    assert evolve(direct, request_id=completion.answer.request_id) == completion.answer
    assert direct.request_id != completion.answer.request_id
    if name in {"responses", "chat"}:
        assert direct.as_type(Capital).inhabitants >= 0
    if name == "embeddings":
        assert [len(vector) for vector in direct.embeddings] == [4, 4]
