"""The same job by hand on the official SDK, streaming: what a careful user would write.

Results stream from the SDK's response into SQLite and from there, in input order, into the file.
It keeps no log and cannot go on after a crash.

    python sdk_script.py INPUT.jsonl OUT.jsonl DATABASE BASE_URL
"""

import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from openai import OpenAI

POLL_SECONDS = 0.1
ENDS = {"completed", "failed", "expired", "cancelled"}


def main(source: str, target: str, database: str, base_url: str) -> None:
    """Do the whole job."""
    numbers = check(Path(source))
    client = OpenAI(base_url=base_url, api_key="script")
    with Path(source).open("rb") as requests:
        uploaded = client.files.create(file=requests, purpose="batch")
    batch = client.batches.create(
        input_file_id=uploaded.id, endpoint="/v1/responses", completion_window="24h"
    )
    while batch.status not in ENDS:
        time.sleep(POLL_SECONDS)
        batch = client.batches.retrieve(batch.id)
    if batch.output_file_id is None:
        sys.exit(f"the batch ended {batch.status} without results")
    store = sqlite3.connect(database)
    store.execute("CREATE TABLE results (number INTEGER PRIMARY KEY, status INTEGER, line BLOB)")
    with client.files.with_streaming_response.content(batch.output_file_id) as content:
        store.executemany(
            "INSERT INTO results VALUES (?, ?, ?)", rows(lines(content.iter_bytes()), numbers)
        )
    store.commit()
    with Path(target).open("wb") as out:
        written = store.execute("SELECT line FROM results ORDER BY number")
        out.writelines(line + b"\n" for (line,) in written)
    store.close()


def check(source: Path) -> dict[str, int]:
    """The number of each request; each line must be one, and each custom_id its own."""
    numbers: dict[str, int] = {}
    with source.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            request = json.loads(line)
            if request["method"] != "POST" or request["custom_id"] in numbers:
                sys.exit(f"line {number} is no request")
            numbers[request["custom_id"]] = number
    return numbers


def lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The lines of a stream; the SDK's own would be text, and cut at more than newlines."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole


def rows(
    results: Iterator[bytes], numbers: dict[str, int]
) -> Iterator[tuple[int, int | None, bytes]]:
    """Each result as a row."""
    for line in results:
        result = json.loads(line)
        response = result["response"]
        yield numbers[result["custom_id"]], response and response["status_code"], line


if __name__ == "__main__":
    main(*sys.argv[1:])
