"""Runs the installed command many times, each in a fork of a process that has its imports done.

Starting an interpreter and importing everything takes most of a second; the tables of bad input
would take minutes. Reads orders as JSON lines, and answers each with the fork's process id at its
beginning and with its exit status at its end.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import sys
from typing import Any

IMPORTS = (
    "batchtrail.adapters.cli.batches",
    "batchtrail.adapters.cli.evidence",
    "batchtrail.adapters.cli.history",
    "batchtrail.adapters.cli.moving",
    "batchtrail.adapters.cli.status",
    "batchtrail.adapters.handlers",
    "batchtrail.adapters.openai.provider",
    "batchtrail.adapters.postgres",
    "batchtrail.adapters.prices",
    "batchtrail.adapters.sqlite",
    "batchtrail.application.exporting",
    "batchtrail.application.importing",
    "batchtrail.application.service",
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
    runpy.run_path(sys.argv[0], run_name="__main__")


def tell(number: int) -> None:
    """Write a line of the answer."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends."""
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()
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
