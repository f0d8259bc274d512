"""Events as the database holds them: state, body and digest apart."""

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
        """A record with the digest of its plain state.

        Without the constructor: of a frozen class it sets field by field, in three times the time.
        """
        record = object.__new__(cls)
        fields = {
            "originator_id": originator_id,
            "originator_version": originator_version,
            "topic": topic,
            "state": state,
            "digest": event_digest(originator_id, originator_version, topic, state),
            "body": body,
            "position": 0,
        }
        object.__setattr__(record, "__dict__", fields)
        return record


def event_digest(originator_id: UUID, version: int, topic: str, state: bytes) -> bytes:
    """SHA-256 over what an event is, before compression and encryption.

    Over the batch's id (16 bytes), the version (8 bytes, big-endian), the length of the topic in
    bytes (2 bytes, big-endian), the topic in UTF-8, and the encoded state. The state holds the
    digest of the body.
    """
    head = originator_id.int.to_bytes(16) + version.to_bytes(8)
    return sha256(head + _framed(topic) + state).digest()


@lru_cache
def _framed(topic: str) -> bytes:
    name = topic.encode(errors="surrogateescape")
    return len(name).to_bytes(2) + name
