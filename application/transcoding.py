"""How events become bytes: MessagePack of their fields, typed again by what the events declare."""

from collections.abc import Hashable
from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Any, ClassVar, cast, get_args, get_type_hints
from uuid import UUID

import msgspec
from eventsourcing.domain import DomainEventProtocol, Snapshot
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder

from ..domain.batch import Batch
from ..domain.events import EVENTS, Drafted
from .errors import StoreError

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

    classes: ClassVar[dict[str, type[Any]]] = {event.TOPIC: event for event in EVENTS}
    topics: ClassVar[dict[type[Any], str]] = {event: event.TOPIC for event in EVENTS}

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
            topic=self.topics[type(domain_event)],
            state=self._seal(self.transcoder.encode(state)),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """Decode an event, upcast it to its present version and restore its types.

        Raises `StoreError` for an event that is not known, too new or damaged.
        """
        cls: Any = self.classes.get(stored_event.topic)
        if cls is None:
            raise StoreError(
                f"the database holds an event '{stored_event.topic}' that this version of "
                "batchtrail does not know; use the version that wrote it, or a newer one"
            )
        try:
            state = self._open(stored_event.state)
            _check_aggregate(cls, state)
            _upcast(cls, state)
            _check_fields(state, _fields(cls))
            self.restore(cls, state)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise StoreError(
                f"event {stored_event.originator_version} of batch {stored_event.originator_id} "
                f"('{stored_event.topic}') cannot be read: {error}"
            ) from error
        originator_id = stored_event.originator_id
        state["originator_id"] = (
            originator_id if isinstance(originator_id, UUID) else UUID(originator_id)
        )
        state["originator_version"] = stored_event.originator_version
        event = object.__new__(cls)
        object.__setattr__(event, "__dict__", state)
        return cast(DomainEventProtocol[UUID], event)

    def restore(self, cls: Any, state: dict[str, Any]) -> None:
        """Turn maps and texts back into the types that the class declares."""
        _restore(state, _typed_fields(cls))

    def _seal(self, state: bytes) -> bytes:
        if self.compressor is not None:
            state = self.compressor.compress(state)
        return state if self.cipher is None else self.cipher.encrypt(state)

    def _open(self, data: bytes) -> dict[str, Any]:
        if self.cipher is not None:
            data = self.cipher.decrypt(data)
        if self.compressor is not None:
            data = self.compressor.decompress(data)
        state = self.transcoder.decode(data)
        if not isinstance(state, dict):
            raise TypeError("it is no map of fields")
        return state


class SnapshotMapper(BatchMapper):
    """Maps snapshots, which stand in a table of their own."""

    classes: ClassVar[dict[str, type[Any]]] = {"batchtrail.batch.snapshot": Snapshot}
    topics: ClassVar[dict[type[Any], str]] = {Snapshot: "batchtrail.batch.snapshot"}

    def restore(self, cls: Any, state: dict[str, Any]) -> None:
        """The types of a batch's state."""
        del cls
        _check_fields(state["state"], _fields(Batch) | {"_created_on", "_modified_on"})
        _restore(state["state"], _typed_fields(Batch))


def _check_aggregate(cls: Hashable, state: dict[str, Any]) -> None:
    field = _AGGREGATE_FIELDS.get(cls)
    if field is not None and state[field] != Batch.TOPIC:
        raise ValueError("it belongs to no batch")


def _check_fields(state: dict[str, Any], names: frozenset[str]) -> None:
    if state.keys() != names:
        raise ValueError(f"its fields are not {', '.join(sorted(names))}")


def _upcast(cls: type[Any], state: dict[str, Any]) -> None:
    version, newest = state.pop("class_version", 1), getattr(cls, "class_version", 1)
    if version > newest:
        raise ValueError(f"a newer batchtrail wrote its version {version}; this one knows {newest}")
    while version < newest:
        getattr(cls, f"upcast_v{version}_v{version + 1}")(state)
        version += 1


def _restore(state: dict[str, Any], typed: tuple[tuple[str, Any], ...]) -> None:
    for name, kind in typed:
        value = state[name]
        if value is not None:
            state[name] = msgspec.convert(value, kind)


@cache
def _fields(cls: Any) -> frozenset[str]:
    """The names of the fields that are stored in an event's state."""
    beside = {"originator_id", "originator_version"}
    return frozenset(field.name for field in fields(cls) if field.name not in beside)


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
