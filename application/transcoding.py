"""How events become bytes: MessagePack of their fields, typed again by what the events declare."""

from collections.abc import Hashable
from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Any, cast, get_args, get_type_hints
from uuid import UUID

import msgspec
from eventsourcing.domain import DomainEventProtocol, Snapshot
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder

from ..domain.batch import Batch
from ..domain.events import EVENTS, Drafted
from .errors import StoreError

SNAPSHOT_TOPIC = "batchtrail.batch.snapshot"
_CLASSES: dict[str, type[Any]] = {event.TOPIC: event for event in EVENTS} | {
    SNAPSHOT_TOPIC: Snapshot
}
_TOPICS = {cls: topic for topic, cls in _CLASSES.items()}
# The fields from which the library would import the aggregate's class.
_AGGREGATE_FIELDS: dict[Hashable, str] = {Drafted: "originator_topic", Snapshot: "topic"}
_LEFT_AS_THEY_ARE = {"originator_id", "originator_version", "timestamp", "state"}
_PLAIN = (str, int, bool, bytes, type(None))


class MsgpackTranscoder(Transcoder):
    """Plain MessagePack: raw bytes stay raw, so a stored body costs its own size."""

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder().decode

    def encode(self, obj: Any) -> bytes:
        """Encode the state of an event."""
        return self._encode(obj)

    def decode(self, data: bytes) -> Any:
        """Decode to maps, lists and primitives; the mapper restores the types."""
        return self._decode(data)


class BatchMapper(Mapper[UUID]):
    """Maps the events of this library and no others.

    The library's own mapper imports whatever a stored topic names; a database must not decide
    what code runs, so topics are looked up in a closed table here.
    """

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        """Encode an event; its topic and version stand beside its state."""
        state = dict(vars(domain_event))
        del state["originator_id"], state["originator_version"]
        version = getattr(type(domain_event), "class_version", 1)
        if version > 1:
            state["class_version"] = version
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=_TOPICS[type(domain_event)],
            state=self._seal(self.transcoder.encode(state)),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """Decode an event, upcast it to its present version and restore its types."""
        cls = _CLASSES.get(stored_event.topic)
        if cls is None:
            raise StoreError(
                f"the database holds an event '{stored_event.topic}' that this version of "
                "batchtrail does not know; use the version that wrote it, or a newer one"
            )
        state = self._open(cls, stored_event)
        originator_id = stored_event.originator_id
        state["originator_id"] = (
            originator_id if isinstance(originator_id, UUID) else UUID(originator_id)
        )
        state["originator_version"] = stored_event.originator_version
        event = object.__new__(cls)
        object.__setattr__(event, "__dict__", state)
        return cast(DomainEventProtocol[UUID], event)

    def _seal(self, state: bytes) -> bytes:
        if self.compressor is not None:
            state = self.compressor.compress(state)
        return state if self.cipher is None else self.cipher.encrypt(state)

    def _open(self, cls: Any, stored_event: StoredEvent) -> dict[str, Any]:
        data = stored_event.state
        try:
            if self.cipher is not None:
                data = self.cipher.decrypt(data)
            if self.compressor is not None:
                data = self.compressor.decompress(data)
            state: dict[str, Any] = self.transcoder.decode(data)
            _check_aggregate(cls, state)
            _upcast(cls, state)
            _restore(state, _typed_fields(cls))
            if cls is Snapshot:
                _restore(state["state"], _typed_fields(Batch))
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"event {stored_event.originator_version} of batch {stored_event.originator_id} "
                f"('{stored_event.topic}') cannot be read: {error}"
            ) from error
        return state


def _check_aggregate(cls: Hashable, state: dict[str, Any]) -> None:
    field = _AGGREGATE_FIELDS.get(cls)
    if field is not None and state[field] != Batch.TOPIC:
        raise ValueError("it belongs to no batch")


def _upcast(cls: type[Any], state: dict[str, Any]) -> None:
    version = state.pop("class_version", 1)
    while version < getattr(cls, "class_version", 1):
        getattr(cls, f"upcast_v{version}_v{version + 1}")(state)
        version += 1


def _restore(state: dict[str, Any], fields: tuple[tuple[str, Any], ...]) -> None:
    for name, kind in fields:
        value = state[name]
        if value is not None:
            state[name] = msgspec.convert(value, kind)


@cache
def _typed_fields(cls: Any) -> tuple[tuple[str, Any], ...]:
    """The fields whose stored form is not yet their type."""
    hints = get_type_hints(cls)
    return tuple(
        (field.name, hints[field.name])
        for field in fields(cls)
        if field.name not in _LEFT_AS_THEY_ARE and not _is_plain(hints[field.name])
    )


def _is_plain(kind: Any) -> bool:
    if isinstance(kind, UnionType):
        return all(_is_plain(part) for part in get_args(kind))
    return kind in _PLAIN
