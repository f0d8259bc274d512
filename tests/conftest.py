"""Shared by all tests: files in memory, a database server, assertions of the contract suites."""

import gc
import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("batchtrail.adapters.fake.contract", "tests.stores")
pytest_plugins = [
    "tests.laboratory.commands",
    "tests.laboratory.store_processes",
    "tests.postgres_server",
]

# How long an example takes says something of the machine and its load, not of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# A shell that starts a command in the background has it ignore this, and all of its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

_TESTS = Path(__file__).parent
_LONG = ("benchmarks", "cli", "examples", "kills", "simulation", "sqlite")
"""Where single tests take seconds, most of them waiting for processes."""

_MEMORY = "/dev/shm"  # noqa: S108 (only a parent of temporary directories)
_ROOM = 1 << 30
"""Bytes: some times what the tests have there at once; a container may have next to nothing."""


def _is_fit(directory: str) -> bool:
    """Whether files may be written and run there; the programs of the database server are."""
    if not os.access(directory, os.W_OK):
        return False
    about = os.statvfs(directory)
    return about.f_bavail * about.f_frsize > _ROOM and not about.f_flag & os.ST_NOEXEC


if _is_fit(_MEMORY):
    # Each commit would wait for the disk, and the power never fails here: only processes die.
    os.environ.setdefault("TMPDIR", _MEMORY)
    tempfile.tempdir = None  # whoever asked already got the one on disk


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker begin with long tests: short ones fill what is left of the cores in the end.

    `--dist worksteal` gives each of them one of so many equal parts of the list.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.path.relative_to(_TESTS).parts[0] in _LONG]
    short = [item for item in items if item.path.relative_to(_TESTS).parts[0] not in _LONG]
    items[:] = [
        item
        for worker in range(workers)
        for kind in (long, short)
        for item in kind[len(kind) * worker // workers : len(kind) * (worker + 1) // workers]
    ]


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not walk through it each time.

    Nor through thousands of young objects again and again, which takes an eighth of the time.
    """
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
