"""Rebuilding: the rows of every batch anew from its events, beside whoever is at work."""

from collections.abc import Callable, Iterator
from uuid import UUID

from attrs import frozen

from .batch_check import CheckedBatch, check_batch
from .store import Batches
from .stored_log import StoredLog
from .views_check import each_id, is_begun

_ROWS = 20_000
"""Rows of so many requests go into one transaction, or those of one batch."""

OnBatches = Callable[[int, int], None]
"""Told how many batches are done, of how many."""


@frozen
class Rebuilt:
    """What a rebuild came to: batches and requests written, and batches that are damaged.

    What the views say of damaged ones is left as it was.
    """

    batches: int
    requests: int
    damaged: tuple[UUID, ...]


def rebuild(batches: Batches, on_batches: OnBatches) -> Rebuilt:
    """Replace every row of the views by what the log gives.

    One batch after the other, each in a transaction, so that nobody ever reads views that are
    half there. A batch that goes on meanwhile is replayed again: what others save is neither
    lost nor doubled. Safe to break off and to repeat. Holds the rows of one group of batches.
    """
    return _Rebuild(batches, on_batches).run()


class _Rebuild:
    def __init__(self, batches: Batches, on_batches: OnBatches) -> None:
        self._batches = batches
        self._on_batches = on_batches
        self._done = self._requests = self._of = 0
        self._damaged: list[UUID] = []

    def run(self) -> Rebuilt:
        """Write the batches of the log, then take out what else there is."""
        with self._batches.recorder.reading() as reader:
            batch_ids = list(each_id(reader.next_batch))
            checkpoint = reader.checkpoint()
            views = each_id(reader.next_view)
            strays = [each for each in views if not is_begun(reader, each, checkpoint)]
        self._of = len(batch_ids)
        while batch_ids:
            batch_ids += self._write_some(batch_ids)
        self._batches.recorder.clean_views(strays)
        if not self._damaged:
            self._batches.catch_up()
        return Rebuilt(self._done, self._requests, tuple(self._damaged))

    def _write_some(self, batch_ids: list[UUID]) -> list[UUID]:
        """Write the next batches and take them off the list; gives back those that went on."""
        with self._batches.recorder.reading() as reader:
            group = list(self._group(reader, batch_ids))
        left = self._batches.recorder.rewrite_views(group)
        written = [each for each in group if each.batch_id not in left]
        self._done += len(written)
        self._requests += sum(len(each.replay.rows) for each in written)
        self._on_batches(self._done + len(self._damaged), self._of)
        return list(left)

    def _group(self, reader: StoredLog, batch_ids: list[UUID]) -> Iterator[CheckedBatch]:
        rows, checkpoint = 0, reader.checkpoint()
        while batch_ids and rows < _ROWS:
            batch_id = batch_ids.pop()
            checked = check_batch(
                reader, self._batches.batch_mapper, batch_id, checkpoint=checkpoint
            )
            if checked.is_broken:
                self._damaged.append(batch_id)
                continue
            rows += len(checked.replay.rows) + 1
            yield checked
