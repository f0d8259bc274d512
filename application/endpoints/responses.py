"""`/v1/responses`: OpenAI's newest endpoint for text."""

from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import field, frozen
from attrs.validators import optional

from ...domain.values import RequestProblem
from ..result_lines import body_problem, body_usage
from . import checks
from .answers import LENGTH, Answer, Citation
from .checks import refused
from .messages import Conversation, response_input
from .outputs import check_json_is_asked
from .reading import citations, inner, joined, objects, texted, tool_call
from .schemas import Schema
from .text_requests import TextRequest
from .tools import Tool, ToolCall

_INPUT_ELSEWHERE = frozenset({"prompt", "conversation", "previous_response_id"})
_FAILED = frozenset({"failed", "cancelled", "canceled"})


@frozen(kw_only=True)
class ResponsesRequest(TextRequest):
    """A request to `/v1/responses`; `input` is the user's text, or messages.

    Other parameters of OpenAI's API reference go into `extra`, e.g. `{"store": False}`.
    """

    endpoint: ClassVar[str] = "/v1/responses"
    input: Conversation | None = field(default=None, validator=optional(checks.content))

    def parameters(self) -> dict[str, Any]:
        """In the spelling of OpenAI's API reference, Aug 2026."""
        if self.input is None and _INPUT_ELSEWHERE.isdisjoint(self.extra):
            raise refused("input", "is missing; give a text or messages")
        prompt = None if self.input is None else response_input(self.input)
        if self.output == "json" and prompt is not None:
            check_json_is_asked({"input": prompt, "instructions": self.instructions})
        return {
            "model": self.model,
            "instructions": self.instructions,
            "input": prompt,
            "max_output_tokens": self.max_output_tokens,
            "temperature": self.sent_temperature(),
            "reasoning": self.reasoning_effort and {"effort": self.reasoning_effort},
            "tools": [_tool(tool) for tool in self.tools] or None,
            "tool_choice": self._choice(),
            "text": self._text(),
        }

    def _choice(self) -> object:
        forced = self.forced_function()
        return self.tool_choice if forced is None else {"type": "function", "name": forced}

    def _text(self) -> dict[str, Any] | None:
        match self.output:
            case None:
                return None
            case Schema() as schema:
                return {"format": {"type": "json_schema", **schema.format()}}
            case _:
                return {"format": {"type": "json_object"}}


def _tool(tool: Tool | Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "function", **tool.function()} if isinstance(tool, Tool) else tool


def parse_response(body: Mapping[str, Any]) -> Answer:
    """Read the body of a response."""
    messages = [item for item in objects(body.get("output")) if item.get("type") == "message"]
    parts = [part for message in messages for part in objects(message.get("content"))]
    refusals = [text for part in parts if (text := texted(part.get("refusal"))) is not None]
    text = joined(parts)
    if text is None:
        text = texted(body.get("output_text"))  # some compatible servers write nothing else
    reason = _finish_reason(body)
    return Answer(
        id=texted(body.get("id")),
        model=texted(body.get("model")),
        texts=() if text is None else (text,),
        refusal="".join(refusals) or None,
        tool_calls=_tool_calls(body),
        finish_reason=reason,
        truncated=reason in LENGTH,
        error=_error(body),
        citations=_citations(parts),
        usage=body_usage(body),
    )


def _finish_reason(body: Mapping[str, Any]) -> str | None:
    """Why a response is incomplete, or its status."""
    reason = texted(inner(body.get("incomplete_details")).get("reason"))
    return reason or texted(body.get("status"))


def _error(body: Mapping[str, Any]) -> RequestProblem | None:
    """A response may fail although its HTTP status is a success (OpenAI's API reference)."""
    error = body_problem(body)
    status = texted(body.get("status"))
    if error is None and status in _FAILED:
        return RequestProblem(status, f"The response is {status}, without a reason.")
    return error


def _tool_calls(body: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    items = [
        item
        for item in objects(body.get("output"))
        if item.get("type") in ("function_call", "custom_tool_call")
    ]
    calls = (tool_call(item.get("call_id"), item) for item in items)
    return tuple(call for call in calls if call is not None)


def _citations(parts: list[Mapping[str, Any]]) -> tuple[Citation, ...]:
    return tuple(found for part in parts for found in citations(part.get("annotations")))
