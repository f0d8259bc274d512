"""The live views against those that the events give."""

from collections.abc import Callable, Iterator
from math import inf
from uuid import UUID

from .batch_check import CheckedBatch, check_batch
from .differences import Difference, Differences
from .stored_log import StoredLog, ViewRow
from .transcoding import BatchMapper

_ROWS = 5_000


def each_id(next_id: Callable[[UUID | None], UUID | None]) -> Iterator[UUID]:
    """All ids, from what gives the one behind another."""
    batch_id = next_id(None)
    while batch_id is not None:
        yield batch_id
        batch_id = next_id(batch_id)


def is_begun(reader: StoredLog, batch_id: UUID, checkpoint: int) -> bool:
    """Whether the views must have this batch."""
    events = reader.stream_page(batch_id, after=0, max_bytes=0)
    return bool(events) and events[0].position <= checkpoint


class ViewsCheck:
    """Follows every batch and compares its rows, one batch at a time."""

    def __init__(self, reader: StoredLog, mapper: BatchMapper, found: Differences) -> None:
        self._reader = reader
        self._mapper = mapper
        self._found = found
        self._checkpoint = reader.checkpoint()
        self.batches = self.broken = 0

    def run(self, check: Callable[[], None]) -> None:
        """Look at each batch in the log, then for rows that belong to none."""
        self._check_checkpoint()
        for batch_id in each_id(self._reader.next_batch):
            check()
            self.batches += 1
            self._check(batch_id)
        self._look_for_strays()

    def _check_checkpoint(self) -> None:
        last = self._reader.last_position()
        if self._checkpoint > last:
            what = f"the views' checkpoint is {self._checkpoint}, and the log ends at {last}"
            self._found.add(Difference(what))

    def _check(self, batch_id: UUID) -> None:
        checked = check_batch(self._reader, self._mapper, batch_id, checkpoint=self._checkpoint)
        for difference in checked.differences:
            self._found.add(difference)
        if checked.is_broken:
            self.broken += 1
        elif checked.summary is not None:
            self._compare_batch(checked)
            self._compare_rows(checked)

    def _compare_batch(self, checked: CheckedBatch) -> None:
        assert checked.summary is not None
        columns = self._reader.differing_columns(checked.summary, checked.replay.first_position)
        if columns is None:
            self._differs(checked, "has no row in the view of batches")
        elif columns:
            what = (
                f"in the view of batches, these are not what the events give: {', '.join(columns)}"
            )
            self._differs(checked, what)

    def _differs(self, checked: CheckedBatch, what: str) -> None:
        self._found.add(Difference(what, checked.batch_id, checked.version))

    def _compare_rows(self, checked: CheckedBatch) -> None:
        """Both in the order of numbers, side by side."""
        wanted, live = iter(checked.replay.rows.rows()), self._live_rows(checked.batch_id)
        left, right = next(wanted, None), next(live, None)
        while left is not None or right is not None:
            if left != right:
                self._found.add(_row_difference(checked, left, right))
            before = _number(left) <= _number(right), _number(right) <= _number(left)
            left = next(wanted, None) if before[0] else left
            right = next(live, None) if before[1] else right

    def _live_rows(self, batch_id: UUID) -> Iterator[ViewRow]:
        after = 0
        while page := self._reader.view_page(batch_id, after=after, limit=_ROWS):
            yield from page
            after = page[-1].number

    def _look_for_strays(self) -> None:
        for batch_id in each_id(self._reader.next_view):
            if not is_begun(self._reader, batch_id, self._checkpoint):
                what = "has a row in the view of batches, and no event in the log"
                self._found.add(Difference(what, batch_id))
        if strays := self._reader.stray_rows():
            what = f"rows of the views belong to no batch: {strays:,}"
            self._found.add(Difference(what))


def _number(row: ViewRow | None) -> float:
    """Where a row stands; a damaged number stands last."""
    return row.number if row is not None and type(row.number) is int else inf


def _row_difference(
    checked: CheckedBatch, wanted: ViewRow | None, live: ViewRow | None
) -> Difference:
    place = "the view of completions"
    if wanted is None or (live is not None and _number(live) < _number(wanted)):
        assert live is not None
        what = f"{place} has a request {live.number!r}, and the log has none"
        return Difference(what, checked.batch_id, checked.version)
    version = checked.replay.result_versions.get(wanted.number, checked.version)
    if live is None or _number(wanted) < _number(live):
        what = f"request {wanted.number} ({wanted.custom_id!r}) is missing in {place}"
    else:
        names = [name for name in ViewRow._fields if getattr(wanted, name) != getattr(live, name)]
        values = [f"{n} is {getattr(live, n)!r}, not {getattr(wanted, n)!r}" for n in names]
        what = f"request {wanted.number} in {place}: {', '.join(values)}"
    return Difference(what, checked.batch_id, version, wanted.position)
