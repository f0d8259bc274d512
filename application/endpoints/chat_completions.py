"""`/v1/chat/completions`: the endpoint that nearly every provider has."""

from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import field, frozen

from ..result_lines import body_problem, body_usage
from . import checks
from .answers import LENGTH, Answer
from .messages import Conversation, chat_messages
from .outputs import check_json_is_asked
from .reading import citations, in_order, inner, joined, objects, texted, tool_call
from .schemas import Schema
from .text_requests import TextRequest
from .tools import Tool, ToolCall


@frozen(kw_only=True)
class ChatCompletionsRequest(TextRequest):
    """A request to `/v1/chat/completions`; `messages` is the user's text, or messages.

    `instructions` stands before them as a system message. `max_output_tokens` is sent under the
    name that the model's settings say. Other parameters go into `extra`, e.g. `{"seed": 7}`.
    """

    endpoint: ClassVar[str] = "/v1/chat/completions"
    messages: Conversation = field(validator=checks.content)

    def parameters(self) -> dict[str, Any]:
        """In the spelling of OpenAI's API reference, Aug 2026."""
        messages = chat_messages(self.messages)
        if self.instructions is not None:
            messages.insert(0, {"role": "system", "content": self.instructions})
        if self.output == "json":
            check_json_is_asked({"messages": messages})
        return {
            "model": self.model,
            "messages": messages,
            self.model_settings.max_tokens_field: self.max_output_tokens,
            "temperature": self.sent_temperature(),
            "reasoning_effort": self.reasoning_effort,
            "tools": [_tool(tool) for tool in self.tools] or None,
            "tool_choice": self._choice(),
            "response_format": self._format(),
        }

    def _choice(self) -> object:
        forced = self.forced_function()
        if forced is None:
            return self.tool_choice
        return {"type": "function", "function": {"name": forced}}

    def _format(self) -> dict[str, Any] | None:
        match self.output:
            case None:
                return None
            case Schema() as schema:
                return {"type": "json_schema", "json_schema": schema.format()}
            case _:
                return {"type": "json_object"}


def _tool(tool: Tool | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(tool, Tool):
        return {"type": "function", "function": tool.function()}
    return tool


def parse_chat_completion(body: Mapping[str, Any]) -> Answer:
    """Read the body of a chat completion; tool calls and citations are the first choice's."""
    choices = in_order(body.get("choices"))
    reasons = [texted(choice.get("finish_reason")) for choice in choices]
    messages = [inner(choice.get("message")) for choice in choices]
    first = messages[0] if messages else {}
    return Answer(
        id=texted(body.get("id")),
        model=texted(body.get("model")),
        texts=tuple(joined(message.get("content")) for message in messages),
        refusal=texted(first.get("refusal")),
        tool_calls=_tool_calls(first),
        finish_reason=reasons[0] if reasons else None,
        truncated=not LENGTH.isdisjoint(reasons),
        error=body_problem(body),
        citations=citations(first.get("annotations")),
        usage=body_usage(body),
    )


def _tool_calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    calls = [
        tool_call(call.get("id"), inner(call.get("function") or call.get("custom")))
        for call in objects(message.get("tool_calls"))
    ]
    calls.append(tool_call(None, inner(message.get("function_call"))))  # until 2023, and in copies
    return tuple(call for call in calls if call is not None)
