"""Synchronous requests: one request, answered at once as a batch would answer it."""

from collections.abc import Callable, Container

import msgspec

from ...application.errors import (
    OutcomeUnknownError,
    ProviderError,
    RateLimitedError,
    RefusedError,
    UnauthorizedError,
)
from ...application.ports import DirectAnswer
from .answers import Answer, body_of
from .input_file import InputRequest

DIRECT_ENDPOINTS = frozenset(
    {
        "/v1/responses",
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/completions",
        "/v1/moderations",
    }
)
_ERRORS: dict[int, type[ProviderError]] = {
    401: UnauthorizedError,
    403: UnauthorizedError,
    408: OutcomeUnknownError,
    429: RateLimitedError,
}
_SERVER_ERROR = 500


def read_request(
    endpoint: str, body: bytes, number: int, request_id: str, models: Container[str] | None
) -> InputRequest:
    """Read a request, which gets the custom_id `direct-` and its number.

    Raises `RefusedError` for what OpenAI answers with 4xx. `models` as for `validate`.
    """
    if endpoint not in DIRECT_ENDPOINTS:
        raise RefusedError(f"Invalid URL (POST {endpoint})", http_status=404, request_id=request_id)
    try:
        content = msgspec.json.decode(body, type=dict[str, object])
    except msgspec.DecodeError:
        raise RefusedError(
            "We could not parse the JSON body of your request.",
            http_status=400,
            request_id=request_id,
        ) from None
    if endpoint != "/v1/moderations" and not isinstance(content.get("model"), str):
        raise RefusedError(
            "you must provide a model parameter", http_status=400, request_id=request_id
        )
    request = InputRequest(number, f"direct-{number}", endpoint, content)
    if not request.has_known_model(models):
        raise RefusedError(
            f"The model `{request.model}` does not exist or you do not have access to it.",
            code="model_not_found",
            http_status=404,
            request_id=request_id,
        )
    return request


def direct_answer(
    request: InputRequest, answer: Answer, created: Callable[[], float], request_id: str
) -> DirectAnswer:
    """Give the answer as a call gets it; one that is no success raises as a real one would."""
    if answer.error is not None:
        raise OutcomeUnknownError(
            answer.error.message, code=answer.error.code, request_id=request_id
        )
    body = body_of(answer, request, int(created()))
    if answer.is_success:
        return DirectAnswer(answer.status_code, msgspec.json.encode(body), request_id)
    status = answer.status_code
    lost = OutcomeUnknownError if status >= _SERVER_ERROR else RefusedError
    said = body.get("error")
    error = said if isinstance(said, dict) else {}
    raise _ERRORS.get(status, lost)(
        str(error.get("message") or f"the server answered {status}"),
        code=error.get("code"),
        param=error.get("param"),
        http_status=status,
        request_id=request_id,
    )
