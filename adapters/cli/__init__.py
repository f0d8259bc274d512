"""The `batchtrail` command."""

import gc
import os
import signal
import sys

COLLECTED_EVERY = 100_000
"""Objects; all imports make about 70,000. Requests and results come and go by the thousand, and
none of them is in a cycle: with Python's own 700 a sixth of a run goes into looking for some."""


def main() -> None:
    """Run the command line; an interrupt during the imports is one, too."""
    gc.set_threshold(COLLECTED_EVERY)
    if os.getpid() == 1:  # of a container; the kernel keeps from it what it has no handler for
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    for name in ("stdout", "stderr"):
        # A stream that was closed for us would let the next file that is opened take its place.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    try:
        from .app import run_command_line  # noqa: PLC0415 (start-up time)
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        run_command_line()
    finally:
        # At its end the interpreter looks for cycles once more, in all that was ever imported,
        # to free what the end of the process frees anyway.
        gc.freeze()


__all__ = ["COLLECTED_EVERY", "main"]
