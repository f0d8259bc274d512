"""The exact body that each endpoint is sent for a request that uses everything."""

import enum
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
from attrs import frozen
from openai.types import (
    CompletionCreateParams,
    EmbeddingCreateParams,
    ModerationCreateParams,
)
from openai.types.chat import CompletionCreateParams as ChatCompletionCreateParams
from openai.types.responses import ResponseCreateParams

from batchtrail import (
    ChatCompletionsRequest,
    CompletionsRequest,
    EmbeddingsRequest,
    EndpointRequest,
    FilePart,
    ImagePart,
    Message,
    ModerationsRequest,
    Part,
    ResponsesRequest,
    TextPart,
    Tool,
    ToolCall,
    data_url,
)

Golden = Callable[[str], Any]


class Mood(enum.Enum):
    CALM = "calm"
    CROSS = "cross"


@frozen
class Review:
    """What a customer says."""

    product: str
    stars: int
    mood: Mood | None = None


class Place(pydantic.BaseModel):
    city: str = pydantic.Field(description="Without the country")
    country: str = "France"


FIND = Tool("find_orders", "Find a customer's orders.", Place)
PING = Tool("ping")
CONVERSATION = (
    Message(
        "user",
        [
            TextPart("What is this, and who wrote about it?"),
            ImagePart(url=data_url(b"PNG", "image/png"), detail="low"),
            FilePart(data=data_url(b"PDF", "application/pdf"), filename="letter.pdf"),
        ],
    ),
    Message("assistant", "I look.", [ToolCall("call_1", "find_orders", '{"city":"Paris"}')]),
    Message("tool", "no orders", tool_call_id="call_1"),
)

REQUESTS: dict[str, EndpointRequest] = {
    "responses": ResponsesRequest(
        model="gpt-5.2",
        instructions="Answer in one line.",
        input=[*CONVERSATION, {"type": "item_reference", "id": "msg_1"}],
        max_output_tokens=200,
        temperature=0.2,
        reasoning_effort="none",
        tools=[FIND, PING, {"type": "web_search"}],
        tool_choice=FIND,
        output=Review,
        extra={
            "store": False,
            "text": {"verbosity": "low"},
            "include": ["web_search_call.results"],
        },
    ),
    "chat_completions": ChatCompletionsRequest(
        model="gpt-4.1-mini",
        instructions="Answer in one line.",
        messages=[*CONVERSATION, {"role": "user", "content": "Well?", "name": "ada"}],
        max_output_tokens=200,
        temperature=0.2,
        tools=[FIND, PING],
        tool_choice="find_orders",
        output=Review,
        extra={"seed": 7, "n": 2},
    ),
    "embeddings": EmbeddingsRequest(
        model="text-embedding-3-small",
        input=["one", "two"],
        dimensions=256,
        extra={"encoding_format": "float"},
    ),
    "completions": CompletionsRequest(
        model="gpt-3.5-turbo-instruct",
        prompt=["Once upon a time", "It was a dark"],
        max_output_tokens=7,
        temperature=0,
        extra={"stop": ["\n"]},
    ),
    "moderations": ModerationsRequest(
        model="omni-moderation-latest",
        input=[TextPart("some text"), ImagePart(url="https://example.org/a.png")],
    ),
}
TYPES: dict[str, Any] = {
    "responses": ResponseCreateParams,
    "chat_completions": ChatCompletionCreateParams,
    "embeddings": EmbeddingCreateParams,
    "completions": CompletionCreateParams,
    "moderations": ModerationCreateParams,
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_body_is_exactly_this(name: str, golden: Golden) -> None:
    """Every field lands where OpenAI's API reference wants it, and nothing else is sent."""
    assert golden(f"{name}.request") == REQUESTS[name].body()


@pytest.mark.parametrize("name", REQUESTS)
def test_the_body_fits_the_types_of_the_official_sdk(name: str) -> None:
    """OpenAI's own types, made from its specification, know every parameter that is sent."""
    known: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(TYPES[name])
    sent = REQUESTS[name].body()
    taken: Any = known.validate_python(sent)
    assert sent.keys() == taken.keys()


@pytest.mark.parametrize("name", REQUESTS)
def test_a_line_holds_the_body(name: str) -> None:
    """As a batch's input file wants it."""
    request = REQUESTS[name]
    assert {
        "custom_id": "a-1",
        "method": "POST",
        "url": f"/v1/{name.replace('_', '/')}",
        "body": request.body(),
    } == request.line("a-1")


def test_json_mode_asks_for_any_object() -> None:
    """Each endpoint has its own place for it."""
    response = ResponsesRequest(model="gpt-4.1", input="Colours, as JSON", output="json")
    chat = ChatCompletionsRequest(model="gpt-4.1", messages="Colours, as JSON", output="json")
    assert response.body()["text"] == {"format": {"type": "json_object"}}
    assert chat.body()["response_format"] == {"type": "json_object"}


def test_a_bare_text_is_the_users_message() -> None:
    """What is not given is not sent."""
    assert ResponsesRequest(model="m", input="Hello").body() == {"model": "m", "input": "Hello"}
    assert ChatCompletionsRequest(model="m", messages="Hello").body() == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello"}],
    }
    assert ModerationsRequest(input=["a", "b"]).body() == {"input": ["a", "b"]}


def test_uploaded_files_are_named_by_their_id() -> None:
    """Pictures and documents, in a response's input."""
    parts: list[Part] = [
        ImagePart(file_id="file-1"),
        FilePart(file_id="file-2"),
        FilePart(url="https://x/y"),
    ]
    request = ResponsesRequest(model="m", input=[Message("user", parts)])
    assert request.body()["input"][0]["content"] == [
        {"type": "input_image", "detail": "auto", "file_id": "file-1"},
        {"type": "input_file", "file_id": "file-2"},
        {"type": "input_file", "file_url": "https://x/y"},
    ]


@pytest.mark.parametrize("choice", ["auto", "none", "required", {"type": "web_search"}])
def test_a_tool_choice_that_is_no_function_goes_out_as_it_is(choice: Any) -> None:
    """The endpoint's own words and objects."""
    for request in (
        ResponsesRequest(model="m", input="x", tools=[PING], tool_choice=choice),
        ChatCompletionsRequest(model="m", messages="x", tools=[PING], tool_choice=choice),
    ):
        assert request.body()["tool_choice"] == choice


def test_the_turns_of_a_conversation_with_tools() -> None:
    """Calls alone have no text beside them, and a tool may have nothing to say."""
    turns = [
        Message("assistant", [TextPart("I look.")]),
        Message("assistant", tool_calls=[ToolCall("c", "ping", "{}")]),
        Message("tool", tool_call_id="c"),
    ]
    function = {"name": "ping", "arguments": "{}"}
    assert ResponsesRequest(model="m", input=turns).body()["input"] == [
        {"role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "c", **function},
        {"type": "function_call_output", "call_id": "c", "output": ""},
    ]
    assert ChatCompletionsRequest(model="m", messages=turns).body()["messages"] == [
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ]
