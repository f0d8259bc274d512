"""What is wrong with the body of a request, in a batch or alone: the same rules, other words."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from attrs import frozen

from .errors import ApiError, missing_parameter
from .records import BatchProblem

_STREAMING_NAMES: Final = {
    "/v1/chat/completions": "Chat Completions",
    "/v1/completions": "Completions",
    "/v1/images/edits": "Images",
    "/v1/images/generations": "Images",
    "/v1/responses": "Responses",
}
_PROMPT_FIELDS: Final = {
    "/v1/chat/completions": ("messages",),
    "/v1/completions": ("prompt",),
    "/v1/embeddings": ("input",),
    "/v1/images/edits": ("prompt",),
    "/v1/images/generations": ("prompt",),
    "/v1/moderations": ("input",),
    "/v1/responses": ("input", "prompt", "previous_response_id", "conversation"),
    "/v1/videos": ("prompt",),
}
_MODERATIONS: Final = "/v1/moderations"


@frozen
class Flaw:
    """One thing that is wrong with a body."""

    in_batch: BatchProblem
    """What fails the batch; without its line."""
    alone: ApiError
    """What a synchronous endpoint answers."""


def flaws(endpoint: str, body: dict[str, Any], knows: Callable[[str], bool]) -> Iterator[Flaw]:
    """Yield all that is wrong with a body; `knows` tells whether there is a model of this name."""
    model = body.get("model")
    if not model or not isinstance(model, str):
        if model or endpoint != _MODERATIONS:
            yield _no_model()
    elif not knows(model):
        yield _unknown_model(model)
    fields = _PROMPT_FIELDS[endpoint]
    if all(body.get(name) is None for name in fields):
        yield _no_prompt(fields[0])
    if body.get("stream") and (name := _STREAMING_NAMES.get(endpoint)):
        yield _streaming(name)


def _no_model() -> Flaw:
    return Flaw(
        BatchProblem("invalid_request", "Model parameter is required.", "body.model"),
        ApiError(400, "you must provide a model parameter"),
    )


def _unknown_model(model: str) -> Flaw:
    code = "model_not_found"
    return Flaw(
        BatchProblem(
            code, f"The provided model '{model}' is not supported by the Batch API.", "body.model"
        ),
        ApiError(
            404, f"The model `{model}` does not exist or you do not have access to it.", code=code
        ),
    )


def _no_prompt(name: str) -> Flaw:
    return Flaw(
        BatchProblem(
            "invalid_request", f"{name.capitalize()} parameter is required.", f"body.{name}"
        ),
        missing_parameter(name),
    )


def _streaming(name: str) -> Flaw:
    code = "streaming_unsupported"
    return Flaw(
        BatchProblem(code, f"{name}: Streaming is not supported in the Batch API.", "body.stream"),
        # OpenAI would stream.
        ApiError(400, f"{name}: The emulator does not stream.", param="stream", code=code),
    )
