"""What the fake answers to one request: a plausible body, or what the test asked for."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from attrs import frozen

from ...application.ports import MOST_INPUTS_PER_REQUEST
from ...domain.values import RequestProblem
from .input_file import InputRequest


@frozen
class Answer:
    """What becomes of one request.

    With `error` it never gets an HTTP answer: its line has the error and no response. Otherwise
    the line has `status_code` and `body`; without a body it gets the plausible one of its
    endpoint, or OpenAI's error envelope when the status is no success.
    """

    status_code: int = 200
    body: Mapping[str, Any] | None = None
    error: RequestProblem | None = None

    @property
    def is_success(self) -> bool:
        """Whether the answer counts as completed and its line goes to the output file."""
        return self.error is None and 200 <= self.status_code < 300  # noqa: PLR2004 (the HTTP success range)


_INPUT_INVALID = {
    "error": {
        "message": "'$.input' is invalid. Please check the API reference: "
        "https://platform.openai.com/docs/api-reference.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
}
"""OpenAI's answer (an issue report of 2024)."""

Answering = Callable[[InputRequest], Answer]
"""Decides the answer to each request."""


def plain_answer(request: InputRequest) -> Answer:
    """Answer every request with success, but one for more embeddings than OpenAI makes at once."""
    inputs = request.body.get("input")
    if request.endpoint != "/v1/embeddings" or not isinstance(inputs, list):
        return Answer()
    is_too_much = len(inputs) > MOST_INPUTS_PER_REQUEST and not isinstance(inputs[0], int)
    return Answer(400, _INPUT_INVALID) if is_too_much else Answer()


def body_of(answer: Answer, request: InputRequest, created: int) -> Mapping[str, Any]:
    """Return the body of an HTTP answer; `created` is its time in Unix seconds."""
    if answer.body is not None:
        return answer.body
    if not answer.is_success:
        return _error_body(answer.status_code)
    return _BODIES.get(request.endpoint, _response)(request, created)


def _error_body(status_code: int) -> dict[str, Any]:
    kind = "invalid_request_error" if status_code < 500 else "server_error"  # noqa: PLR2004 (the first HTTP server error)
    message = f"The fake provider was told to answer {status_code}."
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _text(request: InputRequest) -> str:
    return f"This is the answer to {request.custom_id}."


def _input_tokens(request: InputRequest) -> int:
    """About four bytes a token, as in English text."""
    return len(msgspec.json.encode(request.body)) // 4 + 1


def _output_tokens(request: InputRequest) -> int:
    return len(_text(request)) // 4 + 1


def _chat_usage(request: InputRequest) -> dict[str, Any]:
    taken, given = _input_tokens(request), _output_tokens(request)
    return {
        "prompt_tokens": taken,
        "completion_tokens": given,
        "total_tokens": taken + given,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _response_usage(request: InputRequest) -> dict[str, Any]:
    taken, given = _input_tokens(request), _output_tokens(request)
    return {
        "input_tokens": taken,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": given,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": taken + given,
    }


def _response(request: InputRequest, created: int) -> dict[str, Any]:
    text = {"type": "output_text", "annotations": [], "text": _text(request)}
    message = {
        "id": f"msg_{request.number:08x}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [text],
    }
    return {
        "id": f"resp_{request.number:08x}",
        "object": "response",
        "created_at": created,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": request.model,
        "output": [message],
        "usage": _response_usage(request),
    }


def _chat_completion(request: InputRequest, created: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": _text(request), "refusal": None}
    return {
        "id": f"chatcmpl-{request.number:08x}",
        "object": "chat.completion",
        "created": created,
        "model": request.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _chat_usage(request),
    }


def _completion(request: InputRequest, created: int) -> dict[str, Any]:
    choice = {"text": _text(request), "index": 0, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": f"cmpl-{request.number:08x}",
        "object": "text_completion",
        "created": created,
        "model": request.model,
        "choices": [choice],
        "usage": _chat_usage(request),
    }


def _embeddings(request: InputRequest, _created: int) -> dict[str, Any]:
    texts = request.body.get("input")
    count = len(texts) if isinstance(texts, list) else 1
    tokens = _input_tokens(request)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "embedding": [0.25, -0.5, 0.75], "index": index}
            for index in range(count)
        ],
        "model": request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _moderation(request: InputRequest, _created: int) -> dict[str, Any]:
    result = {
        "flagged": False,
        "categories": {"harassment": False, "violence": False},
        "category_scores": {"harassment": 0.0001, "violence": 0.0002},
    }
    return {
        "id": f"modr-{request.number:08x}",
        "model": request.model or "omni-moderation-latest",
        "results": [result],
    }


def _image(request: InputRequest, created: int) -> dict[str, Any]:
    picture = b64encode(_text(request).encode()).decode()
    return {
        "created": created,
        "data": [{"b64_json": picture}],
        "usage": _response_usage(request),
    }


def _video(request: InputRequest, created: int) -> dict[str, Any]:
    return {
        "id": f"video_{request.number:08x}",
        "object": "video",
        "model": request.model,
        "status": "completed",
        "progress": 100,
        "created_at": created,
        "completed_at": created,
        "error": None,
    }


_BODIES: dict[str, Callable[[InputRequest, int], dict[str, Any]]] = {
    "/v1/responses": _response,
    "/v1/chat/completions": _chat_completion,
    "/v1/completions": _completion,
    "/v1/embeddings": _embeddings,
    "/v1/moderations": _moderation,
    "/v1/images/generations": _image,
    "/v1/images/edits": _image,
    "/v1/videos": _video,
}
