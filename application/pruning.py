"""Removing the bodies of old batches; their events, counts, costs and digests stay."""

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import IO
from uuid import UUID

from attrs import frozen

from ..domain.values import Stamp
from .errors import ConflictError
from .store import Batches


@frozen
class Prunable:
    """A batch that is done, and its last event: bodies up to there can be removed."""

    batch_id: UUID
    through: int


class HashedFile:
    """Writes to a file, and knows the SHA-256 of all that it wrote."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = sha256()

    @property
    def sha256(self) -> str:
        """Of what was written so far, in 64 hex digits."""
        return self._digest.hexdigest()

    def write(self, content: bytes) -> int:
        """Write all of it."""
        self._digest.update(content)
        return self._file.write(content)


def prunable(batches: Batches, before: datetime) -> list[Prunable]:
    """The batches that were done before a moment, and were not pruned since."""
    found: list[Prunable] = []
    for batch_id in _ids(batches):
        batch = batches.get(batch_id)
        is_old = batch.modified_on < before
        if is_old and batch.is_at_rest and batch.version > batch.pruned_at:
            found.append(Prunable(batch_id, batch.version))
    return found


def _ids(batches: Batches) -> list[UUID]:
    with batches.recorder.reading() as reader:
        ids, batch_id = [], reader.next_batch(None)
        while batch_id is not None:
            ids.append(batch_id)
            batch_id = reader.next_batch(batch_id)
        return ids


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
