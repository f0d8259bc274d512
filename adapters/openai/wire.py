"""JSON to values and back; the only module that knows how the wire spells things."""

import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from attrs import frozen

from ...application.ports import CreateRequest, ProviderBatch, StoredFile, UploadedFile
from ...application.result_lines import read_json
from ...application.texts import storable
from ...domain.checks import is_real
from ...domain.status import BatchStatus
from ...domain.values import BatchProblem, RequestCounts, StatusReport, TokenUsage

logger = logging.getLogger(__name__)


class _Listed(Protocol):
    """What stands in a list."""

    @property
    def id(self) -> str: ...


T_co = TypeVar("T_co", bound=_Listed, covariant=True)

PAGE_SIZE = 100
"""Batches asked for at once; the most that OpenAI's API reference allows."""

FILES_PAGE_SIZE = 1_000
"""Files asked for at once; OpenAI's API reference allows 10,000, which is three megabytes."""

_STATUSES = {
    "pre_schedule": BatchStatus.IN_PROGRESS,  # kluster.ai
    "validating": BatchStatus.IN_PROGRESS,
    "in_progress": BatchStatus.IN_PROGRESS,
    "inprogress": BatchStatus.IN_PROGRESS,  # Azure, where it writes `InProgress`
    "progress": BatchStatus.IN_PROGRESS,  # Novita
    "finalizing": BatchStatus.IN_PROGRESS,
    "cancelling": BatchStatus.IN_PROGRESS,
    "canceling": BatchStatus.IN_PROGRESS,
    "completed": BatchStatus.ENDED,
    "failed": BatchStatus.FAILED,
    "expired": BatchStatus.EXPIRED,
    "cancelled": BatchStatus.CANCELED,
    "canceled": BatchStatus.CANCELED,
}

_CANCELING = frozenset({"cancelling", "canceling"})
_MOST = 10**18
_LONGEST_TEXT = 300
_LONGEST_PAGE = 4096
_TRUTHS = {"true": True, "false": False}
_ENVELOPES = ("error", "errors", "detail", "message")
_MOST_ENVELOPES = 6
_MOST_ERRORS = 5
_WORDS = ("message", "Message", "detail", "error_description", "reason", "msg", "title")
_DATE_DIGITS = 8  # `20260819` is a date, a longer row of digits counts seconds


Redact = Callable[[str], str]
"""What takes the key out of a text."""


def _as_it_is(text: str) -> str:
    return text


class UnexpectedAnswerError(ValueError):
    """A success by its status whose body is not what the call promises.

    It holds nothing of the body but what it says as an error, as gateways send one.
    """


@frozen
class ErrorBody:
    """What a refusal says, in the provider's own words where it has any; `kind` is its `type`."""

    message: str
    code: str | None = None
    param: str | None = None
    kind: str | None = None


@frozen
class Page(Generic[T_co]):
    """One page of a list; `after` is the cursor of the next one, None on the last."""

    items: tuple[T_co, ...]
    after: str | None


def status_of(word: str) -> BatchStatus:
    """Our status for a provider's word; a word we do not know counts as running."""
    return _STATUSES.get(word.strip().lower()) or _unknown(word)


@lru_cache(maxsize=64)
def _unknown(word: str) -> BatchStatus:
    """Take a word for running and warn; remembered, because each poll would warn again."""
    logger.warning("the provider reports the unknown batch status %r; taken as running", word)
    return BatchStatus.IN_PROGRESS


def read_batch(
    body: bytes, request_id: str | None = None, redact: Redact = _as_it_is
) -> ProviderBatch:
    """Read a batch object; all that it must have is an id. Raises `UnexpectedAnswerError`."""
    return _batch(_decoded(body, redact), request_id)


def read_batches(
    body: bytes, request_id: str | None = None, redact: Redact = _as_it_is
) -> Page[ProviderBatch]:
    """Read a page of batches. Raises `UnexpectedAnswerError`."""
    answer = _decoded(body, redact)
    return _page(answer, lambda entry: _batch(entry, request_id), PAGE_SIZE)


def read_files(
    body: bytes, request_id: str | None = None, redact: Redact = _as_it_is
) -> Page[StoredFile]:
    """Read a page of files. Raises `UnexpectedAnswerError`."""
    answer = _decoded(body, redact)
    return _page(answer, lambda entry: _file(entry, request_id), FILES_PAGE_SIZE)


def _page(answer: Any, read: Callable[[Any], T_co], full: int) -> Page[T_co]:
    """Read a page of a list, which holds `full` items where more may follow.

    An entry that cannot be read fails the page: a search that skips it might miss the one that
    it looks for. Some compatible servers answer with a bare array, which is the whole list.
    """
    entries = answer if isinstance(answer, list) else _object(answer).get("data")
    if not isinstance(entries, list):
        raise _lacking("a list has no `data`", answer)
    items = tuple(map(read, entries))
    if isinstance(answer, list):
        return Page(items, None)
    more = answer.get("has_more")
    if isinstance(more, str):
        more = _TRUTHS.get(more.strip().lower())
    if more is None:
        more = len(items) >= full
    if not more:
        return Page(items, None)
    if not items:
        raise UnexpectedAnswerError("an empty page of a list says that more follow")
    return Page(items, _text(answer.get("last_id")) or items[-1].id)


def _file(entry: Any, request_id: str | None) -> StoredFile:
    found = _object(entry)
    return StoredFile(
        _id(found),
        _text(found.get("filename")),
        _integer(found.get("bytes")),
        moment(found.get("created_at")),
        request_id,
    )


def read_file(
    body: bytes, *, sent: int, request_id: str | None = None, redact: Redact = _as_it_is
) -> UploadedFile:
    """Read a file object; where it names no size, what was `sent` stands for it.

    A size of 0 is none either: gateways send it of a file that they only pass on. Raises
    `UnexpectedAnswerError`.
    """
    answer = _object(_decoded(body, redact))
    size = max(_integer(answer.get("bytes")) or 0, 0)
    return UploadedFile(_id(answer), size or sent, moment(answer.get("created_at")), request_id)


def read_deleted(body: bytes) -> bool:
    """Whether a delete call's answer says that the file is gone; an empty body says so too.

    Raises `UnexpectedAnswerError`.
    """
    return not body.strip() or _object(_decoded(body)).get("deleted") is not False


def check_json_object(body: bytes) -> None:
    """Raise `UnexpectedAnswerError` for an answer that was cut off or is no JSON object."""
    _object(_decoded(body))


def create_body(request: CreateRequest) -> bytes:
    """Write the body of a create call; metadata is left out when there is none."""
    body: dict[str, Any] = {
        "input_file_id": request.input_file_id,
        "endpoint": request.endpoint,
        "completion_window": request.completion_window,
    }
    if request.metadata:
        body["metadata"] = dict(request.metadata)
    return msgspec.json.encode(body)


def read_error(status: int, body: bytes, redact: Redact = _as_it_is) -> ErrorBody:
    """Read what an error answer says, in one of the shapes that servers have for it.

    JSON of another shape is shown as it is, and what is no JSON as a cleaned sentence; each short.
    """
    try:
        answer = _decoded(body, redact)
    except UnexpectedAnswerError:
        return ErrorBody(_sentence(status, _page_text(body, redact)))
    errors = _unwrapped(answer)
    words = _words_of(errors)
    as_it_is = redact(body.decode(errors="replace")) if answer else ""
    first = next((error for error in errors if isinstance(error, dict)), {})
    return ErrorBody(
        words or _sentence(status, as_it_is),
        code=_word(first.get("code")),
        param=_word(first.get("param")),
        kind=_word(first.get("type")),
    )


def _unwrapped(answer: Any, depth: int = _MOST_ENVELOPES) -> list[Any]:
    """The errors in the envelopes that servers put around them; the answer itself without one."""
    if isinstance(answer, list) and depth:
        return [error for entry in answer[:_MOST_ERRORS] for error in _unwrapped(entry, depth - 1)]
    if isinstance(answer, dict) and depth:
        for name in _ENVELOPES:
            inner = answer.get(name)
            if inner and isinstance(inner, dict | list):
                return _unwrapped(inner, depth - 1)
    return [answer]


def _words_of(errors: list[Any]) -> str:
    """What errors say, in short; nothing where none has words."""
    return _shortened("; ".join(filter(None, map(_error_words, errors))))


def _error_words(error: Any) -> str | None:
    """What one error says; before it the place that it is about, or its name, where it has one."""
    if not isinstance(error, dict):
        return _text(error)
    words = next(filter(None, (_text(error.get(name)) for name in _WORDS)), None)
    name = _text(error.get("error"))
    place = error.get("loc")  # FastAPI's, such as ["body", "input_file_id"]
    if isinstance(place, list) and words:
        name = ".".join(map(str, place))
    return f"{name}: {words}" if name and words else words or name


def moment(value: Any) -> datetime | None:
    """Read a time as UTC: Unix seconds, or ISO 8601 text, which is UTC when it names no zone."""
    if isinstance(value, str):
        text = value.strip()
        if not (text.isascii() and text.isdigit() and len(text) > _DATE_DIGITS):
            try:
                parsed = datetime.fromisoformat(text)
                return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
            except (ValueError, OverflowError):
                return None
        value = int(text[:20])
    if not is_real(value):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _batch(answer: Any, request_id: str | None) -> ProviderBatch:
    answer = _object(answer)
    batch_id = _id(answer)  # first: what is no batch has no status to be warned of
    word = answer.get("status")
    word = word if isinstance(word, str) else ""
    metadata = answer.get("metadata")
    report = StatusReport(
        status=status_of(word),
        raw_status=word,
        request_counts=_counts(answer.get("request_counts")),
        output_file_id=_text(answer.get("output_file_id")),
        error_file_id=_text(answer.get("error_file_id")),
        errors=_batch_errors(answer.get("errors") or answer.get("error")),
        usage=_usage(answer.get("usage")),
        model=_text(answer.get("model")),
        is_canceling=word.strip().lower() in _CANCELING,
    )
    return ProviderBatch(
        id=batch_id,
        report=report,
        input_file_id=_text(answer.get("input_file_id")),
        metadata=_strings(metadata) if isinstance(metadata, dict) else {},
        created_at=moment(answer.get("created_at")),
        request_id=request_id,
    )


def _counts(value: Any) -> RequestCounts:
    counts = value if isinstance(value, dict) else {}
    total, completed, failed = (
        max(_integer(counts.get(key)) or 0, 0) for key in ("total", "completed", "failed")
    )
    return RequestCounts(total, completed, failed)


def _usage(value: Any) -> TokenUsage | None:
    """Tokens of a batch; zeros are None: OpenAI sends them for as long as it has not counted."""
    if not isinstance(value, dict):
        return None

    def tokens(*path: str) -> int:
        found: Any = value
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return max(_integer(found) or 0, 0)

    usage = TokenUsage(
        input=tokens("input_tokens") or tokens("prompt_tokens"),
        cached=tokens("input_tokens_details", "cached_tokens")
        or tokens("prompt_tokens_details", "cached_tokens"),
        output=tokens("output_tokens") or tokens("completion_tokens"),
        reasoning=tokens("output_tokens_details", "reasoning_tokens")
        or tokens("completion_tokens_details", "reasoning_tokens"),
    )
    return usage if usage != TokenUsage() else None


def _batch_errors(value: Any) -> tuple[BatchProblem, ...]:
    """OpenAI sends an object around a list; others send the list, one object, or a text."""
    if isinstance(value, dict):
        value = value.get("data", [value])
    entries = value if isinstance(value, list) else [value]
    return tuple(_batch_error(entry) for entry in entries if entry)


def _batch_error(entry: Any) -> BatchProblem:
    if not isinstance(entry, dict):
        return BatchProblem(None, str(entry))
    code = _word(entry.get("code"))
    return BatchProblem(
        code=code,
        message=_text(entry.get("message")) or code or "the provider gave no reason",
        param=_word(entry.get("param")),
        line=_integer(entry.get("line")),
    )


def _decoded(body: bytes, redact: Redact = _as_it_is) -> Any:
    """What an answer holds, without the key: no escape hides it now, and no text is cut yet."""
    try:
        return _with_texts(msgspec.json.decode(body), redact)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return _with_texts(_decoded_leniently(body), redact)
    except (ValueError, RecursionError):
        raise UnexpectedAnswerError("the answer is not JSON or was cut off") from None


def _decoded_leniently(body: bytes) -> Any:
    """Read what some servers write beyond JSON, as result lines are read.

    A mark before the text, numbers that are none, halves of characters: the batch was paid for all
    the same, and a reason that nobody can read would be waited for. Raises `ValueError` and
    `RecursionError`.
    """
    return _with_texts(read_json(body.decode(errors="replace").encode()), storable)


def _with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A decoded value with each of its texts changed, names as well."""
    match value:
        case str():
            return change(value)
        case list():
            return [_with_texts(item, change) for item in value]
        case dict():
            return {change(key): _with_texts(item, change) for key, item in value.items()}
        case _:
            return value


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise UnexpectedAnswerError("the answer is not a JSON object")
    return answer


def _id(answer: Mapping[str, Any]) -> str:
    found = _text(answer.get("id"))
    if found is None:
        raise _lacking("the answer has no id", answer)
    return found


def _lacking(what: str, answer: Any) -> UnexpectedAnswerError:
    """The error of an answer that lacks something, with the reason that it gives."""
    words = _words_of(_unwrapped(answer))
    return UnexpectedAnswerError(f"{what}: {words}" if words else what)


def _text(value: Any) -> str | None:
    """Null, missing, blank and of another type are all the same: nothing."""
    return value if isinstance(value, str) and value.strip() else None


def _word(value: Any) -> str | None:
    """Read a code or a parameter; some servers send numbers, and LiteLLM writes "None"."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    word = str(value) if is_number else _text(value)
    return None if word == "None" else word


def _strings(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if isinstance(value, str)}


def _integer(value: Any) -> int | None:
    """Read a whole number, which some servers send as text or as a float.

    None for one that no database takes: what it counts is nothing that there is.
    """
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _MOST:
        return None
    return value


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def _sentence(status: int, text: str) -> str:
    """Name the status, and what else a server says on one line."""
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    words = _shortened("".join(c if c.isprintable() else " " for c in text))
    return f"the server answered {phrase}" + (f": {words}" if words and words != phrase else "")


def _page_text(body: bytes, redact: Redact) -> str:
    """What a proxy's page or plain text says, without its markup, and without the key.

    Redacted before anything is cut, which may leave a part of it, and once it is unescaped.
    """
    from html import unescape  # noqa: PLC0415 (start-up time)

    page = redact(body.decode(errors="replace"))[:_LONGEST_PAGE]
    title = re.search(r"<title[^>]*>(.*?)</title", page, re.IGNORECASE | re.DOTALL)
    page = title[1] if title else re.sub(r"(?is)<(script|style).*?</\1[^>]*>|<[^>]*>?", " ", page)
    return redact(unescape(page))
