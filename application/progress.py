"""What a service tells about a step that takes long, for whoever shows it."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from attrs import frozen

from .views import BatchSummary


@frozen
class Uploading:
    """Bytes of the input file sent, of how many."""

    batch_id: UUID
    sent: int
    size: int


@frozen
class Searching:
    """A create call's answer was lost; the provider's list is searched until a moment."""

    batch_id: UUID
    until: datetime


@frozen
class Waiting:
    """The batch is with the provider; the next poll comes after `seconds`."""

    summary: BatchSummary
    seconds: float


@frozen
class Applying:
    """Results applied, of how many requests."""

    batch_id: UUID
    applied: int
    requests: int


@frozen
class Delayed:
    """A call did not succeed and is tried again after `seconds`."""

    batch_id: UUID
    reason: str
    seconds: float


@frozen
class Rebuilding:
    """Batches whose view rows were written anew, of how many."""

    batches: int
    of: int


Progress = Uploading | Searching | Waiting | Applying | Delayed | Rebuilding
OnProgress = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Show nothing."""
