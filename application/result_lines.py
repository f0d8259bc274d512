"""Result lines: from a stream of bytes to lines, and from a line to what it says."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import msgspec
from attrs import frozen

from ..domain.values import RequestError, ResultLine, TokenUsage


@frozen
class RawLine:
    """One line of a file: the position of its first byte, and its bytes without the newline.

    `complete` is false for a last line that no newline ended.
    """

    offset: int
    raw: bytes
    complete: bool = True


async def split_lines(
    chunks: AsyncIterable[bytes], offset: int = 0
) -> AsyncIterator[list[RawLine]]:
    """Cut a stream that begins at a line and at byte `offset` into lines, some at a time.

    Lines end at the newline byte and nowhere else, and may be of any length: one of 40 MB costs
    its own size, once.
    """
    head: list[bytes] = []  # the pieces of a line that goes on; joined once, when it ends
    async for chunk in chunks:
        first, newline, rest = chunk.partition(b"\n")
        head.append(first)
        if not newline:
            continue
        pieces = [b"".join(head), *rest.split(b"\n")]
        head = [pieces.pop()]
        lines = []
        for piece in pieces:
            lines.append(RawLine(offset, piece))
            offset += len(piece) + 1
        yield lines
    last = b"".join(head)
    if last:
        yield [RawLine(offset, last, complete=False)]


class _Error(msgspec.Struct):
    code: str | int | None = None
    message: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    """Both spellings: Responses say input and output, the older endpoints prompt and completion."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Body(msgspec.Struct):
    error: _Error | None = None
    usage: _Usage | None = None


class _Response(msgspec.Struct):
    status_code: int | None = None
    body: _Body | None = None


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Line).decode
_decode_anything = msgspec.json.Decoder().decode


def parse_result_line(line: RawLine) -> ResultLine:
    """Read what the rules need of a line; a line that cannot be read says why in `problem`."""
    try:
        if not line.raw.isascii():
            line.raw.decode()
        content = _decode(line.raw)
    except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError):
        return _parse_leniently(line)
    response = content.response
    body = response.body if response is not None else None
    return ResultLine(
        offset=line.offset,
        raw=line.raw,
        custom_id=content.custom_id,
        answered=response is not None,
        status_code=response.status_code if response is not None else None,
        error=_error(content.error),
        body_error=_error(body.error) if body is not None else None,
        usage=_usage(body.usage) if body is not None else None,
    )


def _error(error: _Error | None) -> RequestError | None:
    if error is None or (error.code is None and not error.message):
        return None
    code = None if error.code is None else str(error.code)
    return RequestError(code, error.message or "The provider gave no message.")


def _usage(usage: _Usage | None) -> TokenUsage | None:
    if usage is None:
        return None
    inside = usage.input_tokens_details or usage.prompt_tokens_details
    outside = usage.output_tokens_details or usage.completion_tokens_details
    return TokenUsage(
        input=usage.input_tokens or usage.prompt_tokens or 0,
        cached=(inside and inside.cached_tokens) or 0,
        output=usage.output_tokens or usage.completion_tokens or 0,
        reasoning=(outside and outside.reasoning_tokens) or 0,
    )


def _parse_leniently(line: RawLine) -> ResultLine:
    """Read a line of which some part has an unusual shape: a part that does not fit is left out.

    Compatible servers send errors as strings, bodies as strings and usage as they please; such
    a line still belongs to its request.
    """
    try:
        line.raw.decode()
        content = _decode_anything(line.raw)
    except UnicodeDecodeError:
        return ResultLine(line.offset, line.raw, problem="the line is not UTF-8")
    except (msgspec.MsgspecError, RecursionError) as error:
        return ResultLine(line.offset, line.raw, problem=f"the line is not valid JSON ({error})")
    if not isinstance(content, dict):
        return ResultLine(line.offset, line.raw, problem="the line is not a JSON object")
    custom_id = content.get("custom_id")
    if not isinstance(custom_id, str):
        return ResultLine(line.offset, line.raw, problem="the line has no custom_id")
    response = content.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    return ResultLine(
        offset=line.offset,
        raw=line.raw,
        custom_id=custom_id,
        answered=isinstance(response, dict),
        status_code=_status_code(response),
        error=_lenient_error(content.get("error")),
        body_error=_lenient_error(body.get("error")) if isinstance(body, dict) else None,
        usage=_lenient_usage(body.get("usage")) if isinstance(body, dict) else None,
    )


def _status_code(response: Any) -> int | None:
    """The status of an answer; one that is there but no number counts as a server error."""
    if not isinstance(response, dict) or response.get("status_code") is None:
        return None
    try:
        return int(response["status_code"])
    except (TypeError, ValueError):
        return 500


def _lenient_error(error: Any) -> RequestError | None:
    if isinstance(error, str) and error:
        return RequestError(None, error)
    if not isinstance(error, dict):
        return None
    code, message = error.get("code"), error.get("message")
    if code is None and message is None:
        return None
    return RequestError(
        None if code is None else str(code),
        "The provider gave no message." if message is None else str(message),
    )


def _lenient_usage(usage: Any) -> TokenUsage | None:
    try:
        return _usage(msgspec.convert(usage, _Usage | None, strict=False))
    except msgspec.ValidationError:
        return None
