"""How events, snapshots and seals become rows."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from eventsourcing.persistence import StoredEvent
from psycopg import Cursor
from psycopg.rows import TupleRow

from ...application.records import EventRecord
from ...application.sealing import KeptSeal
from .texts import bytes_of

_COPY = (
    "COPY batchtrail_events "
    "(notification_id, originator_id, originator_version, topic, digest, state, body) "
    "FROM STDIN (FORMAT BINARY)"
)
PUT_SNAPSHOT = (
    "INSERT INTO batchtrail_snapshots (originator_id, originator_version, topic, state) "
    "VALUES (%s, %s, %s, %s) ON CONFLICT (originator_id, originator_version) "
    "DO UPDATE SET topic=excluded.topic, state=excluded.state"
)
KEEP_SEAL = "INSERT INTO batchtrail_seals VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"


def copy_events(
    cursor: Cursor[TupleRow], records: Sequence[EventRecord], positions: Iterable[int]
) -> None:
    """Write events, each at its position."""
    with cursor.copy(_COPY) as copy:
        copy.set_types(["int8", "uuid", "int8", "text", "bytea", "bytea", "bytea"])
        for position, record in zip(positions, records, strict=True):
            copy.write_row(
                (
                    position,
                    record.originator_id,
                    record.originator_version,
                    record.topic,
                    record.digest,
                    record.state,
                    record.body,
                )
            )


def snapshot_row(snapshot: StoredEvent) -> tuple[Any, ...]:
    """The columns of a snapshot."""
    return (
        snapshot.originator_id,
        snapshot.originator_version,
        snapshot.topic,
        snapshot.state,
    )


def seal_row(kept: KeptSeal) -> tuple[Any, ...]:
    """The columns of a kept seal."""
    moment = datetime.fromisoformat(kept.sealed_at)
    return kept.seal.position, kept.seal.link, moment, bytes_of(kept.sealed_by)
