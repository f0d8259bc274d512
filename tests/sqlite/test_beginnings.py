"""What events have in common stands once, and nobody who reads them sees that."""

import sqlite3
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from uuid import UUID

import pytest
from tests.laboratory.author import (
    Author,
    answer,
    cost_of,
    costs_of,
    raw_lines,
    refusal,
    request_line,
)
from tests.laboratory.exports import exported, imported
from tests.sqlite.conftest import OpenFile, Query, read_only

from batchtrail.adapters.sqlite import reader
from batchtrail.adapters.sqlite.older import add_missing
from batchtrail.application.errors import StoreError
from batchtrail.application.line_groups import line_groups
from batchtrail.application.records import event_digest
from batchtrail.application.saving import Steps
from batchtrail.application.store import Batches
from batchtrail.application.verification import verify_store
from batchtrail.domain.batch import Batch
from batchtrail.domain.events import ResultApplied, ResultsCollected
from batchtrail.domain.requests import RequestIndex
from batchtrail.domain.status import ResultFile

_ROWS = "SELECT count(*) FROM beginnings"
_SHARING = "SELECT count(*) FROM events WHERE topic NOT LIKE 'batchtrail.%'"


@pytest.fixture
def store(path: Path, open_file: OpenFile) -> Batches:
    """Give an empty store."""
    return open_file(path)


def applied(store: Batches, author: Author, *chunks: Sequence[bytes]) -> Batch:
    """Save a batch whose results, of requests named 0, 1, …, come in so many saves."""
    ids = [str(number) for number in range(sum(map(len, chunks)))]
    batch = author.draft(map(request_line, ids))
    author.end(batch)
    store.save_batch(batch)
    index = RequestIndex(ids)
    for lines in chunks:
        author.apply(batch, index, lines)
        store.save_batch(batch)
    batch.finish_collection(stamp=author.stamp())
    store.save_batch(batch)
    return batch


def answers(first: int, last: int) -> list[bytes]:
    """Answers to some requests."""
    return [answer(str(number)) for number in range(first, last)]


def test_a_chunk_shares_one_beginning(store: Batches, query: Query, author: Author) -> None:
    """Whatever its size; the rest of a state is little, and all that was recorded is read."""
    batch = applied(store, author, answers(0, 1_000), answers(1_000, 1_500))
    assert query(_ROWS)[0][0] < 10  # the ids have one to four digits
    assert query(_SHARING) == [(1_500,)]
    assert query("SELECT max(length(state))<80 FROM events WHERE topic<'a'") == [(1,)]
    read = [event for event in store.history(batch.id) if isinstance(event, ResultApplied)]
    assert [event.custom_id for event in read] == [str(number) for number in range(1_500)]
    assert len({event.timestamp for event in read}) == 2
    assert verify_store(store, against=None, limit=9).is_good


def test_the_documented_statement(store: Batches, query: Query, author: Author) -> None:
    """Whoever checks the log without batchtrail gets what the digests are made of."""
    applied(store, author, answers(0, 7), answers(7, 8))
    page = (Path(__file__).parents[2] / "docs/reference/events.md").read_text()
    rows = query(page.partition("```sql")[2].partition("```")[0])
    assert len(rows) == query("SELECT count(*) FROM events")[0][0]
    for _, batch_id, version, topic, digest, state, _ in rows:
        assert event_digest(UUID(batch_id), version, topic, state) == digest


def test_older_programs_refuse_the_file(store: Batches, query: Query) -> None:
    """They know layouts 1 and 2, and would take a number for a topic."""
    del store
    assert query("PRAGMA user_version") == [(3,)]


@pytest.mark.parametrize("results", [1, 4, 5])
def test_few_events_stand_whole(store: Batches, query: Query, author: Author, results: int) -> None:
    """To read them is to read their rows alone."""
    applied(store, author, answers(0, results))
    assert query(_SHARING) == [(results if results >= 5 else 0,)]


def test_events_are_found_by_their_topics(store: Batches, author: Author) -> None:
    """Of shared ones and of whole ones."""
    applied(store, author, answers(0, 7))
    topics = [ResultApplied.TOPIC, ResultsCollected.TOPIC]
    found = store.recorder.select_notifications(start=1, limit=100, topics=topics)
    assert [each.topic for each in found] == [topics[0]] * 7 + [topics[1]]


def test_chunks_of_all_sorts(store: Batches, query: Query, author: Author) -> None:
    """Refusals between answers shorten what is common, but no results lose their own."""
    lines = [
        refusal(str(number)) if number % 30 == 29 else answer(str(number)) for number in range(600)
    ]
    lines[100] = b"{"
    batch = applied(store, author, lines)
    assert query(_ROWS)[0][0] < 10
    assert query(_SHARING)[0][0] > 590
    assert store.get(batch.id).totals.outcomes.failed == 20
    assert verify_store(store, against=None, limit=9).is_good


@pytest.mark.parametrize("models", ["mn", "mmmmmmn", "mmmmmmnn"])
def test_small_groups_share_as_well(
    store: Batches, query: Query, author: Author, models: str
) -> None:
    """Answers of two models that take turns, alike or one by one."""
    ids = [str(number) for number in range(200)]
    batch = author.draft(map(request_line, ids))
    author.end(batch)
    store.save_batch(batch)
    lines = [
        answer(custom_id).replace(b'"output"', b'"model": "%s", "output"' % model.encode())
        for custom_id, model in zip(ids, cycle(models), strict=False)
    ]
    index, stamp = store.request_index(batch.id), author.stamp()

    def steps() -> Steps:
        for group in line_groups(raw_lines(lines), index, cost_of):
            alike, applied = group.alike(costs_of), None
            if alike is None:
                results = group.one_by_one(cost_of)
                batch.apply_results(ResultFile.OUTPUT, results, index, behind=0, stamp=stamp)
            else:
                applied = batch.apply_alike(ResultFile.OUTPUT, alike, index, behind=0, stamp=stamp)
            yield applied

    store.save_batch(batch, steps())
    assert query(_SHARING)[0][0] > 195
    assert query(_ROWS)[0][0] < 10
    assert verify_store(store, against=None, limit=9).is_good


def test_what_the_first_and_the_last_share_is_not_common(store: Batches, author: Author) -> None:
    """One between them begins in another way."""
    lines = answers(0, 21)
    lines[10] = refusal("10")
    applied(store, author, lines)
    assert verify_store(store, against=None, limit=9).is_good


def test_what_is_common_is_never_that_of_another_topic(store: Batches, author: Author) -> None:
    """Two sorts of events that take turns, many of each."""
    lines = [line for number in range(0, 300, 30) for line in answers(number, number + 30)]
    for place in range(0, 300, 60):
        lines[place : place + 30] = [b"{"] * 30
    applied(store, author, lines)
    assert verify_store(store, against=None, limit=9).is_good


def test_an_import_shares_them_too(
    path: Path, open_file: OpenFile, query: Query, author: Author
) -> None:
    """Also where the chunks of the source end elsewhere; and it is exported as it came."""
    source = open_file(":memory:")
    applied(source, author, answers(0, 40), answers(40, 47), answers(47, 300))
    export = exported(source)
    store = open_file(path)
    imported(store, export)
    assert exported(store) == export
    assert query(_SHARING)[0][0] >= 250
    assert query("SELECT max(length(state))<80 FROM events WHERE topic<'a'") == [(1,)]


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM beginnings",
        "UPDATE beginnings SET id=7",
        "UPDATE beginnings SET state=x''",
        "UPDATE beginnings SET state='text'",
        "UPDATE beginnings SET state=7.5",
        "UPDATE beginnings SET topic='batchtrail.batch.result_skipped'",
        "UPDATE beginnings SET topic=CAST(x'ff' AS TEXT)",
        "UPDATE beginnings SET topic=x'00'",
        "DROP TABLE beginnings",
    ],
)
def test_damaged_beginnings(
    path: Path, store: Batches, query: Query, author: Author, damage: str
) -> None:
    """Each event that began so is named, and the others are verified."""
    applied(store, author, answers(0, 6))
    damaged = {position for (position,) in query("SELECT position FROM events WHERE topic<'a'")}
    query(damage)
    found = verify_store(read_only(path), against=None, limit=99)
    assert {each.position for each in found.differences if each.position} == damaged


def test_damaged_references(path: Path, store: Batches, query: Query, author: Author) -> None:
    """Only the event itself is lost, also where SQLite would take the text for the number."""
    applied(store, author, answers(0, 20), answers(20, 40))
    texts = ["99", "2", "1.5", "batchtrail.batch.result_applied", " 1", "1 ", "01", "1.0", "1e0"]
    positions = list(range(6, 6 + len(texts)))
    for position, text in zip(positions, texts, strict=True):
        query("UPDATE events SET topic=? WHERE position=?", text, position)
    found = verify_store(read_only(path), against=None, limit=99)
    assert [each.position for each in found.differences if each.position] == positions


def test_a_lost_beginning_is_not_replaced(store: Batches, query: Query, author: Author) -> None:
    """Another one under its id would give events facts that were never recorded."""
    batch = applied(store, author, answers(0, 10))
    query("DELETE FROM beginnings")
    applied(store, author, answers(0, 10))
    with pytest.raises(StoreError, match="'1' that this version"):
        list(store.history(batch.id))


def test_an_upgrade_beside_a_reader(
    path: Path, open_file: OpenFile, query: Query, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads an old file sees it as it was, whatever a newer program makes of it meanwhile."""
    applied(open_file(path), author, answers(0, 3))
    query("DROP TABLE beginnings")

    def upgraded_behind(cursor: sqlite3.Cursor) -> None:
        add_missing(cursor)
        applied(open_file(path), author, answers(0, 9))

    monkeypatch.setattr(reader, "add_missing", upgraded_behind)
    assert verify_store(read_only(path), against=None, limit=9).is_good
    monkeypatch.undo()
    assert query(_SHARING) == [(9,)]
    assert verify_store(read_only(path), against=None, limit=9).is_good
