"""How events, snapshots and seals become rows."""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteCursor

from ...application.records import EventRecord
from .beginnings import Beginnings
from .pieces import Pieces

if TYPE_CHECKING:
    from ...application.sealing import KeptSeal

_ROW = "(?, ?, ?, ?, ?, ?, ?)"
_ROWS_AT_ONCE = 25
"""Events of one statement: each statement costs a part of what a row does."""

_LAST_GIVEN = (
    "SELECT max("
    "coalesce((SELECT CAST(seq AS INTEGER) FROM sqlite_sequence WHERE name='events'), 0), "
    "coalesce((SELECT max(position) FROM events), 0))"
)
PUT_SNAPSHOT = "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)"
KEEP_SEAL = "INSERT OR IGNORE INTO seals VALUES (?, ?, ?, ?)"


def key(originator_id: UUID | str) -> str:
    """A batch's id as it stands in every table."""
    return originator_id.hex if isinstance(originator_id, UUID) else originator_id


def insert_events(cursor: SQLiteCursor, placed: Iterable[tuple[int, EventRecord]]) -> int:
    """Insert events at their positions, asking for some at a time; gives their number.

    After an error the transaction must be rolled back: what came before it is not undone.
    """
    count, placed = 0, iter(placed)
    beginnings, pieces = Beginnings(cursor), Pieces(cursor)
    while some := list(islice(placed, _ROWS_AT_ONCE)):
        values = list[Any]()
        for topic, alike in groupby(some, _topic):
            values += _values(topic, list(alike), beginnings, pieces)
        cursor.execute(_insertion_of(len(some)), values)
        count += len(some)
    return count


def _topic(placed: tuple[int, EventRecord]) -> str:
    return placed[1].topic


def _values(
    topic: str, placed: Sequence[tuple[int, EventRecord]], beginnings: Beginnings, pieces: Pieces
) -> list[Any]:
    """The columns of events that have a topic, one row behind the other.

    The driver takes a bytearray as it is. For bytes it first looks for somebody who adapts them,
    and words an error for each value when it finds nobody, which takes longer than the copy.
    """
    topic, begin = beginnings.of(topic, [record.state for _, record in placed])
    values = list[Any]()
    batch_id, batch = None, ""
    for position, record in placed:
        if record.originator_id is not batch_id:  # nearly always that of the one before
            batch_id, batch = record.originator_id, key(record.originator_id)
        body = pieces.keep(position, record.body)
        values += (
            position,
            batch,
            record.originator_version,
            topic,
            bytearray(record.digest),
            bytearray(record.state[begin:]),
            None if body is None else bytearray(body),
        )
    return values


@cache
def _insertion_of(rows: int) -> str:
    # OR FAIL: to undo one statement alone, SQLite would keep a copy of each page that it changes.
    return f"INSERT OR FAIL INTO events VALUES {', '.join([_ROW] * rows)}"  # noqa: S608


def last_given(cursor: sqlite3.Cursor | SQLiteCursor) -> int:
    """The highest position that was ever given to an event, whether that is there or not."""
    cursor.execute(_LAST_GIVEN)
    position: int = cursor.fetchone()[0]
    return position


def snapshot_row(snapshot: StoredEvent) -> tuple[Any, ...]:
    """The columns of a snapshot."""
    return (
        key(snapshot.originator_id),
        snapshot.originator_version,
        snapshot.topic,
        snapshot.state,
    )


def seal_row(kept: "KeptSeal") -> tuple[Any, ...]:
    """The columns of a kept seal."""
    return kept.seal.position, kept.seal.link, kept.sealed_at, kept.sealed_by
