"""Answers that are not what was hoped for, and structured values."""

from datetime import date
from typing import Any

import pydantic
import pytest
from attrs import frozen

from batchtrail import Answer, AnswerMismatchError, RequestProblem, ToolCall, parse_answer

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"


@frozen
class Event:
    name: str
    day: date


class EventModel(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=2)
    day: date


def chat(content: Any = None, *, reason: str = "stop", **message: Any) -> dict[str, Any]:
    """Make the body of a chat completion."""
    message = {"role": "assistant", "content": content, **message}
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}


def response(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Make the body of a response."""
    output = [{"type": "message", "content": list(parts)}]
    return {"status": "completed", "output": output, **fields}


@pytest.mark.parametrize("endpoint", [CHAT, "/chat/completions", "chat/completions/"])
def test_endpoint_as_azure_writes_it(endpoint: str) -> None:
    """Without its `/v1` an endpoint is the same."""
    assert parse_answer(endpoint, chat("Hello.")).text == "Hello."


def output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, chat(refusal="I'm sorry.")),
        (RESPONSES, response({"type": "refusal", "refusal": "I'm sorry."})),
    ],
)
def test_a_refusal_is_no_text(endpoint: str, body: dict[str, Any]) -> None:
    """The model's words stand apart, and there is no structured value."""
    answer = parse_answer(endpoint, body)
    assert (answer.text, answer.refusal, answer.value) == (None, "I'm sorry.", None)
    with pytest.raises(AnswerMismatchError, match="the model refused: I'm"):
        answer.as_type(Event)


@pytest.mark.parametrize(
    ("endpoint", "body", "reason"),
    [
        (CHAT, chat('{"name', reason="length"), "length"),
        (
            RESPONSES,
            response(
                output_text('{"name'),
                status="incomplete",
                incomplete_details={"reason": "max_output_tokens"},
            ),
            "max_output_tokens",
        ),
        ("/v1/completions", {"choices": [{"text": '{"name', "finish_reason": "length"}]}, "length"),
    ],
)
def test_an_answer_that_was_cut_off_says_so(
    endpoint: str, body: dict[str, Any], reason: str
) -> None:
    """Its text is there, for what it is worth."""
    answer = parse_answer(endpoint, body)
    assert (answer.text, answer.truncated, answer.incomplete) == ('{"name', True, True)
    assert answer.finish_reason == reason
    with pytest.raises(AnswerMismatchError, match=rf"is incomplete \({reason}\)"):
        answer.as_type(Event)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, chat("I", reason="content_filter")),
        (
            RESPONSES,
            response(
                output_text("I"),
                status="incomplete",
                incomplete_details={"reason": "content_filter"},
            ),
        ),
        (RESPONSES, response(output_text("I"), status="incomplete")),
    ],
)
def test_a_filtered_answer_is_incomplete_but_not_truncated(
    endpoint: str, body: dict[str, Any]
) -> None:
    """More tokens would not help."""
    answer = parse_answer(endpoint, body)
    assert (answer.truncated, answer.incomplete, answer.error) == (False, True, None)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            response(status="failed", error={"code": "server_error", "message": "Sorry."}),
            RequestProblem("server_error", "Sorry."),
        ),
        (
            response(status="failed"),
            RequestProblem("failed", "The response is failed, without a reason."),
        ),
        ({"error": {"message": "No.", "code": None}}, RequestProblem(None, "No.")),
        ({"error": "overloaded"}, RequestProblem(None, "overloaded")),
    ],
)
def test_a_response_may_fail_behind_a_success(body: dict[str, Any], error: RequestProblem) -> None:
    """HTTP 200, and nothing to use."""
    answer = parse_answer(RESPONSES, body)
    assert (answer.error, answer.incomplete, answer.text) == (error, True, None)
    with pytest.raises(AnswerMismatchError, match="the answer failed"):
        answer.as_type(Event)


@pytest.mark.parametrize("cls", [Event, EventModel])
def test_a_structured_answer_becomes_the_users_value(cls: type[Any]) -> None:
    """Decoded by the class that the output was asked in."""
    answer = parse_answer(RESPONSES, response(output_text('{"name": "fair", "day": "2026-05-01"}')))
    assert answer.value == {"name": "fair", "day": "2026-05-01"}
    assert cls(name="fair", day=date(2026, 5, 1)) == answer.as_type(cls)


@pytest.mark.parametrize("cls", [Event, EventModel])
@pytest.mark.parametrize("text", ["no JSON", '{"name": "fair"}', '{"name": 1, "day": "May"}', "[]"])
def test_a_text_that_does_not_fit_is_told(cls: type[Any], text: str) -> None:
    """With the class's name and what is wrong."""
    with pytest.raises(AnswerMismatchError, match=f"the answer is no {cls.__name__}: "):
        parse_answer(CHAT, chat(text)).as_type(cls)


def test_no_text_is_no_value() -> None:
    """An answer of tool calls alone has none."""
    answer = parse_answer(CHAT, chat(tool_calls=[{"id": "c", "function": {"name": "f"}}]))
    assert answer.tool_calls == (ToolCall("c", "f", ""),)
    with pytest.raises(AnswerMismatchError, match="has no text"):
        answer.as_type(Event)


def test_tool_calls_are_read_by_class_too() -> None:
    """Their arguments are JSON that the model wrote."""
    call = ToolCall("c", "f", '{"name": "fair", "day": "2026-05-01"}')
    assert call.value == {"name": "fair", "day": "2026-05-01"}
    assert Event("fair", date(2026, 5, 1)) == call.as_type(Event)
    assert ToolCall("c", "f", "{").value is None


def test_the_old_function_call_is_a_tool_call() -> None:
    """It has no id."""
    answer = parse_answer(CHAT, chat(function_call={"name": "f", "arguments": "{}"}))
    assert answer.tool_calls == (ToolCall("", "f", "{}"),)


def test_compatible_servers_write_text_elsewhere() -> None:
    """As parts of a chat message, or only as a response's output_text."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert parse_answer(CHAT, chat(parts)).text == "ab"
    assert parse_answer(RESPONSES, {"output_text": "ab"}).text == "ab"


def test_the_request_id_is_kept() -> None:
    """It is the provider's name for the HTTP call, whatever the body is."""
    assert parse_answer(CHAT, chat("x"), request_id="req_1").request_id == "req_1"
    assert Answer(request_id="req_1") == parse_answer(CHAT, "gone", request_id="req_1")
