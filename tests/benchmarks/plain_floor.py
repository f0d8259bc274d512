"""The floor as most would write it: orjson, and SQLite as it comes but for its durability.

Each line is parsed whole, and results have the number of their request for their key.

    PYTHONPATH=. python tests/benchmarks/plain_floor.py INPUT.jsonl OUT.jsonl DATABASE BASE_URL
"""

import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import orjson
from tests.benchmarks import floor

CREATE = floor.CREATE.replace("number INTEGER", "number INTEGER PRIMARY KEY")
BY_CUSTOM_ID = floor.CREATE.replace("number INTEGER", "custom_id TEXT PRIMARY KEY")

_Key = TypeVar("_Key", int, str)


def main(source: str, target: str, database: str, base_url: str) -> None:
    """Do the whole job."""
    numbers = check(Path(source))
    with closing(sqlite3.connect(database, isolation_level=None)) as store:
        store.execute("PRAGMA journal_mode=OFF")
        store.execute("PRAGMA synchronous=OFF")
        store.execute(CREATE)
        floor.insert(store, rows(numbers, floor.answers(base_url, Path(source))))
        written = store.execute("SELECT line FROM results ORDER BY number")
        with Path(target).open("wb") as out:
            out.writelines(line + b"\n" for (line,) in written)


def check(source: Path) -> dict[str, int]:
    """The number of each request; each line must be one, and each custom_id its own."""
    numbers: dict[str, int] = {}
    with source.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            request = orjson.loads(line)
            custom_id, model = request["custom_id"], request["body"]["model"]
            if request["method"] != "POST" or not model or custom_id in numbers:
                sys.exit(f"line {number} is no request")
            numbers[custom_id] = number
    return numbers


def rows(
    keys: Mapping[str, _Key], lines: Iterable[bytes]
) -> Iterator[tuple[_Key, int | None, int, int, bytes]]:
    """Parse each line; gives what is inserted of it, with the key of its custom_id first."""
    for line in lines:
        result = orjson.loads(line)
        response = result["response"] or {}
        usage = response.get("body", {}).get("usage") or {}
        key, status = keys[result["custom_id"]], response.get("status_code")
        yield key, status, usage.get("input_tokens", 0), usage.get("output_tokens", 0), line


if __name__ == "__main__":
    main(*sys.argv[1:])
