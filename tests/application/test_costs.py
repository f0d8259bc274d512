"""What a batch cost: line by line, to the last digit, and evident from the log."""

import asyncio
import sqlite3
from contextlib import closing
from decimal import Decimal
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings, strategies as st
from tests.application.conftest import Lab, VirtualClock, WatchedProvider

from batchtrail.adapters.fake import Answer, FakeBatchProvider
from batchtrail.adapters.prices import GenaiPrices
from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application import collection
from batchtrail.application.ports import BatchProvider, PriceBook
from batchtrail.application.runtime import Runtime
from batchtrail.application.service import BatchService
from batchtrail.application.store import Batches
from batchtrail.domain.costs import FREE, ModelPrice, Rates, Tier, total_of
from batchtrail.domain.events import PricesUsed, ResultApplied, ResultsCollected
from batchtrail.domain.values import RequestProblem

D = Decimal
NANO = ModelPrice(Rates(D("0.025"), D("0.0025"), D("0.025"), D("0.2")))


class Book:
    """A price book of one model, which remembers what it was asked."""

    def __init__(self, source: str = "table 1 of 2026-01-01") -> None:
        self.source = source
        self.asked: list[tuple[str | None, str]] = []

    def price(self, model: str | None, endpoint: str) -> ModelPrice | None:
        self.asked.append((model, endpoint))
        return NANO if model == "gpt-5-nano" else None


class BrokenBook:
    """A price book that cannot be asked anything."""

    @property
    def source(self) -> str:
        raise RuntimeError("no source")

    def price(self, model: str | None, endpoint: str) -> ModelPrice | None:
        raise RuntimeError(f"no price of {model} at {endpoint}")


def usage(given: int, made: int, cached: int = 0, written: int = 0) -> dict[str, Any]:
    details = {"cached_tokens": cached, "cache_write_tokens": written}
    return {"input_tokens": given, "input_tokens_details": details, "output_tokens": made}


def service(
    lab: Lab, prices: PriceBook | None, provider: BatchProvider | None = None
) -> BatchService:
    runtime = Runtime(
        Batches(SQLiteBatchFactory(lab.path)), lab.clock, actor="test", software="lab 1"
    )
    lab.runtimes.append(runtime)
    return BatchService(runtime, provider or lab.provider, prices=prices)


async def finished(
    lab: Lab, prices: PriceBook | None, answers: dict[str, Answer]
) -> tuple[BatchService, UUID]:
    """A batch whose requests got these answers, and a process that collected it."""
    lab.provider = FakeBatchProvider(
        now=lab.clock.now, answering=lambda request: answers[request.custom_id]
    )
    trail = service(lab, prices)
    batch = await trail.submit([lab.line(custom_id) for custom_id in answers])
    lab.complete_all()
    await trail.wait(batch)
    return trail, batch


async def costs(trail: BatchService, batch: UUID) -> dict[str, Decimal | None]:
    return {each.custom_id: each.cost async for each in trail.completions(batch)}


async def test_each_request_at_its_own_price(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """By the model that answered; unknown stays unknown, what was not used costs nothing."""
    known = {"model": "gpt-5-nano"}
    used = usage(1_000, 10, cached=400)
    trail, batch = await finished(
        lab,
        Book(),
        {
            "known": Answer(body={**known, "usage": used}),
            "asked": Answer(body={"usage": used}),  # names no model: the one asked for counts
            "other": Answer(body={"model": "gpt-5-secret", "usage": used}),
            "silent": Answer(body=known),  # succeeded without a usage
            "late": Answer(429, {**known, "usage": used}),  # failed after it was paid
            "bad": Answer(400),
            "not run": Answer(error=RequestProblem("batch_expired", "Too late.")),
        },
    )
    cost = D("0.000018")  # 600 at 0.025, 400 at 0.0025, 10 at 0.2, for a million
    assert await costs(trail, batch) == {
        "known": cost,
        "asked": cost,
        "other": None,
        "silent": None,
        "late": cost,
        "bad": None,
        "not run": None,
    }
    totals = (await trail.status(batch)).totals
    assert (totals.cost, totals.priced_cost, totals.unpriced) == (None, 3 * cost, 2)
    assert "the price book failed" not in caplog.text


async def test_without_a_price_book_nothing_is_known(lab: Lab) -> None:
    """Unknown, not free; and the log names no table."""
    trail, batch = await finished(lab, None, {"a": Answer(), "b": Answer()})
    summary = await trail.status(batch)
    assert (summary.totals.cost, summary.totals.unpriced) == (None, 2)
    assert summary.price_source is None
    assert "PricesUsed" not in await lab.facts(trail, batch)


async def test_nothing_was_used(lab: Lab) -> None:
    """A batch of which every request was refused cost nothing, and that is known."""
    trail, batch = await finished(lab, Book(), {"a": Answer(400), "b": Answer(404)})
    assert (await trail.status(batch)).totals.cost == FREE


async def test_moderations_are_free(lab: Lab) -> None:
    """They count no tokens, and are known to cost nothing; one that failed has no cost at all."""
    lab.provider = FakeBatchProvider(
        now=lab.clock.now,
        answering=lambda request: Answer(400) if request.custom_id == "bad" else Answer(),
    )
    trail = service(lab, GenaiPrices())
    lines = [lab.line(name, url="/v1/moderations", body={"input": "Hm."}) for name in ("a", "bad")]
    batch = await trail.submit(lines)
    lab.complete_all()
    summary = await trail.wait(batch)
    assert (summary.totals.cost, summary.totals.unpriced) == (FREE, 0)
    assert await costs(trail, batch) == {"a": FREE, "bad": None}


async def test_the_log_names_the_table(lab: Lab) -> None:
    """Before the results that it priced, once; and each model is looked up once."""
    book = Book()
    answers = {str(number): Answer(429 if number % 2 else 200) for number in range(20)}
    trail, batch = await finished(lab, book, answers)  # two files, so two transactions
    log = await lab.log(trail, batch)
    found = [event for event in log if isinstance(event, PricesUsed)]
    assert [event.source for event in found] == [book.source]
    applied = [event for event in log if isinstance(event, ResultApplied)]
    assert found[0].originator_version < applied[0].originator_version
    assert book.asked == [("gpt-5-nano", "/v1/responses")]
    assert (await trail.status(batch)).price_source == book.source


async def test_two_collectors_with_two_tables(lab: Lab) -> None:
    """When another process goes on with another table, the log says from where."""
    answers = {"a": Answer(), "b": Answer(429), "c": Answer(429)}
    downloads = count(1)

    async def break_off(what: str) -> None:
        if what == "before download" and next(downloads) == 2:
            raise InterruptedError

    lab.provider = FakeBatchProvider(
        now=lab.clock.now, answering=lambda request: answers[request.custom_id]
    )
    first = service(lab, Book("table 1"), WatchedProvider(lab.provider, break_off))
    batch = await first.submit(lab.lines())
    lab.complete_all()
    with pytest.raises(InterruptedError):
        await first.wait(batch)
    second = service(lab, Book("table 2"))
    summary = await second.wait(batch)
    told = [
        event.source if isinstance(event, PricesUsed) else event.custom_id
        for event in await lab.log(second, batch)
        if isinstance(event, PricesUsed | ResultApplied)
    ]
    assert (told[:3], sorted(told[3:])) == (["table 1", "a", "table 2"], ["b", "c"])
    assert summary.price_source == "table 2"


async def test_a_broken_price_book_keeps_no_results(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """The results are paid for; their cost stays unknown, and a warning says why."""
    trail, batch = await finished(lab, BrokenBook(), {"a": Answer(), "b": Answer()})
    await lab.assert_each_once(trail, batch)
    assert await costs(trail, batch) == {"a": None, "b": None}
    assert "costs stay unknown" in caplog.text


class Given:
    """A price book that gives what it has, whatever that is."""

    source = "given"

    def __init__(self, price: object) -> None:
        self._price = price

    def price(self, _model: str | None, _endpoint: str) -> Any:
        return self._price


class Sourceless(Book):
    """A price book that does not say where its prices are from."""

    @property
    def source(self) -> str:
        raise RuntimeError("no source")

    @source.setter
    def source(self, source: str) -> None:
        pass


WHOLE: Any = 1
FLOAT: Any = 0.5


@pytest.mark.parametrize(
    "book",
    [
        Given("cheap"),
        Given(ModelPrice(Rates(WHOLE, WHOLE, WHOLE, WHOLE))),
        Given(ModelPrice(Rates(FLOAT, D(1), D(1), D(1)))),
        Given(ModelPrice(Rates(D("NaN"), D(1), D(1), D(1)))),
        Given(ModelPrice(Rates(D("Infinity"), D(1), D(1), D(1)))),
        Given(ModelPrice(NANO.rates, (Tier(10_000, Rates(D(1), D(1), D(1), WHOLE)),))),
        Sourceless(),
        Book(WHOLE),
        Book("\ud800"),
    ],
    ids=[
        "no price",
        "whole",
        "float",
        "NaN",
        "infinite",
        "tier",
        "no source",
        "a number",
        "half a pair",
    ],
)
async def test_a_price_that_cannot_be_used_keeps_no_results(
    lab: Lab, caplog: pytest.LogCaptureFixture, book: PriceBook
) -> None:
    """Their cost stays unknown, whatever is wrong with it."""
    trail, batch = await finished(lab, book, {"a": Answer(), "b": Answer()})
    await lab.assert_each_once(trail, batch)
    assert await costs(trail, batch) == {"a": None, "b": None}
    assert "costs stay unknown" in caplog.text
    assert (await trail.verify()).is_good


async def test_a_table_that_changes_meanwhile(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log names the one from which the prices were taken."""
    monkeypatch.setattr(collection, "CHUNK_LINES", 1)
    names = iter(["table 1", "table 2", "table 3"])
    book = Book()
    monkeypatch.setattr(Book, "source", property(lambda _: next(names)), raising=False)
    trail, batch = await finished(lab, book, {"a": Answer(), "b": Answer(), "c": Answer()})
    log = await lab.log(trail, batch)
    assert [each.source for each in log if isinstance(each, PricesUsed)] == ["table 1"]


async def test_totals_of_the_collection(lab: Lab) -> None:
    """The last event carries what the requests cost together."""
    trail, batch = await finished(lab, Book(), {"a": Answer(), "b": Answer(400)})
    last = (await lab.log(trail, batch))[-1]
    assert isinstance(last, ResultsCollected)
    assert last.totals == (await trail.status(batch)).totals
    assert last.totals.cost == total_of(
        cost for cost in (await costs(trail, batch)).values() if cost is not None
    )
    assert last.totals.cost


tokens = st.integers(0, 400_000)
used = st.builds(usage, tokens, tokens, tokens, tokens)
models = st.sampled_from(
    ["gpt-5-nano", "gpt-5.4", "gpt-6-sol", "gpt-4.1", "o3", "unheard-of", None]
)
bodies = st.builds(lambda model, used: {"model": model, "usage": used}, models, used | st.none())


@settings(max_examples=25, deadline=None)
@given(st.lists(bodies, min_size=1, max_size=12), st.integers(0, 2))
def test_the_sum_of_the_completions_is_the_cost_of_the_batch(
    bodies: list[dict[str, Any]], failed: int
) -> None:
    """To the last digit; and the views of a rebuild say the same."""

    async def life(lab: Lab) -> None:
        answers = {
            str(number): Answer(500 if number < failed else 200, body)
            for number, body in enumerate(bodies)
        }
        trail, batch = await finished(lab, GenaiPrices(), answers)
        found = await costs(trail, batch)
        known = [cost for cost in found.values() if cost is not None]
        summary = await trail.status(batch)
        assert str(summary.totals.priced_cost) == str(total_of(known))
        unknown = [
            custom_id
            for custom_id, answer in answers.items()
            if found[custom_id] is None
            and (answer.status_code == 200 or (answer.body or {})["usage"] is not None)
        ]
        assert summary.totals.unpriced == len(unknown)
        assert await trail.batches() == [summary]
        lab.close()
        with closing(sqlite3.connect(lab.path)) as database, database:
            database.execute("DROP TABLE batches")
        rebuilt = service(lab, None)
        assert await rebuilt.batches() == [summary]
        assert await costs(rebuilt, batch) == found

    with TemporaryDirectory(prefix="batchtrail-") as folder:
        clock = VirtualClock()
        lab = Lab(Path(folder) / "trail.db", clock, FakeBatchProvider(now=clock.now))
        try:
            asyncio.run(life(lab))
        finally:
            lab.close()
