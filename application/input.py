"""The input of a batch: checked and fingerprinted as a whole before anything is recorded."""

import hashlib
import tempfile
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec
from attrs import frozen

from ..domain.errors import RequestRefusedError
from ..domain.requests import RequestCheck
from ..domain.values import Limits, RequestChunk
from .errors import InputError
from .request_lines import BOM, checked_chunks, normalized

Requests = (
    Iterable[bytes | str | Mapping[str, Any]] | AsyncIterable[bytes | str | Mapping[str, Any]]
)
"""Request lines as text, or as mappings that become lines."""

_SPOOL_BYTES = 8 << 20
_PIECE_BYTES = 1 << 20
_BUFFER_BYTES = 1 << 20
"""Lines of some kilobytes are read in a third of the time that they take by the usual 8 kB."""


@frozen
class CheckedInput:
    """An input that every rule admits, and where to read it again.

    `sha256` is over the exact bytes that will be sent: for a file with newlines at all line
    ends and nothing to leave out, it is the digest of the file. `chunk_counts` are the requests
    of each chunk in which the log will take them.
    """

    name: str
    read: Callable[[], Iterator[bytes]]
    sha256: str
    size: int
    custom_ids: tuple[str, ...]
    chunk_counts: tuple[int, ...]
    endpoint: str
    model: str | None

    def chunks(self, *, after: int = 0) -> Iterator[RequestChunk]:
        """The requests behind the first `after` ones, in chunks for the log.

        Raises `InputError` in place of the last chunk when the input is not what was checked.
        """
        digest = hashlib.sha256()
        lines, last = self.read(), 0
        held: RequestChunk | None = None  # the last chunk leaves only when the digest is right
        for count in self.chunk_counts:
            first, last = last + 1, last + count
            some = _as_sent(list(islice(lines, count)), first)
            digest.update(some)
            if last <= after:
                continue
            if held is not None:
                yield held
            held = self._chunk(first, last, some, after=after)
        if digest.hexdigest() != self.sha256 or any(line.strip() for line in lines):
            raise InputError(f"{self.name} changed while it was being read; run again")
        if held is not None:
            yield held

    def _chunk(self, first: int, last: int, lines: bytes, *, after: int) -> RequestChunk:
        if first <= after:
            lines = lines.split(b"\n", after - first + 1)[-1]
            first = after + 1
        return RequestChunk(
            first_number=first,
            custom_ids=self.custom_ids[first - 1 : last],
            lines=lines,
            endpoint=self.endpoint,
            model=self.model,
        )


def _as_sent(lines: list[bytes], first: int) -> bytes:
    """Lines of the input as they are sent; as they stand, if nothing is to be left out."""
    block = b"".join(lines)
    if block.endswith(b"\n") and b"\r" not in block and (first > 1 or not block.startswith(BOM)):
        return block
    return b"".join([line + b"\n" for line in normalized(lines, first_number=first)])


def check_input(name: str, read: Callable[[], Iterator[bytes]], limits: Limits) -> CheckedInput:
    """Check every line. Raises `InputError` naming `name`, the line and the field."""
    check = RequestCheck(limits)
    digest = hashlib.sha256()
    custom_ids, counts = list[str](), list[int]()
    try:
        for chunk in checked_chunks(read(), check):
            digest.update(chunk.lines)
            custom_ids += chunk.custom_ids
            counts.append(chunk.count)
    except RequestRefusedError as error:
        raise InputError(f"{name}: {error}") from error
    if check.endpoint is None:
        raise InputError(f"{name} is empty; write one request a line")
    return CheckedInput(
        name=name,
        read=read,
        sha256=digest.hexdigest(),
        size=check.size,
        custom_ids=tuple(custom_ids),
        chunk_counts=tuple(counts),
        endpoint=check.endpoint,
        model=check.model,
    )


def check_file(path: Path, limits: Limits) -> CheckedInput:
    """Check a JSONL file. Raises `InputError` when it cannot be read or breaks a rule."""

    def read() -> Iterator[bytes]:
        with path.open("rb", buffering=_BUFFER_BYTES) as file:
            yield from bounded_lines(file, limits)

    try:
        return check_input(str(path), read, limits)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; name a JSONL file of requests") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a directory; name a JSONL file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def bounded_lines(file: IO[bytes], limits: Limits) -> Iterator[bytes]:
    """The lines of a file; one longer than a whole batch may be is refused, and not read on."""
    readline = partial(file.readline, _PIECE_BYTES)
    for number, line in enumerate(iter(readline, b""), 1):
        if line.endswith(b"\n") and len(line) <= limits.max_bytes + 1:
            yield line
        else:
            yield _long_line(number, line, readline, limits)


def _long_line(number: int, begin: bytes, readline: Callable[[], bytes], limits: Limits) -> bytes:
    """The whole of a line that is longer than a piece, or the last one without a newline."""
    pieces, size = [begin], len(begin)
    while size <= limits.max_bytes + 1:
        if pieces[-1].endswith(b"\n") or not (piece := readline()):
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
    raise RequestRefusedError(
        f"is longer than the {limits.max_bytes:,} bytes that one batch may have; "
        "write one request a line",
        line=number,
    )


def copy_stream(path: Path, file: IO[bytes], limits: Limits) -> None:
    """Copy what can be read only once, a pipe or a device, as far as one batch may go."""
    left = limits.max_bytes + 2
    try:
        with path.open("rb") as stream:
            while left > 0 and (piece := stream.read(min(left, _SPOOL_BYTES))):
                file.write(piece)
                left -= len(piece)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def spool() -> Iterator[IO[bytes]]:
    """A place for requests that can be iterated only once: in memory, then in a temporary file."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as file:
        yield file


def request_bytes(number: int, request: object) -> bytes:
    """A request as a line with its newline. Raises `InputError` for what cannot be one."""
    try:
        if isinstance(request, Mapping):
            return msgspec.json.encode(request) + b"\n"
        raw = request.encode() if isinstance(request, str) else request
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"the requests: line {number}: cannot be JSON ({error})") from error
    if not isinstance(raw, bytes):
        raise InputError(
            f"the requests: line {number}: is {type(request).__name__}; give a line or a mapping"
        )
    raw = raw.removesuffix(b"\n")
    if b"\n" in raw:
        raise InputError(
            f"the requests: line {number}: holds a line break; write each request on one line"
        )
    return raw + b"\n"


async def fill(file: IO[bytes], requests: Requests) -> None:
    """Write every request as a line. Raises `InputError` for what cannot be one."""
    if isinstance(requests, str | bytes | Mapping):
        raise InputError("the requests must be a Path, or an iterable of lines or mappings")
    number = 0
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            file.write(request_bytes(number := number + 1, request))
    else:
        for request in requests:
            file.write(request_bytes(number := number + 1, request))


def is_stream(path: Path) -> bool:
    """Whether the path is a pipe or a device, which can be read only once."""
    with suppress(OSError):
        return path.exists() and not path.is_file() and not path.is_dir()
    return False


def reread(file: IO[bytes], limits: Limits) -> Iterator[bytes]:
    """The lines of an open file, from its beginning."""
    file.seek(0)
    return bounded_lines(file, limits)
