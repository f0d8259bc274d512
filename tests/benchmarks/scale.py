"""A database of a million results: what a rebuild of its views and a `status` cost.

    python -m tests.benchmarks.scale [--batches N] [--requests N] [--rounds N]

The results are short, because neither command reads them. Whole processes, beside one that reads
the same rows with sqlite3 alone.
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.measuring import Cost, measured, median_of

from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application.raw_lines import RawLine
from batchtrail.application.result_lines import parse_result_line
from batchtrail.application.store import Batches
from batchtrail.domain.batch import Batch
from batchtrail.domain.requests import RequestIndex
from batchtrail.domain.status import BatchStatus, ResultFile
from batchtrail.domain.values import (
    Limits,
    NewBatch,
    Provenance,
    RequestChunk,
    RequestCounts,
    Stamp,
    StatusReport,
)

COMMAND = str(Path(sys.executable).parent / "batchtrail")
CHUNK = 5_000
LIMITS = Limits(50_000, 1 << 30, frozenset({"/v1/responses"}))
READ = """
import sqlite3, sys
events = sqlite3.connect(sys.argv[1]).execute(
    "SELECT position, originator_id, originator_version, topic, state, digest FROM events"
    " ORDER BY originator_id, originator_version"
)
for event in events:
    pass
"""
_BY = Provenance("bench", "bench", "0" * 16, "0" * 16)


def make(path: Path, batches: int, requests: int) -> None:
    """A database of so many finished batches, each of so many requests."""
    store = Batches(SQLiteBatchFactory(path))
    for _ in range(batches):
        _make_batch(store, requests)
    store.close()


def _make_batch(store: Batches, requests: int) -> None:
    stamp = Stamp(datetime.now(UTC), _BY)
    ids = [f"request-{number:06}" for number in range(requests)]
    batch = Batch.draft(NewBatch("bench", "/v1/responses"), stamp=stamp)
    lines = b"".join(b'{"custom_id":"%s"}\n' % each.encode() for each in ids)
    chunk = RequestChunk(1, tuple(ids), lines, "/v1/responses", "gpt-5-nano")
    batch.add_requests(chunk, LIMITS, stamp=stamp)
    batch.start_submission("0" * 64, stamp=stamp)
    batch.start_upload(stamp=stamp)
    batch.record_upload("file-1", provider_created_at=None, request_id=None, stamp=stamp)
    batch.start_create(stamp=stamp)
    counts = RequestCounts(requests, requests, 0)
    report = StatusReport(BatchStatus.ENDED, "completed", counts, output_file_id="file-2")
    batch.record_submitted("batch_1", report, adopted=False, request_id=None, stamp=stamp)
    store.save_batch(batch)
    index, offset = RequestIndex(ids), 0
    for start in range(0, requests, CHUNK):
        raw = list(_results(ids[start : start + CHUNK], offset))
        offset = raw[-1].offset + len(raw[-1].raw) + 1
        results = [parse_result_line(line) for line in raw]
        batch.apply_results(ResultFile.OUTPUT, results, index, stamp=stamp)
        store.save_batch(batch)
    batch.finish_collection(stamp=stamp)
    store.save_batch(batch)


def _results(ids: list[str], offset: int) -> Iterator[RawLine]:
    for custom_id in ids:
        raw = (
            b'{"custom_id":"%s","response":{"status_code":200,"body":{"usage":'
            b'{"input_tokens":600,"output_tokens":500}}}}' % custom_id.encode()
        )
        yield RawLine(offset, raw)
        offset += len(raw) + 1


def plan_of_status(path: Path) -> str:
    """How SQLite answers the one question of `status`."""
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "EXPLAIN QUERY PLAN SELECT summary FROM batches WHERE created_at<'~'"
        " ORDER BY created_at DESC, batch_no DESC LIMIT 100"
    )
    plan = "; ".join(row[-1] for row in rows)
    connection.close()
    return plan


def main() -> None:
    """Make the database, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batchtrail-bench-") as name:
        path = Path(name) / "batchtrail.db"
        # In a process of its own: this one must stay small, or its children begin with its peak.
        arguments = [str(path), str(options.batches), str(options.requests)]
        program = "import sys; from pathlib import Path; from tests.benchmarks.scale import make;"
        program += "make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))"
        subprocess.run([sys.executable, "-c", program, *arguments], check=True)
        total = options.batches * options.requests
        print(f"{total:,} results in {options.batches} batches\n")
        print("| Command | CPU s | Wall s | Peak MB |\n| --- | --- | --- | --- |")
        commands = {
            "`rebuild`": [COMMAND, "rebuild"],
            "reading the events, bare": [sys.executable, "-c", READ, str(path)],
            "`status`": [COMMAND, "status"],
            "`batchtrail --help`": [COMMAND, "--help"],
        }
        environment = {"PATH": os.environ["PATH"], "HOME": "/", "OPENAI_API_KEY": "bench"}
        costs: dict[str, list[Cost]] = {each: [] for each in commands}
        for _ in range(options.rounds):
            for each, command in commands.items():
                costs[each].append(measured(command, Path(name), environment))
        for each, found in costs.items():
            cost = median_of(found)
            print(f"| {each} | {cost.cpu:.2f} | {cost.wall:.2f} | {cost.peak_mb:.0f} |")
        print(f"\n`status` is answered by: {plan_of_status(path)}")


if __name__ == "__main__":
    main()
