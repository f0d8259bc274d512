"""From an endpoint's body to an answer."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve

from ..pricing import canonical
from .answers import Answer
from .chat_completions import ChatCompletionsRequest, parse_chat_completion
from .completions import CompletionsRequest, parse_completion
from .embeddings import EmbeddingsRequest, parse_embeddings
from .moderations import ModerationsRequest, parse_moderation
from .responses import ResponsesRequest, parse_response

_PARSERS: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
    ChatCompletionsRequest.endpoint: parse_chat_completion,
    CompletionsRequest.endpoint: parse_completion,
    EmbeddingsRequest.endpoint: parse_embeddings,
    ModerationsRequest.endpoint: parse_moderation,
    ResponsesRequest.endpoint: parse_response,
}


def parse_answer(endpoint: str, body: object, *, request_id: str | None = None) -> Answer:
    """Read the decoded body of an answer, a batch's or a synchronous one.

    Never raises: what is missing, or of a shape that nobody knows, is None or empty. Of an
    endpoint without a parser, such as images, only what all bodies share is read. An endpoint
    without its `/v1`, as Azure writes it, is the same.
    """
    if not isinstance(body, dict):
        return Answer(request_id=request_id)
    parse = _PARSERS.get(canonical(endpoint), parse_response)
    return evolve(parse(body), request_id=request_id)
