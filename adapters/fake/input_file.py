"""What validation makes of an input file: its requests, or the list of what is wrong in it."""

from collections.abc import Container, Mapping
from typing import Any

import msgspec
from attrs import frozen

from ...domain.values import BatchProblem, Limits


@frozen
class InputRequest:
    """One valid line of an input file; `number` is its 1-based position, `body` as it was sent."""

    number: int
    custom_id: str
    endpoint: str
    body: Mapping[str, Any]

    @property
    def model(self) -> str | None:
        """The model that the request names."""
        return self.body.get("model")

    def has_known_model(self, models: Container[str] | None) -> bool:
        """Whether its model is one of these, None being every name; no model is known as well."""
        return models is None or self.model is None or self.model in models


@frozen
class Verdict:
    """The outcome of validation; with any error there is nothing to run."""

    requests: tuple[InputRequest, ...]
    errors: tuple[BatchProblem, ...] = ()

    @property
    def model(self) -> str | None:
        """The one model of all requests."""
        return self.requests[0].model if self.requests else None


def begins_with_json(content: bytes) -> bool:
    """Whether the first line is JSON: all that OpenAI looks at when a file is uploaded."""
    try:
        msgspec.json.decode(content.split(b"\n", 1)[0])
    except msgspec.DecodeError:
        return False
    return True


def validate(
    content: bytes, endpoint: str, limits: Limits, models: Container[str] | None = None
) -> Verdict:
    """Read an input file as OpenAI does, and collect every bad line with OpenAI's codes.

    `models` are the names of the models that exist; None is every name.
    """
    if len(content) > limits.max_bytes:
        return Verdict((), (_too_large(limits),))
    lines = content.removesuffix(b"\n").split(b"\n")
    if len(lines) > limits.max_requests:
        return Verdict((), (_too_many(limits),))
    reader = _Reader(endpoint, limits, models)
    for number, raw in enumerate(lines, 1):
        reader.read(number, raw)
    return Verdict((), tuple(reader.errors)) if reader.errors else Verdict(tuple(reader.requests))


class _Reader:
    """Reads line after line; a line is refused for the first rule that it breaks."""

    def __init__(self, endpoint: str, limits: Limits, models: Container[str] | None) -> None:
        self.requests: list[InputRequest] = []
        self.errors: list[BatchProblem] = []
        self._endpoint = endpoint
        self._needs_model = endpoint not in limits.endpoints_without_model
        self._models = models
        self._custom_ids: set[str] = set()

    def read(self, number: int, raw: bytes) -> None:
        """Take the line as a request or as an error."""
        try:
            line = msgspec.json.decode(raw, type=dict[str, Any])
        except msgspec.DecodeError:
            self._refuse(number, "invalid_json_line", "This line is not parseable as valid JSON.")
            return
        if self._is_complete(number, line) and self._is_allowed(number, line):
            request = InputRequest(number, line["custom_id"], line["url"], line["body"])
            if self._fits(request):
                self._custom_ids.add(request.custom_id)
                self.requests.append(request)

    def _is_complete(self, number: int, line: Mapping[str, Any]) -> bool:
        kinds = {"custom_id": str, "method": str, "url": str, "body": dict}
        for field, kind in kinds.items():
            if not isinstance(line.get(field), kind):
                return self._refuse(
                    number,
                    "missing_required_parameter",
                    f"Missing required parameter: '{field}'.",
                    field,
                )
        return True

    def _is_allowed(self, number: int, line: Mapping[str, Any]) -> bool:
        if line["method"] != "POST":
            message = f"Invalid value: '{line['method']}'. Supported values are: 'POST'."
            return self._refuse(number, "invalid_value", message, "method")
        if line["url"] != self._endpoint:
            message = "The URL provided for this request does not match the batch endpoint."
            return self._refuse(number, "invalid_url", message, "url")
        if line["body"].get("stream"):
            message = "Streaming is not supported in the Batch API."
            return self._refuse(number, "streaming_unsupported", message, "body.stream")
        if self._needs_model and not isinstance(line["body"].get("model"), str):
            message = "Model parameter is required."
            return self._refuse(number, "invalid_request", message, "body.model")
        return True

    def _fits(self, request: InputRequest) -> bool:
        """Whether the request goes together with those before it."""
        if request.custom_id in self._custom_ids:
            message = (
                f"The custom_id '{request.custom_id}' for this request is a duplicate of another "
                "request. The custom_id parameter must be unique for each request in a batch."
            )
            return self._refuse(request.number, "duplicate_custom_id", message, "custom_id")
        if not request.has_known_model(self._models):
            message = f"The provided model '{request.model}' is not supported by the Batch API."
            return self._refuse(request.number, "model_not_found", message, "body.model")
        if self.requests and request.model != self.requests[0].model:
            message = (
                f"The model '{request.model}' for this request does not match the rest of the "
                "batch. Each batch must contain requests for a single model."
            )
            return self._refuse(request.number, "mismatched_model", message, "body.model")
        return True

    def _refuse(self, number: int, code: str, message: str, param: str | None = None) -> bool:
        self.errors.append(BatchProblem(code, message, param, number))
        return False


def _too_large(limits: Limits) -> BatchProblem:
    # No source tells OpenAI's codes for these two.
    return BatchProblem(
        None,
        f"The batch input file is larger than the {limits.max_bytes} maximum. "
        "Please try again with a smaller batch.",
    )


def _too_many(limits: Limits) -> BatchProblem:
    return BatchProblem(
        None, f"The batch input file contains more than the {limits.max_requests} maximum requests."
    )
