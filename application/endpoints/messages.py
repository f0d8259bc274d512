"""Messages and what they are made of, in the spellings of both endpoints for conversations."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import Attribute, field, frozen
from attrs.validators import optional

from .checks import refused, text_of
from .tools import ToolCall

_ROLES = ("system", "developer", "user", "assistant", "tool")
_DETAILS = ("auto", "low", "high", "original")


def data_url(content: bytes, media_type: str) -> str:
    """The content of a picture or file as a URL that holds it all, e.g. for `image/png`."""
    return f"data:{media_type};base64,{b64encode(content).decode()}"


def _one_of(part: str, **sources: str | None) -> None:
    if sum(source is not None for source in sources.values()) != 1:
        raise refused(part, f"needs exactly one of {', '.join(sources)}")


@frozen
class TextPart:
    """A piece of text."""

    text: str = field(validator=text_of("text"))


@frozen(kw_only=True)
class ImagePart:
    """A picture, at a URL (a data URL, too) or as an uploaded file."""

    url: str | None = field(default=None, validator=optional(text_of("image")))
    file_id: str | None = field(default=None, validator=optional(text_of("image")))
    detail: str = "auto"

    def __attrs_post_init__(self) -> None:
        _one_of("image", url=self.url, file_id=self.file_id)
        if self.detail not in _DETAILS:
            raise refused("image.detail", f"is {self.detail!r}; use one of {', '.join(_DETAILS)}")


@frozen(kw_only=True)
class FilePart:
    """A document, at a URL, as a data URL with a `filename`, or as an uploaded file."""

    url: str | None = field(default=None, validator=optional(text_of("file")))
    file_id: str | None = field(default=None, validator=optional(text_of("file")))
    data: str | None = field(default=None, validator=optional(text_of("file")))
    filename: str | None = field(default=None, validator=optional(text_of("file")))

    def __attrs_post_init__(self) -> None:
        _one_of("file", url=self.url, file_id=self.file_id, data=self.data)


Part = TextPart | ImagePart | FilePart


def _role(_: object, __: "Attribute[Any]", value: object) -> None:
    if value not in _ROLES:
        raise refused("message.role", f"is {value!r}; use one of {', '.join(_ROLES)}")


def _content(_: object, __: "Attribute[Any]", value: object) -> None:
    if value is not None and (not isinstance(value, str | Sequence) or isinstance(value, bytes)):
        kind = type(value).__name__
        raise refused("message.content", f"is {kind}; give a text, or a sequence of parts")


def _calls(_: object, __: "Attribute[Any]", value: object) -> None:
    if not isinstance(value, Sequence) or not all(isinstance(each, ToolCall) for each in value):
        raise refused("message.tool_calls", "must be a sequence of `ToolCall`s")


@frozen
class Message:
    """One message of a conversation.

    `role` is system, developer, user, assistant or tool. `tool_calls` are those that the
    assistant made, `tool_call_id` is the one whose result a tool's message gives.
    """

    role: str = field(validator=_role)
    content: str | Sequence[Part] | None = field(default=None, validator=_content)
    tool_calls: Sequence[ToolCall] = field(default=(), validator=_calls)
    tool_call_id: str | None = field(default=None, validator=optional(text_of("message")))

    def __attrs_post_init__(self) -> None:
        if (self.tool_call_id is not None) != (self.role == "tool"):
            raise refused("message.tool_call_id", "goes with the role 'tool', and only with it")
        if self.tool_calls and self.role != "assistant":
            raise refused("message.tool_calls", "go with the role 'assistant' only")
        if not self.content and not self.tool_calls and self.role != "tool":
            raise refused("message.content", "is empty")

    def chat(self) -> dict[str, Any]:
        """The message as chat completions spell it."""
        content: object = self.content
        if self.content is not None and not isinstance(self.content, str):
            content = [_chat_part(part) for part in self.content]
        message: dict[str, Any] = {"role": self.role, "content": content}
        if self.tool_calls:
            message["tool_calls"] = [_chat_call(call) for call in self.tool_calls]
        if self.tool_call_id is not None:
            message |= {"tool_call_id": self.tool_call_id, "content": content or ""}
        return message

    def items(self) -> list[dict[str, Any]]:
        """The message as the items of a response's input; each tool call is one of its own."""
        content: object = self.content or ""
        if self.content and not isinstance(self.content, str):
            content = [_responses_part(part, self.role) for part in self.content]
        if self.role == "tool":
            return [
                {
                    "type": "function_call_output",
                    "call_id": self.tool_call_id,
                    "output": content,
                }
            ]
        calls = [_call_item(call) for call in self.tool_calls]
        return [{"role": self.role, "content": content}, *calls] if content else calls


Conversation = str | Sequence[Message | Mapping[str, Any]]
"""A user's text, or messages; a mapping is a message in the endpoint's own spelling."""


def chat_messages(conversation: Conversation) -> list[Mapping[str, Any]]:
    """A conversation as chat completions spell it."""
    if isinstance(conversation, str):
        return [{"role": "user", "content": conversation}]
    return [
        each.chat() if isinstance(each, Message) else _mapping("messages", each)
        for each in conversation
    ]


def response_input(conversation: Conversation) -> str | list[Mapping[str, Any]]:
    """A conversation as the Responses API spells it."""
    if isinstance(conversation, str):
        return conversation
    items: list[Mapping[str, Any]] = []
    for each in conversation:
        items += each.items() if isinstance(each, Message) else [_mapping("input", each)]
    return items


def _mapping(name: str, message: object) -> Mapping[str, Any]:
    if not isinstance(message, Mapping):
        raise refused(name, f"holds {type(message).__name__}; give `Message`s or mappings")
    return message


def _chat_part(part: Part) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart(url=None):
            raise refused("image.file_id", "is not taken by chat completions; give a URL")
        case ImagePart():
            return {"type": "image_url", "image_url": {"url": part.url, "detail": part.detail}}
        case FilePart(url=None):
            file = {"file_id": part.file_id, "file_data": part.data, "filename": part.filename}
            return {"type": "file", "file": _present(file)}
        case FilePart():
            raise refused("file.url", "is not taken by chat completions; give the data")
        case _:
            raise _no_part(part)


def _responses_part(part: Part, role: str) -> dict[str, Any]:
    match part:
        case TextPart():
            kind = "output_text" if role == "assistant" else "input_text"
            return {"type": kind, "text": part.text}
        case ImagePart():
            image = {"image_url": part.url, "file_id": part.file_id}
            return {"type": "input_image", "detail": part.detail, **_present(image)}
        case FilePart():
            file = {
                "file_id": part.file_id,
                "file_url": part.url,
                "file_data": part.data,
                "filename": part.filename,
            }
            return {"type": "input_file", **_present(file)}
        case _:
            raise _no_part(part)


def _no_part(part: object) -> Exception:
    kind = type(part).__name__
    return refused("message.content", f"holds {kind}; give text, image and file parts")


def _present(fields: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


def _chat_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _call_item(call: ToolCall) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    }
