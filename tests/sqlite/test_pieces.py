"""Bodies that are cut into pieces: the file is filled, and nothing of them is left behind."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.laboratory.author import Author, answer, request_line
from tests.laboratory.exports import exported, imported, in_memory
from tests.sqlite.conftest import OpenFile, Query, read_only

from batchtrail.adapters.sqlite.database import SCHEMA_VERSION
from batchtrail.adapters.sqlite.pieces import HEAD
from batchtrail.application.errors import StoreError
from batchtrail.application.pruning import Prunable, prune
from batchtrail.application.redacting import redact
from batchtrail.application.store import Batches
from batchtrail.application.verification import verify_store
from batchtrail.domain.batch import Batch
from batchtrail.domain.events import ResultApplied
from batchtrail.domain.requests import RequestIndex

MOST_FOR_A_BYTE = 1.15
_FILLING = 6_000_000
_MANY = str(list(range(8, 200)))
NEEDLE = "needle "


@pytest.fixture
def store(path: Path, open_file: OpenFile) -> Batches:
    """Give an empty store."""
    return open_file(path)


def saved(store: Batches, author: Author, texts: Sequence[str]) -> Batch:
    """Save a batch with these texts as answers to one request each."""
    ids = [str(number) for number in range(len(texts))]
    batch = author.draft(map(request_line, ids))
    author.end(batch)
    author.apply(batch, RequestIndex(ids), map(answer, ids, texts))
    batch.finish_collection(stamp=author.stamp())
    store.save_batch(batch)
    return batch


def on_disk(path: Path) -> bytes:
    """Give every byte of the database."""
    return b"".join(each.read_bytes() for each in path.parent.iterdir())


@pytest.mark.parametrize(
    "size", [5_500, 8_000, 11_500, 16_500, 22_000, 28_900, 33_000, (100, 40_000)]
)
def test_the_file_is_filled(
    store: Batches, query: Query, author: Author, size: int | tuple[int, int]
) -> None:
    """As whole rows, results of 16.5 kB would take twice their bytes."""
    fixed = random.Random(1)  # noqa: S311 (the same lengths each time)
    lengths = list[int]()
    while sum(lengths) < _FILLING:
        lengths.append(size if isinstance(size, int) else fixed.randint(*size))
    before = query("PRAGMA page_count")[0][0]
    saved(store, author, ["x" * length for length in lengths])
    pages = query("PRAGMA page_count")[0][0] - before
    lines = sum(lengths) + len(lengths) * len(answer("1000"))
    assert pages * 32_768 < MOST_FOR_A_BYTE * lines


def test_nothing_is_left_of_what_was_removed(
    path: Path, open_file: OpenFile, query: Query, author: Author
) -> None:
    """Pieces go with their bodies, those of others stay, and zeros stand where they stood."""
    store = open_file(path)
    batch = saved(store, author, [(f"<{n}> {NEEDLE}" * 2_000)[:12_000] for n in range(30)])
    redact(store, batch.id, "1", None, author.stamp)
    assert len(query("SELECT DISTINCT id/8 FROM pieces")) == len(range(29))
    store.close()
    assert b"<1>" not in on_disk(path)
    assert b"<2>" in on_disk(path)
    store = open_file(path)
    prune(store, Prunable(batch.id, batch.version), None, author.stamp)
    assert query("SELECT count(*) FROM pieces") == [(0,)]
    store.close()
    assert NEEDLE.encode() not in on_disk(path)


def test_what_a_redaction_leaves_is_cut_too(store: Batches, query: Query, author: Author) -> None:
    """An input without one of its lines fills pages as it did before."""
    requests = "SELECT count(*) FROM pieces JOIN events ON id/8=position AND topic LIKE '%added'"
    batch = author.draft(request_line(name, "x" * 4_000) for name in "abc")
    author.end(batch)
    author.apply(batch, RequestIndex("abc"), [])
    batch.finish_collection(stamp=author.stamp())
    store.save_batch(batch)
    assert query(requests) == [(3,)]
    redact(store, batch.id, "b", None, author.stamp)
    assert query(requests) == [(2,)]
    assert verify_store(store, against=None, limit=9).is_good


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM pieces WHERE id=(SELECT max(id) FROM pieces)",
        "DELETE FROM pieces",
        "DROP TABLE pieces",
        "UPDATE pieces SET piece=x'00' WHERE id=(SELECT min(id) FROM pieces)",
        "UPDATE pieces SET piece='text' WHERE id=(SELECT min(id) FROM pieces)",
        "UPDATE pieces SET piece=7.5 WHERE id=(SELECT min(id) FROM pieces)",
        "UPDATE pieces SET id=id+8 WHERE id=(SELECT max(id) FROM pieces)",
    ],
)
def test_damaged_pieces(store: Batches, query: Query, author: Author, damage: str) -> None:
    """The event whose body is not what was recorded is named."""
    saved(store, author, ["x" * 12_000])
    query(damage)
    (difference,) = verify_store(store, against=None, limit=9).differences
    assert "body" in difference.what


def test_a_text_in_place_of_a_head(store: Batches, query: Query, author: Author) -> None:
    """Whoever reads it is told which event it is."""
    batch = saved(store, author, ["x" * 12_000])
    query("UPDATE events SET body=CAST(body AS TEXT) WHERE length(body)=?", HEAD)
    with pytest.raises(StoreError, match=r"event \d+ of batch .+ cannot be read"):
        list(store.history(batch.id, bodies=True))


def test_a_database_of_the_layout_before(
    path: Path, open_file: OpenFile, query: Query, author: Author
) -> None:
    """It is read as it is, also without a write, and brought up to date when it is opened."""
    store = open_file(path)
    whole = len(answer("0"))
    batch = saved(store, author, ["x" * (HEAD - whole), "y" * 100])
    store.close()
    for table in ("beginnings", "pieces", "request_ids", "completions"):
        query(f"DROP TABLE {table}")
    query("UPDATE view_checkpoint SET version=4")
    query("PRAGMA user_version=1")
    assert verify_store(read_only(path), against=None, limit=9).is_good
    with read_only(path).recorder.reading() as log:
        read = log.log_page(after=0, max_bytes=1 << 20)
    lines = [record.body for record in read if record.topic == ResultApplied.TOPIC]
    assert [len(line or b"") for line in lines] == [HEAD, 100 + whole]
    assert query("PRAGMA user_version") == [(1,)]
    again = open_file(path)
    assert query("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert [line for _, line in again.lines_page(batch.id, after=0)] == lines
    saved(again, author, ["x" * 12_000])
    assert verify_store(again, against=None, limit=9).is_good


def test_bodies_that_the_layout_before_cut(store: Batches, query: Query, author: Author) -> None:
    """Their heads were shorter and had no mark, and are still known for what they are."""
    whole = len(answer("0"))
    lengths = [12_000 + whole, 3_600, 100 + whole]
    batch = saved(store, author, ["x" * (length - whole) for length in lengths])
    line = store.lines_page(batch.id, after=0)[0][1] or b""
    (position,) = query("SELECT DISTINCT id/8 FROM pieces")[0]
    query("DELETE FROM pieces")
    query("UPDATE events SET body=? WHERE position=?", line[:3_600], position)
    for number, begin in enumerate(range(3_600, len(line), 4_000)):
        query(
            "INSERT INTO pieces VALUES (?, ?)", 8 * position + number, line[begin : begin + 4_000]
        )
    found = [len(line or b"") for _, line in store.lines_page(batch.id, after=0)]
    assert found == lengths
    assert verify_store(store, against=None, limit=9).is_good
    redact(store, batch.id, "0", None, author.stamp)
    assert query("SELECT count(*) FROM pieces") == [(0,)]
    assert verify_store(store, against=None, limit=9).is_good


@pytest.mark.parametrize(
    "lost",
    [
        "DELETE FROM pieces",
        "DELETE FROM pieces WHERE id=(SELECT max(id) FROM pieces)",
        "DELETE FROM pieces WHERE id=(SELECT min(id) FROM pieces)",
        "INSERT INTO pieces SELECT max(id) + 1, x'7d' FROM pieces",
    ],
)
def test_lost_pieces_are_told(store: Batches, query: Query, author: Author, lost: str) -> None:
    """What is left of a result is never taken for the whole."""
    batch = saved(store, author, ["x" * 100, "x" * 12_000])
    query(lost)
    with pytest.raises(StoreError, match=r"the result of request '1' .+ lacks a part"):
        store.lines_page(batch.id, after=0)
    with pytest.raises(StoreError, match="lacks a part"):
        list(store.history(batch.id, bodies=True))


def test_pieces_that_belong_to_no_event(store: Batches, query: Query, author: Author) -> None:
    """They give way: a save that met them would be tried again for ever."""
    saved(store, author, ["x" * 100])
    (last,) = query("SELECT max(position) FROM events")[0]
    query("INSERT INTO pieces SELECT ?+value, x'00' FROM json_each(?)", 8 * last, _MANY)
    lengths = [30_000, 5_000, *(head - len(answer("0")) for head in (HEAD, 3_600))]
    saved(store, author, ["x" * length for length in lengths])
    assert verify_store(store, against=None, limit=9).is_good


def test_bodies_with_damaged_heads_are_removed_whole(
    store: Batches, query: Query, author: Author
) -> None:
    """What is removed does not depend on what the row says."""
    batch = saved(store, author, ["x" * 12_000] * 3)
    query("UPDATE events SET body=substr(body, 2)")
    prune(store, Prunable(batch.id, batch.version - 2), None, author.stamp)
    kept = query("SELECT DISTINCT position FROM events JOIN pieces ON id/8=position")
    assert len(kept) == 1  # that of the last result
    assert len(query("SELECT DISTINCT id/8 FROM pieces")) == 1


def test_an_import_is_cut_too(store: Batches, query: Query) -> None:
    """A log from elsewhere fills its pages as well."""
    source = in_memory()
    saved(source, Author(), ["x" * 12_000])
    imported(store, exported(source))
    assert query("SELECT count(DISTINCT id/8) FROM pieces") == [(1,)]


def test_lines_are_read_by_the_page(store: Batches, author: Author) -> None:
    """However long the results are, about a megabyte of them is held."""
    batch = saved(store, author, ["x" * 30_000] * 60)
    first = store.lines_page(batch.id, after=0)
    assert 30 < len(first) < 40
    small = saved(store, author, [""] * 3_000)
    assert len(store.lines_page(small.id, after=0)) < 2_000


@pytest.mark.parametrize("size", [3_949, 3_950, 30_500, 30_501])
def test_borders(store: Batches, query: Query, author: Author, size: int) -> None:
    """What fills a page well enough is left in one place, where it is read at once."""
    saved(store, author, ["x" * (size - len(answer("0")))])
    assert query("SELECT count(*)>0 FROM pieces") == [(3_950 <= size <= 30_500,)]
