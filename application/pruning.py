"""Removing the bodies of old batches; their events, counts, costs and digests stay."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from attrs import frozen

from ..domain.values import Stamp
from .errors import ConflictError
from .store import Batches
from .views_check import each_id


@frozen
class Prunable:
    """A batch that is done, and its last event: bodies up to there can be removed."""

    batch_id: UUID
    through: int


def prunable(batches: Batches, before: datetime) -> list[Prunable]:
    """The batches that were done before a moment, and were not pruned since."""
    found: list[Prunable] = []
    with batches.recorder.reading() as reader:
        batch_ids = list(each_id(reader.next_batch))
    for batch_id in batch_ids:
        batch = batches.get(batch_id)
        is_old = batch.modified_on < before
        if is_old and batch.is_at_rest and batch.version > batch.pruned_version:
            found.append(Prunable(batch_id, batch.version))
    return found


def prune(
    batches: Batches, what: Prunable, export_sha256: str | None, stamp: Callable[[], Stamp]
) -> None:
    """Remove the bodies of a batch together with the event that says so.

    Raises `UnfinishedError` for a batch that got something to do since. Safe to repeat.
    """
    while True:
        batch = batches.get(what.batch_id)
        batch.prune_bodies(export_sha256, through=what.through, stamp=stamp())
        try:
            batches.remove_bodies(batch, lambda writer: writer.prune(what.batch_id, what.through))
        except ConflictError:
            continue
        return
