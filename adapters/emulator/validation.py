"""Batch validation: reads an input file line by line and finds everything wrong with it.

Codes, params and messages are OpenAI's where they are known. Not known are those for too many
rows and for an empty file (here Azure's codes), for a file that is too large, for a method
other than POST and for fields of a wrong type (here by analogy).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from attrs import Factory, define, evolve, frozen

from .failures import asked_failure
from .flaws import flaws
from .models import snapshot_of
from .records import BatchProblem, Verdict

_REQUIRED: Final = ("custom_id", "method", "url", "body")


@frozen(kw_only=True)
class Rules:
    """What an input file is held against."""

    endpoint: str
    urls: tuple[str, ...]
    """The spellings of the endpoint that lines may use, all of them the same one."""
    max_requests: int
    max_bytes: int
    knows: Callable[[str], bool]
    """Whether there is a model of this name."""
    deployments: Mapping[str, str]
    fail_every: int | None


def file_not_found(file_id: str, organization: str) -> BatchProblem:
    """Return the error of a batch whose input file does not exist (yet)."""
    return BatchProblem(
        "invalid_request",
        f"Cannot find file {file_id}, or organization {organization} does not have access to it.",
        "file_id",
    )


def token_limit(organization: str) -> BatchProblem:
    """Return the error of a batch for which the queue of its model has no room now."""
    return BatchProblem(
        "token_limit_exceeded",
        f"Enqueued token limit reached for this model in organization {organization}. "
        "Please try again once some in_progress batches have been completed.",
    )


def validate(path: Path, rules: Rules) -> Verdict:
    """Read the whole file and return the verdict; memory grows with the custom_ids only.

    Blank lines are passed over, but they count as lines.
    """
    check = _Check(rules)
    if path.stat().st_size > rules.max_bytes:
        return Verdict(errors=(_too_large(rules, _first_model(path)),))
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.isspace():
                check.line(number, line)
    return check.verdict()


def parse_object(text: bytes) -> dict[str, Any] | None:
    """Return the JSON object in the text, or None if it is not one."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


@define
class _Check:
    """What is carried from line to line."""

    _rules: Rules
    _errors: list[BatchProblem] = Factory(list)
    _custom_ids: set[str] = Factory(set)
    _model: str | None = None
    _url: str | None = None
    _total: int = 0
    _failing: int = 0

    def verdict(self) -> Verdict:
        """Return the findings, with those about the file as a whole."""
        if self._total > self._rules.max_requests:
            self._errors.append(
                BatchProblem(
                    "too_many_tasks",
                    f"The batch input file contains {self._total} requests, more than the "
                    f"{self._rules.max_requests} maximum.",
                )
            )
        if self._total == 0 and not self._errors:
            self._errors.append(
                BatchProblem("empty_batch", "The batch input file contains no requests.")
            )
        deployments, name = self._rules.deployments, self._model
        model = snapshot_of(deployments.get(name, name)) if name else None
        if self._errors:
            return Verdict(model=model, errors=tuple(self._errors))
        return Verdict(total=self._total, failing=self._failing, model=model)

    def line(self, number: int, text: bytes) -> None:
        """Check one request line."""
        self._total += 1
        request = parse_object(text)
        if request is None:
            self._error(
                number, "invalid_json_line", "This line is not parseable as valid JSON.", None
            )
            return
        for name in _REQUIRED:
            if request.get(name) in (None, ""):
                self._error(
                    number,
                    "missing_required_parameter",
                    f"Missing required parameter: '{name}'.",
                    name,
                )
        if custom_id := request.get("custom_id"):
            self._check_custom_id(number, custom_id)
        self._check_target(number, request)
        if (body := request.get("body")) is not None:
            self._check_body(number, body)

    def _check_custom_id(self, number: int, custom_id: object) -> None:
        if not isinstance(custom_id, str):
            self._error(
                number,
                "invalid_type",
                "Invalid type for 'custom_id': expected a string.",
                "custom_id",
            )
        elif custom_id in self._custom_ids:
            self._error(
                number,
                "duplicate_custom_id",
                f"The custom_id '{custom_id}' for this request is a duplicate of another request. "
                "The custom_id parameter must be unique for each request in a batch.",
                "custom_id",
            )
        else:
            self._custom_ids.add(custom_id)

    def _check_target(self, number: int, request: dict[str, Any]) -> None:
        if request.get("method") not in (None, "", "POST"):
            self._error(
                number,
                "invalid_value",
                f"Invalid value: '{request['method']}'. Supported values are: 'POST'.",
                "method",
            )
        url = request.get("url")
        if url in (None, ""):
            return
        if self._url is None and url in self._rules.urls:
            self._url = url
        if url != self._url:
            self._error(
                number,
                "invalid_url",
                "The URL provided for this request does not match the batch endpoint.",
                "url",
            )

    def _check_body(self, number: int, body: object) -> None:
        if not isinstance(body, dict):
            self._error(
                number, "invalid_type", "Invalid type for 'body': expected an object.", "body"
            )
            return
        for flaw in flaws(self._rules.endpoint, body, self._rules.knows):
            self._errors.append(evolve(flaw.in_batch, line=number))
        self._check_same_model(number, body.get("model"))
        every = self._rules.fail_every
        if asked_failure(body) or (every and self._total % every == 0):
            self._failing += 1

    def _check_same_model(self, number: int, model: object) -> None:
        if not isinstance(model, str) or not self._rules.knows(model):
            return
        if self._model is None:
            self._model = model
        elif model != self._model:
            self._error(
                number,
                "mismatched_model",
                f"The model '{model}' for this request does not match the rest of the batch. "
                "Each batch must contain requests for a single model.",
                "body.model",
            )

    def _error(self, line: int, code: str, message: str, param: str | None) -> None:
        self._errors.append(BatchProblem(code, message, param, line))


def _first_model(path: Path) -> str:
    """Return the model of the first line, which the message about the size names."""
    with path.open("rb") as lines:
        request = parse_object(lines.readline()) or {}
    body = request.get("body")
    return str(body.get("model")) if isinstance(body, dict) else "requested"


def _too_large(rules: Rules, model: str) -> BatchProblem:
    return BatchProblem(
        "invalid_request",
        f"The batch input file is larger than the {rules.max_bytes} maximum for the {model} model. "
        "Please try again with a smaller batch.",
    )
