"""The port for those who remove bodies from a database."""

from typing import Protocol
from uuid import UUID


class BodyWriter(Protocol):
    """Changes bodies in the transaction in which the event is recorded that says so."""

    def prune(self, batch_id: UUID, through: int) -> None:
        """Remove every body of a batch up to an event."""
        ...

    def replace(self, batch_id: UUID, version: int, body: bytes | None) -> None:
        """Put another body, as it is stored, in the place of an event's; None removes it."""
        ...
