"""The installed command, and the process that forks into it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .forks import Forks, forking

COMMAND = Path(sys.executable).parent / "batchtrail"

_IMPORTS = (
    "batchtrail.adapters.bodies",
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
    "batchtrail.adapters.emulator",
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
    "pkgutil",
)
"""What a command imports, also while it runs."""


@contextmanager
def warmed() -> Iterator[Forks]:
    """Run a process whose forks are commands: most of a short one's time goes into its imports."""
    with forking(_IMPORTS) as forks:
        yield forks


@pytest.fixture(scope="session")
def warm() -> Iterator[Forks]:
    """Forks into commands, for all tests of this process."""
    with warmed() as forks:
        yield forks
