"""What is read of each endpoint's answer, from bodies in the shapes that OpenAI sends."""

from collections.abc import Callable
from typing import Any

import pytest

from batchtrail import Answer, Citation, Moderation, TokenUsage, ToolCall, parse_answer

Golden = Callable[[str], Any]

ANSWERS = {
    "responses": Answer(
        id="resp_0346a1",
        model="gpt-5-nano-2025-08-07",
        texts=('{"product": "lamp", "stars": 4, "mood": "calm"}',),
        tool_calls=(
            ToolCall("call_1", "find_orders", '{"city":"Paris","country":"France"}'),
            ToolCall("call_2", "shell", "ls -l"),
        ),
        finish_reason="completed",
        citations=(
            Citation(
                "url_citation", url="https://example.org/paris", title="Paris", start=0, end=9
            ),
            Citation("file_citation", file_id="file-1", filename="letter.pdf", start=9),
        ),
        usage=TokenUsage(input=1812, cached=1536, output=109, reasoning=64),
    ),
    "chat_completions": Answer(
        id="chatcmpl-Ao2bZU",
        model="gpt-4o-search-preview-2025-03-11",
        texts=("Paris is the capital.", "Lyon is"),
        tool_calls=(ToolCall("call_1", "find_orders", '{"city":"Paris"}'),),
        finish_reason="tool_calls",
        truncated=True,
        citations=(
            Citation(
                "url_citation", url="https://example.org/paris", title="Paris", start=0, end=5
            ),
        ),
        usage=TokenUsage(input=1200, cached=1024, output=72, reasoning=32),
    ),
    "embeddings": Answer(
        model="text-embedding-3-small",
        usage=TokenUsage(input=7),
        embeddings=((-0.0924072265625, -0.028778076171875), (0.5, -0.25), (1.0, -0.5)),
    ),
    "completions": Answer(
        id="cmpl-uqkvlQ",
        model="gpt-3.5-turbo-instruct",
        texts=(" there was a lamp.", " and stormy night"),
        finish_reason="stop",
        truncated=True,
        usage=TokenUsage(input=8, output=12),
    ),
    "moderations": Answer(
        id="modr-970d409e",
        model="omni-moderation-latest",
        moderations=(
            Moderation(
                flagged=True,
                categories={"harassment": False, "self-harm/intent": False, "violence": True},
                scores={"harassment": 0.0001, "self-harm/intent": 0.0, "violence": 0.91},
            ),
            Moderation(
                flagged=False,
                categories={"harassment": False, "violence": False},
                scores={"harassment": 0.0002, "violence": 0.0003},
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_is_exactly_this(name: str, golden: Golden) -> None:
    """Nothing that the value has a place for is lost."""
    endpoint = f"/v1/{name.replace('_', '/')}"
    assert ANSWERS[name] == parse_answer(endpoint, golden(f"{name}.answer"))


@pytest.mark.parametrize("name", ANSWERS)
def test_any_part_may_be_odd(name: str, golden: Golden) -> None:
    """Whatever stands in a place, wherever that is, reading it raises nothing."""
    body = golden(f"{name}.answer")
    endpoint = f"/v1/{name.replace('_', '/')}"
    for odd in (
        None,
        0,
        10**400,
        -1.5,
        "",
        "x",
        "é=",
        True,
        [],
        [None],
        [[1]],
        {},
        {"a": 1},
        ["x"],
    ):
        assert isinstance(parse_answer(endpoint, odd), Answer)
        for changed in _each_place(body, odd):
            answer = parse_answer(endpoint, changed)
            assert all(isinstance(text, str | None) for text in answer.texts)
            assert isinstance(answer.incomplete, bool)


def _each_place(value: Any, odd: Any) -> Any:
    """Give copies of the value, each with another place replaced."""
    places = value.items() if isinstance(value, dict) else enumerate(value)
    for place, inside in places:
        for changed in (
            odd,
            *(_each_place(inside, odd) if isinstance(inside, dict | list) else ()),
        ):
            copy = value.copy()
            copy[place] = changed
            yield copy
