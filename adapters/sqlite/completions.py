"""The completions view in SQLite: a row for up to a thousand requests that follow each other.

With a row for each request, giving thousands of them their outcome took half as long as recording
their results. Now it changes some dozens of rows. The custom_ids, which never change, stand in a
table of their own, so that they are not written again with each outcome.
"""

import sqlite3
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import UUID

import msgspec
from eventsourcing.persistence import DataError
from eventsourcing.sqlite import SQLiteCursor

from ...application.views import CompletionRow
from ...domain.status import Outcome

if TYPE_CHECKING:
    from ...application.stored_log import ViewRow

PART = 1_000
"""So many requests stand in one row at most, and fewer where their custom_ids are long."""

_PART_LETTERS = 13_000
"""With quotes and commas two rows of so many fill a page; of one that is a little longer than half
a page, the other half would stay empty.
"""

_PARTS_AT_ONCE = 16
"""So many parts' rows are held while they are written anew; the last of them may be a short one."""

TABLES = {
    "request_ids": (
        "CREATE TABLE request_ids ("
        "batch_no INTEGER NOT NULL, "
        "first_number INTEGER NOT NULL, "
        "custom_ids TEXT NOT NULL, "  # a JSON array
        "PRIMARY KEY (batch_no, first_number))"
    ),
    "completions": (
        "CREATE TABLE completions ("
        "batch_no INTEGER NOT NULL, "
        "first_number INTEGER NOT NULL, "
        "outcomes TEXT NOT NULL, "  # the first letter of each; no two begin with the same
        "positions BLOB NOT NULL, "  # of each result in the log: 8 bytes, little-endian, or zeros
        "PRIMARY KEY (batch_no, first_number))"
    ),
}

_OUTCOMES = {outcome.value[0]: outcome for outcome in Outcome}
_PENDING = Outcome.PENDING.value[0]

_SELECT = (
    "SELECT first_number, custom_ids, outcomes, positions "
    "FROM completions JOIN request_ids USING (batch_no, first_number) "
    "WHERE batch_no=(SELECT batch_no FROM batches WHERE batch_id=?) AND first_number>? "
)
_NEXT = f"{_SELECT} AND first_number+length(outcomes)>? ORDER BY first_number LIMIT 1"
_BETWEEN = (
    "SELECT first_number, outcomes, positions FROM completions "
    "WHERE batch_no=? AND first_number BETWEEN ? AND ? ORDER BY first_number"
)
_CHANGE = "UPDATE completions SET outcomes=?, positions=? WHERE batch_no=? AND first_number=?"
_SETTLE_REST = "UPDATE completions SET outcomes=replace(outcomes, ?, ?) WHERE batch_no=?"
_POSITION_BYTES = 8
_LAST_NUMBER = (1 << 63) - 1

_encode = msgspec.json.Encoder().encode
_decode_ids = msgspec.json.Decoder(list[str]).decode
_UNREADABLE = (msgspec.MsgspecError, TypeError, ValueError)


class Part(NamedTuple):
    """Requests that follow each other: their custom_ids, and their outcomes as letters."""

    first_number: int
    custom_ids: list[str]
    outcomes: str
    positions: list[int | None]

    @classmethod
    def read(cls, first_number: int, custom_ids: str, outcomes: str, positions: bytes) -> Self:
        """A part as the tables hold it. Raises one of several errors for a damaged one."""
        found = [position or None for position in _unpacked(positions)]
        part = cls(first_number, _decode_ids(custom_ids), outcomes, found)
        if not len(part.custom_ids) == len(outcomes) == len(part.positions):
            raise ValueError("its columns do not fit each other")
        if not (_OUTCOMES.keys() >= set(outcomes) and type(first_number) is int):
            raise ValueError("there is no such outcome or number")
        return part

    @property
    def settled(self) -> list[int]:
        """The numbers of the requests that have an outcome."""
        letters = enumerate(self.outcomes, self.first_number)
        return [number for number, letter in letters if letter != _PENDING]

    def behind(self, number: int) -> "Part":
        """What the part holds behind a number."""
        begin = max(0, number + 1 - self.first_number)
        return Part(
            self.first_number + begin,
            self.custom_ids[begin:],
            self.outcomes[begin:],
            self.positions[begin:],
        )

    def rows(self) -> Iterator[CompletionRow]:
        """One row for each request."""
        outcomes = map(_OUTCOMES.__getitem__, self.outcomes)
        numbers = range(self.first_number, self.first_number + len(self.outcomes))
        columns = zip(numbers, self.custom_ids, outcomes, self.positions, strict=True)
        return map(CompletionRow._make, columns)


def next_part(cursor: SQLiteCursor, batch_id: UUID, *, after: int) -> Part | None:
    """The next requests behind a number; None behind the last one.

    Raises `DataError` when they cannot be read.
    """
    cursor.execute(_NEXT, (batch_id.hex, after - PART, after + 1))
    row = cursor.fetchone()
    with _damage_told():
        part = None if row is None else Part.read(*row).behind(after)
        if part is not None and part.first_number != after + 1:
            raise ValueError(f"request {after + 1} is missing")
    return part


def readable_parts(
    cursor: sqlite3.Cursor | SQLiteCursor, batch_id: UUID, *, after: int
) -> Iterator[Part]:
    """What the tables hold behind a number, whatever was done to them, but damaged parts."""
    cursor.execute(f"{_SELECT} ORDER BY first_number", (batch_id.hex, after - PART))
    while (row := cursor.fetchone()) is not None:
        try:
            part = Part.read(*row)
        except _UNREADABLE:
            continue
        yield part.behind(after)


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise DataError(
            f"the view of completions is damaged ({error}); `batchtrail rebuild` mends it"
        ) from error


def _cuts(custom_ids: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where the parts of many requests begin and end."""
    begin = letters = 0
    for end, custom_id in enumerate(custom_ids):
        letters += len(custom_id)
        if end - begin == PART or (letters > _PART_LETTERS and end > begin):
            yield begin, end
            begin, letters = end, len(custom_id)
    if begin < len(custom_ids):
        yield begin, len(custom_ids)


def drop_parts(cursor: SQLiteCursor, where: str, *parameters: object) -> None:
    """Delete the rows of which a condition is true."""
    for table in TABLES:
        cursor.execute(f"DELETE FROM {table} WHERE {where}", parameters)  # noqa: S608 (our own words)


class CompletionsWriter:
    """Writes the rows of one batch through the cursor of a transaction."""

    def __init__(self, cursor: SQLiteCursor, batch_no: int) -> None:
        self._cursor = cursor
        self._batch_no = batch_no

    def add(self, first_number: int, custom_ids: Sequence[str]) -> None:
        """Add requests that are pending."""
        for begin, end in _cuts(custom_ids):
            count = end - begin
            nowhere = array("q", bytes(_POSITION_BYTES * count))
            self._add(first_number + begin, custom_ids[begin:end], _PENDING * count, nowhere)

    def replace(self, rows: Iterable["ViewRow"]) -> None:
        """Put rows in the place of all that the batch has."""
        drop_parts(self._cursor, "batch_no=?", self._batch_no)
        left = iter(rows)
        while some := list(islice(left, _PARTS_AT_ONCE * PART)):
            numbers, ids, outcomes, positions = zip(*some, strict=True)
            letters = "".join(outcome[0] for outcome in outcomes)
            places = array("q", (at or 0 for at in positions))
            for begin, end in _cuts(ids):
                columns = ids[begin:end], letters[begin:end], places[begin:end]
                self._add(numbers[0] + begin, *columns)

    def _add(
        self,
        first_number: int,
        custom_ids: Sequence[str],
        outcomes: str,
        positions: "array[int]",
    ) -> None:
        place = self._batch_no, first_number
        self._cursor.execute(
            "INSERT INTO request_ids VALUES (?, ?, ?)", (*place, _encode(custom_ids).decode())
        )
        self._cursor.execute(
            "INSERT INTO completions VALUES (?, ?, ?, ?)",
            (*place, outcomes, _packed(positions)),
        )

    def settle(self, results: Iterable[tuple[int, Outcome, int]], behind: int) -> None:
        """Give requests their outcome and the position of the event that brought it.

        Raises `DataError` for one that is not there.
        """
        ordered = sorted(results)
        if not ordered:
            return
        done = 0
        for first_number, outcomes, positions in self._parts(ordered[0][0], ordered[-1][0]):
            begin = done
            end = bisect_left(ordered, first_number + len(outcomes), begin, key=itemgetter(0))
            for number, outcome, position in ordered[begin:end]:
                index = number - first_number
                if index < 0:
                    break
                outcomes[index] = ord(outcome[0])
                positions[index] = behind + position
                done += 1
            if done > begin:
                self._change(first_number, outcomes, positions)
        with _damage_told():
            if done < len(ordered):
                raise ValueError(f"request {ordered[done][0]} is missing")

    def settle_rest(self, outcome: Outcome) -> None:
        """Give every request that is still pending this outcome."""
        self._cursor.execute(_SETTLE_REST, (_PENDING, outcome[0], self._batch_no))

    def reopen(self) -> None:
        """Make every request pending again that has no result line."""
        for first_number, outcomes, positions in self._parts(0, _LAST_NUMBER):
            for index, position in enumerate(positions):
                if not position:
                    outcomes[index] = ord(_PENDING)
            self._change(first_number, outcomes, positions)

    def _parts(self, first: int, last: int) -> "list[tuple[int, bytearray, array[int]]]":
        """The parts that may have requests from one number to another, to be changed."""
        self._cursor.execute(_BETWEEN, (self._batch_no, first - PART + 1, last))
        parts: list[tuple[int, bytearray, array[int]]] = []
        with _damage_told():
            for first_number, letters, stored in self._cursor.fetchall():
                outcomes, positions = bytearray(letters, "ascii"), _unpacked(stored)
                if len(outcomes) != len(positions):
                    raise ValueError("its columns do not fit each other")
                parts.append((first_number, outcomes, positions))
        return parts

    def _change(self, first_number: int, outcomes: bytearray, positions: "array[int]") -> None:
        columns = outcomes.decode(), _packed(positions)
        self._cursor.execute(_CHANGE, (*columns, self._batch_no, first_number))


def _packed(positions: "array[int]") -> bytes:
    if sys.byteorder == "big":
        positions = array("q", positions)
        positions.byteswap()
    return positions.tobytes()


def _unpacked(stored: bytes) -> "array[int]":
    positions = array("q")
    positions.frombytes(stored)
    if sys.byteorder == "big":
        positions.byteswap()
    return positions
