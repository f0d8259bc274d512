"""The lines of an export file, as `docs/reference/export.md` has them: JSON, one object a line."""

from collections.abc import Sequence
from typing import Annotated, ClassVar
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from .records import EventRecord
from .sealing import KeptSeal

Hex = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Header(Struct, forbid_unknown_fields=True):
    """The first line: the version of the format, what wrote it, and which batches it has.

    `batches` is None for the whole log. There is no moment in it: the same log gives the same
    bytes, so that two databases are compared by comparing their exports.
    """

    FORMAT: ClassVar[int] = 1

    batchtrail_export: int
    software: str
    batches: Sequence[UUID] | None = None


class EventLine(
    Struct, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag="event"
):
    """One event, neither compressed nor encrypted.

    `state` holds the bytes under the digest. The body is a text where it is valid UTF-8, and
    absent when the event has none, or it was removed.
    """

    position: int
    batch_id: UUID
    version: int
    topic: str
    state: bytes
    digest: Hex
    body: str | None = None
    body_base64: bytes | None = None

    def __post_init__(self) -> None:
        if self.body is not None and self.body_base64 is not None:
            raise ValueError("has both a body and a body_base64")

    @classmethod
    def of(cls, plain: EventRecord) -> "EventLine":
        """The line of an event whose state and body are plain."""
        assert isinstance(plain.originator_id, UUID)
        text, raw = _text_or_bytes(plain.body)
        return cls(
            plain.position,
            plain.originator_id,
            plain.originator_version,
            plain.topic,
            plain.state,
            plain.digest.hex(),
            text,
            raw,
        )

    def record(self) -> EventRecord:
        """The event, with its state and body plain."""
        return EventRecord(
            originator_id=self.batch_id,
            originator_version=self.version,
            topic=self.topic,
            state=self.state,
            digest=bytes.fromhex(self.digest),
            body=self.body_base64 if self.body is None else self.body.encode(),
            position=self.position,
        )


def _text_or_bytes(body: bytes | None) -> tuple[str | None, bytes | None]:
    if body is None:
        return None, None
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return None, body


class SealLine(Struct, forbid_unknown_fields=True, tag_field="kind", tag="seal"):
    """A seal that was kept in the database, behind the last event that it stands for."""

    seal: str
    sealed_at: str
    sealed_by: str

    @classmethod
    def of(cls, kept: KeptSeal) -> "SealLine":
        """The line of a kept seal."""
        return cls(str(kept.seal), kept.sealed_at, kept.sealed_by)


class Footer(Struct, forbid_unknown_fields=True, tag_field="kind", tag="end"):
    """The last line: without it the file was cut off.

    `seal` is that of a database that holds these events and no others; of the whole log, its
    own. `sha256` is that of all bytes before this line.
    """

    events: int
    seal: str
    sha256: Hex


Line = EventLine | SealLine | Footer

_ENCODER = msgspec.json.Encoder()


def encode_line(line: Header | Line) -> bytes:
    """A line with its newline."""
    return _ENCODER.encode_lines([line])
