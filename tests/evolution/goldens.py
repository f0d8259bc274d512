"""Golden files: events as each version of their class stored them, and what they mean today.

A file is written once for a version of an event, and its `state` is never touched again: such
bytes are in databases. Only `event`, what the bytes mean to the present code, may follow an upcast.
"""

from collections.abc import Iterator
from dataclasses import fields
from enum import EnumType
from pathlib import Path
from typing import Any, get_args, get_type_hints
from uuid import UUID

import attrs
import msgspec
from tests.laboratory.author import Author

from batchtrail.application.records import EventRecord
from batchtrail.application.transcoding import BatchMapper, MsgpackTranscoder
from batchtrail.domain.events import BatchEvent

EVENTS = Path(__file__).parents[1] / "golden" / "events"

Shape = dict[str, Any] | list[Any] | str
"""The stored form of a type: a map of fields, the words of an enum, or its name."""


class Example(msgspec.Struct, omit_defaults=True):
    """One stored event, and its fields as the present code reads them."""

    batch_id: UUID
    version: int
    state: bytes
    event: dict[str, Any]
    body: bytes | None = None

    @classmethod
    def of(cls, event: BatchEvent) -> "Example":
        """An event as it is stored today."""
        record = mapper().to_stored_event(event)
        return cls(
            event.originator_id,
            event.originator_version,
            record.state,
            meaning(event),
            record.body,
        )

    def read(self, topic: str) -> dict[str, Any]:
        """What the present code reads."""
        record = EventRecord(self.batch_id, self.version, topic, self.state, body=self.body)
        event = mapper().to_domain_event(record)
        assert isinstance(event, BatchEvent)
        return meaning(event)


class Golden(msgspec.Struct):
    """A version of an event class."""

    topic: str
    class_version: int
    shape: dict[str, Any]
    examples: list[Example]

    @property
    def path(self) -> Path:
        """Where it stands."""
        return EVENTS / f"{self.topic.rpartition('.')[2]}-v{self.class_version}.json"

    def write(self) -> None:
        """Write it, once and for all."""
        content = msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"
        with self.path.open("xb") as file:
            file.write(content)


def mapper() -> BatchMapper:
    """What a store without compression and encryption maps events with."""
    return BatchMapper(MsgpackTranscoder())


def meaning(event: BatchEvent) -> dict[str, Any]:
    """The fields of an event as JSON has them."""
    facts: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(vars(event)))
    return facts


def version_of(event_class: type[BatchEvent]) -> int:
    """The present version of an event class."""
    version: int = getattr(event_class, "class_version", 1)
    return version


def shape_of(event_class: type[BatchEvent]) -> dict[str, Any]:
    """What an event stores, down to the fields of its values."""
    hints = get_type_hints(event_class)
    return {field.name: _shape(hints[field.name]) for field in fields(event_class)}


def _shape(kind: Any) -> Shape:
    if isinstance(kind, EnumType):
        return list(kind.__members__.values())
    if attrs.has(kind):
        hints = get_type_hints(kind)
        return {each.name: _shape(hints[each.name]) for each in attrs.fields(kind)}
    if hasattr(kind, "_fields"):  # a named tuple, stored by the order of its fields
        return [{name: _shape(part)} for name, part in get_type_hints(kind).items()]
    if parts := get_args(kind):
        name = getattr(kind, "__name__", None) or type(kind).__name__
        return {name: [_shape(part) for part in parts]}
    return "..." if kind is ... else kind.__name__


def goldens(topic: str) -> dict[int, Golden]:
    """The golden files of an event, by version."""
    decode = msgspec.json.Decoder(Golden).decode
    found = [decode(path.read_bytes()) for path in _paths(topic)]
    return {golden.class_version: golden for golden in found}


def _paths(topic: str) -> Iterator[Path]:
    return EVENTS.glob(f"{topic.rpartition('.')[2]}-v*.json")


def examples() -> dict[type[BatchEvent], list[Example]]:
    """Each kind of event once or twice, as lives that hold every kind record them."""
    found: dict[type[BatchEvent], list[Example]] = {}
    for life in Author().lives():
        *_, batch = life
        for event in batch.collect_events():
            assert isinstance(event, BatchEvent)
            found.setdefault(type(event), []).append(Example.of(event))
    return {kind: [each[0], *each[1:][-1:]] for kind, each in found.items()}
