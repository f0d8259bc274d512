"""Result files: checked before anything is sent, and written whole or not at all."""

import os
import sys
import tempfile
from collections.abc import AsyncIterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ...application.completions import Completion, output_line
from ...application.errors import InputError


def check_output(path: Path, taken: Mapping[Path, str]) -> None:
    """Raise `InputError` when results could not be written there, before any work is done.

    `taken` are files that the results must not replace, and what they are.
    """
    target = path.resolve()
    for other, what in taken.items():
        if target == other.resolve() or _same_file(path, other):
            raise InputError(f"the output path {path} is {what}; name another file")
    if target.is_dir():
        raise InputError(f"the output path {path} is a directory; name a file")
    if target.exists() and not os.access(target, os.W_OK):
        raise InputError(f"the output path {path} is not writable")
    if _is_regular(target):
        parent = target.parent if path.is_symlink() else path.parent
        if not parent.is_dir():
            raise InputError(f"the output directory {parent} does not exist; make it first")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise InputError(f"the output directory {parent} is not writable")


def _same_file(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def _is_regular(path: Path) -> bool:
    """Whether the path is, or will be, a file that can be replaced; a pipe or a device cannot."""
    return path.is_file() or not path.exists()


async def write_results(completions: AsyncIterable[Completion], path: Path | None) -> None:
    """Write a line for each completion, atomically into a file, or to standard output.

    A repeat replaces the file.
    """
    with _whole_file(path) as file:
        async for completion in completions:
            file.write(output_line(completion))


@contextmanager
def _whole_file(path: Path | None) -> Iterator[BinaryIO]:
    """A file that stands under its name only when the block came to its end."""
    if path is None:
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as file:
            yield file
        return
    if not _is_regular(path):
        with path.open("wb") as file:
            yield file
        return
    target = path.resolve()
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        Path(temporary).chmod(_mode(target))
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, or those of any new file."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
