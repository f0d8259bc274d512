"""Standard output while code of users runs: it is lent to them, and they may do what they like."""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO


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
    with suppress(ValueError):  # it was closed
        lent.flush()
