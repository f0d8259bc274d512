"""Removing the bodies of old batches; their events, counts, costs and digests stay."""

import re
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from attrs import field, frozen

from ..domain.checks import check_type, is_number
from ..domain.values import Stamp
from .errors import ConflictError, InputError
from .store import Batches
from .views_check import each_id

_SHA256 = re.compile(r"[0-9a-f]{64}")


@frozen
class Prunable:
    """A batch that is done, and its last event: bodies up to there can be removed."""

    batch_id: UUID
    through: int = field(validator=is_number)


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

    Raises `UnfinishedError` for a batch that got something to do since, and `InputError` for
    what is no digest and for an event that the batch does not have. Safe to repeat.
    """
    check_type("what", what, Prunable, "a Prunable; `prunable` gives those that there are")
    _check_digest(export_sha256)
    while True:
        batch = batches.get(what.batch_id)
        if what.through > batch.version:
            raise InputError(f"batch {batch.id} has no event {what.through} yet")
        batch.prune_bodies(export_sha256, through=what.through, stamp=stamp())
        try:
            batches.save_batch(
                batch, change_bodies=lambda writer: writer.prune(what.batch_id, what.through)
            )
        except ConflictError:
            continue
        return


def _check_digest(sha256: object) -> None:
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise InputError(
            f"export_sha256 is {sha256!r}; give the digest of the export file in 64 hex digits"
        )
