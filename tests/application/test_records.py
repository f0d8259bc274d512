"""Events as columns say what they say as records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from uuid import UUID

import pytest

from batchtrail.application.records import (
    EventColumns,
    EventRecord,
    Stored,
    event_digest,
    in_columns,
    one_by_one,
)

ONE, OTHER = UUID(int=1), UUID(int=2)


def columns(first: int, last: int, *, batch_id: UUID = ONE, topic: str = "t") -> EventColumns:
    numbers = range(first, last + 1)
    states, bodies = [b"s%d" % n for n in numbers], [b"b%d" % n if n % 2 else None for n in numbers]
    return EventColumns.in_turn(batch_id, first, topic, states, bodies)


def records(first: int, last: int, *, batch_id: UUID = ONE, topic: str = "t") -> list[EventRecord]:
    return [
        EventRecord.of(batch_id, n, topic, b"s%d" % n, b"b%d" % n if n % 2 else None)
        for n in range(first, last + 1)
    ]


def test_columns_and_records_say_the_same() -> None:
    assert list(one_by_one([columns(3, 9)])) == records(3, 9)
    both: list[Stored] = [*records(1, 2), columns(3, 9), *records(10, 11)]
    assert list(one_by_one(both)) == records(1, 11)
    assert list(one_by_one(in_columns(both, at_least=5))) == records(1, 11)


def test_a_record_has_every_field() -> None:
    (made,) = one_by_one([columns(3, 3)])
    assert made == EventRecord(ONE, 3, "t", b"s3", event_digest(ONE, 3, "t", b"s3"), b"b3", 0)


@pytest.mark.parametrize("topic", ["batchtrail.batch.drafted", "tópico", "damaged\udcff"])
def test_the_digest_is_over_what_it_says(topic: str) -> None:
    name = topic.encode(errors="surrogateescape")
    what = ONE.bytes + (7).to_bytes(8) + len(name).to_bytes(2) + name + b"state"
    assert event_digest(ONE, 7, topic, b"state") == sha256(what).digest()


def test_neighbours_are_joined_until_there_are_enough() -> None:
    stored: list[Stored] = [*records(1, 7), columns(8, 9), columns(10, 19), *records(20, 21)]
    assert [list(each.versions) for each in in_columns(stored, at_least=4)] == [
        [1, 2, 3, 4],
        [5, 6, 7, 8, 9],
        list(range(10, 20)),
        [20, 21],
    ]


def test_what_is_of_another_batch_or_topic_stands_apart() -> None:
    parts: list[Sequence[Stored]] = [
        records(1, 2),
        records(1, 2, batch_id=OTHER),
        records(3, 3, batch_id=OTHER, topic="u"),
        [columns(4, 5, batch_id=OTHER)],
    ]
    found = in_columns([each for part in parts for each in part], at_least=25)
    assert [(each.originator_id, each.topic, list(each.versions)) for each in found] == [
        (ONE, "t", [1, 2]),
        (OTHER, "t", [1, 2]),
        (OTHER, "u", [3]),
        (OTHER, "t", [4, 5]),
    ]


def test_enough_are_given_before_the_next_are_asked_for() -> None:
    asked = []

    def stored() -> Iterator[EventColumns]:
        for first in (1, 11, 21):
            asked.append(first)
            yield columns(first, first + 9)

    given = in_columns(stored(), at_least=10)
    assert list(next(given).versions) == list(range(1, 11))
    assert asked == [1]
