"""How events, snapshots and seals become rows."""

from collections.abc import Iterable
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteCursor

from ...application.records import EventRecord

if TYPE_CHECKING:
    from ...application.sealing import KeptSeal

_ROW = "(?, ?, ?, ?, ?, ?, ?)"
_ROWS_AT_ONCE = 25
"""Events of one statement: each statement costs a part of what a row does."""

PUT_SNAPSHOT = "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)"
KEEP_SEAL = "INSERT OR IGNORE INTO seals VALUES (?, ?, ?, ?)"


def key(originator_id: UUID | str) -> str:
    """A batch's id as it stands in every table."""
    return originator_id.hex if isinstance(originator_id, UUID) else originator_id


def event_row(
    position: int, originator: str, record: EventRecord, body: bytes | None
) -> tuple[Any, ...]:
    """The columns of an event; `body` is what stands in the row of it.

    The driver takes a bytearray as it is. For bytes it first looks for somebody who adapts them,
    and words an error for each value when it finds nobody, which takes longer than the copy.
    """
    return (
        position,
        originator,
        record.originator_version,
        record.topic,
        bytearray(record.digest),
        bytearray(record.state),
        None if body is None else bytearray(body),
    )


def insert_events(cursor: SQLiteCursor, rows: Iterable[tuple[Any, ...]]) -> int:
    """Insert rows of events, which are asked for some at a time; gives their number.

    After an error the transaction must be rolled back: what came before it is not undone.
    """
    count, left = 0, iter(rows)
    while some := list(islice(left, _ROWS_AT_ONCE)):
        cursor.execute(_insertion_of(len(some)), list(chain.from_iterable(some)))
        count += len(some)
    return count


@cache
def _insertion_of(rows: int) -> str:
    # OR FAIL: to undo one statement alone, SQLite would keep a copy of each page that it changes.
    return f"INSERT OR FAIL INTO events VALUES {', '.join([_ROW] * rows)}"  # noqa: S608


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
