"""Exit statuses, and how errors become one clear sentence."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from ...application.errors import (
    BatchtrailError,
    HandlerError,
    InputError,
    NotFoundError,
    ProviderError,
    RefusedError,
    StoreError,
    UnauthorizedError,
)
from ...domain.errors import DomainError
from .text import say


class ExitStatus(IntEnum):
    """What the shell is told."""

    OK = 0
    ERROR = 1
    BAD_INPUT = 2
    INCOMPLETE = 3
    INTERRUPTED = 130


_LEFT_OUT = ", without --new,"


@contextmanager
def exiting_on_errors(*, new: bool = False, interrupted: str = "interrupted") -> Iterator[None]:
    """Turn every error into a sentence on standard error and an exit status.

    `new` says that the command had --new: a repeat with it would make one more batch, and pay.
    `interrupted` is what Ctrl-C is answered with.
    """
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        say(interrupted)
        sys.exit(ExitStatus.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        _forget_output()
        sys.exit(ExitStatus.ERROR)
    except OSError as error:
        _forget_output()
        what = f" {error.filename}" if error.filename else ""
        again = f"run the same command{_LEFT_OUT if new else ''} again"
        say(f"cannot read or write{what}: {error.strerror}; {again}")
        sys.exit(ExitStatus.ERROR)
    except BatchtrailError as error:
        hint = _hint_after_new(error) if new else _hint(error)
        say("; ".join((f"{error}{hint}", *getattr(error, "__notes__", ()))))
        sys.exit(_status_of(error))
    except Exception as error:
        if os.environ.get("BATCHTRAIL_DEBUG"):
            raise
        say(
            f"unexpected {type(error).__name__}: {error}; this is a bug, please report it with "
            "the traceback that BATCHTRAIL_DEBUG=1 shows"
        )
        sys.exit(ExitStatus.ERROR)


def _status_of(error: Exception) -> ExitStatus:
    refused = (InputError, DomainError, RefusedError, UnauthorizedError)
    return ExitStatus.BAD_INPUT if isinstance(error, refused) else ExitStatus.ERROR


def _hint(error: Exception) -> str:
    """What a user can do about an error that has no remedy in its own sentence."""
    if isinstance(error, UnauthorizedError):
        return "; check OPENAI_API_KEY"
    if isinstance(error, NotFoundError):
        # With a note it is about the input file of a recorded batch, which may come into sight.
        is_recorded = hasattr(error, "__notes__")
        return (
            f"; {'the same command goes on, unless' if is_recorded else 'either'} it was deleted "
            "there, or OPENAI_API_KEY and OPENAI_BASE_URL are not those it was submitted with"
        )
    if isinstance(error, ProviderError) and _status_of(error) is ExitStatus.ERROR:
        return "; the same command goes on"
    return ""


def _hint_after_new(error: Exception) -> str:
    """The same for a command with --new, which may have made its batch before it failed."""
    if isinstance(error, ProviderError | HandlerError) and not isinstance(error, RefusedError):
        check = _hint(error) if isinstance(error, UnauthorizedError) else ""
        return f"{check}; the same command{_LEFT_OUT} goes on"
    if isinstance(error, StoreError) and _status_of(error) is ExitStatus.ERROR:
        return "; leave --new out once `status` lists the new batch"
    return _hint(error)


def _forget_output() -> None:
    """Keep the interpreter from writing what is left in the buffer, and failing once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
