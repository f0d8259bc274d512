"""The floor: the same job with nothing kept but the answers, in the cheapest way we know.

It checks each line, uploads, waits, downloads, parses each result and inserts it into SQLite, and
writes the results in input order. It keeps no log, cannot go on after a crash, and asks SQLite
for no durability. HTTP is the standard library's, which costs least for a few long transfers.

    python tests/benchmarks/floor.py INPUT.jsonl OUT.jsonl DATABASE BASE_URL
"""

import http.client
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

PIECE = 1 << 18
PAGE_BYTES = 1 << 15
POLL_SECONDS = 0.1
CHUNK_LINES = 2_000
CREATE = (
    "CREATE TABLE results (number INTEGER, status INTEGER, input INTEGER, output INTEGER,"
    " line BLOB)"
)
ENDS = {"completed", "failed", "expired", "cancelled"}
BOUNDARY = "floor-boundary-5d1c8e0b"

Row = tuple[int, int | None, int, int, bytes]


class Body(msgspec.Struct):
    """What a request must have in its body."""

    model: str


class Request(msgspec.Struct):
    """What a request line must have."""

    custom_id: str
    method: str
    url: str
    body: Body


class Usage(msgspec.Struct):
    """The tokens of an answer."""

    input_tokens: int = 0
    output_tokens: int = 0


class Answer(msgspec.Struct):
    """What is read of an answer's body."""

    usage: Usage | None = None


class Response(msgspec.Struct):
    """What is read of a response."""

    status_code: int
    body: Answer


class Result(msgspec.Struct):
    """What is read of a result line."""

    custom_id: str
    response: Response | None = None


def main(source: str, target: str, database: str, base_url: str) -> None:
    """Do the whole job."""
    numbers = check(Path(source))
    lines = answers(base_url, Path(source))
    store = opened(database)
    insert(store, in_order(rows(numbers, lines)))
    write(store, Path(target))
    store.close()


def answers(base_url: str, source: Path) -> Iterator[bytes]:
    """Run a batch of the file to its end; gives the lines of its results as they come."""
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc)
    path = urlsplit(base_url).path
    batch = create(connection, path, upload(connection, path, source))
    while batch["status"] not in ENDS:
        time.sleep(POLL_SECONDS)
        batch = call(connection, "GET", f"{path}/batches/{batch['id']}")
    yield from download(connection, f"{path}/files/{batch['output_file_id']}/content")


def check(source: Path) -> dict[str, int]:
    """The number of each request; each line must be one, and each custom_id its own."""
    decode = msgspec.json.Decoder(Request).decode
    numbers: dict[str, int] = {}
    with source.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            request = decode(line)
            if request.method != "POST" or request.custom_id in numbers:
                sys.exit(f"line {number} is no request")
            numbers[request.custom_id] = number
    return numbers


def upload(connection: http.client.HTTPConnection, path: str, source: Path) -> str:
    """Send the file as a form, piece by piece; gives its id."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    ).encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    size = len(head) + source.stat().st_size + len(tail)

    def form() -> Iterator[bytes]:
        yield head
        with source.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
        yield tail

    kind = f"multipart/form-data; boundary={BOUNDARY}"
    headers = {"Content-Type": kind, "Content-Length": str(size)}
    return str(call(connection, "POST", f"{path}/files", form(), headers)["id"])


def create(connection: http.client.HTTPConnection, path: str, file_id: str) -> dict[str, Any]:
    """Make the batch."""
    batch = {
        "input_file_id": file_id,
        "endpoint": "/v1/responses",
        "completion_window": "24h",
    }
    headers = {"Content-Type": "application/json"}
    return call(connection, "POST", f"{path}/batches", msgspec.json.encode(batch), headers)


def call(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | Iterator[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """One call; gives the decoded answer."""
    connection.request(method, path, body, {"Authorization": "Bearer floor", **(headers or {})})
    response = connection.getresponse()
    content = response.read()
    if response.status != http.client.OK:
        sys.exit(content.decode())
    return msgspec.json.decode(content, type=dict[str, Any])


def download(connection: http.client.HTTPConnection, path: str) -> Iterator[bytes]:
    """The lines of a file, without their newlines."""
    connection.request("GET", path, headers={"Authorization": "Bearer floor"})
    response = connection.getresponse()
    rest = b""
    while piece := response.read(PIECE):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest


def opened(database: str | Path) -> sqlite3.Connection:
    """A new database that is quick and promises nothing.

    Its rows are appended, on large pages: results come in any order, and a key that follows the
    input would make each insert land on another page, for twice the time.
    """
    store = sqlite3.connect(database, isolation_level=None)
    store.execute(f"PRAGMA page_size={PAGE_BYTES}")
    store.execute("PRAGMA journal_mode=OFF")
    store.execute("PRAGMA synchronous=OFF")
    store.execute(CREATE)
    return store


def insert(store: sqlite3.Connection, parsed: Iterator[tuple[Any, ...]]) -> None:
    """Insert rows in one transaction."""
    store.execute("BEGIN")
    store.executemany("INSERT INTO results VALUES (?, ?, ?, ?, ?)", parsed)
    store.execute("COMMIT")


def in_order(parsed: Iterator[Row]) -> Iterator[Row]:
    """Rows in input order by the chunk: those of a page are then read one after the other."""
    while chunk := list(islice(parsed, CHUNK_LINES)):
        yield from sorted(chunk)


def rows(numbers: dict[str, int], lines: Iterable[bytes]) -> Iterator[Row]:
    """Parse each line; gives what is inserted of it."""
    decode = msgspec.json.Decoder(Result).decode
    for line in lines:
        result = decode(line)
        response = result.response
        usage = (response.body.usage if response else None) or Usage()
        status = response.status_code if response else None
        number = numbers[result.custom_id]
        yield number, status, usage.input_tokens, usage.output_tokens, line


def write(store: sqlite3.Connection, target: Path) -> None:
    """The results in input order."""
    store.execute("CREATE INDEX by_number ON results (number)")
    with target.open("wb") as out:
        written = store.execute("SELECT line FROM results ORDER BY number")
        out.writelines(line + b"\n" for (line,) in written)


if __name__ == "__main__":
    main(*sys.argv[1:])
