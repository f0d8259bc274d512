"""Request lines: from bytes to checked chunks, with one clear sentence for what is wrong."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ..domain.errors import RequestRefusedError
from ..domain.requests import RequestCheck
from ..domain.values import RequestChunk, RequestLine

CHUNK_BYTES = 1 << 20
"""Request lines are recorded in events of about so many bytes; one longer line stands alone."""

BOM = b"\xef\xbb\xbf"


class _Body(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None


class _Line(msgspec.Struct):
    custom_id: str
    method: str
    url: str
    body: _Body


_decode = msgspec.json.Decoder(_Line).decode
_decode_anything = msgspec.json.Decoder().decode


def normalized(lines: Iterable[bytes], *, first_number: int = 1) -> Iterator[bytes]:
    """Lines without BOM, line ends and blank lines at the end, as they will be sent.

    Raises `RequestRefusedError` for a blank line with another line behind it: every line of
    the input is one line of the results.
    """
    blank = 0
    for number, line in enumerate(lines, first_number):
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        if number == first_number:
            text = text.removeprefix(BOM)
        if not text.strip():
            blank = blank or number
            continue
        if blank:
            raise RequestRefusedError("is blank; remove it", line=blank)
        yield text


def parse_request_line(number: int, raw: bytes) -> RequestLine:
    """Read the fields that the rules need; the rest of the line stays as it is.

    Raises `RequestRefusedError` naming the line and the first field that is wrong.
    """
    try:
        if not raw.isascii():
            raw.decode()
        if b"\n" in raw:
            raise RequestRefusedError(
                "holds a line break; write each request on one line", line=number
            )
        line = _decode(raw)
    except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError):
        raise _refusal(number, raw) from None
    body = line.body
    return RequestLine(
        number, line.custom_id, line.method, line.url, body.model, body.stream is True, raw
    )


def _refusal(number: int, raw: bytes) -> RequestRefusedError:
    """Find out what the typed decoder did not like."""
    try:
        raw.decode()
        line = _decode_anything(raw)
    except UnicodeDecodeError as error:
        return RequestRefusedError(
            f"is not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8",
            line=number,
        )
    except (msgspec.MsgspecError, RecursionError) as error:
        return RequestRefusedError(f"is not valid JSON ({error})", line=number)
    if not isinstance(line, dict):
        return RequestRefusedError(
            'is not a JSON object; write {"custom_id": …, "method": "POST", "url": …, "body": {…}}',
            line=number,
        )
    return _field_refusal(number, line)


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


def checked_chunks(
    lines: Iterable[bytes], check: RequestCheck, *, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[RequestChunk]:
    """Check every line and gather them in chunks of about `chunk_bytes`.

    Raises `RequestRefusedError` at the first line that breaks a rule. Holds one chunk at a time
    and the custom_ids.
    """
    first, ids, pieces, size = check.count + 1, list[str](), list[bytes](), 0
    for raw in normalized(lines, first_number=first):
        line = parse_request_line(check.count + 1, raw)
        check.admit(line)
        ids.append(line.custom_id)
        pieces += (raw, b"\n")
        size += len(raw) + 1
        if size >= chunk_bytes:
            yield _chunk(first, ids, pieces, check)
            first, ids, pieces, size = check.count + 1, [], [], 0
    if ids:
        yield _chunk(first, ids, pieces, check)


def _chunk(first: int, ids: list[str], pieces: list[bytes], check: RequestCheck) -> RequestChunk:
    assert check.endpoint is not None
    return RequestChunk(
        first_number=first,
        custom_ids=tuple(ids),
        lines=b"".join(pieces),
        endpoint=check.endpoint,
        model=check.model,
    )
