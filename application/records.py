"""Events as the database holds them: state, body and digest apart."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, Self
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
    def of(cls, record: EventRecord) -> Self:
        """A single event."""
        return cls(
            record.originator_id,
            record.topic,
            (record.originator_version,),
            (record.state,),
            (record.digest,),
            (record.body,),
        )

    def joined(self, others: Sequence[Self]) -> Self:
        """These events and others of the same batch and topic."""
        if not others:
            return self
        columns = zip(*(each[2:] for each in (self, *others)), strict=True)
        return type(self)(*self[:2], *(list(chain.from_iterable(parts)) for parts in columns))


Stored = EventRecord | EventColumns
"""What a recorder is given: single events, and several at once."""


def in_columns(stored: Iterable[Stored], *, at_least: int) -> Iterator[EventColumns]:
    """The same events in columns only.

    Neighbours of one batch and topic are joined until there are so many; the next ones are asked
    for when these were taken.
    """
    held: list[EventColumns] = []
    count = 0
    for each in stored:
        columns = each if isinstance(each, EventColumns) else EventColumns.of(each)
        if held and held[0][:2] != columns[:2]:
            yield held[0].joined(held[1:])
            held, count = [], 0
        held.append(columns)
        count += len(columns.states)
        if count >= at_least:
            yield held[0].joined(held[1:])
            held, count = [], 0
    if held:
        yield held[0].joined(held[1:])


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
