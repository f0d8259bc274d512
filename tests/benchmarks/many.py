"""Very many open batches on one worker: its calls, its memory, its CPU, and what it writes.

    python -m tests.benchmarks.many [--batches N] [--http BASE_URL]

Without an URL on the fake provider and a clock of its own, for two hours; with one, that of an
emulator whose batches stay in progress, over HTTP and in real time, for three rounds.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

from attrs import define, field, frozen
from tests.laboratory.virtual_time import VirtualTime

from batchtrail.adapters.fake import FakeBatchProvider
from batchtrail.adapters.openai import OpenAISettings
from batchtrail.adapters.openai.provider import connect
from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application.handlers import NoHandlers
from batchtrail.application.lifecycle import Lifecycle, ServiceSettings
from batchtrail.application.polling import DEFAULT_SCHEDULE
from batchtrail.application.ports import BatchProvider, Clock, CreateRequest, ProviderBatch
from batchtrail.application.runtime import Runtime
from batchtrail.application.store import Batches
from batchtrail.application.worker import Worker
from batchtrail.bootstrap import SystemClock
from batchtrail.domain.batch import Batch
from batchtrail.domain.values import Limits, NewBatch, RequestChunk

PAGE = 100
VIRTUAL_SECONDS = 2 * 3_600.0
HTTP_SCHEDULE = (20.0,)
HTTP_SECONDS = 65.0
_AT_ONCE = 16
_T = TypeVar("_T")


class _OneThread(Runtime):
    """Store calls on the loop's own thread, which a virtual clock needs."""

    async def in_store(self, call: Callable[..., _T], *args: object) -> _T:
        await asyncio.sleep(0)
        return call(*args)


@define
class _Watched:
    """A provider whose calls are counted, with the CPU at the beginning of each round."""

    inner: Any
    elapsed: Callable[[], float]
    pages: list[float] = field(factory=list)
    rounds: list[tuple[float, float]] = field(factory=list)
    retrieved: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def list_batches(self) -> AsyncGenerator[ProviderBatch, None]:
        self.rounds.append((self.elapsed(), time.process_time()))
        seen = 0
        async for batch in self.inner.list_batches():
            if seen % PAGE == 0:
                self.pages.append(self.elapsed())
            seen += 1
            yield batch

    async def retrieve_batch(self, batch_id: str) -> ProviderBatch:
        self.retrieved += 1
        return cast("ProviderBatch", await self.inner.retrieve_batch(batch_id))


@frozen
class _Input:
    line: bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.line


async def make_batches(runtime: Runtime, provider: BatchProvider, count: int) -> None:
    """Submit so many batches of one request, as the log and the provider have them after that."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def make(number: int) -> None:
        async with slots:
            await _submit(runtime, provider, number)

    for start in range(0, count, 1_000):
        await asyncio.gather(*(make(number) for number in range(start, min(start + 1_000, count))))


async def _submit(runtime: Runtime, provider: BatchProvider, number: int) -> None:
    line = (
        b'{"custom_id":"r","method":"POST","url":"/v1/responses",'
        b'"body":{"model":"gpt-5-nano","input":"%d"}}\n' % number
    )

    stamp = runtime.stamp()
    batch = Batch.draft(NewBatch(provider.name, "/v1/responses"), stamp=stamp)
    limits = Limits(1, len(line), frozenset({"/v1/responses"}))
    chunk = RequestChunk(1, ("r",), line, "/v1/responses", "gpt-5-nano")
    batch.add_requests(chunk, limits, stamp=stamp)
    batch.start_submission("0" * 64, stamp=stamp)
    batch.start_upload(stamp=stamp)
    assert batch.submission is not None
    name = batch.submission.file_name
    uploaded = await provider.upload(_Input(line), filename=name, size=len(line))
    batch.record_upload(
        uploaded.id, provider_created_at=uploaded.created_at, request_id=None, stamp=stamp
    )
    batch.start_create(stamp=stamp)
    created = await provider.create_batch(CreateRequest(uploaded.id, "/v1/responses", "24h", {}))
    batch.record_submitted(created.id, created.report, adopted=False, request_id=None, stamp=stamp)
    await runtime.in_store(runtime.batches.save_batch, batch)


async def work(
    runtime: Runtime, provider: _Watched, schedule: tuple[float, ...], seconds: float
) -> None:
    """Let one worker look after them for so long."""
    lifecycle = Lifecycle(
        runtime,
        cast("BatchProvider", provider),
        NoHandlers(),
        ServiceSettings(poll_schedule=schedule),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await Worker(runtime, cast("BatchProvider", provider), lifecycle).run(stop=stop)


def report(provider: _Watched, count: int, events: int) -> None:
    """Say what it cost."""
    rounds = list(pairwise([*provider.rounds, (provider.elapsed(), time.process_time())]))
    pages = [sum(begin <= page < end for page in provider.pages) for (begin, _), (end, _) in rounds]
    costs = [(end - begin) / count * 1e6 for (_, begin), (_, end) in rounds]
    busiest = max(Counter(map(int, provider.pages)).values())
    print(f"{count:,} open batches, {len(rounds)} rounds in {provider.elapsed():,.0f} s")
    most = f"{max(pages)} a round and {busiest} a second at most"
    print(f"list calls: {len(provider.pages):,}; {most}")
    print(f"batches asked for by name: {provider.retrieved:,}; events written: {events:,}")
    print(
        "CPU from round to round, µs for each batch: "
        f"{max(costs):.0f} at most, where they are seen first; median {median(costs):.0f}"
    )
    print(f"peak memory: {getrusage(RUSAGE_SELF).ru_maxrss * 1024 / 1e6:.0f} MB")


async def _measure(
    runtime: Runtime, inner: BatchProvider, elapsed: Callable[[], float], count: int
) -> None:
    await make_batches(runtime, inner, count)
    begun = elapsed()
    provider = _Watched(inner, lambda: elapsed() - begun)
    before = runtime.batches.catch_up()
    is_virtual = isinstance(inner, FakeBatchProvider)
    schedule = DEFAULT_SCHEDULE if is_virtual else HTTP_SCHEDULE
    await work(runtime, provider, schedule, VIRTUAL_SECONDS if is_virtual else HTTP_SECONDS)
    report(provider, count, runtime.batches.catch_up() - before)


def main() -> None:
    """Make the batches, watch the worker, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.many", description=__doc__)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--http", metavar="BASE_URL")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="batchtrail-bench-") as folder:
        batches = Batches(SQLiteBatchFactory(Path(folder) / "many.db"))
        if options.http:
            asyncio.run(_over_http(batches, options))
        else:
            virtual = VirtualTime()
            runtime = _OneThread(batches, cast("Clock", virtual), actor="bench", software="bench")
            fake = FakeBatchProvider(page_size=PAGE, now=virtual.now)
            virtual.run(_measure(runtime, fake, lambda: virtual.elapsed, options.batches))
        batches.close()


async def _over_http(batches: Batches, options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        settings = OpenAISettings(api_key="bench", base_url=options.http)
        provider = await stack.enter_async_context(connect(settings))
        runtime = _OneThread(batches, SystemClock(), actor="bench", software="bench")
        await _measure(runtime, provider, time.perf_counter, options.batches)


if __name__ == "__main__":
    main()
