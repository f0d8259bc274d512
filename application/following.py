"""Batches as the events of their log make them."""

from collections.abc import Iterable
from typing import Any

from ..domain.batch import Batch
from ..domain.events import BatchEvent
from .errors import StoreError

_BESIDE_THE_STATE = {"_id", "_version", "_pending_events"}


def state_of(batch: Batch) -> dict[str, Any]:
    """What a snapshot has of a batch beside its id and version."""
    return {name: value for name, value in vars(batch).items() if name not in _BESIDE_THE_STATE}


def followed(batch: Batch | None, happened: Iterable[BatchEvent]) -> Batch | None:
    """A batch after more of its events, the first one to begin with.

    Raises `StoreError` for an event that cannot follow: one is missing before it, or something
    was changed. The library's own loop asks each event for its protocols, in twice the time.
    """
    for event in happened:
        try:
            batch = event.mutate(batch)
        except Exception as error:
            raise StoreError(
                f"event {event.originator_version} of batch {event.originator_id} cannot follow "
                "what the log has before it; `batchtrail verify` tells what was changed"
            ) from error
    return batch
