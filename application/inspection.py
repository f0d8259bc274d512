"""One stored event looked at by itself: whether it is what was recorded."""

from hashlib import sha256
from uuid import UUID

from attrs import field, frozen

from ..domain.bodies import Body
from ..domain.events import BatchEvent
from .errors import StoreError
from .records import EventRecord, event_digest
from .transcoding import BatchMapper


@frozen
class Finding:
    """What came of looking at an event.

    `digest` is recomputed from what is stored, and `problems` say what is wrong with that;
    `event` is None when it cannot be read.
    """

    digest: bytes
    problems: list[str] = field(factory=list)
    event: BatchEvent | None = None

    @property
    def body(self) -> Body | None:
        """The body, where the event could be read and has one."""
        return None if self.event is None else self.event.body


class Inspector:
    """Looks at stored events, one by one; it trusts no column of them."""

    def __init__(self, mapper: BatchMapper) -> None:
        self._mapper = mapper

    def look(self, record: EventRecord) -> Finding:
        """Recompute the digests of an event and read it."""
        try:
            digest = self._digest(record)
        except (ValueError, OverflowError, TypeError) as error:
            columns = (record.originator_id, record.originator_version, record.topic, record.state)
            return Finding(sha256(repr(columns).encode()).digest(), [f"is damaged: {error}"])
        problems = []
        if digest != record.digest:
            problems.append("is not what its digest says: its content or the digest was changed")
        try:
            event = self._read(record)
        except StoreError as error:
            return Finding(digest, [*problems, _reason(error)])
        problems += _body_problems(record, event)
        return Finding(digest, problems, event)

    def _digest(self, record: EventRecord) -> bytes:
        originator_id, version = record.originator_id, record.originator_version
        if not isinstance(originator_id, UUID):
            raise ValueError(f"{originator_id!r} is no batch id")  # noqa: TRY004 (it was damaged)
        if type(version) is not int:
            raise ValueError(f"{version!r} is no event number")
        return event_digest(originator_id, version, record.topic, record.state)

    def _read(self, record: EventRecord) -> BatchEvent:
        event = self._mapper.to_domain_event(record)
        assert isinstance(event, BatchEvent)
        return event


def _reason(error: StoreError) -> str:
    """Why an event cannot be read, without its name, which is told beside it."""
    cause = error.__cause__
    return f"cannot be read: {error if cause is None else cause}"


def _body_problems(record: EventRecord, event: BatchEvent) -> list[str]:
    if event.body is None:
        return ["has a body, and no event of its kind has one"] if record.body is not None else []
    return [] if event.body.is_intact else ["has a body that is not the one it was recorded with"]
