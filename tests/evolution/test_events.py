"""An event that was stored once is read for ever: no change without version, upcast and file."""

from decimal import Decimal
from types import new_class
from typing import Any, ClassVar
from uuid import UUID

import pytest
from tests.evolution.goldens import Golden, goldens, shape_of, version_of

from batchtrail.domain.events import EVENTS, BatchEvent, Retried

BY_NAME = pytest.mark.parametrize("event_class", EVENTS, ids=lambda each: each.__name__)


def complaints(event_class: type[BatchEvent]) -> list[str]:
    """What a developer forgot who changed this event."""
    version, name = version_of(event_class), event_class.__name__
    files = goldens(event_class.TOPIC)
    missing = [f"no golden file of {name} v{v}" for v in range(1, version + 1) if v not in files]
    lacking = [
        f"{name} has no upcast_v{v}_v{v + 1}"
        for v in range(1, version)
        if not hasattr(event_class, f"upcast_v{v}_v{v + 1}")
    ]
    changed = [
        f"{name} is not what its version {v} stores: raise class_version, write an upcast, "
        "and run `make golden`"
        for v, golden in files.items()
        if v == version and golden.shape != shape_of(event_class)
    ]
    return [*missing, *lacking, *changed]


@BY_NAME
def test_nothing_changed_unnoticed(event_class: type[BatchEvent]) -> None:
    """The stored form is that of the golden file of this version, and older ones lead to it."""
    assert complaints(event_class) == []


@pytest.mark.parametrize(
    ("golden", "number"),
    [
        pytest.param(golden, number, id=f"{golden.path.stem}-{number}")
        for event_class in EVENTS
        for golden in goldens(event_class.TOPIC).values()
        for number in range(len(golden.examples))
    ],
)
def test_stored_events_are_read(golden: Golden, number: int) -> None:
    """Bytes that a version stored mean what they meant; a later one may have added fields."""
    example = golden.examples[number]
    read = example.read(golden.topic)
    added = read.keys() - golden.shape.keys() - example.event.keys()
    assert {name: value for name, value in read.items() if name not in added} == example.event


def retried(**changed: Any) -> Any:
    """An event like `Retried`, after somebody's change; None takes a field away."""
    hints = {"TOPIC": ClassVar[str], "retry_id": UUID, "count": int, **changed}
    kept = {name: kind for name, kind in hints.items() if kind is not None}
    names = {"TOPIC": Retried.TOPIC, "__annotations__": kept, "__module__": __name__}
    return new_class("Retried", (BatchEvent,), {}, lambda body: body.update(names))


def test_a_change_is_noticed() -> None:
    """A field more, a field less, another type: each needs a version."""
    assert complaints(retried()) == []
    for change in ({"note": str | None}, {"count": None}, {"count": Decimal}):
        (text,) = complaints(retried(**change))
        assert "raise class_version" in text


def test_a_version_needs_its_upcast_and_its_file() -> None:
    """Raising the version alone is not enough."""
    event_class = retried(note=str | None)
    event_class.class_version = 2
    found = complaints(event_class)
    assert found == ["no golden file of Retried v2", "Retried has no upcast_v1_v2"]
