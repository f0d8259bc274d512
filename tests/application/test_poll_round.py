"""A round of polls: few calls for many batches, and never all of them at once."""

from datetime import UTC, datetime, timedelta

import pytest

from batchtrail.adapters.fake import FakeBatchProvider, VirtualClock
from batchtrail.application.errors import (
    ProviderError,
    QuotaError,
    RateLimitedError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)
from batchtrail.application.poll_round import PollRounds
from batchtrail.application.ports import CreateRequest, ProviderBatch

PAGE = 100
SPREAD = 30.0
_LINE = (
    b'{"custom_id":"a","method":"POST","url":"/v1/responses",'
    b'"body":{"model":"gpt-5-nano","input":"x"}}\n'
)


class _Round:
    """Rounds over a provider, and when each of their calls was made, in seconds."""

    def __init__(self) -> None:
        self.clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.provider = FakeBatchProvider(page_size=PAGE, now=self.clock.now)
        self.seen: dict[str, datetime] = {}
        self.failed: list[str] = []
        self.rounds = PollRounds(self.provider, self.clock, self._take, spread=SPREAD)

    async def _take(self, batch_id: str, seen: ProviderBatch | Exception) -> None:
        if isinstance(seen, Exception):
            self.failed.append(batch_id)
        else:
            self.seen[batch_id] = self.clock.now()

    async def submit(self, count: int, *, listed: bool = True) -> list[str]:
        """Make batches; without `listed` the next list does not show them."""

        async def lines() -> object:
            yield _LINE

        made = []
        for number in range(count):
            file = await self.provider.upload(
                lines(),  # type: ignore[arg-type]
                filename=f"{number}.jsonl",
                size=len(_LINE),
            )
            request = CreateRequest(file.id, "/v1/responses", "24h", {})
            made.append((await self.provider.create_batch(request)).id)
        for batch_id in () if listed else made:
            self.provider.hide_from_list(batch_id, times=1)
        return made

    async def ask(self, due: list[str], known: list[str]) -> timedelta:
        begun = self.clock.now()
        await self.rounds.ask(due, known)
        return self.clock.now() - begun


@pytest.fixture(name="polls")
def _polls() -> _Round:
    return _Round()


async def test_pages_of_the_list_come_one_after_the_other(polls: _Round) -> None:
    """Five pages show five hundred batches, with a pause between each two."""
    made = await polls.submit(5 * PAGE)
    took = await polls.ask(made, made)
    assert polls.provider.count("list") == 5
    assert set(polls.seen) == set(made)
    assert len(set(polls.seen.values())) == 5
    assert timedelta() < took < timedelta(seconds=SPREAD)


async def test_very_many_calls_fill_the_time_that_they_have(polls: _Round) -> None:
    """Batches that no list shows are asked for by name, and no faster than the rest."""
    made = await polls.submit(4 * PAGE)
    for each in made:
        polls.provider.hide_from_list(each, times=1)
    took = await polls.ask(made, made)
    assert polls.provider.count("retrieve") == len(made)
    assert took == pytest.approx(timedelta(seconds=SPREAD), abs=timedelta(seconds=1))


async def test_few_are_not_kept_waiting(polls: _Round) -> None:
    """One page, or one batch by name, costs no pause."""
    made = await polls.submit(3)
    assert await polls.ask(made, made) == timedelta()
    assert await polls.ask(made[:1], made[:1]) == timedelta()


async def test_a_provider_that_is_down_is_left_alone_soon(polls: _Round) -> None:
    """A call for each of many batches would wait for each; and none of them is in trouble."""
    made = await polls.submit(10)
    polls.provider.fail_always(UnavailableError("down"))
    await polls.ask(made, made)
    assert (polls.provider.count("list"), polls.provider.count("retrieve")) == (1, 3)
    assert polls.rounds.is_resting
    assert (polls.seen, polls.failed) == ({}, [])


async def test_batches_that_are_never_shown_do_not_keep_the_others(polls: _Round) -> None:
    """As many as make an outage, and first in turn: the next round begins with the others."""
    made = await polls.submit(6)
    for each in made:
        polls.provider.hide_from_list(each, times=10)
    bad = made[:3]
    retrieve = polls.provider.retrieve_batch

    async def showing(batch_id: str) -> ProviderBatch:
        if batch_id in bad:
            raise UnavailableError("500")
        return await retrieve(batch_id)

    polls.provider.retrieve_batch = showing  # type: ignore[method-assign]
    await polls.ask(made, made)
    assert (polls.seen, polls.failed) == ({}, [])
    await polls.ask(made, made)
    assert set(polls.seen) == set(made[3:])
    assert polls.failed == bad
    assert polls.rounds.is_resting  # after three in a row
    polls.failed.clear()
    await polls.ask(made[2:], made)
    assert polls.failed == bad[2:]
    bad.clear()
    await polls.ask(made, made)
    polls.seen.clear()
    bad += made[3:]
    await polls.ask(made, made)
    assert set(polls.seen) == set(made[:3])  # what was answered in between has its place again


async def test_one_that_is_not_shown_is_no_outage(polls: _Round) -> None:
    """The list of the others was read: the trouble is that of the one batch."""
    made = await polls.submit(3)
    polls.provider.hide_from_list(made[0], times=1)
    polls.provider.fail_next("retrieve", UnavailableError("500"))
    await polls.ask(made, made)
    assert (set(polls.seen), polls.failed) == (set(made[1:]), made[:1])
    assert not polls.rounds.is_resting


async def test_an_outage_behind_another_begins_anew(polls: _Round) -> None:
    """Its rests are short at first, however long those of the last one have become."""
    made = await polls.submit(2)
    polls.provider.fail_always(UnavailableError("down"))
    for _ in range(3):
        await polls.ask(made, made)
    await polls.clock.sleep(14)
    assert polls.rounds.is_resting
    polls.provider.heal()
    await polls.ask(made, made)
    polls.provider.fail_always(UnavailableError("down"))
    await polls.ask(made, made)
    assert polls.rounds.is_resting
    await polls.clock.sleep(1)
    assert not polls.rounds.is_resting


async def test_refusals_are_no_outage(polls: _Round) -> None:
    """Whoever refuses is there, however often in a row."""
    made = await polls.submit(5, listed=False)
    polls.provider.fail_next("retrieve", RefusedError("Not this one."), times=4)
    await polls.ask(made, made)
    assert (list(polls.seen), polls.failed) == (made[4:], made[:4])
    assert not polls.rounds.is_resting


async def test_the_last_failure_says_how_long(polls: _Round) -> None:
    """It is the newest word of the provider."""
    made = await polls.submit(2, listed=False)
    polls.provider.fail_next("retrieve", UnavailableError("500", retry_after=900))
    polls.provider.fail_next("retrieve", UnavailableError("503", retry_after=300))
    await polls.ask(made, made)
    await polls.clock.sleep(299)
    assert polls.rounds.is_resting
    await polls.clock.sleep(2)
    assert not polls.rounds.is_resting


async def test_failures_between_answers_are_no_outage(polls: _Round) -> None:
    """Nor are three of them, if others are answered in between."""
    made = await polls.submit(6, listed=False)
    retrieve = polls.provider.retrieve_batch

    async def showing(batch_id: str) -> ProviderBatch:
        if batch_id in made[::2]:
            raise UnavailableError("500")
        return await retrieve(batch_id)

    polls.provider.retrieve_batch = showing  # type: ignore[method-assign]
    await polls.ask(made, made)
    assert (list(polls.seen), polls.failed) == (made[1::2], made[::2])
    assert not polls.rounds.is_resting


@pytest.mark.parametrize(
    "error", [UnauthorizedError("wrong key", http_status=401), QuotaError("no credit")]
)
async def test_what_all_calls_answer_is_asked_once(polls: _Round, error: ProviderError) -> None:
    """For the key or the account no other call is of use."""
    made = await polls.submit(5)
    polls.provider.fail_always(error)
    await polls.ask(made, made)
    assert (polls.provider.count("list"), polls.provider.count("retrieve")) == (1, 0)
    assert polls.failed == []
    assert polls.rounds.is_locked_out
    polls.provider.heal()
    await polls.ask(made, made)
    assert set(polls.seen) == set(made)
    assert not polls.rounds.is_locked_out


@pytest.mark.parametrize(
    "error",
    [
        UnauthorizedError("wrong key", http_status=401),
        QuotaError("no credit"),
        RateLimitedError("slow down"),
    ],
)
async def test_what_all_calls_by_name_answer(polls: _Round, error: ProviderError) -> None:
    """Even behind a list that shows others, it is no trouble of the batch that was asked for."""
    made = await polls.submit(5)
    for each in made[1:]:
        polls.provider.hide_from_list(each, times=1)
    polls.provider.fail_next("retrieve", error, times=5)
    await polls.ask(made, made)
    assert polls.provider.count("retrieve") == 1
    assert (list(polls.seen), polls.failed) == (made[:1], [])
    assert polls.rounds.is_locked_out is not isinstance(error, RateLimitedError)
    assert polls.rounds.is_resting
