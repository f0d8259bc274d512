"""Real processes, killed for real: small versions of what `make kills` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from tests.cli.conftest import emulating
from tests.laboratory.promises import BrokenPromiseError

from .databases import NewLog, postgres_logs, sqlite_log
from .evidence import Evidence, check
from .lives import Lives, Undisturbed, World, undisturbed
from .lost import Loss, lose
from .terminals import Terminal, warm_terminal
from .workers import Plan, work

if TYPE_CHECKING:
    from pathlib import Path

TIMES = ("--validating", "0.03", "--in-progress", "0.05")
REQUESTS = 60
STRETCH = 0.05
NewTerminal = Callable[[], Terminal]
