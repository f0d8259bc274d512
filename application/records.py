"""Events as the database holds them: state, body and digest apart."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple, Self
from uuid import UUID

from eventsourcing.persistence import StoredEvent


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
        return cls._made(
            {
                "originator_id": originator_id,
                "originator_version": originator_version,
                "topic": topic,
                "state": state,
                "digest": event_digest(originator_id, originator_version, topic, state),
                "body": body,
                "position": 0,
            }
        )

    @classmethod
    def of_columns(cls, columns: "EventColumns") -> Iterator[Self]:
        """A record of each event."""
        each = zip(columns.versions, columns.states, columns.digests, columns.bodies, strict=True)
        for version, state, digest, body in each:
            yield cls._made(
                {
                    "originator_id": columns.originator_id,
                    "originator_version": version,
                    "topic": columns.topic,
                    "state": state,
                    "digest": digest,
                    "body": body,
                    "position": 0,
                }
            )

    @classmethod
    def _made(cls, fields: dict[str, Any]) -> Self:
        """Without the constructor, which sets field by field, in three times the time."""
        record = object.__new__(cls)
        object.__setattr__(record, "__dict__", fields)
        return record


class EventColumns(NamedTuple):
    """Events of one batch and one topic, column by column: what an `EventRecord` of each says.

    To make those of thousands of results takes longer than to write them.
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
        batch, framed = _id_bytes(originator_id), _framed(topic)
        versions = range(first_version, first_version + len(states))
        hashes = [
            sha256(batch + version.to_bytes(8) + framed + state)
            for version, state in zip(versions, states, strict=True)
        ]
        digests = [each.digest() for each in hashes]
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


def in_columns(
    stored: Iterable[EventRecord | EventColumns], *, at_once: int
) -> Iterator[EventColumns]:
    """The same events in columns only; of single ones at most so many are held."""
    held: list[EventRecord] = []
    for each in stored:
        if held and not (len(held) < at_once and _are_alike(held[0], each)):
            yield EventColumns.of(held)
            held = []
        if isinstance(each, EventColumns):
            yield each
        else:
            held.append(each)
    if held:
        yield EventColumns.of(held)


def _are_alike(record: EventRecord, other: EventRecord | EventColumns) -> bool:
    return (
        isinstance(other, EventRecord)
        and other.topic == record.topic
        and other.originator_id == record.originator_id
    )


def one_by_one(stored: Iterable[EventRecord | EventColumns]) -> Iterator[EventRecord]:
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
    batch, framed = _id_bytes(originator_id), _framed(topic)
    return sha256(batch + version.to_bytes(8) + framed + state).digest()


def _id_bytes(originator_id: UUID) -> bytes:
    return originator_id.int.to_bytes(16)


@lru_cache
def _framed(topic: str) -> bytes:
    name = topic.encode(errors="surrogateescape")
    return len(name).to_bytes(2) + name
