"""Result lines in OpenAI's shape, and the ways in which a test deforms them."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from attrs import Factory, define, evolve, frozen

from ...application.result_lines import body_usage
from ...domain.status import ResultFile
from ...domain.values import RequestProblem, TokenUsage
from .answers import Answer, body_of
from .input_file import InputRequest

EXPIRED = RequestProblem(
    "batch_expired",
    "This request could not be executed before the completion window expired.",
)
CANCELLED = RequestProblem(
    "batch_cancelled", "This request could not be executed because the batch was cancelled."
)


@frozen
class DoneRequest:
    """A request that was worked off, well or badly, and its result line."""

    line: Mapping[str, Any]
    succeeded: bool
    usage: TokenUsage


def answered(request: InputRequest, answer: Answer, batch: int, created: int) -> DoneRequest:
    """Work off a request of the fake's batch number `batch`; `created` is in Unix seconds."""
    if answer.error is not None:
        return DoneRequest(not_run(request, answer.error, batch), succeeded=False, usage=_NOTHING)
    body = body_of(answer, request, created)
    response = {
        "status_code": answer.status_code,
        "request_id": f"{batch:08x}{request.number:024x}",
        "body": body,
    }
    line = _line(request, batch, response, None)
    return DoneRequest(line, answer.is_success, body_usage(body) or _NOTHING)


def not_run(request: InputRequest, error: RequestProblem, batch: int) -> Mapping[str, Any]:
    """Make the line of a request without an HTTP answer."""
    return _line(request, batch, None, {"code": error.code, "message": error.message})


def _line(
    request: InputRequest,
    batch: int,
    response: Mapping[str, Any] | None,
    error: Mapping[str, Any] | None,
) -> Mapping[str, Any]:
    return {
        "id": f"batch_req_{batch:08x}{request.number:024x}",
        "custom_id": request.custom_id,
        "response": response,
        "error": error,
    }


@frozen
class LineShape:
    """How the result line of one request is written; by default once and as it is."""

    copies: int = 1
    garbled: bool = False
    renamed: bool = False
    new_custom_id: str | None = None
    """What a renamed line has for its custom_id; None takes the field away."""

    def write(self, line: Mapping[str, Any]) -> list[bytes]:
        """Write the line in as many copies as ordered, without newlines."""
        shaped = dict(line)
        if self.renamed:
            del shaped["custom_id"]
        if self.new_custom_id is not None:
            shaped["custom_id"] = self.new_custom_id
        raw = msgspec.json.encode(shaped)
        return [raw[: len(raw) // 2] if self.garbled else raw] * self.copies


@define
class FileShapes:
    """How the result files that are made from now on are deformed."""

    lines: dict[str, LineShape] = Factory(dict)
    added: dict[ResultFile, list[bytes]] = Factory(lambda: {file: [] for file in ResultFile})
    cut: set[ResultFile] = Factory(set)

    def shape_line(self, custom_id: str, **changes: Any) -> None:
        """Change how the line of one request is written."""
        self.lines[custom_id] = evolve(self.lines.get(custom_id, _PLAIN), **changes)

    def write(self, file: ResultFile, lines: Iterable[Mapping[str, Any]]) -> bytes:
        """Write the content of a result file."""
        written = list(self.added[file])
        for line in lines:
            written += self.lines.get(line["custom_id"], _PLAIN).write(line)
        content = b"".join(raw + b"\n" for raw in written)
        if file in self.cut and written:
            return content[: -1 - (len(written[-1]) + 1) // 2]
        return content


_NOTHING = TokenUsage()
_PLAIN = LineShape()
