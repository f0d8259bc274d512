"""How events, snapshots and seals become rows."""

import sqlite3
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteCursor

from ...application.records import EventColumns, EventRecord, in_columns
from .beginnings import Beginnings
from .pieces import Pieces

if TYPE_CHECKING:
    from ...application.sealing import KeptSeal

_COLUMNS = 7
_ROW = f"({', '.join('?' * _COLUMNS)})"
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


def insert_events(
    cursor: SQLiteCursor, stored: Iterable[EventRecord | EventColumns], positions: Iterator[int]
) -> None:
    """Insert events, each at the next position, asking for some at a time.

    After an error the transaction must be rolled back: what came before it is not undone.
    """
    rows = _rows(stored, positions, Beginnings(cursor), Pieces(cursor))
    values = chain.from_iterable(rows)
    while some := list(islice(values, _ROWS_AT_ONCE * _COLUMNS)):
        cursor.execute(_insertion_of(len(some) // _COLUMNS), some)


def _rows(
    stored: Iterable[EventRecord | EventColumns],
    positions: Iterator[int],
    beginnings: Beginnings,
    pieces: Pieces,
) -> Iterator[tuple[Any, ...]]:
    """The rows of events, with copies of what is stored only while each is asked for.

    The driver takes a bytearray as it is. For bytes it first looks for somebody who adapts them,
    and words an error for each value when it finds nobody, which takes longer than the copy.
    """
    for columns in in_columns(stored, at_once=_ROWS_AT_ONCE):
        places = list(islice(positions, len(columns.states)))
        topic, begin = beginnings.of(columns.topic, columns.states)
        bodies = pieces.keep_all(places, columns.bodies)
        yield from zip(
            places,
            repeat(key(columns.originator_id)),
            columns.versions,
            repeat(topic),
            map(bytearray, columns.digests),
            (bytearray(state[begin:]) for state in columns.states),
            (None if body is None else bytearray(body) for body in bodies),
            strict=False,  # the same ones repeat without end
        )


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
