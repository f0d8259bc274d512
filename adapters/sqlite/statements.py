"""How events, snapshots and seals become rows."""

import sqlite3
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteCursor

from ...application.records import Stored, in_columns
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


def insert_events(cursor: SQLiteCursor, stored: Iterable[Stored], positions: Iterator[int]) -> int:
    """Insert events, each at the next position, asking for some at a time; gives their number.

    After an error the transaction must be rolled back: what came before it is not undone.
    """
    count = 0
    rows = _rows(stored, positions, Beginnings(cursor), Pieces(cursor))
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        cursor.execute(_insertion_of(len(some)), list(chain.from_iterable(some)))
        count += len(some)
        some.clear()  # or these would be held until the next ones are made
    return count


def _rows(
    stored: Iterable[Stored],
    positions: Iterator[int],
    beginnings: Beginnings,
    pieces: Pieces,
) -> Iterator[tuple[Any, ...]]:
    """The rows of events, each copied when it is asked for.

    What they have in common, and the pieces of their bodies, are written meanwhile. The driver
    takes a bytearray as it is. For bytes it first looks for somebody who adapts them, and words
    an error for each value when it finds nobody, which takes longer than the copy.
    """
    for columns in in_columns(stored, at_least=_ROWS_AT_ONCE):
        batch = key(columns.originator_id)
        taken = list(islice(positions, len(columns.states)))
        topic, begin = beginnings.of(columns.topic, columns.states)
        bodies = pieces.keep_all(taken, columns.bodies)
        yield from zip(
            taken,
            [batch] * len(taken),
            columns.versions,
            [topic] * len(taken),
            map(bytearray, columns.digests),
            (bytearray(state[begin:]) for state in columns.states),
            (None if body is None else bytearray(body) for body in bodies),
            strict=True,
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
