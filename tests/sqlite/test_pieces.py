"""Bodies that are cut into pieces: the file is filled, and nothing of them is left behind."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.sqlite.conftest import OpenFile, Query

from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.adapters.sqlite.database import SCHEMA_VERSION
from batchtrail.adapters.sqlite.pieces import HEAD
from batchtrail.adapters.store_contract import Author, answer, request_line
from batchtrail.application.pruning import Prunable, prune
from batchtrail.application.redacting import redact
from batchtrail.application.store import Batches
from batchtrail.application.verification import verify_store
from batchtrail.domain.batch import Batch
from batchtrail.domain.requests import RequestIndex

MOST_FOR_A_BYTE = 1.15
_FILLING = 6_000_000
NEEDLE = "needle "


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
    path: Path, open_file: OpenFile, query: Query, author: Author, size: int | tuple[int, int]
) -> None:
    """As whole rows, results of 16.5 kB would take twice their bytes."""
    store = open_file(path)
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
    batch = saved(store, author, [(f"{n} {NEEDLE}" * 2_000)[:12_000] for n in range(3)])
    redact(store, batch.id, "1", None, author.stamp)
    assert len(query("SELECT DISTINCT id/8 FROM pieces")) == len(("0", "2"))
    prune(store, Prunable(batch.id, batch.version), None, author.stamp)
    assert query("SELECT count(*) FROM pieces") == [(0,)]
    store.close()
    query("PRAGMA wal_checkpoint(TRUNCATE)")
    assert f"1 {NEEDLE}".encode() not in on_disk(path)
    assert f"2 {NEEDLE}".encode() not in on_disk(path)


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
def test_damaged_pieces(
    path: Path, open_file: OpenFile, query: Query, author: Author, damage: str
) -> None:
    """The event whose body is not what was recorded is named."""
    store = open_file(path)
    saved(store, author, ["x" * 12_000])
    query(damage)
    (difference,) = verify_store(store, against=None, limit=9).differences
    assert "body" in difference.what


def test_a_database_of_the_layout_before(
    path: Path, open_file: OpenFile, query: Query, author: Author
) -> None:
    """It is read as it is, also without a write, and brought up to date when it is opened."""
    store = open_file(path)
    whole = len(answer("0"))
    batch = saved(store, author, ["x" * (HEAD - whole), "y" * 100])
    store.close()
    query("DROP TABLE pieces")
    query("PRAGMA user_version=1")
    lines = [line for _, line in open_file_to_read(path).lines_page(batch.id, after=0)]
    assert [len(line or b"") for line in lines] == [HEAD, 100 + whole]
    assert query("PRAGMA user_version") == [(1,)]
    again = open_file(path)
    assert query("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert [line for _, line in again.lines_page(batch.id, after=0)] == lines
    saved(again, author, ["x" * 12_000])
    assert verify_store(again, against=None, limit=9).is_good


def open_file_to_read(path: Path) -> Batches:
    """Give a store that writes nothing."""
    return Batches(SQLiteBatchFactory(path, read_only=True), as_it_is=True)
