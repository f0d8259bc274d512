"""Exporting: the log, or some batches of it, as lines that any program can read and check."""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from heapq import merge
from operator import attrgetter
from typing import IO
from uuid import UUID

from attrs import evolve, frozen

from .errors import BatchNotFoundError, InputError, StoreError
from .export_format import EventLine, Footer, Header, Line, SealLine, encode_line
from .log_checks import LogChecks
from .records import EventRecord
from .sealing import PAGE_BYTES, KeptSeal, Seal
from .store import ID_DIGITS, Batches, id_digits
from .stored_log import StoredLog
from .transcoding import BatchMapper


@frozen
class Exported:
    """What an export came to.

    `seal` is that of a database that holds these events and no others; of a whole log, its own.
    `sha256` is that of the file, in hex digits. `removed_bodies` and `redacted_lines` are not in
    it, because they are not in the database any more.
    """

    events: int
    batches: int
    seal: Seal
    sha256: str
    removed_bodies: int
    redacted_lines: int


def export_store(
    batches: Batches,
    file: IO[bytes],
    references: Collection[UUID | str],
    software: str,
    check: Callable[[], None],
) -> Exported:
    """Write the log of a store as it is now, or only the batches that are named.

    A reference is a batch's id or the beginning of it. Raises `InputError` for one that does not
    fit one batch, and `StoreError` for what is damaged: a copy would not show that it is.
    `check` raises when nobody wants the export any longer.
    """
    if isinstance(references, str) or not isinstance(references, Collection):
        raise InputError(f"batches is {references!r}; give a list of ids, or of their beginnings")
    with batches.recorder.reading() as reader:
        batch_ids = [_find(reader, each) for each in references]
        export = _Export(reader, batches.batch_mapper, file, check)
        return export.some(batch_ids, software) if references else export.whole(software)


def _find(reader: StoredLog, reference: UUID | str) -> UUID:
    """The id of a batch in the log, which needs no views."""
    digits = id_digits(reference)
    first = int(digits.ljust(ID_DIGITS, "0"), 16)
    found = reader.next_batch(UUID(int=first - 1) if first else None)
    if found is None or not found.hex.startswith(digits):
        raise BatchNotFoundError(reference)
    other = reader.next_batch(found)
    if other is not None and other.hex.startswith(digits):
        raise InputError(f"more than one batch has an id that begins with {reference}")
    return found


class _Export:
    def __init__(
        self, reader: StoredLog, mapper: BatchMapper, file: IO[bytes], check: Callable[[], None]
    ) -> None:
        self._check = check
        self._reader = reader
        self._mapper = mapper
        self._file = file
        self._digest = sha256()

    def whole(self, software: str) -> Exported:
        """Write every event, and the seals that were kept of them."""
        checks, seals = LogChecks(gaps=False), list(self._reader.seals())
        self._write(Header(Header.FORMAT, software))
        for record in _log(self._reader):
            self._write_event(record, checks)
            while seals and seals[0].seal.position <= checks.events:
                self._write_seal(seals.pop(0), checks.seal)
        if (last := self._reader.last_position()) > checks.events or seals:
            last = max([last, *(each.seal.position for each in seals)])
            raise _refused(f"the events at positions {checks.events + 1} to {last} are missing")
        return self._end(checks)

    def some(self, batch_ids: Collection[UUID], software: str) -> Exported:
        """Write the events of some batches, in the order of the log."""
        checks, chosen = LogChecks(gaps=True), sorted(set(batch_ids))
        self._write(Header(Header.FORMAT, software, chosen))
        size = PAGE_BYTES // len(chosen)
        streams = [_stream(self._reader, each, size) for each in chosen]
        for record in merge(*streams, key=attrgetter("position")):
            self._write_event(record, checks)
        return self._end(checks)

    def _write_event(self, record: EventRecord, checks: LogChecks) -> None:
        self._check()
        try:
            plain = self._mapper.plain(record)
        except ValueError as error:
            raise _refused(
                f"the event at position {record.position} is damaged: {error}"
            ) from error
        fault = checks.fault(plain)
        if fault is not None:
            raise _refused(f"the event at position {record.position} {fault}")
        self._write(EventLine.of(plain))

    def _write_seal(self, kept: KeptSeal, seal: Seal) -> None:
        if kept.seal != seal:
            position = kept.seal.position
            raise _refused(f"up to position {position} it is not what was sealed as {kept.seal}")
        self._write(SealLine.of(evolve(kept, sealed_at=_in_utc(kept))))

    def _end(self, checks: LogChecks) -> Exported:
        for difference in checks.removals.untold():
            raise _refused(str(difference))
        self._write(Footer(checks.events, str(checks.seal), self._digest.hexdigest()))
        return Exported(
            checks.events,
            len(checks.batch_ids),
            checks.seal,
            self._digest.hexdigest(),
            checks.removals.removed_bodies,
            checks.removals.redacted_lines,
        )

    def _write(self, line: Header | Line) -> None:
        encoded = encode_line(line)
        self._digest.update(encoded)
        self._file.write(encoded)


def _refused(problem: str) -> StoreError:
    return StoreError(f"the log cannot be exported: {problem}; `verify` names all that is damaged")


def _in_utc(kept: KeptSeal) -> str:
    """When a seal was taken: a server gives moments in the time zone that it was set to."""
    try:
        return datetime.fromisoformat(kept.sealed_at).astimezone(UTC).isoformat()
    except (TypeError, ValueError):
        raise _refused(f"the seal of position {kept.seal.position} has no moment") from None


def _log(reader: StoredLog) -> Iterator[EventRecord]:
    after = 0
    while page := reader.log_page(after=after, max_bytes=PAGE_BYTES):
        yield from page
        after = page[-1].position


def _stream(reader: StoredLog, batch_id: UUID, size: int) -> Iterator[EventRecord]:
    after = 0
    while page := reader.stream_page(batch_id, after=after, max_bytes=size, bodies=True):
        yield from page
        after = page[-1].originator_version
