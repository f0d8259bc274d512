"""The floor with three promises of the log's, and nothing else of it.

Requests are stored before they are sent; each line has its digest, and so has the whole input;
and each commit is left whole by a power cut. No events, no views, no prices, no going on.

    PYTHONPATH=. python tests/benchmarks/kept_floor.py INPUT.jsonl OUT.jsonl DATABASE BASE_URL
"""

import sqlite3
import sys
from collections.abc import Iterable
from hashlib import sha256
from itertools import islice
from pathlib import Path

from tests.benchmarks import floor

BLOCK = 1 << 21


def main(source: str, target: str, database: str, base_url: str) -> None:
    """Do the whole job."""
    numbers = floor.check(Path(source))
    store = opened(database)
    keep_requests(store, Path(source))
    lines = floor.answers(base_url, Path(source))
    insert(store, floor.in_order(floor.rows(numbers, lines)))
    floor.write(store, Path(target))
    store.close()


def opened(database: str | Path) -> sqlite3.Connection:
    """A new database that keeps what was committed."""
    store = sqlite3.connect(database, isolation_level=None)
    store.execute(f"PRAGMA page_size={floor.PAGE_BYTES}")
    store.execute("PRAGMA journal_mode=WAL")
    store.execute("PRAGMA synchronous=FULL")
    store.execute("CREATE TABLE requests (digests BLOB, lines BLOB)")
    store.execute(floor.CREATE)
    store.execute("ALTER TABLE results ADD COLUMN digest BLOB")
    return store


def keep_requests(store: sqlite3.Connection, source: Path) -> None:
    """Store the input by the block, with the digest of each line and that of the whole."""
    whole = sha256()
    with source.open("rb") as lines:
        while block := lines.readlines(BLOCK):
            digests = b"".join([line.digest() for line in map(sha256, block)])
            text = b"".join(block)
            whole.update(text)
            # A statement is a transaction of its own.
            store.execute("INSERT INTO requests VALUES (?, ?)", (digests, text))
    store.execute("INSERT INTO requests VALUES (?, NULL)", (whole.digest(),))


def insert(store: sqlite3.Connection, parsed: Iterable[floor.Row]) -> None:
    """Insert rows with the digests of their lines, and commit each chunk."""
    parsed = iter(parsed)
    while chunk := list(islice(parsed, floor.CHUNK_LINES)):
        rows = ((*row, sha256(row[-1]).digest()) for row in chunk)
        store.execute("BEGIN IMMEDIATE")
        store.executemany("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?)", rows)
        store.execute("COMMIT")


if __name__ == "__main__":
    main(*sys.argv[1:])
