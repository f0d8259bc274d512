"""Events as the database holds them: state, body and digest apart."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby
from typing import NamedTuple, Self, cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from ..domain.bodies import digests_of


@dataclass(frozen=True)
class EventRecord(StoredEvent):
    """An event with its body beside its state, and the digest of its plain state.

    `body` is None for an event without one, for one that was removed, and where it was not asked
    for. `position` is the place in the log, 0 before the event has one.
    """

    digest: bytes = b""
    body: bytes | None = None
    position: int = 0

    @classmethod
    def of(
        cls,
        originator_id: UUID,
        originator_version: int,
        topic: str,
        state: bytes,
        body: bytes | None,
    ) -> Self:
        """A record with the digest of its plain state."""
        digest = event_digest(originator_id, originator_version, topic, state)
        return cls._made(originator_id, topic, (originator_version, state, digest, body))

    @classmethod
    def of_columns(cls, columns: "EventColumns") -> Iterator[Self]:
        """A record of each event."""
        for own in zip(
            columns.versions, columns.states, columns.digests, columns.bodies, strict=True
        ):
            yield cls._made(columns.originator_id, columns.topic, own)

    @classmethod
    def _made(
        cls, originator_id: UUID | str, topic: str, own: tuple[int, bytes, bytes, bytes | None]
    ) -> Self:
        """Without the constructor, which sets field by field, in three times the time.

        So every field must stand here.
        """
        version, state, digest, body = own
        record = object.__new__(cls)
        fields = {
            "originator_id": originator_id,
            "originator_version": version,
            "topic": topic,
            "state": state,
            "digest": digest,
            "body": body,
            "position": 0,
        }
        object.__setattr__(record, "__dict__", fields)
        return record


class EventColumns(NamedTuple):
    """Events of one batch and one topic, column by column.

    To make a record of each of thousands of results takes longer than to write them.
    """

    originator_id: UUID | str
    topic: str
    versions: Sequence[int]
    states: Sequence[bytes]
    digests: Sequence[bytes]
    bodies: Sequence[bytes | None]

    @classmethod
    def in_turn(
        cls,
        originator_id: UUID,
        first_version: int,
        topic: str,
        states: Sequence[bytes],
        bodies: Sequence[bytes | None],
    ) -> Self:
        """Events that follow each other, with the digests of their plain states."""
        versions = range(first_version, first_version + len(states))
        digests = _digests(originator_id, topic, versions, states)
        return cls(originator_id, topic, versions, states, digests, bodies)

    @classmethod
    def of(cls, records: Sequence[EventRecord]) -> Self:
        """What records of one batch and one topic say."""
        return cls(
            records[0].originator_id,
            records[0].topic,
            [record.originator_version for record in records],
            [record.state for record in records],
            [record.digest for record in records],
            [record.body for record in records],
        )


Stored = EventRecord | EventColumns
"""What a recorder is given: single events, and several at once."""


def in_columns(stored: Iterable[Stored], *, at_least: int) -> Iterator[EventColumns]:
    """The same events in columns only.

    Neighbours of one batch and topic are joined until there are so many; the next ones are asked
    for when these were taken.
    """
    held: list[Stored] = []
    count = 0
    for each in stored:
        # As tuples: then the same id is not compared, which takes Python long.
        group = (each.originator_id, each.topic)
        if held and group != (held[0].originator_id, held[0].topic):
            yield _joined(held)
            held, count = [], 0
        held.append(each)
        count += len(each.states) if isinstance(each, EventColumns) else 1
        if count >= at_least:
            yield _joined(held)
            held, count = [], 0
    if held:
        yield _joined(held)


def _joined(held: Sequence[Stored]) -> EventColumns:
    parts: list[EventColumns] = []
    for kind, some in groupby(held, key=type):
        if kind is EventColumns:
            parts += cast(Iterator[EventColumns], some)
        else:
            parts.append(EventColumns.of(cast(list[EventRecord], list(some))))
    first, *others = parts
    if not others:
        return first
    columns = zip(*(part[2:] for part in parts), strict=True)
    return EventColumns(*first[:2], *(list(chain.from_iterable(column)) for column in columns))


def one_by_one(stored: Iterable[Stored]) -> Iterator[EventRecord]:
    """The same events as records only."""
    for each in stored:
        if isinstance(each, EventColumns):
            yield from EventRecord.of_columns(each)
        else:
            yield each


def event_digest(originator_id: UUID, version: int, topic: str, state: bytes) -> bytes:
    """SHA-256 over what an event is, before compression and encryption.

    Over the batch's id (16 bytes), the version (8 bytes, big-endian), the length of the topic in
    bytes (2 bytes, big-endian), the topic in UTF-8, and the encoded state. The state holds the
    digest of the body.
    """
    return _digests(originator_id, topic, (version,), (state,))[0]


def _digests(
    originator_id: UUID, topic: str, versions: Sequence[int], states: Sequence[bytes]
) -> list[bytes]:
    batch, framed = originator_id.int.to_bytes(16), _framed(topic)
    return digests_of(
        [
            batch + version.to_bytes(8) + framed + state
            for version, state in zip(versions, states, strict=True)
        ]
    )


@lru_cache
def _framed(topic: str) -> bytes:
    name = topic.encode(errors="surrogateescape")
    return len(name).to_bytes(2) + name
