"""How events become bytes: MessagePack of their fields, typed again by what the events declare."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, replace
from enum import EnumType
from functools import cache, partial
from operator import attrgetter, itemgetter
from types import UnionType
from typing import Any, ClassVar, cast, get_args, get_type_hints
from uuid import UUID

import msgspec
from attrs import fields as attrs_fields, frozen, has
from eventsourcing.domain import DomainEventProtocol, Snapshot
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder

from ..domain.batch import Batch
from ..domain.bodies import Body
from ..domain.events import EVENTS, Drafted
from .body_coding import AS_THEY_ARE, BodyCoding
from .errors import StoreError
from .records import EventRecord

# The fields from which the library would import the aggregate's class.
_AGGREGATE_FIELDS: dict[Hashable, str] = {Drafted: "originator_topic", Snapshot: "topic"}
_LEFT_AS_THEY_ARE = {"originator_id", "originator_version", "timestamp", "state"}
_Convert = Callable[[Any], Any]
_DIGEST_BYTES = 32
_PLAIN = (str, int, bool, bytes, type(None))


class MsgpackTranscoder(Transcoder):
    """Plain MessagePack: raw bytes stay raw; what is read are maps, lists and primitives."""

    # Not by methods of ours: each result would pay for another call.
    encode = staticmethod(msgspec.msgpack.Encoder().encode)  # type: ignore[assignment]
    decode = staticmethod(msgspec.msgpack.Decoder().decode)  # type: ignore[assignment]


class BatchMapper(Mapper[UUID]):
    """Maps the events of this library and no others; bodies are stored as `bodies` says.

    The library's own mapper imports whatever a stored topic names; a database must not decide
    what code runs, so topics are looked up in a closed table here.
    """

    classes: ClassVar[dict[str, type[Any]]] = {event.TOPIC: event for event in EVENTS}
    topics: ClassVar[dict[type[Any], str]] = {event: event.TOPIC for event in EVENTS}

    def __init__(self, transcoder: Transcoder, bodies: BodyCoding = AS_THEY_ARE) -> None:
        super().__init__(transcoder)
        self.bodies = bodies
        self._kinds = _Kinds(self.topics)

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> EventRecord:
        """Encode an event; its topic, version, digest and body stand beside its state.

        Raises `StoreError` for one that could not be read again: nothing mends what is recorded.
        """
        kind = self._kinds[type(domain_event)]
        facts = vars(domain_event)
        body: Body | None = None if kind.body is None else facts[kind.body]
        content, digest = None, None
        if body is not None:
            digest = (body.sha256, body.size)
            content = None if body.content is None else self.bodies.stored(body.content)
        return EventRecord.of(
            facts["originator_id"],
            facts["originator_version"],
            kind.topic,
            self._encoded(kind, facts, digest),
            content,
        )

    def _encoded(
        self, kind: "_Kind", facts: dict[str, Any], digest: tuple[bytes, int] | None
    ) -> bytes:
        try:
            state: bytes = self.transcoder.encode(kind.state(facts, digest))
            if kind.declared:
                decoded = self.transcoder.decode(state)
                for name, declared in kind.declared.items():
                    msgspec.convert(decoded[name], type=declared)
        except (TypeError, ValueError, OverflowError) as error:
            raise StoreError(
                f"event {facts['originator_version']} of batch {facts['originator_id']} "
                f"('{kind.topic}') cannot be recorded: {error}"
            ) from error
        return state

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """Decode an event, upcast it to its present version and restore its types.

        Raises `StoreError` for an event that is not known, too new or damaged. Digests are not
        compared; that is what verifying is for.
        """
        cls: Any = self.classes.get(stored_event.topic)
        if cls is None:
            raise StoreError(
                f"the database holds an event '{stored_event.topic}' that this version of "
                "batchtrail does not know; use the version that wrote it, or a newer one"
            )
        try:
            state = self._fields_of(cls, stored_event.state)
            _check_aggregate(cls, state)
            _upcast(cls, state)
            _check_fields(state, _fields(cls))
            self.restore(cls, state)
            self._restore_body(cls, state, getattr(stored_event, "body", None))
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

    def plain(self, stored: EventRecord) -> EventRecord:
        """An event as it is in no database: its body neither compressed nor encrypted.

        Raises `ValueError` when it cannot be decoded.
        """
        if stored.body is None:
            return stored
        return replace(stored, body=self.bodies.plain(stored.body))

    def stored(self, plain: EventRecord, *, position: int) -> EventRecord:
        """A plain event as this database stores it at a position; its digest is what it was."""
        body = None if plain.body is None else self.bodies.stored(plain.body)
        return replace(plain, body=body, position=position)

    def _fields_of(self, cls: Any, stored: bytes) -> dict[str, Any]:
        state = self.transcoder.decode(stored)
        if isinstance(state, list) and _orders(cls):
            return _named(cls, state)
        if not isinstance(state, dict):
            raise TypeError("it is no map of fields")
        return state

    def _restore_body(self, cls: Any, state: dict[str, Any], stored: bytes | None) -> None:
        field = getattr(cls, "BODY", None)
        if field is None:
            return
        digest, size = state[field]
        if not (isinstance(digest, bytes) and len(digest) == _DIGEST_BYTES):
            raise ValueError("it has no digest of its body")
        if type(size) is not int:
            raise ValueError("it does not say how large its body is")
        content = None if stored is None else self.bodies.plain(stored)
        state[field] = _bodies(cls)(digest, size, content)


@frozen
class _Kind:
    """How the events of a class are stored; `in_order` gives their values, where names are not.

    `declared` are the types of the fields that are looked at once more before they are stored. Not
    of results: they come by the thousand, and from our own reading of a line.
    """

    topic: str
    class_version: int
    body: str | None
    in_order: Callable[[dict[str, Any]], list[Any]] | None
    declared: Mapping[str, Any]

    def state(self, facts: dict[str, Any], digest: tuple[bytes, int] | None) -> Any:
        """What is encoded of an event's fields; its digest stands for its body."""
        if self.in_order is not None:
            return [self.class_version, *self.in_order(facts), digest]
        state = facts.copy()
        del state["originator_id"], state["originator_version"]
        if self.class_version > 1:
            state["class_version"] = self.class_version
        if self.body is not None:
            state[self.body] = digest
        return state


class _Kinds(dict[type[Any], _Kind]):
    """How the events of each class are stored, found out when the first of them comes."""

    def __init__(self, topics: Mapping[type[Any], str]) -> None:
        super().__init__()
        self._topics = topics

    def __missing__(self, event_class: type[Any]) -> _Kind:
        kind = self[event_class] = _Kind(
            topic=self._topics[event_class],
            class_version=getattr(event_class, "class_version", 1),
            body=getattr(event_class, "BODY", None),
            in_order=_values_of(event_class) if _orders(event_class) else None,
            declared={} if _orders(event_class) else _declared(event_class),
        )
        return kind


def _orders(cls: Any) -> Mapping[int, tuple[str, ...]]:
    """The orders in which the versions of an event are stored; a snapshot has none."""
    return getattr(cls, "IN_ORDER", {})


def _values_of(cls: Any) -> Callable[[dict[str, Any]], list[Any]]:
    """What gives the values of an event in the order of its present version, and their parts."""
    names, hints = cls.IN_ORDER[cls.class_version], get_type_hints(cls)
    values_of = itemgetter(*names)
    classes = [(place, _class_in(hints[name])) for place, name in enumerate(names)]
    divided = [(place, attrgetter(*_part_names(kind))) for place, kind in classes if kind]

    def values(facts: dict[str, Any]) -> list[Any]:
        found = list(values_of(facts))
        for place, parts_of in divided:
            if (value := found[place]) is not None:
                found[place] = parts_of(value)
        return found

    return values


def _named(cls: Any, values: list[Any]) -> dict[str, Any]:
    """The fields of an event that was stored by their order, behind its version."""
    version, *found, digest = values
    names = cls.IN_ORDER.get(version)
    # That there is no such version is for the upcast to say.
    state = {} if names is None else dict(zip(names, found, strict=True))
    return {**state, cls.BODY: digest, "class_version": version}


def _class_in(hint: Any) -> Any:
    """The class of values, of our own, that a field holds or may hold; None for another field."""
    return next((kind for kind in (hint, *get_args(hint)) if has(kind)), None)


@cache
def _part_names(kind: Any) -> tuple[str, ...]:
    """The parts of a class in their order, which is in databases: another one needs a version."""
    return tuple(part.name for part in attrs_fields(kind))


def _from_parts(kind: Any, stored: Any) -> Any:
    """A value of a class, whether its parts were stored by their order or by their names."""
    if isinstance(stored, list):
        stored = dict(zip(_part_names(kind), stored, strict=True))
    return msgspec.convert(stored, type=kind)


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
    if type(version) is not int or version < 1:
        raise ValueError(f"its version is {version!r}")
    if version > newest:
        raise ValueError(f"a newer batchtrail wrote its version {version}; this one knows {newest}")
    while version < newest:
        getattr(cls, f"upcast_v{version}_v{version + 1}")(state)
        version += 1


def _restore(state: dict[str, Any], typed: tuple[tuple[str, _Convert], ...]) -> None:
    for name, convert in typed:
        value = state[name]
        if value is not None:
            state[name] = convert(value)


@cache
def _fields(cls: Any) -> frozenset[str]:
    """The names of the fields that are stored in an event's state."""
    beside = {"originator_id", "originator_version"}
    return frozenset(field.name for field in fields(cls) if field.name not in beside)


@cache
def _typed_fields(cls: Any) -> tuple[tuple[str, _Convert], ...]:
    """The fields whose stored form is not yet their type, each with what makes it that."""
    hints = get_type_hints(cls)
    beside = {*_LEFT_AS_THEY_ARE, getattr(cls, "BODY", None)}
    return tuple(
        (field.name, _convert_to(hints[field.name], in_order=bool(_orders(cls))))
        for field in fields(cls)
        if field.name not in beside and not _is_plain(hints[field.name])
    )


def _declared(cls: Any) -> dict[str, Any]:
    """The types of the fields of an event, but for those that are no facts; a snapshot has none."""
    if cls is Snapshot:
        return {}
    beside = {*_LEFT_AS_THEY_ARE, getattr(cls, "BODY", None)}
    hints = get_type_hints(cls)
    return {name: hints[name] for name in sorted(_fields(cls) - beside)}


def _convert_to(kind: Any, *, in_order: bool) -> _Convert:
    if isinstance(kind, EnumType):
        return kind  # which checks as well, in a fifth of the time
    if in_order and (value_class := _class_in(kind)) is not None:
        return partial(_from_parts, value_class)
    return partial(msgspec.convert, type=kind)


@cache
def _bodies(cls: Any) -> type[Body]:
    """The class of an event's body."""
    kind: type[Body] = get_type_hints(cls)[cls.BODY]
    return kind


def _is_plain(kind: Any) -> bool:
    if isinstance(kind, UnionType):
        return all(_is_plain(part) for part in get_args(kind))
    return kind in _PLAIN
