"""The stages of a run apart, in one process, beside what each is compared with.

    python -m tests.benchmarks.stages INPUT.jsonl FOLDER BASE_URL

prints one line of JSON: for each stage its CPU and wall time in seconds.
"""

import asyncio
import gc
import json
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from tests.benchmarks import floor, kept_floor, plain_floor
from tests.benchmarks.measuring import (
    APPLY,
    BARE_LOOP,
    KEPT_LOOP,
    LOOP_AS_IT_COMES,
    PLAIN_LOOP,
    warm_pages,
)

from batchtrail.adapters.cli import COLLECTED_EVERY
from batchtrail.adapters.cli.output import write_lines
from batchtrail.adapters.openai import OpenAISettings
from batchtrail.adapters.openai.provider import connect
from batchtrail.adapters.prices import GenaiPrices
from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application.completions import result_lines
from batchtrail.application.drafting import identity_of, record_input
from batchtrail.application.handlers import NoHandlers
from batchtrail.application.input import check_file
from batchtrail.application.lifecycle import Lifecycle, ServiceSettings
from batchtrail.application.ports import BatchProvider
from batchtrail.application.rebuilding import rebuild
from batchtrail.application.runtime import Runtime
from batchtrail.application.store import Batches
from batchtrail.bootstrap import SystemClock
from batchtrail.domain.values import NewBatch

POLL_SECONDS = 0.1
_PIECE = 1 << 18


class Stages:
    """Times stages by name."""

    def __init__(self) -> None:
        self.costs: dict[str, tuple[float, float]] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """The CPU of all threads, and the wall time, of a block."""
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.costs[name] = (time.process_time() - cpu, time.perf_counter() - wall)


class _FromFile:
    """The provider, but that it downloads from a file; so applying is measured without HTTP."""

    def __init__(self, provider: BatchProvider, content: Path) -> None:
        self._provider = provider
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    async def download(self, _file_id: str) -> AsyncGenerator[bytes, None]:
        with self._content.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece


def _open(path: Path) -> Runtime:
    batches = Batches(SQLiteBatchFactory(path))
    return Runtime(batches, SystemClock(), actor="bench", software="bench")


async def measure(source: Path, folder: Path, base_url: str) -> dict[str, tuple[float, float]]:
    """Bring a batch through its life, stage by stage."""
    stages = Stages()
    content, database = folder / "content.jsonl", folder / "stages.db"
    runtime = _open(database)
    try:
        async with connect(OpenAISettings(api_key="bench", base_url=base_url)) as provider:
            batch_id = await _apply(stages, runtime, provider, source, content)
        with stages.timed("write results"):
            await write_lines(result_lines(runtime, batch_id), folder / "written.jsonl")
    finally:
        runtime.close()
    with stages.timed("load the batch"):
        runtime = _open(database)
        await runtime.load(batch_id)
    with stages.timed("rebuild the views"):
        await runtime.in_store(rebuild, runtime.batches, lambda _done, _of: None)
    runtime.close()
    with stages.timed("read the events, bare"):
        _read_events(database)
    _apply_bare(stages, source, content, folder)
    return stages.costs


async def _apply(
    stages: Stages, runtime: Runtime, provider: BatchProvider, source: Path, content: Path
) -> UUID:
    with stages.timed("validate the requests"):
        checked = await runtime.in_store(check_file, source, provider.limits)
    with stages.timed("store the requests"):
        new = NewBatch(
            provider.name, checked.endpoint, identity=identity_of(provider.name, checked)
        )
        batch_id = await runtime.in_store(record_input, runtime, new, checked, provider.limits)
    prices = GenaiPrices()
    lifecycle = Lifecycle(
        runtime,
        cast("BatchProvider", _FromFile(provider, content)),
        NoHandlers(),
        ServiceSettings(poll_schedule=(POLL_SECONDS,)),
        prices,
    )
    with stages.timed("upload"):
        batch = await lifecycle.submit(batch_id)
    if batch.provider_batch_id is None:
        sys.exit("the batch was not submitted")
    file_id = None
    while file_id is None:
        await asyncio.sleep(POLL_SECONDS)
        file_id = (await provider.retrieve_batch(batch.provider_batch_id)).report.output_file_id
    with stages.timed("download"):
        async for _ in provider.download(file_id):
            pass
    with content.open("wb") as file:
        async for piece in provider.download(file_id):
            file.write(piece)
    await asyncio.sleep(2 * POLL_SECONDS)  # a batch that was just submitted is not polled yet
    with stages.timed("import the prices"):
        prices.price("gpt-5.4-mini", "/v1/responses")
    warm_pages(content.parent, source)
    with stages.timed(APPLY):
        batch = await lifecycle.advance(batch_id)
    if not batch.results_collected:
        sys.exit("the results were not collected")
    return batch_id


def _apply_bare(stages: Stages, source: Path, content: Path, folder: Path) -> None:
    """Parse each line and insert it into SQLite, in one transaction; and parts of it apart.

    With SQLite as it is when nobody sets anything: with orjson and the custom_id for the key, and
    with msgspec and appended rows. Then as the floor does it, and as events with digests and
    commits. The digests alone tell whether the processor has SHA-256 in hardware.
    """
    numbers = floor.check(source)
    warm_pages(folder, source)
    with closing(sqlite3.connect(folder / "plain.db", isolation_level=None)) as store:
        store.execute(plain_floor.BY_CUSTOM_ID)
        by_custom_id = dict(zip(numbers, numbers, strict=True))
        with stages.timed(PLAIN_LOOP), _lines(content) as lines:
            floor.insert(store, plain_floor.rows(by_custom_id, lines))
    warm_pages(folder, source)
    with closing(sqlite3.connect(folder / "as_it_comes.db", isolation_level=None)) as store:
        store.execute(floor.CREATE)
        with stages.timed(LOOP_AS_IT_COMES), _lines(content) as lines:
            floor.insert(store, floor.rows(numbers, lines))
    warm_pages(folder, source)
    with closing(floor.opened(folder / "floor.db")) as store:
        with stages.timed(BARE_LOOP), _lines(content) as lines:
            floor.insert(store, floor.in_order(floor.rows(numbers, lines)))
        with stages.timed("write results, bare"):
            floor.write(store, folder / "bare.jsonl")
    warm_pages(folder, source)
    kept = kept_floor.opened(folder / "kept.db")
    with closing(kept), stages.timed(KEPT_LOOP), _lines(content) as lines:
        kept_floor.keep_results(kept, floor.rows(numbers, lines))
    with stages.timed("digest of each result, bare"), _lines(content) as lines:
        for line in lines:
            sha256(line).digest()


@contextmanager
def _lines(content: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a file without their newlines."""
    with content.open("rb") as lines:
        yield (line[:-1] for line in lines)


def _read_events(database: Path) -> None:
    connection = sqlite3.connect(database)
    for _ in connection.execute(
        "SELECT position, originator_id, originator_version, topic, state FROM events"
        " ORDER BY position"
    ):
        pass
    connection.close()


if __name__ == "__main__":
    gc.set_threshold(COLLECTED_EVERY)  # as the command does
    source, folder, base_url = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(Path(source), Path(folder), base_url))))
