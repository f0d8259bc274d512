"""Faults that a test arms, and the order in which calls meet them."""

from collections import defaultdict, deque

from attrs import frozen

from .operations import Operation


@frozen
class CallFault:
    """The error that a call raises, before it is done or, with `done`, after it."""

    error: BaseException
    done: bool


@frozen
class TransferFault:
    """Where a download stops, and the error it stops with; None ends it as if it were whole."""

    after_bytes: int
    error: BaseException | None


class Faults:
    """Armed faults; each operation meets its own in the order in which they were armed."""

    def __init__(self) -> None:
        self.always: BaseException | None = None
        """What every call raises, for as long as it is set."""
        self._calls: dict[Operation, deque[CallFault]] = defaultdict(deque)
        self._transfers: deque[TransferFault] = deque()

    def arm_call(self, operation: Operation, fault: CallFault, times: int) -> None:
        """Strike the next `times` calls of the operation that no earlier fault strikes."""
        self._calls[operation].extend([fault] * times)

    def arm_transfer(self, fault: TransferFault, times: int) -> None:
        """Strike the next `times` downloads that no earlier transfer fault strikes."""
        self._transfers.extend([fault] * times)

    def draw_call(self, operation: Operation) -> CallFault | None:
        """Return the fault that strikes this call, if any."""
        if self.always is not None:
            return CallFault(self.always, done=False)
        return self._calls[operation].popleft() if self._calls[operation] else None

    def draw_transfer(self) -> TransferFault | None:
        """Return the fault that strikes this download, if any."""
        return self._transfers.popleft() if self._transfers else None

    def clear(self) -> None:
        """Disarm everything."""
        self.always = None
        self._calls.clear()
        self._transfers.clear()
