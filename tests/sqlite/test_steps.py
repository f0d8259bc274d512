"""A save in steps holds little at once: each is written before the next is asked for."""

from collections.abc import Iterator
from typing import Any

import pytest
from eventsourcing.sqlite import SQLiteCursor
from tests.laboratory.author import Author, request_line
from tests.sqlite.conftest import OpenFile

from batchtrail.application.records import EventColumns


def test_each_step_is_written_before_the_next(
    open_file: OpenFile, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for rows that do not fill a statement of twenty-five."""
    store = open_file(":memory:")
    batch = author.draft([request_line("a")])
    store.save_batch(batch)
    execute, written = SQLiteCursor.execute, [0]

    def executed(cursor: SQLiteCursor, statement: str, values: Any = ()) -> Any:
        written[0] += statement.count("(?, ?, ?, ?, ?, ?, ?)")
        return execute(cursor, statement, values)

    monkeypatch.setattr(SQLiteCursor, "execute", executed)
    before: list[int] = []

    def stored() -> Iterator[EventColumns]:
        for step in range(4):
            before.append(written[0])
            first = batch.version + 1 + 60 * step
            yield EventColumns.in_turn(batch.id, first, "t", [b"state"] * 60, [b"body"] * 60)

    positions = store.recorder.insert_events(stored())
    assert before == [0, 50, 100, 175]
    assert written == [240]
    assert positions == range(3, 243)
