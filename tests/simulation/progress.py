"""How far a long run is, on standard error: one line that is renewed, or one every so often."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from attrs import define, field

_ON_TERMINAL = 0.2
_ELSEWHERE = 15.0
"""Seconds between two lines."""


@define
class Progress:
    """Tells of a run of `total` pieces, and how many are done in a minute."""

    total: int
    unit: str
    stream: TextIO = field(factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    _began: float = field(init=False)
    _told: float = field(init=False)
    _width: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._told = self._began = self.clock()

    @property
    def rate(self) -> float:
        """Pieces a minute."""
        return self.done / max(self.clock() - self._began, 1e-9) * 60

    def advance(self, note: str = "") -> None:
        """Count one piece, and tell of it when it is time."""
        self.done += 1
        now = self.clock()
        if now - self._told >= (_ON_TERMINAL if self.stream.isatty() else _ELSEWHERE):
            self._told = now
            self._tell(
                f"{self.done:,} of {self.total:,} {self.unit}, {self.rate:,.0f} a minute{note}"
            )

    def end(self) -> None:
        """Take the line away."""
        if self._width:
            self.stream.write(f"\r{' ' * self._width}\r")
            self.stream.flush()

    def _tell(self, text: str) -> None:
        if self.stream.isatty():
            self.stream.write(f"\r{text:<{self._width}}")
            self._width = len(text)
        else:
            self.stream.write(f"{text}\n")
        self.stream.flush()
