"""The floor with what a log must keep, and nothing else of it.

Requests are stored before they are sent; each result is an event, in its place in its batch and
with a digest of itself; each line has its digest, and so has the whole input; and each commit is
left whole by a power cut. Nothing is decided, nothing costs anything, there are no views, and it
cannot go on after a crash.

    PYTHONPATH=. python tests/benchmarks/kept_floor.py INPUT.jsonl OUT.jsonl DATABASE BASE_URL
"""

import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from tests.benchmarks import floor

BLOCK = 1 << 21
REQUESTS = "CREATE TABLE requests (digests BLOB, lines BLOB)"
RESULTS = (
    "CREATE TABLE results (position INTEGER PRIMARY KEY AUTOINCREMENT, batch TEXT NOT NULL, "
    "version INTEGER NOT NULL, number INTEGER NOT NULL, digest BLOB NOT NULL, "
    "state BLOB NOT NULL, line BLOB NOT NULL, UNIQUE (batch, version))"
)
INSERT = (
    "INSERT INTO results (batch, version, number, digest, state, line) VALUES (?, ?, ?, ?, ?, ?)"
)


def main(source: str, target: str, database: str, base_url: str) -> None:
    """Do the whole job."""
    numbers = floor.check(Path(source))
    with closing(opened(database)) as store:
        keep_requests(store, Path(source))
        lines = floor.answers(base_url, Path(source))
        keep_results(store, floor.in_order(floor.rows(numbers, lines)))
        floor.write(store, Path(target))


def opened(database: str | Path) -> sqlite3.Connection:
    """A new database that keeps what was committed."""
    store = sqlite3.connect(database, isolation_level=None)
    store.execute(f"PRAGMA page_size={floor.PAGE_BYTES}")
    store.execute("PRAGMA journal_mode=WAL")
    store.execute("PRAGMA synchronous=FULL")
    store.execute(REQUESTS)
    store.execute(RESULTS)
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


def keep_results(store: sqlite3.Connection, parsed: Iterable[floor.Row]) -> None:
    """Insert an event of each result, and commit each chunk."""
    events = _events(parsed)
    while chunk := list(islice(events, floor.CHUNK_LINES)):
        store.execute("BEGIN IMMEDIATE")
        store.executemany(INSERT, chunk)
        store.execute("COMMIT")


def _events(parsed: Iterable[floor.Row]) -> Iterator[tuple[Any, ...]]:
    batch, encode = uuid4().hex, msgspec.msgpack.Encoder().encode
    for version, (number, status, given, made, line) in enumerate(parsed, start=1):
        state = encode((number, status, given, made, sha256(line).digest(), len(line)))
        digest = sha256(b"%s %d %s" % (batch.encode(), version, state)).digest()
        yield batch, version, number, digest, state, line


if __name__ == "__main__":
    main(*sys.argv[1:])
