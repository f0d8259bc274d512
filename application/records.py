"""Events as the database holds them: state, body and digest apart."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Self
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
        return next(cls.in_turn(originator_id, originator_version, topic, [(state, body)]))

    @classmethod
    def in_turn(
        cls,
        originator_id: UUID,
        first_version: int,
        topic: str,
        contents: Iterable[tuple[bytes, bytes | None]],
    ) -> Iterator[Self]:
        """Records of events that follow each other in a batch, from the state and body of each.

        Without the constructor: of a frozen class it sets field by field, in three times the time.
        """
        batch, framed = _id_bytes(originator_id), _framed(topic)
        for version, (state, body) in enumerate(contents, first_version):
            record = object.__new__(cls)
            fields = {
                "originator_id": originator_id,
                "originator_version": version,
                "topic": topic,
                "state": state,
                "digest": _digest(batch, version, framed, state),
                "body": body,
                "position": 0,
            }
            object.__setattr__(record, "__dict__", fields)
            yield record


def event_digest(originator_id: UUID, version: int, topic: str, state: bytes) -> bytes:
    """SHA-256 over what an event is, before compression and encryption.

    Over the batch's id (16 bytes), the version (8 bytes, big-endian), the length of the topic in
    bytes (2 bytes, big-endian), the topic in UTF-8, and the encoded state. The state holds the
    digest of the body.
    """
    return _digest(_id_bytes(originator_id), version, _framed(topic), state)


def _digest(batch: bytes, version: int, framed_topic: bytes, state: bytes) -> bytes:
    return sha256(batch + version.to_bytes(8) + framed_topic + state).digest()


def _id_bytes(originator_id: UUID) -> bytes:
    return originator_id.int.to_bytes(16)


@lru_cache
def _framed(topic: str) -> bytes:
    name = topic.encode(errors="surrogateescape")
    return len(name).to_bytes(2) + name
