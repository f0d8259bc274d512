"""The tables: positions are for ever, and views can be thrown away."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import DataError
from tests.laboratory.author import AWKWARD_IDS, LIMITS, Author, answer, request_line
from tests.laboratory.stores import all_rows, image_of, positions_of
from tests.sqlite.conftest import OpenFile, Query

from batchtrail.adapters import sqlite
from batchtrail.adapters.sqlite import completions, recorder
from batchtrail.application.errors import ConflictError, DatabaseRefusedError
from batchtrail.application.rebuilding import rebuild
from batchtrail.application.request_lines import checked_chunks
from batchtrail.application.store import Batches
from batchtrail.application.verification import verify_store
from batchtrail.domain.requests import RequestCheck, RequestIndex
from batchtrail.domain.status import Outcome

Reopen = Callable[..., Batches]

_ROWS = (
    "SELECT batch_id, created_at, identity, generation, summary FROM batches ORDER BY batch_id",
    """
    SELECT batch_id, first_number, custom_ids, outcomes, positions
    FROM completions JOIN request_ids USING (batch_no, first_number) JOIN batches USING (batch_no)
    ORDER BY batch_id, first_number
    """,
    "SELECT * FROM view_checkpoint",
)


@pytest.fixture
def store(path: Path, open_file: OpenFile, author: Author) -> Batches:
    """Give a store with some batches."""
    store = open_file(path)
    for batch in author.interleaved():
        store.save_batch(batch)
    return store


@pytest.fixture
def rows(query: Query) -> Callable[[], list[Any]]:
    """Give what reads every row of the views, past the store."""
    return lambda: [query(statement) for statement in _ROWS]


@pytest.fixture
def reopen(path: Path, store: Batches, open_file: OpenFile, query: Query) -> Reopen:
    """Give what closes the store, changes the database past it and opens it again."""

    def reopen(*statements: str) -> Batches:
        store.close()
        for statement in statements:
            query(statement)
        return open_file(path)

    return reopen


@pytest.mark.parametrize("name", ["view_checkpoint", "batches", "request_ids", "completions"])
def test_missing_view(
    store: Batches, reopen: Reopen, query: Query, rows: Callable[[], list[Any]], name: str
) -> None:
    """When a table of the views is missing, all are rebuilt to what they were."""
    tables = "SELECT name, sql FROM sqlite_master ORDER BY name"
    before, schema, image = rows(), query(tables), image_of(store)
    again = reopen(f"DROP TABLE {name}")
    assert rows() == before
    assert query(tables) == schema
    assert image_of(again) == image


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE view_checkpoint SET version=version-1",
        "UPDATE view_checkpoint SET version=5",  # under which positions were laid out in two ways
        "DELETE FROM view_checkpoint",
        "INSERT INTO view_checkpoint SELECT * FROM view_checkpoint",
    ],
)
def test_view_of_another_version(
    reopen: Reopen, rows: Callable[[], list[Any]], statement: str
) -> None:
    """Views of an older version, whatever they hold, are thrown away and rebuilt."""
    before = rows()
    spoiled = ["UPDATE batches SET summary='{}'", "DELETE FROM completions WHERE first_number=1"]
    reopen(*spoiled, statement)
    assert rows() == before


def test_views_of_a_newer_version(reopen: Reopen, query: Query) -> None:
    """Somebody else needs them as they are."""
    changed = "UPDATE view_checkpoint SET version=version+1"
    with pytest.raises(
        DatabaseRefusedError, match=r"newer version of batchtrail \(views \d+, this"
    ):
        reopen(changed)
    assert query("SELECT count(*) FROM view_checkpoint") == [(1,)]
    assert query("SELECT count(*) FROM completions") > [(0,)]


@pytest.mark.parametrize("order", ["wanted.key DESC", "events.position DESC"])
def test_no_request_gets_the_answer_of_another(
    store: Batches, author: Author, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """In whatever order SQLite joins their events: rather an error than another's result."""
    batch = author.finished(store, ["a", "b", "c"])
    monkeypatch.setattr(recorder, "_AT_POSITIONS", f"{recorder._AT_POSITIONS} ORDER BY {order}")
    for page in (store.lines_page, store.completions_page):
        with pytest.raises(DataError, match="another order"):
            page(batch.id, after=0)


def test_rebuilt_rows_are_the_same(
    store: Batches, query: Query, rows: Callable[[], list[Any]]
) -> None:
    """A rebuild writes the same rows as the commands did, to the last column."""
    before = rows()
    for table in ("request_ids", "completions", "batches"):
        query(f"DELETE FROM {table}")  # noqa: S608 (a table)
    query("UPDATE view_checkpoint SET position=0")
    store.catch_up()
    assert rows() == before


def test_rows_of_custom_ids_fill_pages(store: Batches, query: Query, author: Author) -> None:
    """Two of them stand on a page of 32 kB, also where the ids are long."""
    for letters in (14, 36, 64):
        ids = [f"{number:0{letters}}" for number in range(3_000)]
        store.save_batch(author.draft(map(request_line, ids)))
    sizes = (
        "SELECT max(length(custom_ids)), count(*) FROM request_ids WHERE length(custom_ids)>1000"
    )
    largest, recorded = query(sizes)[0]
    assert 15_000 < largest < 16_300
    rebuild(store, lambda *_: None)
    assert query(sizes) == [(largest, recorded)]


def test_vacuum_keeps_positions(store: Batches, query: Query, author: Author) -> None:
    """VACUUM renumbers nothing, and the log goes on behind its last position."""
    log = "SELECT position, originator_id, originator_version FROM events ORDER BY position"
    batch = author.draft(map(request_line, AWKWARD_IDS))
    store.save_batch(batch)
    query("DELETE FROM events WHERE position=2")  # a gap, so that renumbering would show
    before, last = query(log), positions_of(store)[1]
    query("VACUUM")
    assert query(log) == before
    batch.request_cancel(stamp=author.stamp())
    store.save_batch(batch)
    assert positions_of(store) == (last + 2, last + 2)


@pytest.mark.parametrize("vacuum", [[], ["VACUUM"]], ids=["", "vacuum"])
def test_positions_are_never_used_again(
    store: Batches, reopen: Reopen, query: Query, author: Author, vacuum: list[str]
) -> None:
    """When the end of the log was deleted, new events get new positions, and views see them."""
    last = positions_of(store)[1]
    cut = "DELETE FROM events WHERE position>(SELECT max(position) - 3 FROM events)"
    again = reopen(cut, "DELETE FROM snapshots", *vacuum)
    batch = author.draft([request_line("a")])
    again.save_batch(batch)
    assert query("SELECT min(position) FROM events WHERE position>?", last - 3) == [(last + 1,)]
    assert positions_of(again) == (last + 2, last + 2)
    assert again.views.summaries(limit=1)[0].id == batch.id


def test_log_cannot_hold_a_version_twice(store: Batches, query: Query) -> None:
    """Optimistic concurrency rests on the database, not on our code."""
    ((statement,),) = query("SELECT sql FROM sqlite_master WHERE name='events'")
    assert "UNIQUE (originator_id, originator_version)" in statement
    assert "AUTOINCREMENT" in statement
    assert positions_of(store)[1] == query("SELECT count(*) FROM events")[0][0]


def test_broken_views_are_no_conflict(
    path: Path, open_file: OpenFile, query: Query, author: Author
) -> None:
    """A row too many in a view is an error: a caller that meets a conflict tries for ever."""
    store = open_file(path)
    batch = author.draft([request_line("a")])
    store.save_batch(batch)
    query("INSERT INTO request_ids SELECT batch_no, 2, '[\"b\"]' FROM batches")
    check = RequestCheck(LIMITS, model="m", known=RequestIndex(["a"]))
    for chunk in checked_chunks([request_line("b") + b"\n"], check):
        batch.add_requests(chunk, LIMITS, stamp=author.stamp())
    with pytest.raises(Exception, match="UNIQUE") as caught:
        store.save_batch(batch)
    assert not isinstance(caught.value, ConflictError)


def test_results_of_requests_that_the_view_has_lost(
    path: Path, open_file: OpenFile, query: Query, author: Author
) -> None:
    """They are not dropped in silence, and after a rebuild of the views they are saved."""
    store = open_file(path)
    batch = author.draft(map(request_line, "ab"))
    author.end(batch)
    store.save_batch(batch)
    query("DELETE FROM completions")
    author.apply(batch, RequestIndex("ab"), [answer("b")])
    with pytest.raises(DataError, match=r"request 2 is missing\); `batchtrail rebuild` mends"):
        store.save_batch(batch)
    rebuild(store, lambda *_: None)
    store.save_batch(batch)
    outcomes = [row.outcome for row, _ in store.lines_page(batch.id, after=0)]
    assert outcomes == [Outcome.PENDING, Outcome.SUCCEEDED]


def test_a_result_is_never_written_beside_its_request(
    path: Path,
    open_file: OpenFile,
    query: Query,
    author: Author,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the row of a request is not where it should be, no other takes its outcome."""
    monkeypatch.setattr(completions, "PART", 2)
    store = open_file(path)
    batch = author.draft(map(request_line, "abcd"))
    author.end(batch)
    store.save_batch(batch)
    query("UPDATE completions SET first_number=11 WHERE first_number=1")
    author.apply(batch, RequestIndex("abcd"), [answer("a"), answer("d")])
    with pytest.raises(DataError, match="request 1 is missing"):
        store.save_batch(batch)
    assert query("SELECT outcomes FROM completions") == [("pp",), ("pp",)]


@pytest.mark.parametrize(
    "damage",
    [
        "positions=x'00'",
        "positions=x''",
        "positions=7",
        "outcomes='??'",
        "outcomes=7",
        "outcomes='p'",
    ],
)
def test_rows_that_cannot_be_read(
    path: Path, open_file: OpenFile, query: Query, author: Author, damage: str
) -> None:
    """Whoever reads or writes them is told what mends them."""
    store = open_file(path)
    batch = author.draft(map(request_line, "ab"))
    author.end(batch)
    store.save_batch(batch)
    query(f"UPDATE completions SET {damage}")  # noqa: S608 (a damage)
    for read in (store.lines_page, store.completions_page):
        with pytest.raises(DataError, match=r"damaged .+`batchtrail rebuild` mends it"):
            read(batch.id, after=0)
    author.apply(batch, RequestIndex("ab"), [answer("b")])
    if damage != "outcomes='??'":
        with pytest.raises(DataError, match=r"damaged .+`batchtrail rebuild` mends it"):
            store.save_batch(batch)


@pytest.mark.parametrize("sequence", ["'x'", "NULL", "-5", "0.5"])
def test_a_damaged_sequence(
    path: Path, open_file: OpenFile, query: Query, author: Author, sequence: str
) -> None:
    """Positions go on behind the last event."""
    store = open_file(path)
    store.save_batch(author.draft([request_line("a")]))
    last = positions_of(store)[1]
    query(f"UPDATE sqlite_sequence SET seq={sequence} WHERE name='events'")  # noqa: S608 (a damage)
    store.save_batch(author.draft([request_line("a")]))
    assert positions_of(store)[1] == last + 2
    assert verify_store(store, against=None, limit=9).is_good
    query("DELETE FROM sqlite_sequence")
    store.save_batch(author.draft([request_line("a")]))
    assert positions_of(store)[1] == last + 4


@pytest.mark.parametrize("sequence", [(1 << 63) - 1, 1 << 60, 1e30])
def test_no_position_is_left(
    path: Path, open_file: OpenFile, query: Query, author: Author, sequence: float
) -> None:
    """It is one sentence, and no conflict."""
    store = open_file(path)
    store.save_batch(author.draft([request_line("a")]))
    query("UPDATE sqlite_sequence SET seq=? WHERE name='events'", sequence)
    with pytest.raises(DataError, match="there is no position behind"):
        store.save_batch(author.draft([request_line("a")]))


def test_long_custom_ids(path: Path, open_file: OpenFile, query: Query, author: Author) -> None:
    """A row of the view stays small, as recorded and as rebuilt."""
    store = open_file(path)
    ids = [f"{number:05}" + "x" * 3_000 for number in range(300)]
    batch = author.draft(map(request_line, [*ids, "y" * 200_000, "z"]), chunk_bytes=8 << 20)
    store.save_batch(batch)
    sizes = (
        "SELECT max(length(custom_ids)), count(*) FROM request_ids WHERE custom_ids NOT LIKE '%yy%'"
    )
    live = query(sizes)
    rebuild(store, lambda *_: None)
    assert query(sizes) == live
    assert live[0][0] < 70_000
    assert [row.custom_id for row, _ in store.lines_page(batch.id, after=299)][1:] == [
        "y" * 200_000,
        "z",
    ]


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM completions WHERE first_number=3",
        "UPDATE completions SET first_number=first_number+(1<<40) WHERE true",
        "UPDATE completions SET first_number=9 WHERE first_number=3",
        "UPDATE completions SET outcomes='', positions=x'' WHERE first_number=3",
    ],
)
def test_a_gap_in_the_rows(
    store: Batches, query: Query, author: Author, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Nobody goes round in it, or takes what is left for the whole."""
    monkeypatch.setattr(completions, "PART", 2)
    batch = author.draft(map(request_line, "abcdefg"))
    store.save_batch(batch)
    query(f"{damage} AND batch_no=(SELECT max(batch_no) FROM batches)")  # noqa: S608 (a damage)
    after = found = 0
    with suppress(DataError):
        while page := store.lines_page(batch.id, after=after):
            after = page[-1][0].number
    with suppress(DataError):
        found = len(store.request_index(batch.id))
    assert (after, found) in {(2, 0), (0, 0)}


def test_a_collection_is_reopened_in_every_row(
    path: Path, open_file: OpenFile, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no line is pending again, and what has one stays."""
    monkeypatch.setattr(completions, "PART", 2)
    store = open_file(path)
    batch = author.draft(map(request_line, "abcdefg"))
    author.end(batch)
    author.apply(batch, RequestIndex("abcdefg"), [answer("b"), answer("g")])
    batch.finish_collection(stamp=author.stamp())
    store.save_batch(batch)
    assert letters(store, batch.id) == "msmmmms"
    assert batch.report is not None
    batch.reopen_collection(batch.report, request_id=None, stamp=author.stamp())
    store.save_batch(batch)
    assert letters(store, batch.id) == "pspppps"


def letters(store: Batches, batch_id: UUID) -> str:
    """The first letters of the outcomes."""
    return "".join(row.outcome[0] for row in all_rows(store, batch_id))


@pytest.mark.parametrize("digits", [b"1" + b"0" * 20, b"9" * 40])
def test_enormous_numbers(path: Path, open_file: OpenFile, author: Author, digits: bytes) -> None:
    """One result line with an absurd number does not keep the others from being stored."""
    store = open_file(path)
    batch = author.draft(map(request_line, "ab"))
    author.end(batch)
    store.save_batch(batch)
    absurd = answer("a").replace(b'"input_tokens": 7', b'"input_tokens": ' + digits)
    author.apply(batch, store.request_index(batch.id), [absurd, answer("b")])
    store.save_batch(batch)
    assert store.get(batch.id) == batch


def test_no_parameter_has_a_number() -> None:
    """Python 3.12.0 to 3.12.3 take `?1` for a named one, and warn of values without names."""
    files = list(Path(sqlite.__file__).parent.glob("*.py"))
    assert [file.name for file in files if re.search(r"\?\d", file.read_text())] == []
