"""What result lines say: read as far as the rules need it, whatever their shape."""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from ..domain.alike import Tokens
from ..domain.values import RequestProblem, ResultLine, TokenUsage
from .raw_lines import RawLine
from .texts import storable

_MANY_TOKENS = 1 << 46
"""No answer has so many, and the sum over the largest batch is a number that databases take."""
_Tokens = Annotated[int, msgspec.Meta(ge=0, lt=_MANY_TOKENS)]
_Status = Annotated[int, msgspec.Meta(ge=100, lt=600)]
_DIGITS = 16

Costing = Callable[[str | None, TokenUsage | None], Decimal | None]
"""The cost, in USD, of an answer by the model that its body names, for the tokens that it used."""


def no_price(model: str | None, usage: TokenUsage | None) -> None:
    """Know no price."""


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
    total_tokens: _Tokens | None = None
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

_MOST_DIGITS = 4_000
"""Python takes no whole number with some more of them."""

Content = _Line | ResultLine
"""What a line says: of one with an unusual shape, what could be made of it."""


def parse_result_line(line: RawLine, cost_of: Costing = no_price) -> ResultLine:
    """Read what the rules need of a line, and price what it used.

    A line that cannot be read says why in `problem`.
    """
    (content,) = read_contents([line], cost_of)
    return result_line(line, content, cost_of)


def read_contents(lines: Sequence[RawLine], cost_of: Costing) -> list[Content]:
    """What each line says."""
    contents = list[Content]()
    for line in lines:
        try:
            if not line.raw.isascii():
                line.raw.decode()  # what is not asked for is not looked at otherwise
            contents.append(_decode(line.raw))
        except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError):
            contents.append(_parse_leniently(line, cost_of))
    return contents


def read_json(line: bytes) -> Any:
    """What a line says, by Python's own parser, which takes what some servers write beyond JSON.

    A whole number that is too long even for it is read as a float. Raises `UnicodeDecodeError`,
    other `ValueError`s and `RecursionError`.
    """
    return json.loads(line.decode("utf-8-sig"), parse_int=_whole)


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def kind_of(content: Content) -> tuple[int, str | None] | None:
    """The status and the model of a line that may be alike with others; None for another."""
    if isinstance(content, ResultLine) or (response := content.response) is None:
        return None
    status_code, body = response.status_code, response.body
    if status_code is None or body is None or body.usage is None:
        return None
    return None if _tells_nothing(body.usage) else (status_code, body.model)


def _tells_nothing(usage: _Usage) -> bool:
    """Whether it names neither side's tokens; those of the whole are not priced."""
    return (
        usage.input_tokens is None
        and usage.prompt_tokens is None
        and usage.output_tokens is None
        and usage.completion_tokens is None
    )


def usages_of(contents: Sequence[Any]) -> list[Tokens]:
    """What lines that have a kind used, each by its parts."""
    return [_parts(content.response.body.usage) for content in contents]


def result_line(line: RawLine, content: Content, cost_of: Costing) -> ResultLine:
    """What the rules need of a line, with what it cost."""
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
    return None if usage is None or _tells_nothing(usage) else TokenUsage(*_parts(usage))


def _parts(usage: _Usage) -> Tokens:
    inside = usage.input_tokens_details or usage.prompt_tokens_details or _NO_DETAILS
    outside = usage.output_tokens_details or usage.completion_tokens_details or _NO_DETAILS
    given = usage.input_tokens or usage.prompt_tokens or 0
    made = usage.output_tokens or usage.completion_tokens or 0
    if (total := usage.total_tokens or 0) > given + made:  # so no answer of OpenAI's pays a call
        made = _output(given, made, total)
    return (
        given,
        inside.cached_tokens or 0,
        made,
        outside.reasoning_tokens or 0,
        inside.cache_write_tokens or 0,
    )


def _output(given: int, made: int, total: int) -> int:
    """The tokens of an output with the reasoning that Gemini and xAI count in the total only.

    Without the input nobody knows whose the rest of the total is.
    """
    return max(made, total - given) if given else made


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
        content = read_json(line.raw)
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
            storable(custom_id),
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
        custom_id=storable(custom_id),
        answered=True,
        status_code=None if code is None else _status(_number(code) or 0),
        error=_lenient_error(content.get("error")),
        body_error=_lenient_error(body.get("error")) if isinstance(body, dict) else None,
        usage=usage,
        cost=cost_of(model if isinstance(model, str) else None, usage),
    )


def _lenient_error(error: object) -> RequestProblem | None:
    if isinstance(error, str):
        return RequestProblem(None, storable(error))
    if not isinstance(error, dict):
        return None
    code, message = error.get("code"), error.get("message")
    return RequestProblem(
        None if code is None else storable(str(code)),
        "" if message is None else storable(str(message)),
    )


def _lenient_usage(usage: object) -> TokenUsage | None:
    """What is readable of a usage, read as a usual one is; None when neither side's tokens are."""
    if not isinstance(usage, dict):
        return None
    given = _first_number(usage, "input_tokens", "prompt_tokens")
    made = _first_number(usage, "output_tokens", "completion_tokens")
    if given is None and made is None:
        return None
    total = _first_number(usage, "total_tokens")
    return TokenUsage(
        input=_tokens(given),
        cached=_detail(usage, "input_tokens", "prompt_tokens", "cached_tokens"),
        output=_output(_tokens(given), _tokens(made), _tokens(total)),
        reasoning=_detail(usage, "output_tokens", "completion_tokens", "reasoning_tokens"),
        cache_write=_detail(usage, "input_tokens", "prompt_tokens", "cache_write_tokens"),
    )


def _first_number(usage: dict[str, object], *names: str) -> int | None:
    """The first one that is not 0, as some servers write both names; 0 or None without one."""
    numbers = [_number(usage.get(name)) for name in names]
    told = [number for number in numbers if number is not None]
    return next(filter(None, told), 0) if told else None


def _detail(usage: dict[str, object], side: str, old_side: str, name: str) -> int:
    details = usage.get(f"{side}_details")
    if details is None:
        details = usage.get(f"{old_side}_details")
    return _tokens(_number(details.get(name))) if isinstance(details, dict) else 0


def body_usage(body: Mapping[str, object]) -> TokenUsage | None:
    """The tokens that an answer's decoded body tells; None when it tells none."""
    return _lenient_usage(body.get("usage"))


def body_problem(body: Mapping[str, object]) -> RequestProblem | None:
    """What an answer's decoded body says went wrong; None for a null or missing `error`."""
    return _lenient_error(body.get("error") or None)
