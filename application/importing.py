"""Importing: an export file becomes the log of an empty database, whole or not at all."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import IO
from uuid import UUID

from attrs import evolve, frozen

from .batch_check import CheckedBatch, check_batch
from .errors import InputError
from .export_file import ExportFile
from .export_format import EventLine, SealLine
from .log_checks import LogChecks
from .new_log import NewLog
from .records import EventRecord
from .sealing import PAGE_BYTES, KeptSeal, Seal
from .store import Batches
from .views_check import each_id


@frozen
class Imported:
    """What an import came to; `seal` is that of the database now, as `seal` prints it."""

    events: int
    batches: int
    seal: Seal


def import_into_store(
    batches: Batches, file: IO[bytes], name: str, check: Callable[[], None]
) -> Imported:
    """Fill the empty database of a store from an export file, in one transaction.

    Each event is checked as `verify` does, before it and its views are there for others. Raises
    `InputError` for a database that is not empty, and for a file that differs anywhere from what
    was exported: the database is then as empty as before. `name` names the file in errors;
    `check` raises when nobody wants the import any longer.
    """
    source = ExportFile(file, name)
    header = source.header()
    with batches.recorder.filling() as new:
        if new.log.last_position():
            raise InputError("the database has events already; import into an empty one")
        return _Import(batches, new, source, header.batches, check).run()


class _Import:
    def __init__(
        self,
        batches: Batches,
        new: NewLog,
        source: ExportFile,
        batch_ids: Collection[UUID] | None,
        check: Callable[[], None],
    ) -> None:
        self._check = check
        self._batches = batches
        self._new = new
        self._source = source
        self._batch_ids = None if batch_ids is None else frozenset(batch_ids)
        self._checks = LogChecks(gaps=batch_ids is not None)
        self._page: list[EventRecord] = []
        self._size = 0

    def run(self) -> Imported:
        """Read the file to its end, then write the views."""
        for line in self._source.lines():
            self._check()
            if isinstance(line, SealLine):
                self._take_seal(line)
            else:
                self._take(line)
        self._write_page()
        seal = self._checks.seal
        self._source.end(events=self._checks.events, seal=str(seal))
        for difference in self._checks.removals.untold():
            raise self._source.refused(f"{difference}, and was so before it was exported")
        self._check_batches()
        for batch_id in each_id(self._new.log.next_batch):
            self._check()
            self._write_views(batch_id)
        self._new.end(seal.position)
        return Imported(self._checks.events, len(self._checks.batch_ids), seal)

    def _take(self, line: EventLine) -> None:
        if self._batch_ids is not None and line.batch_id not in self._batch_ids:
            raise self._source.refused("is not among those that the header names", "batch_id")
        plain = line.record()
        fault = self._checks.fault(plain)
        if fault is not None:
            raise self._source.refused_event(fault)
        record = self._batches.batch_mapper.stored(plain, position=self._checks.events)
        self._page.append(record)
        self._size += len(record.state) + len(record.body or b"")
        if self._size > PAGE_BYTES:
            self._write_page()

    def _write_page(self) -> None:
        if self._page:
            self._new.add(self._page)
        self._page, self._size = [], 0

    def _take_seal(self, line: SealLine) -> None:
        seal = self._checks.seal
        if self._batch_ids is not None or line.seal != str(seal):
            raise self._source.refused(f"is not {seal}, which the lines before it give", "seal")
        self._new.keep_seal(KeptSeal(seal, self._moment(line), line.sealed_by))

    def _check_batches(self) -> None:
        if self._batch_ids is not None and self._batch_ids != self._checks.batch_ids:
            missing = min(self._batch_ids - self._checks.batch_ids)
            raise self._source.refused(f"there is no event of batch {missing}, which line 1 names")

    def _write_views(self, batch_id: UUID) -> None:
        """What follows from the events of a batch, if they follow from each other."""
        checked = check_batch(
            self._new.log, self._batches.batch_mapper, batch_id, checkpoint=self._checks.events
        )
        batch = checked.replay.batch
        if checked.differences or checked.is_broken or batch is None:
            raise self._source.refused(_first_of(checked))
        self._new.put_batch(checked, self._batches.snapshot_of(batch))

    def _moment(self, line: SealLine) -> str:
        try:
            moment = datetime.fromisoformat(line.sealed_at)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise self._source.refused(f"{line.sealed_at!r} is no moment", "sealed_at")
        return line.sealed_at


def _first_of(checked: CheckedBatch) -> str:
    """What is wrong with a batch: every event is what was recorded, so it was wrong before."""
    found = [str(evolve(each, position=None)) for each in checked.differences[:1]]
    found = found or [f"batch {checked.batch_id} cannot be followed"]
    return f"{found[0]}, and was so before it was exported"
