"""Counts of the calls that reached the emulator."""

from collections import Counter

from .faults import Operation


class Calls:
    """How often each operation was called, and how often it took effect.

    The two differ by calls that were refused or that a fault kept from being processed; a call
    whose answer was lost on the way back did take effect.
    """

    def __init__(self) -> None:
        self.received: Counter[Operation] = Counter()
        self.applied: Counter[Operation] = Counter()

    def as_json(self) -> dict[str, dict[str, int]]:
        """Return all operations with both counts, zeros included."""
        return {
            op.value: {"received": self.received[op], "applied": self.applied[op]}
            for op in Operation
        }
