"""The input of a batch: checked and fingerprinted as a whole before anything is recorded."""

import hashlib
import tempfile
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec
from attrs import frozen

from ..domain.errors import RequestRefusedError
from ..domain.requests import RequestCheck
from ..domain.values import Limits, RequestChunk
from .encoding import encoded
from .errors import InputError
from .own_thread import raised_on_own_thread
from .request_lines import blocks, checked_chunks, half_refusal

Requests = (
    Iterable[bytes | str | Mapping[str, Any]] | AsyncIterable[bytes | str | Mapping[str, Any]]
)
"""Request lines as text, or as mappings that become lines."""

_SPOOL_BYTES = 8 << 20

_READING = dict[tuple[int, int], object]()
"""Who reads which stream, by its device and inode; also those whose callers gave up."""


@frozen
class CheckedBlock:
    """A part of a checked input: its requests, and the digest of the input up to its end."""

    count: int
    sha256: bytes


@frozen
class CheckedInput:
    """An input that every rule admits, and where to read it again.

    `read` gives its lines as they will be sent, in the `blocks` in which the log will take them.
    `sha256` is over exactly these bytes: for a file with newlines at all line ends and nothing to
    leave out, it is the digest of the file.
    """

    name: str
    read: Callable[[], Iterator[bytes]]
    sha256: str
    size: int
    custom_ids: tuple[str, ...]
    blocks: tuple[CheckedBlock, ...]
    endpoint: str
    model: str | None

    def chunks(self, *, after: int = 0) -> Iterator[RequestChunk]:
        """The requests behind the first `after` ones, in chunks for the log.

        Raises `InputError` where the input is no longer what was checked.
        """
        digest = hashlib.sha256()
        read, last = self.read(), 0
        for block in self.blocks:
            lines = next(read, b"")
            digest.update(lines)
            if digest.digest() != block.sha256:
                raise self.changed()
            first, last = last + 1, last + block.count
            if last > after:
                yield self._chunk(first, last, lines, after=after)
        if next(read, None) is not None:
            raise self.changed()

    def changed(self) -> InputError:
        """The error of somebody who finds another input than was checked."""
        return InputError(f"{self.name} changed while it was being read; run again")

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


def check_input(name: str, read: Callable[[], Iterator[bytes]], limits: Limits) -> CheckedInput:
    """Check every line. Raises `InputError` naming `name`, the line and the field."""
    check = RequestCheck(limits)
    digest = hashlib.sha256()
    custom_ids, checked = list[str](), list[CheckedBlock]()
    try:
        for chunk in checked_chunks(read(), check):
            digest.update(chunk.lines)
            custom_ids += chunk.custom_ids
            checked.append(CheckedBlock(chunk.count, digest.digest()))
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
        blocks=tuple(checked),
        endpoint=check.endpoint,
        model=check.model,
    )


def check_file(path: Path, limits: Limits) -> CheckedInput:
    """Check a JSONL file. Raises `InputError` when it cannot be read or breaks a rule."""

    def read() -> Iterator[bytes]:
        with place.open("rb") as file:
            yield from blocks(file, limits)

    try:
        # It is read again, and a program may change its directory meanwhile.
        place = path.absolute()
        return check_input(str(path), read, limits)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; name a JSONL file of requests") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a directory; name a JSONL file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def copy_stream(path: Path, file: IO[bytes], limits: Limits) -> None:
    """Copy what can be read only once, a pipe or a device, as far as one batch may go."""
    left = limits.max_bytes + 2
    try:
        with _alone_at(path), path.open("rb") as stream:
            while left > 0 and (piece := stream.read(min(left, _SPOOL_BYTES))):
                file.write(piece)
                left -= len(piece)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def _alone_at(path: Path) -> Iterator[None]:
    """Raise `InputError` while another thread reads the same stream: each would get a part."""
    if not is_stream(path):
        yield
        return
    status, reader = path.stat(), object()
    stream = status.st_dev, status.st_ino
    if _READING.setdefault(stream, reader) is not reader:
        raise InputError(
            f"{path} is read already, by a call that may have been given up; use another pipe"
        )
    try:
        yield
    finally:
        del _READING[stream]


@contextmanager
def spool() -> Iterator[IO[bytes]]:
    """A place for requests that can be iterated only once: in memory, then in a temporary file."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as file:
        yield file


def request_bytes(number: int, request: object) -> bytes:
    """A request as a line with its newline. Raises `InputError` for what cannot be one."""
    try:
        if isinstance(request, (dict, Mapping)):  # the first is found in no time
            return encoded(request) + b"\n"
        raw = request.encode() if isinstance(request, str) else request
    except UnicodeEncodeError as error:
        raise InputError(f"the requests: {half_refusal(number, request) or error}") from error
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


async def fill(file: IO[bytes], requests: Requests | Path, limits: Limits) -> None:
    """Write every request as a line. Raises `InputError` for what cannot be one.

    What is behind a path is copied on a thread of its own: a pipe may bring nothing for ever, and
    then neither the store waits for it nor whoever cancels this.
    """
    if isinstance(requests, Path):
        copy = partial(copy_stream, requests, file, limits)
        if (raised := await raised_on_own_thread(copy, name="batchtrail-input")) is not None:
            raise raised
        return
    if isinstance(requests, str | bytes | Mapping) or not isinstance(
        requests, Iterable | AsyncIterable
    ):
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
    """The lines of an open file in blocks, from its beginning."""
    file.seek(0)
    return blocks(file, limits)
