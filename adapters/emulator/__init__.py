"""An aiohttp server that speaks OpenAI's Files and Batch API on loopback, for demos and tests."""

from .app import CALLS, FAULTS, create_app
from .calls import Calls
from .clock import ManualClock
from .dialects import Dialect
from .faults import Fault, FaultKind, Faults, Operation, read_fault
from .server import Emulator, running_emulator
from .settings import EmulatorSettings

__all__ = [
    "CALLS",
    "FAULTS",
    "Calls",
    "Dialect",
    "Emulator",
    "EmulatorSettings",
    "Fault",
    "FaultKind",
    "Faults",
    "ManualClock",
    "Operation",
    "create_app",
    "read_fault",
    "running_emulator",
]
