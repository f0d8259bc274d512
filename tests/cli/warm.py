"""Runs the installed command many times, each in a fork of a process that has its imports done.

Starting an interpreter and importing everything takes most of a second; the tables of bad input
would take minutes. Reads orders as JSON lines, and answers each with the fork's process id at its
beginning and with its exit status at its end. Its own process id says that it is ready.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import threading
from typing import Any

IMPORTS = (
    "batchtrail.adapters.cli.app",
    "batchtrail.adapters.cli.batches",
    "batchtrail.adapters.cli.estimate",
    "batchtrail.adapters.cli.evidence",
    "batchtrail.adapters.cli.history",
    "batchtrail.adapters.cli.moving",
    "batchtrail.adapters.cli.removal",
    "batchtrail.adapters.cli.results",
    "batchtrail.adapters.cli.status",
    "batchtrail.adapters.cli.work",
    "batchtrail.adapters.handlers",
    "batchtrail.adapters.openai.provider",
    "batchtrail.adapters.postgres",
    "batchtrail.adapters.prices",
    "batchtrail.adapters.sqlite.reader",
    "batchtrail.application.endpoints",
    "batchtrail.application.exporting",
    "batchtrail.application.importing",
    "batchtrail.application.rebuilding",
    "batchtrail.application.service",
    "batchtrail.application.verification",
)
"""What a command imports, also while it runs."""


def become(order: dict[str, Any]) -> None:
    """Turn this fork into the command."""
    signal.alarm(order["patience"])
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.argv = order["arguments"]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        end_at_once(end)


def end_at_once(end: SystemExit) -> None:
    """Leave out what takes longest of a short command: to free everything that was imported."""
    if isinstance(end.code, str):
        raise end
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code or 0)


def tell(number: int) -> None:
    """Write a line of the answer."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends."""
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()
    tell(os.getpid())
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            become(json.loads(line))
            return
        tell(pid)
        _, status = os.waitpid(pid, 0)
        tell(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
