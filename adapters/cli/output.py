"""Result files: checked before anything is sent, and written whole or not at all."""

import errno
import io
import os
import sys
import tempfile
from collections.abc import AsyncIterable, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from ...application.completions import Completion
from ...application.errors import InputError
from ...domain.status import Outcome
from .formats import Format
from .text import escaped

_DESCRIPTORS = Path("/proc/self/fd")
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
"""What file systems say that do not sync directories."""


def check_standard_output() -> None:
    """Raise `InputError` when it was closed before we began: the results would be lost."""
    if sys.__stdout__ is None:
        raise InputError("standard output is closed; name a file for the results with -o")


def check_input_path(path: Path, taken: Mapping[Path, str]) -> None:
    """Raise `InputError` when the input is one of our own files.

    Reading the database as a file would, at its closing, drop the locks that keep it whole.
    """
    for other, what in taken.items():
        if _same_file(path, other):
            raise InputError(f"the input {path} is {what}; name a JSONL file of requests")


def check_output_path(path: Path, taken: Mapping[Path, str]) -> None:
    """Raise `InputError` when results could not be written there, before any work is done.

    `taken` are files that the results must not replace, and what they are.
    """
    try:
        _check_place(path, taken)
    except OSError as error:
        raise InputError(f"the output path {path} cannot be used: {error.strerror}") from error


def check_export_path(path: Path, taken: Mapping[Path, str]) -> None:
    """Raise `InputError` as `check_output_path` does, and for a file that is there already.

    An earlier export may be all that is left of what was pruned since; it is never replaced.
    """
    check_output_path(path, taken)
    if path.is_file():
        raise _is_there_already(path)


def _is_there_already(path: Path) -> InputError:
    return InputError(f"{path} is there already and may hold what was pruned; name a new file")


def _check_place(path: Path, taken: Mapping[Path, str]) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        path.stat()  # a loop of links or too long a name: Python's versions differ in who tells
    target = path.resolve()
    for other, what in taken.items():
        if _same_file(path, other) or target == other.absolute():
            raise InputError(f"the output path {path} is {what}; name another file")
    if path.is_dir():
        raise InputError(f"the output path {path} is a directory; name a file")
    if path.exists() and not os.access(path, os.W_OK):
        raise InputError(f"the output path {path} is not writable")
    if _is_regular(path):  # not its target: a pipe of the shell's `>(…)` has a path of no file
        parent = target.parent if path.is_symlink() else path.parent
        if not parent.is_dir():
            raise InputError(f"the output directory {parent} does not exist; make it first")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise InputError(f"the output directory {parent} is not writable")
        _try(target.parent)


def _try(directory: Path) -> None:
    """Make a file there, and leave nothing; some systems allow in words what they refuse then."""
    descriptor, name = _temporary(directory)
    os.close(descriptor)
    if name is not None:
        Path(name).unlink()


def _same_file(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def _is_regular(path: Path) -> bool:
    """Whether the path is, or will be, a file that can be replaced; a pipe or a device cannot."""
    return path.is_file() or not path.exists()


class _Terminal(io.BufferedWriter):
    """Shows lines to somebody: what providers wrote must not drive the terminal."""

    def write(self, lines: Any, /) -> int:
        """Write whole lines; what a file or a pipe would get as it is, in escapes."""
        text = bytes(lines).decode(errors="backslashreplace").replace("\r\n", "\n")
        super().write(escaped(text, keeps="\n").encode())
        return len(bytes(lines))


async def write_lines(lines: AsyncIterable[bytes], path: Path | None) -> None:
    """Write pieces of lines, atomically into a file, or to standard output.

    A repeat replaces the file.
    """
    with whole_file(path) as file:
        async for piece in lines:
            file.write(piece)


async def write_table(
    completions: AsyncIterable[Completion],
    path: Path | None,
    format_: Format,
    *,
    only: Container[Outcome],
) -> None:
    """Write a row for each completion that came to an outcome of `only`, as `write_lines` does."""
    from ...application.tables import row_of  # noqa: PLC0415 (start-up time)
    from .tables import writing  # noqa: PLC0415

    with whole_file(path) as file, writing(format_, file) as write:
        async for completion in completions:
            if completion.outcome in only:
                write(row_of(completion))


@contextmanager
def whole_file(path: Path | None, *, export: bool = False) -> Iterator[BinaryIO]:
    """A file that stands under its name only when the block came to its end.

    That of an `export` is for its owner only, as a database is, and replaces none: `InputError`.
    """
    if path is None:
        raw = io.FileIO(os.dup(sys.stdout.fileno()), "wb")
        with _Terminal(raw) if raw.isatty() else io.BufferedWriter(raw) as file:
            yield file
        return
    if not _is_regular(path):
        with path.open("wb") as file:
            yield file
        return
    try:
        with _placing(path.resolve(), replaces=not export) as file:
            if export:
                os.fchmod(file.fileno(), 0o600)
            yield file
    except FileExistsError:
        raise _is_there_already(path) from None


@contextmanager
def _placing(target: Path, *, replaces: bool) -> Iterator[BinaryIO]:
    """A new file that is `target` at the end of the block, or takes its place."""
    descriptor, name = _temporary(target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
            if replaces and target.exists():
                os.fchmod(descriptor, target.stat().st_mode & 0o777)
            if name is None:
                name = str(target.parent / f".batchtrail-{token_hex(4)}")
                _give_name(descriptor, name)
        if replaces:
            Path(name).replace(target)
        else:
            os.link(name, target)  # which another process may have made meanwhile
            Path(name).unlink()
        _keep_name(target)
    except BaseException:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        raise


def _keep_name(target: Path) -> None:
    """See that the name survives a power cut, where that can be done.

    Otherwise what is removed next from the database, as it is in the file, could be lost in both.
    """
    try:
        directory = os.open(target.parent, os.O_RDONLY)
    except OSError:  # a directory that may not be read, or a system that opens none
        return
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(directory)


def _give_name(descriptor: int, name: str) -> None:
    """Link an open file without a name into the file system."""
    descriptors = os.open(_DESCRIPTORS, os.O_RDONLY)
    try:
        # Only with a directory given does Python make the call that follows this link.
        os.link(str(descriptor), name, src_dir_fd=descriptors, follow_symlinks=True)
    finally:
        os.close(descriptors)


def _temporary(directory: Path) -> tuple[int, str | None]:
    """An open file without a name, which a killed process cannot leave behind.

    Not every system and file system has them; there it gets a name at once.
    """
    with suppress(AttributeError, OSError):
        if _DESCRIPTORS.is_dir():
            return os.open(directory, os.O_TMPFILE | os.O_WRONLY, 0o666), None
    descriptor, name = tempfile.mkstemp(dir=directory, prefix=".batchtrail-")
    umask = os.umask(0)
    os.umask(umask)
    os.fchmod(descriptor, 0o666 & ~umask)
    return descriptor, name
