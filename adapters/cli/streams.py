"""Standard streams: lent to code of users, and kept from stopping the work when nobody hears."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any, TextIO


class _Unheeded(FileIO):
    """The descriptor of a stream; what cannot be written there is lost without a word."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream.fileno(), "w", closefd=False)
        self._stream = stream  # which closes the descriptor when nobody holds it

    def write(self, said: Any, /) -> int:
        """Write what can be written, and take the rest for written."""
        size = memoryview(said).nbytes
        with suppress(OSError):
            return super().write(said) or size  # None where a pipe that does not wait is full
        return size


def speak_without_listeners() -> None:
    """Let nothing end for what cannot be said on standard error.

    Its terminal may be closed and the disk of its log full, while a batch is paid for and its
    results are still to be written.
    """
    stream = sys.stderr
    sys.stderr = TextIOWrapper(
        BufferedWriter(_Unheeded(stream)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
    )


@contextmanager
def printing_to(stream: TextIO) -> Iterator[None]:
    """Let what is printed until the end of the block, as by completion handlers, go to a stream.

    By a file of its own on the same descriptor: whoever closes or replaces `sys.stdout` does so to
    that one. It is not closed at the end, because somebody may have kept it, as loggers do.
    """
    lent = open(  # noqa: SIM115 (a descriptor, and it stays open)
        stream.fileno(),
        "w",
        buffering=1,
        encoding=stream.encoding,
        errors=stream.errors,
        closefd=False,
    )
    with redirect_stdout(lent):
        yield
    # It was closed; or whoever printed was told what could not be written, unless it was no line.
    with suppress(ValueError, OSError):
        lent.flush()
