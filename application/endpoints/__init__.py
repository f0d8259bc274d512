"""Requests and answers of the endpoints that batches serve: builders and parsers, no I/O.

The same builder makes a batch's line and a synchronous call's body, and the same parser reads
what comes back.
"""

from .answers import Answer, Citation, Moderation
from .chat_completions import ChatCompletionsRequest
from .completions import CompletionsRequest
from .embeddings import EmbeddingsRequest
from .messages import FilePart, ImagePart, Message, Part, TextPart, data_url
from .models import ModelSettings, Reasoning, model_settings
from .moderations import ModerationsRequest
from .parsing import parse_answer
from .requests import EndpointRequest
from .responses import ResponsesRequest
from .schemas import Schema, schema_of
from .tools import Tool, ToolCall

__all__ = [
    "Answer",
    "ChatCompletionsRequest",
    "Citation",
    "CompletionsRequest",
    "EmbeddingsRequest",
    "EndpointRequest",
    "FilePart",
    "ImagePart",
    "Message",
    "ModelSettings",
    "Moderation",
    "ModerationsRequest",
    "Part",
    "Reasoning",
    "ResponsesRequest",
    "Schema",
    "TextPart",
    "Tool",
    "ToolCall",
    "data_url",
    "model_settings",
    "parse_answer",
    "schema_of",
]
