"""What a whole process costs: CPU, wall and peak memory, as the kernel counted them."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from attrs import frozen

APPLY = "apply the results"
PLAIN_LOOP = "bare loop, as most would write it"
LOOP_AS_IT_COMES = "bare loop, SQLite as it comes"
BARE_LOOP = "bare loop, as the floor has it"
KEPT_LOOP = "bare loop, with events, digests and commits"
LOOPS = (PLAIN_LOOP, LOOP_AS_IT_COMES, BARE_LOOP, KEPT_LOOP)
"""Stages that are compared."""

_KIB = 1024
_MB = 1_000_000


_PIECE = bytes(1 << 20)
_TIMES_THE_INPUT = 6
"""So much do a database, its write-ahead log, the results and what is downloaded come to."""


def warm_pages(folder: Path, source: Path) -> None:
    """Take as much memory for a file as anything measured needs for an input, and give it back.

    A virtual machine pays for each page that it never had before: without this, whoever writes
    first would have the pages that earlier files left, and those behind him new ones.
    """
    path = folder / "pages"
    with path.open("wb") as file:
        for _ in range(0, _TIMES_THE_INPUT * source.stat().st_size, len(_PIECE)):
            file.write(_PIECE)
    path.unlink()


@frozen
class Cost:
    """The cost of a process. `cpu` (user and system) and `wall` in seconds, `peak` in bytes."""

    cpu: float
    wall: float
    peak: int

    @property
    def peak_mb(self) -> float:
        """Peak memory, in MB of a million bytes."""
        return self.peak / _MB


def measured(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Cost:
    """Run a command to its end; exits with what it said when it fails.

    The peak of a process that is started by a large one begins with that one's memory; so the
    program that calls this must stay small.
    """
    with (folder / "said.txt").open("w+b") as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdout=said, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{said.read().decode()}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * _KIB)


def median_of(costs: Sequence[Cost]) -> Cost:
    """The median of each figure by itself."""
    return Cost(
        median(each.cpu for each in costs),
        median(each.wall for each in costs),
        round(median(each.peak for each in costs)),
    )
