"""Request lines: from bytes to checked chunks, with one clear sentence for what is wrong."""

import json
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import IO, Any

import msgspec

from ..domain.errors import RequestRefusedError
from ..domain.requests import RequestCheck
from ..domain.values import Limits, RequestChunk, RequestLine
from .texts import halves

CHUNK_BYTES = 1 << 20
"""Request lines are recorded in events of about so many bytes; one longer line stands alone."""

_PIECE_BYTES = 1 << 20
"""A line that goes on behind its block is read by so much, in case that it has no end."""

_BOM = b"\xef\xbb\xbf"
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")
"""How files of gzip, zstd and zip begin."""


class _Body(msgspec.Struct, gc=False):
    model: str | None = None
    stream: bool | None = None


class _Line(msgspec.Struct, gc=False):
    custom_id: str
    method: str
    url: str
    body: _Body


_decode = msgspec.json.Decoder(_Line).decode
_decode_anything = msgspec.json.Decoder().decode


def blocks(file: IO[bytes], limits: Limits, *, block_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The lines of a file as they will be sent, in blocks: each ends with a newline alone.

    A BOM at the beginning and blank lines at the end are left out. A blank line with another line
    behind it is never the last one of a block. Raises `RequestRefusedError` without a number
    behind the lines before one that is longer than a batch may be.
    """
    left_out, blank = _BOM, b""
    try:
        for block in _whole_lines(file, limits, block_bytes):
            lines = _as_sent(block.removeprefix(left_out))
            kept = _without_blank_end(lines)
            if kept:
                yield blank + kept
                blank = b""
            if len(kept) < len(lines):
                blank = b"\n"  # one stands for all: it is the first that is named
            left_out = b""
    except RequestRefusedError:
        if blank:
            yield blank
        raise


def _whole_lines(file: IO[bytes], limits: Limits, block_bytes: int) -> Iterator[bytes]:
    """Lines as they stand in the file, about `block_bytes` of them at a time."""
    while block := file.read(block_bytes):
        lines = _completed(block, file, limits)
        if lines is None:
            yield block[: block.rfind(b"\n") + 1]
            raise _too_long(limits)
        yield lines


def _completed(block: bytes, file: IO[bytes], limits: Limits) -> bytes | None:
    """A block with the rest of its last line; None for a line longer than a batch may be."""
    pieces, size = [block], len(block) - (block.rfind(b"\n") + 1)
    while size <= limits.max_bytes + 1:
        if pieces[-1].endswith(b"\n") or not (piece := file.readline(_PIECE_BYTES)):
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
    return None


def _too_long(limits: Limits, line: int | None = None) -> RequestRefusedError:
    return RequestRefusedError(
        f"is longer than the {limits.max_bytes:,} bytes that one batch may have; "
        "write one request a line",
        line=line,
    )


def _as_sent(lines: bytes) -> bytes:
    """Lines with a newline alone at the end of each."""
    if b"\r" not in lines and lines.endswith(b"\n"):
        return lines
    return b"".join(
        [line.removesuffix(b"\n").removesuffix(b"\r") + b"\n" for line in BytesIO(lines)]
    )


def _without_blank_end(lines: bytes) -> bytes:
    if lines.endswith(b"}\n"):  # as nearly all do: nothing to look for
        return lines
    text = lines.rstrip()
    return lines[: lines.index(b"\n", len(text)) + 1] if text else b""


def parse_request_line(number: int, raw: bytes) -> RequestLine:
    """Read the fields that the rules need; the rest of the line stays as it is.

    Raises `RequestRefusedError` naming the line and the first field that is wrong.
    """
    try:
        if not raw.isascii():
            raw.decode()
        line = _decode(raw)
    except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError):
        raise _refusal(number, raw) from None
    body = line.body
    return RequestLine(
        number, line.custom_id, line.method, line.url, body.model, body.stream is True, raw
    )


def _refusal(number: int, raw: bytes) -> RequestRefusedError:
    """Find out what the typed decoder did not like."""
    if raw.startswith(_COMPRESSED):
        return RequestRefusedError("is compressed; unpack the file first", line=number)
    try:
        raw.decode()
        line = _decode_anything(raw)
    except UnicodeDecodeError as error:
        return RequestRefusedError(
            f"is not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8",
            line=number,
        )
    except (msgspec.MsgspecError, RecursionError) as error:
        if half := _half_refusal(number, raw):
            return half
        problem = f"is not valid JSON ({error}); write each request whole, on a line of its own"
        return RequestRefusedError(problem, line=number)
    if not isinstance(line, dict):
        return RequestRefusedError(
            'is not a JSON object; write {"custom_id": …, "method": "POST", "url": …, "body": {…}}',
            line=number,
        )
    return _field_refusal(number, line)


def _half_refusal(number: int, raw: bytes) -> RequestRefusedError | None:
    """The error of a line that would be JSON but for half of a surrogate pair."""
    try:
        return half_refusal(number, json.loads(raw))
    except (ValueError, RecursionError):
        return None


def half_refusal(number: int, request: object) -> RequestRefusedError | None:
    """The error of a request in which a character is cut in half; None when there is none."""
    for field, half in halves(request):
        problem = (
            f"holds {half}, half of a surrogate pair, as a text does that was cut within a "
            "character; write the whole character, or leave it out"
        )
        return RequestRefusedError(problem, line=number, field=field or None)
    return None


def _field_refusal(number: int, line: dict[str, Any]) -> RequestRefusedError:
    for name in ("custom_id", "method", "url"):
        if name not in line:
            return RequestRefusedError(
                "is missing; every request needs one", line=number, field=name
            )
        if not isinstance(line[name], str):
            return RequestRefusedError(
                "must be a string; put it in quotes", line=number, field=name
            )
    if "body" not in line:
        return RequestRefusedError("is missing; every request needs one", line=number, field="body")
    body = line["body"]
    if not isinstance(body, dict):
        return RequestRefusedError("must be a JSON object", line=number, field="body")
    if not isinstance(body.get("model"), str | None):
        return RequestRefusedError("must be a string", line=number, field="body.model")
    return RequestRefusedError("must be true or false", line=number, field="body.stream")


def checked_chunks(lines: Iterable[bytes], check: RequestCheck) -> Iterator[RequestChunk]:
    """Check every line of these `blocks`, and make a chunk of each.

    Raises `RequestRefusedError` at the first line that breaks a rule. Holds one chunk at a time
    and the custom_ids.
    """
    try:
        for block in lines:
            yield _checked(block, check)
    except RequestRefusedError as error:
        if error.line is not None:
            raise
        raise RequestRefusedError(error.problem, line=check.count + 1) from None


def _checked(block: bytes, check: RequestCheck) -> RequestChunk:
    first = check.count + 1
    custom_ids = _alike(block, check)
    if custom_ids is None or not check.admit_alike(custom_ids, size=len(block)):
        custom_ids = [_admitted(line, check) for line in BytesIO(block)]
    assert check.endpoint is not None
    return RequestChunk(
        first_number=first,
        custom_ids=tuple(custom_ids),
        lines=block,
        endpoint=check.endpoint,
        model=check.model,
    )


def _alike(block: bytes, check: RequestCheck) -> list[str] | None:
    """The custom_ids of lines that only go on with what was before; None for any others."""
    url, model = check.endpoint, check.model
    custom_ids: list[str] = []
    try:
        if not block.isascii():
            for line in BytesIO(block):
                line.decode()
        for request in map(_decode, BytesIO(block)):
            body = request.body
            if request.method != "POST" or request.url != url or body.model != model or body.stream:
                return None
            custom_ids.append(request.custom_id)
    except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError):
        return None
    return custom_ids


def _admitted(line: bytes, check: RequestCheck) -> str:
    """The custom_id of a single line that breaks no rule."""
    number, raw = check.count + 1, line.removesuffix(b"\n")
    if not raw.strip():
        raise RequestRefusedError("is blank; remove it", line=number)
    if len(raw) > check.limits.max_bytes:
        raise _too_long(check.limits, number)
    request = parse_request_line(number, raw)
    check.admit(request)
    return request.custom_id
