"""One batch followed through its stream: what its state and its views must be, and what is odd."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from attrs import define, field

from ..domain.batch import Batch
from ..domain.events import BatchEvent, ResultsCollected
from .differences import Difference
from .errors import StoreError
from .following import state_of
from .records import EventRecord
from .scratch_replay import ScratchReplay
from .stored_log import StoredLog
from .transcoding import BatchMapper, SnapshotMapper
from .views import BatchSummary

PAGE_BYTES = 2 << 20


@define
class CheckedBatch:
    """A batch as its events make it, up to the views' checkpoint.

    `version` is the last event up to there, 0 when there is none; `summary` is then None.
    `is_broken` when the events cannot be followed to the checkpoint: nothing else is known then
    but the differences.
    """

    batch_id: UUID
    version: int = 0
    summary: BatchSummary | None = None
    replay: ScratchReplay = field(factory=ScratchReplay)
    is_broken: bool = False
    bad_snapshots: list[int] = field(factory=list)
    differences: list[Difference] = field(factory=list)


def check_batch(
    reader: StoredLog, mapper: BatchMapper, batch_id: UUID, *, checkpoint: int
) -> CheckedBatch:
    """Follow a batch by its states alone: the order of its events, its totals, its snapshots.

    Holds a row for each request. Events that cannot be read are no difference here: looking at
    each event by itself has named them.
    """
    return _Walk(reader, mapper, batch_id, checkpoint).done()


class _Walk:
    def __init__(
        self, reader: StoredLog, mapper: BatchMapper, batch_id: UUID, checkpoint: int
    ) -> None:
        self._reader = reader
        self._mapper = mapper
        self._snapshots = SnapshotMapper(mapper.transcoder)
        self._checkpoint = checkpoint
        self._checked = CheckedBatch(batch_id)
        self._batch: Batch | None = None
        self._can_follow = True
        self._is_closed = False
        self._last = (0, 0)

    def done(self) -> CheckedBatch:
        """Walk to the end of the stream."""
        checked = self._checked
        for page in self._pages():
            stored = self._stored_snapshots(page)
            for record in page:
                self._step(record)
                self._compare_snapshot(record, stored.get(record.originator_version))
        if self._can_follow and not self._is_closed:
            self._close_views()
        return checked

    def _pages(self) -> Iterator[list[EventRecord]]:
        after = 0
        while page := self._reader.stream_page(
            self._checked.batch_id, after=after, max_bytes=PAGE_BYTES
        ):
            after = page[-1].originator_version
            yield [record for record in page if type(record.originator_version) is int]
            if type(after) is not int:
                return

    def _step(self, record: EventRecord) -> None:
        version, position = self._last
        self._last = (record.originator_version, record.position)
        self._check_order(record, version, position)
        if self._can_follow:
            if record.position > self._checkpoint and not self._is_closed:
                self._close_views()
            self._follow(record)

    def _check_order(self, record: EventRecord, version: int, position: int) -> None:
        if record.originator_version != version + 1:
            missing = range(version + 1, record.originator_version)
            what = (
                f"is missing, as all up to event {missing[-1]}"
                if len(missing) > 1
                else "is missing"
            )
            following = f"event {record.originator_version} stands at position {record.position}"
            self._differs(f"{what}; {following}", missing[0] if missing else version)
            self._break_off()
        if record.position < position:
            what = f"stands before event {record.originator_version - 1}, at position {position}"
            self._differs(what, record.originator_version, record.position)
            if record.position <= self._checkpoint < position:
                # The views hold this one and not the one before it, which nobody can make anew.
                self._checked.is_broken = True

    def _follow(self, record: EventRecord) -> None:
        try:
            event = self._mapper.to_domain_event(record)
            assert isinstance(event, BatchEvent)
            self._take(event, record.position)
        except StoreError:
            self._break_off()  # named already
        except Exception as error:  # noqa: BLE001 (a changed event may break any rule)
            what = f"cannot follow the events before it: {type(error).__name__} {error}".rstrip()
            self._differs(what, record.originator_version, record.position)
            self._break_off()

    def _take(self, event: BatchEvent, position: int) -> None:
        checked = self._checked
        if not self._is_closed:
            checked.replay.take(event, position)
            self._batch = checked.replay.batch
            checked.version = event.originator_version
        else:
            self._batch = event.mutate(self._batch)
        if (
            isinstance(event, ResultsCollected)
            and self._batch is not None
            and event.totals != self._batch.totals
        ):
            what = "has totals that are not the sums of the results before it"
            self._differs(what, event.originator_version, position)

    def _close_views(self) -> None:
        """Fix what the views hold: the events so far."""
        self._is_closed = True
        if self._batch is not None:
            self._checked.replay.settle_rows()
            self._checked.summary = BatchSummary.of(self._batch)

    def _break_off(self) -> None:
        self._can_follow = False
        self._checked.is_broken = not self._is_closed

    def _stored_snapshots(self, page: list[EventRecord]) -> dict[int, Any]:
        if not page:
            return {}
        found = self._reader.snapshots(
            self._checked.batch_id,
            after=page[0].originator_version - 1,
            to=page[-1].originator_version,
        )
        return {stored.originator_version: stored for stored in found}

    def _compare_snapshot(self, record: EventRecord, stored: Any) -> None:
        if stored is None or not self._can_follow or self._batch is None:
            return
        try:
            snapshot: Any = self._snapshots.to_domain_event(stored)
            is_same = snapshot.state == state_of(self._batch)
        except StoreError:
            is_same = False
        if not is_same:
            what = "has a snapshot behind it that is not what the events give"
            self._differs(what, record.originator_version, record.position)
            self._checked.bad_snapshots.append(record.originator_version)

    def _differs(self, what: str, version: int, position: int | None = None) -> None:
        self._checked.differences.append(
            Difference(what, self._checked.batch_id, version, position)
        )
