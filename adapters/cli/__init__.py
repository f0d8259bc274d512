"""The `batchtrail` command."""

import os
import sys


def main() -> None:
    """Run the command line; an interrupt during the imports is one, too."""
    for name in ("stdout", "stderr"):
        # A stream that was closed for us would let the next file that is opened take its place.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    try:
        from .app import run_command_line  # noqa: PLC0415 (start-up time)
    except KeyboardInterrupt:
        sys.exit(130)
    run_command_line()


__all__ = ["main"]
