"""What no provider would take is refused when the request is made, by the field's name."""

from collections.abc import Callable
from typing import Any

import pytest

from batchtrail import (
    ChatCompletionsRequest,
    CompletionsRequest,
    EmbeddingsRequest,
    FilePart,
    ImagePart,
    Message,
    ModelSettings,
    ModerationsRequest,
    RequestRefusedError,
    ResponsesRequest,
    Schema,
    TextPart,
    Tool,
    ToolCall,
    model_settings,
)

CALL = ToolCall("c", "f", "{}")
F, G = Tool("f"), Tool("g")


def response(**fields: Any) -> ResponsesRequest:
    return ResponsesRequest(**{"model": "gpt-4.1", "input": "Hello", **fields})


def chat(*parts: Any) -> ChatCompletionsRequest:
    return ChatCompletionsRequest(model="gpt-4.1", messages=[Message("user", parts)])


BYTES: Any = b"x"
NONE: Any = None
WRONG: Any = 5
"""A value of a type that no field takes."""

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "no model": (lambda: response(model=" "), "model: is missing or blank"),
    "model of another type": (lambda: response(model=5), "model: is missing or blank"),
    "no input": (lambda: response(input=None), "input: is missing"),
    "empty input": (lambda: response(input=""), "input: is empty"),
    "no messages": (lambda: ChatCompletionsRequest(model="m", messages=[]), "messages: is empty"),
    "input of bytes": (lambda: response(input=b"x"), "input: is bytes"),
    "message of another type": (lambda: response(input=["x"]), "input: holds str"),
    "blank instructions": (lambda: response(instructions=" "), "instructions: is missing or blank"),
    "hot": (lambda: response(temperature=2.1), r"temperature: is 2\.1; give a number from 0 to 2"),
    "cold": (lambda: response(temperature=-1), "temperature: is -1"),
    "no number": (lambda: response(temperature=float("nan")), "temperature: is nan"),
    "truth": (lambda: response(temperature=True), "temperature: is True"),
    "no tokens": (lambda: response(max_output_tokens=0), "max_output_tokens: is 0"),
    "tokens of a truth": (
        lambda: response(max_output_tokens=True),
        "max_output_tokens: is True",
    ),
    "half tokens": (lambda: response(max_output_tokens=1.5), r"max_output_tokens: is 1\.5"),
    "dimensions": (
        lambda: EmbeddingsRequest(model="m", input="x", dimensions=-1),
        "dimensions: is -1",
    ),
    "no texts": (lambda: EmbeddingsRequest(model="m", input=[]), "input: is empty"),
    "too many texts": (
        lambda: EmbeddingsRequest(model="m", input=["x"] * 2_049),
        "input: holds 2,049 inputs; give at most 2,048",
    ),
    "too many sequences": (
        lambda: EmbeddingsRequest(model="m", input=[[1]] * 2_049),
        "input: holds 2,049 inputs",
    ),
    "no prompt": (lambda: CompletionsRequest(model="m", prompt=""), "prompt: is empty"),
    "odd moderation": (
        lambda: ModerationsRequest(input=[1]),  # type: ignore[list-item]
        "input: holds int",
    ),
    "moderated file": (
        lambda: ModerationsRequest(input=[ImagePart(file_id="f")]),
        r"image\.file_id: is not taken by moderations",
    ),
    "streaming": (lambda: response(extra={"stream": True}), r"extra\.stream: is true"),
    "said twice": (lambda: response(extra={"model": "x"}), r"extra\.model: is set by a field"),
    "said twice inside": (
        lambda: response(output=Schema("s", {}, strict=False), extra={"text": {"format": {}}}),
        r"extra\.text\.format: is set by a field",
    ),
    "extra is a list": (lambda: response(extra=["x"]), "extra: must be a mapping"),
    "extra without names": (lambda: response(extra={5: "x"}), "extra: must be a mapping from"),
    "JSON unasked": (lambda: response(output="json"), "output: is 'json', and the prompt must"),
    "tools are one": (lambda: response(tools=F), "tools: must be a sequence"),
    "tools are a text": (lambda: response(tools=""), "tools: must be a sequence"),
    "tools hold text": (lambda: response(tools=["f"]), "tools: holds str"),
    "tools twice": (lambda: response(tools=[F, F]), "tools: has two tools named 'f'"),
    "tool name": (lambda: Tool("a b"), r"tools\.name: is 'a b'"),
    "schema name": (lambda: Schema("", {}), r"schema\.name: is ''"),
    "choice without tools": (
        lambda: response(tool_choice="required"),
        "tool_choice: is set and there are no tools",
    ),
    "unknown choice": (
        lambda: response(tools=[F], tool_choice="g"),
        "tool_choice: is 'g'; use one of auto, none, required, f",
    ),
    "choice of another's tool": (
        lambda: response(tools=[F], tool_choice=G),
        "tool_choice: is 'g'",
    ),
    "role": (lambda: Message("robot", "x"), r"message\.role: is 'robot'"),
    "silent message": (lambda: Message("user", ""), r"message\.content: is empty"),
    "tool without call": (lambda: Message("tool", "x"), r"message\.tool_call_id: goes with"),
    "user with call id": (
        lambda: Message("user", "x", tool_call_id="c"),
        r"message\.tool_call_id: goes with",
    ),
    "user with calls": (
        lambda: Message("user", "x", [CALL]),
        r"message\.tool_calls: go with the role 'assistant'",
    ),
    "content of another type": (lambda: Message("user", WRONG), r"message\.content: is int"),
    "content of bytes": (
        lambda: Message("user", BYTES),
        r"message\.content: is by",
    ),
    "call of another type": (
        lambda: Message("assistant", "x", [WRONG]),
        r"message\.tool_calls: must be a sequence of `ToolCall`s",
    ),
    "calls of another type": (
        lambda: Message("assistant", "x", WRONG),
        r"message\.tool_calls",
    ),
    "call's arguments": (lambda: ToolCall("c", "f", WRONG), r"tool_calls\.arguments: is int"),
    "call id": (lambda: Message("tool", "x", (), WRONG), r"message\.tool_call_id: is int"),
    "text of another type": (lambda: TextPart(WRONG), r"text\.text: is int; give a text"),
    "picture of another type": (lambda: ImagePart(url=WRONG), r"image\.url: is int"),
    "file of another type": (lambda: FilePart(data="d", filename=WRONG), r"file\.filename: is int"),
    "definition": (lambda: Schema("a", NONE, strict=False), r"schema\.definition: is NoneType"),
    "description": (lambda: Schema("a", {}, description=WRONG), r"schema\.description: is int"),
    "settings": (lambda: response(settings="x"), "settings: is str; give `ModelSettings`"),
    "settings of a completion": (
        lambda: CompletionsRequest(model="m", prompt="x", settings=WRONG),
        "settings: is int",
    ),
    "reasoning": (
        lambda: ModelSettings(reasoning=WRONG),
        r"settings\.reasoning: is 5",
    ),
    "limit's name": (
        lambda: ModelSettings(max_tokens_field=WRONG),
        r"settings\.max_tokens_field",
    ),
    "model's name": (lambda: model_settings(WRONG), "model: is int; give its name"),
    "odd prompt": (
        lambda: CompletionsRequest(model="m", prompt=[NONE]),
        "prompt: holds",
    ),
    "odd part": (lambda: chat("x"), r"message\.content: holds str"),
    "odd part of a response": (
        lambda: response(input=[Message("user", [1])]),  # type: ignore[list-item]
        r"message\.content: holds int",
    ),
    "no picture": (ImagePart, "image: needs exactly one of url, file_id"),
    "two files": (lambda: FilePart(url="u", file_id="f"), "file: needs exactly one of"),
    "detail": (lambda: ImagePart(url="u", detail="fine"), r"image\.detail: is 'fine'"),
    "chat with a picture's id": (
        lambda: chat(ImagePart(file_id="f")),
        r"image\.file_id: is not taken by chat completions",
    ),
    "chat with a file's URL": (
        lambda: chat(FilePart(url="u")),
        r"file\.url: is not taken by chat completions",
    ),
}


@pytest.mark.parametrize(("make", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_bad_argument_is_refused_by_its_field(make: Callable[[], object], sentence: str) -> None:
    """Before anything is sent, and before the next request is built."""
    with pytest.raises(RequestRefusedError, match=f"^field {sentence}"):
        make()


@pytest.mark.parametrize(
    "wrong", [[None], [""], [5, "a"], ["a", [5]], [True], [-1], [1.5], [[]], [["a"]]]
)
def test_neither_texts_nor_tokens(wrong: Any) -> None:
    """Every row of such a batch would come back with an error."""
    with pytest.raises(RequestRefusedError, match=r"^field input: holds what is no text"):
        EmbeddingsRequest(model="m", input=wrong)
    with pytest.raises(RequestRefusedError, match=r"^field prompt: holds what is no text"):
        CompletionsRequest(model="m", prompt=wrong)


@pytest.mark.parametrize("given", ["a", ["a", "b"], [0, 1], [[1], [2, 0]], ("a",), ((1, 2),)])
def test_texts_and_tokens(given: Any) -> None:
    """One of either kind, or several."""
    assert EmbeddingsRequest(model="m", input=given).body()["input"] == given
    assert CompletionsRequest(model="m", prompt=given).body()["prompt"] == given


@pytest.mark.parametrize("custom_id", ["", " ", None])
def test_a_line_needs_its_name(custom_id: Any) -> None:
    """Without it the answer could not be told from others."""
    with pytest.raises(RequestRefusedError, match=r"^field custom_id: is blank"):
        response().line(custom_id)


def test_input_may_stand_at_the_provider() -> None:
    """A stored prompt or an earlier response is input enough."""
    request = response(input=None, extra={"previous_response_id": "resp_1"})
    assert request.body() == {"model": "gpt-4.1", "previous_response_id": "resp_1"}


def test_no_tool_may_be_forbidden() -> None:
    """Where there are none, `none` asks for what happens anyway."""
    assert response(tool_choice="none").body()["tool_choice"] == "none"


def test_json_mode_may_be_asked_for_in_any_message() -> None:
    """OpenAI looks for the word, in whatever case."""
    message = Message("user", [TextPart("As Json, please.")])
    assert response(input=[message], output="json").output == "json"
    assert response(instructions="Write JSON.", output="json").output == "json"
