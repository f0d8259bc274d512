"""Verifying: every event, every stream and every view row against what was recorded."""

from collections.abc import Callable
from uuid import UUID

from attrs import frozen

from .differences import Difference, Differences
from .input_checks import InputChecks
from .inspection import Inspector
from .records import EventRecord
from .removal_checks import RemovalChecks
from .seal_checks import SealChecks
from .sealing import PAGE_BYTES, Seal
from .store import Batches
from .stored_log import StoredLog
from .transcoding import BatchMapper
from .views_check import ViewsCheck


@frozen
class Verification:
    """What verifying came to.

    `seal` is the seal of the log as it was verified. `removed_bodies` and `redacted_lines` are
    not at hand any more, which is no difference where an event says so: their digests are.
    `broken_batches` could not be followed through a damaged stream, so that nothing is said of
    their views. `differences` holds the first of `difference_count`.
    """

    seal: Seal
    events: int
    batches: int
    removed_bodies: int
    redacted_lines: int
    broken_batches: int
    differences: tuple[Difference, ...]
    difference_count: int

    @property
    def is_good(self) -> bool:
        """Whether nothing differs."""
        return self.difference_count == 0


def verify_store(
    batches: Batches,
    check: Callable[[], None] = lambda: None,
    *,
    against: Seal | None,
    limit: int,
) -> Verification:
    """Verify everything in the database of a store, in constant memory; nothing is written.

    First the log, event by event in the order of positions; then each batch by its states, and
    its views. `against` is a seal that the log must still bear. `check` raises when nobody wants
    to know any longer.
    """
    found = Differences(limit)
    with batches.recorder.reading() as reader:
        log = _LogCheck(reader, batches.batch_mapper, found, against)
        log.run(check)
        views = ViewsCheck(reader, batches.batch_mapper, found)
        views.run(check)
    return Verification(
        seal=log.seal,
        events=log.events,
        batches=views.batches,
        removed_bodies=log.removals.removed_bodies,
        redacted_lines=log.removals.redacted_lines,
        broken_batches=views.broken,
        differences=tuple(found.shown),
        difference_count=found.count,
    )


class _LogCheck:
    """Reads the log once, with bodies."""

    def __init__(
        self, reader: StoredLog, mapper: BatchMapper, found: Differences, against: Seal | None
    ) -> None:
        self._reader = reader
        self._inspector = Inspector(mapper)
        self._found = found
        self._inputs = InputChecks()
        self.removals = RemovalChecks()
        self._seals = SealChecks(reader, found, against)
        self.seal = self.by_column = Seal()
        self.events = 0

    def run(self, check: Callable[[], None]) -> None:
        """Look at every event, and between them."""
        while page := self._reader.log_page(after=self.seal.position, max_bytes=PAGE_BYTES):
            check()
            for record in page:
                self._seals.judge(record.position, self.seal, self.by_column)
                self._check_gap(record.position)
                self._check(record)
        self._check_gap(self._reader.last_position() + 1)
        for difference in self.removals.untold():
            self._found.add_event(difference)
        self._seals.judge(None, self.seal, self.by_column)

    def _check_gap(self, position: int) -> None:
        first, last = self.seal.position + 1, position - 1
        if last == first:
            self._found.add_event(Difference("the event is missing", position=first))
        elif last > first:
            what = f"the events up to position {last} are missing"
            self._found.add_event(Difference(what, position=first))

    def _check(self, record: EventRecord) -> None:
        finding = self._inspector.look(record)
        problems = [*finding.problems, *self._inputs.problems(record, finding)]
        if problems:
            self._found.add_event(_difference(record, "; ".join(problems)))
        self.events += 1
        self.removals.take(record, finding)
        self.seal = self.seal.then(record.position, finding.digest)
        self.by_column = self.by_column.then(record.position, record.digest)


def _difference(record: EventRecord, what: str) -> Difference:
    batch_id, version = record.originator_id, record.originator_version
    return Difference(
        what,
        batch_id if isinstance(batch_id, UUID) else None,
        version if type(version) is int else None,
        record.position,
    )
