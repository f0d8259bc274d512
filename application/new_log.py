"""The port for those who fill an empty database with a log that was recorded elsewhere."""

from collections.abc import Sequence
from typing import Protocol

from eventsourcing.persistence import StoredEvent

from .batch_check import CheckedBatch
from .records import EventRecord
from .sealing import KeptSeal
from .stored_log import StoredLog


class NewLog(Protocol):
    """A log in the making; nobody else sees it before its transaction is over."""

    @property
    def log(self) -> StoredLog:
        """What the database holds by now."""
        ...

    def add(self, records: Sequence[EventRecord]) -> None:
        """Add events, each at its position, which is behind all others."""
        ...

    def keep_seal(self, kept: KeptSeal) -> None:
        """Remember a seal that was taken of this log."""
        ...

    def put_batch(self, checked: CheckedBatch, snapshot: StoredEvent) -> None:
        """Write the rows of a batch, and the snapshot of its last state."""
        ...

    def end(self, position: int) -> None:
        """Say that the log and its views go up to here; the next event stands behind it."""
        ...
