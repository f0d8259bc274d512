"""Result lines: from a stream of bytes to lines, and from a line to what it says."""

import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby, islice
from typing import Annotated, Any, NamedTuple

import msgspec

from ..domain.alike import AlikeResults, Tokens
from ..domain.requests import RequestIndex
from ..domain.values import RequestProblem, ResultLine, TokenUsage

_MANY_TOKENS = 1 << 53
_Tokens = Annotated[int, msgspec.Meta(ge=0, lt=_MANY_TOKENS)]
_Status = Annotated[int, msgspec.Meta(ge=100, lt=600)]
_DIGITS = 16

GROUP_LINES = 200
"""So many lines at most are applied and written before the next ones: the events of odd ones would
be held at once, and looked at again and again by the collector of cycles."""

Costing = Callable[[str | None, TokenUsage | None], Decimal | None]
"""The cost, in USD, of an answer by the model that its body names, for the tokens that it used."""


AlikeCosting = Callable[[str | None, Sequence[Tokens]], Sequence[Decimal | None]]
"""The same of answers that all name this model."""


def no_price(model: str | None, usage: TokenUsage | None) -> None:
    """Know no price."""


class RawLine(msgspec.Struct, frozen=True, gc=False):
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
        lines, start = list[RawLine](), 0
        # `split` looks at each byte by itself, `find` at dozens at once.
        while (end := chunk.find(b"\n", start)) >= 0:
            raw = chunk[start:end]
            if head:
                raw = b"".join((*head, raw))
                head.clear()
            lines.append(RawLine(offset, raw))
            offset += len(raw) + 1
            start = end + 1
        if start < len(chunk):
            head.append(chunk[start:])
        if lines:
            yield lines
    last = b"".join(head)
    if last:
        yield [RawLine(offset, last, complete=False)]


class _Error(msgspec.Struct, gc=False):
    code: str | int | None = None
    message: str | None = None


class _Details(msgspec.Struct, gc=False):
    cached_tokens: _Tokens | None = None
    cache_write_tokens: _Tokens | None = None
    reasoning_tokens: _Tokens | None = None


_NO_DETAILS = _Details()


class _Usage(msgspec.Struct, gc=False):
    """Both spellings: Responses say input and output, the older endpoints prompt and completion."""

    input_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    prompt_tokens: _Tokens | None = None
    completion_tokens: _Tokens | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Body(msgspec.Struct, gc=False):
    model: str | None = None
    error: _Error | None = None
    usage: _Usage | None = None


class _Response(_Body, gc=False):
    """Old servers put the answer itself where its body should be."""

    status_code: _Status | None = None
    body: _Body | None = None


class _Line(msgspec.Struct, gc=False):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Line).decode

_Content = _Line | ResultLine
"""What a line says: of one with an unusual shape, what could be made of it."""


def parse_result_line(line: RawLine, cost_of: Costing = no_price) -> ResultLine:
    """Read what the rules need of a line, and price what it used.

    A line that cannot be read says why in `problem`.
    """
    (content,) = _read([line], cost_of)
    return _result_line(line, content, cost_of)


class LineGroup(NamedTuple):
    """Result lines of one kind, each with its content."""

    kind: tuple[int, str | None] | None
    lines: Sequence[RawLine]
    contents: Sequence[Any]

    def alike(self, costs_of: AlikeCosting) -> AlikeResults | None:
        """What they say and cost, if they are alike; None for lines to be read one by one."""
        if self.kind is None:
            return None
        status_code, model = self.kind
        usages = [_parts(content.response.body.usage) for content in self.contents]
        return AlikeResults(
            status_code,
            [line.offset for line in self.lines],
            [line.raw for line in self.lines],
            [content.custom_id for content in self.contents],
            usages,
            costs_of(model, usages),
        )

    def one_by_one(self, cost_of: Costing) -> list[ResultLine]:
        """What the rules need of each line, with what it cost."""
        read = zip(self.lines, self.contents, strict=True)
        return [_result_line(line, content, cost_of) for line, content in read]


def line_groups(
    lines: Sequence[RawLine], index: RequestIndex, cost_of: Costing
) -> Iterator[LineGroup]:
    """Lines in the order of their requests, many of one kind together.

    Those of one request stay in the order of the file; those of none come last.
    """
    contents = _read(lines, cost_of)
    order = index.in_order([content.custom_id or "" for content in contents])
    lines, contents = [lines[place] for place in order], [contents[place] for place in order]
    begin = 0
    for kind, alike in groupby(map(_kind, contents)):
        while count := len(list(islice(alike, GROUP_LINES))):
            end = begin + count
            yield LineGroup(kind, lines[begin:end], contents[begin:end])
            begin = end


def _read(lines: Sequence[RawLine], cost_of: Costing) -> list[_Content]:
    contents = list[_Content]()
    for line in lines:
        try:
            if not line.raw.isascii():
                line.raw.decode()  # what is not asked for is not looked at otherwise
            contents.append(_decode(line.raw))
        except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError):
            contents.append(_parse_leniently(line, cost_of))
    return contents


def _kind(content: _Content) -> tuple[int, str | None] | None:
    """The status and the model of a line that may be alike with others; None for another."""
    if isinstance(content, ResultLine) or (response := content.response) is None:
        return None
    status_code, body = response.status_code, response.body
    if status_code is None or body is None or body.usage is None:
        return None
    return status_code, body.model


def _result_line(line: RawLine, content: _Content, cost_of: Costing) -> ResultLine:
    if isinstance(content, ResultLine):
        return content
    response = content.response
    if response is None:
        return ResultLine(line.offset, line.raw, content.custom_id, error=_error(content.error))
    body = response.body or response
    usage = _usage(body.usage)
    return ResultLine(
        line.offset,
        line.raw,
        content.custom_id,
        True,
        response.status_code,
        _error(content.error),
        _error(body.error),
        usage,
        cost_of(body.model, usage),
    )


def _error(error: _Error | None) -> RequestProblem | None:
    if error is None:
        return None
    return RequestProblem(None if error.code is None else str(error.code), error.message or "")


def _usage(usage: _Usage | None) -> TokenUsage | None:
    return None if usage is None else TokenUsage(*_parts(usage))


def _parts(usage: _Usage) -> Tokens:
    inside = usage.input_tokens_details or usage.prompt_tokens_details or _NO_DETAILS
    outside = usage.output_tokens_details or usage.completion_tokens_details or _NO_DETAILS
    return (
        usage.input_tokens or usage.prompt_tokens or 0,
        inside.cached_tokens or 0,
        usage.output_tokens or usage.completion_tokens or 0,
        outside.reasoning_tokens or 0,
        inside.cache_write_tokens or 0,
    )


def _tokens(count: int | None) -> int:
    """A number of tokens that the log can store; what cannot be one counts nothing."""
    return count if count is not None and 0 <= count < _MANY_TOKENS else 0


def _status(code: int) -> int:
    """The status of an answer; a number that is none counts as a server error."""
    return code if 100 <= code < 600 else 500  # noqa: PLR2004 (HTTP's range)


def _number(value: object) -> int | None:
    """A number, also one written as a text or with a fraction of zero."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < _DIGITS:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def _parse_leniently(line: RawLine, cost_of: Costing) -> ResultLine:
    """Read a line of which some part has an unusual shape: a part that does not fit is left out.

    Compatible servers send errors as strings, bodies as strings, usage as they please, and what
    Python's own JSON writes but JSON forbids; such a line was paid and belongs to its request.
    """
    try:
        content = json.loads(line.raw.decode())
    except UnicodeDecodeError:
        return ResultLine(line.offset, line.raw, problem="the line is not UTF-8")
    except (ValueError, RecursionError) as error:
        return ResultLine(line.offset, line.raw, problem=f"the line is not valid JSON ({error})")
    if not isinstance(content, dict):
        return ResultLine(line.offset, line.raw, problem="the line is not a JSON object")
    custom_id = content.get("custom_id")
    if not isinstance(custom_id, str):
        return ResultLine(line.offset, line.raw, problem="the line has no custom_id")
    response = content.get("response")
    if not isinstance(response, dict):
        return ResultLine(
            line.offset,
            line.raw,
            _storable(custom_id),
            error=_lenient_error(content.get("error")),
        )
    code = response.get("status_code")
    body = response.get("body")
    body = response if body is None else body
    usage = _lenient_usage(body.get("usage")) if isinstance(body, dict) else None
    model = body.get("model") if isinstance(body, dict) else None
    return ResultLine(
        offset=line.offset,
        raw=line.raw,
        custom_id=_storable(custom_id),
        answered=True,
        status_code=None if code is None else _status(_number(code) or 0),
        error=_lenient_error(content.get("error")),
        body_error=_lenient_error(body.get("error")) if isinstance(body, dict) else None,
        usage=usage,
        cost=cost_of(model if isinstance(model, str) else None, usage),
    )


def _storable(text: object) -> str:
    """A text with the halves of surrogate pairs, which no encoding can store, as escapes."""
    return str(text).encode(errors="backslashreplace").decode()


def _lenient_error(error: object) -> RequestProblem | None:
    if isinstance(error, str):
        return RequestProblem(None, _storable(error))
    if not isinstance(error, dict):
        return None
    code, message = error.get("code"), error.get("message")
    return RequestProblem(
        None if code is None else _storable(code),
        "" if message is None else _storable(message),
    )


def _lenient_usage(usage: object) -> TokenUsage | None:
    """What is readable of a usage; None when neither side's tokens are."""
    if not isinstance(usage, dict):
        return None
    given = _first_number(usage, "input_tokens", "prompt_tokens")
    made = _first_number(usage, "output_tokens", "completion_tokens")
    if given is None and made is None:
        return None
    return TokenUsage(
        input=_tokens(given),
        cached=_detail(usage, "input_tokens", "prompt_tokens", "cached_tokens"),
        output=_tokens(made),
        reasoning=_detail(usage, "output_tokens", "completion_tokens", "reasoning_tokens"),
        cache_write=_detail(usage, "input_tokens", "prompt_tokens", "cache_write_tokens"),
    )


def _first_number(usage: dict[str, object], *names: str) -> int | None:
    numbers = (_number(usage.get(name)) for name in names)
    return next((number for number in numbers if number is not None), None)


def _detail(usage: dict[str, object], side: str, old_side: str, name: str) -> int:
    details = usage.get(f"{side}_details") or usage.get(f"{old_side}_details")
    return _tokens(_number(details.get(name))) if isinstance(details, dict) else 0


def body_usage(body: Mapping[str, object]) -> TokenUsage | None:
    """The tokens that an answer's decoded body tells; None when it tells none."""
    return _lenient_usage(body.get("usage"))


def body_problem(body: Mapping[str, object]) -> RequestProblem | None:
    """What an answer's decoded body says went wrong; None for a null or missing `error`."""
    return _lenient_error(body.get("error") or None)
