"""A clock that is turned by hand."""

from attrs import define


@define
class ManualClock:
    """Unix time that stands still until a test moves it."""

    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
