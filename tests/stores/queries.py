"""What the views answer: lists of batches, ids, generations, requests and results in pages."""

from datetime import timedelta, timezone
from uuid import UUID

import pytest
from tests.laboratory.author import ENDPOINT, Author, answer, refusal, request_line
from tests.laboratory.stores import size_of

from batchtrail.application.store import Batches
from batchtrail.domain.batch import Batch
from batchtrail.domain.requests import RequestIndex
from batchtrail.domain.values import (
    NewBatch,
)

from .base import StoreContract


class QueryContract(StoreContract):
    """Answers are complete, in order and bounded."""

    def test_summaries_are_newest_first(self, store: Batches, author: Author) -> None:
        """The list shows the newest batches, as many as wanted, from any moment back."""
        batches = [author.draft([request_line("a")]) for _ in range(5)]
        for batch in reversed(batches):
            store.save_batch(batch)
        ids = [batch.id for batch in reversed(batches)]
        views = store.views
        assert [summary.id for summary in views.summaries(limit=9)] == ids
        assert [views.summary(each) for each in ids] == views.summaries(limit=9)
        assert views.summary(UUID(int=1)) is None
        assert [summary.id for summary in views.summaries(limit=2)] == ids[:2]
        before = batches[2].created_on
        assert [summary.id for summary in views.summaries(limit=9, before=before)] == ids[3:]

    @pytest.mark.parametrize("hours", [-5, 9])
    def test_summaries_before_a_moment_elsewhere(
        self, store: Batches, author: Author, hours: int
    ) -> None:
        """The moment may be given in any time zone."""
        batches = [author.draft([request_line("a")]) for _ in range(3)]
        for batch in batches:
            store.save_batch(batch)
        before = batches[1].created_on.astimezone(timezone(timedelta(hours=hours)))
        ids = [summary.id for summary in store.views.summaries(limit=9, before=before)]
        assert ids == [batches[0].id]

    def test_summaries_of_one_moment_keep_their_order(self, store: Batches) -> None:
        """Batches begun at one moment are listed in the same order after a rebuild."""
        for _ in range(20):
            store.save_batch(Author().draft([request_line("a")]))
        ids = [summary.id for summary in store.views.summaries(limit=99)]
        self.forget_views(store)
        assert [summary.id for summary in store.views.summaries(limit=99)] == ids

    def test_latest_generation(self, store: Batches, author: Author) -> None:
        """The highest generation of an identity counts, whatever came last."""
        for identity, generation in (("file", 1), ("file", 3), ("file", 2), ("other", 7)):
            store.save_batch(author.draft(identity=identity, generation=generation))
        store.save_batch(author.draft())
        views = store.views
        found = [views.latest_generation(identity) for identity in ("file", "other", "new")]
        assert found == [3, 7, 0]

    def test_matching_ids(self, store: Batches, author: Author) -> None:
        """A prefix finds the ids that begin with it, ten at most."""
        ids = {UUID(int=(0xABC << 116) + n) for n in range(12)} | {UUID(int=0xABD << 116)}
        for batch_id in ids:
            new = NewBatch(provider="openai", endpoint=ENDPOINT)
            store.save_batch(Batch.draft(new, stamp=author.stamp(), batch_id=batch_id))
        views = store.views
        assert views.matching_ids("abd") == [UUID(int=0xABD << 116)]
        assert views.matching_ids(UUID(int=0xABC << 116).hex) == [UUID(int=0xABC << 116)]
        assert views.matching_ids("b") == views.matching_ids("abcd") == []
        several = views.matching_ids("abc")
        assert len(several) == len(set(several) & ids) == 10  # as promised

    def test_request_index(self, store: Batches, author: Author) -> None:
        """The index knows every custom_id by number, and which are settled, over page borders."""
        ids = [f"r{n}" for n in range(10_050)]
        batch = author.draft(map(request_line, ids))
        author.end(batch)
        author.apply(batch, RequestIndex(ids), [answer(ids[-1]), refusal(ids[0])])
        store.save_batch(batch)
        index = store.request_index(batch.id)
        assert [index.number(custom_id) for custom_id in ids] == list(range(1, len(ids) + 1))
        settled = [
            number for number, custom_id in enumerate(ids, 1) if index.settle(custom_id) is None
        ]
        assert settled == [1, len(ids)]
        assert index.number("stranger") is None

    def test_completions_come_in_input_order(self, store: Batches, author: Author) -> None:
        """Pages give every request once, in input order, each with its own result."""
        ids = [f"r{n}" for n in range(30)]
        batch = author.draft(map(request_line, ids))
        author.end(batch)
        given = {custom_id: answer(custom_id, custom_id * 150_000) for custom_id in ids[5:]}
        author.apply(batch, RequestIndex(ids), list(given.values())[::-1])
        batch.finish_collection(stamp=author.stamp())
        store.save_batch(batch)
        read, pages, after = [], 0, 0
        while page := store.completions_page(batch.id, after=after):
            read += [(row.custom_id, event and event.text) for row, event in page]
            after = page[-1][0].number
            pages += 1
        assert read == [(custom_id, given.get(custom_id)) for custom_id in ids]
        lines, after = [], 0
        while found := store.lines_page(batch.id, after=after):
            lines += [(row.custom_id, line) for row, line in found]
            after = found[-1][0].number
        assert lines == read
        assert 1 < pages < len(ids)

    def test_completion_pages_are_bounded(self, store: Batches, author: Author) -> None:
        """A page ends at the row that passes its size, with or without bodies."""
        ids = [f"r{n}" for n in range(200)]
        batch = author.draft(map(request_line, ids))
        author.end(batch)
        author.apply(
            batch, RequestIndex(ids), (answer(custom_id, "x" * 900) for custom_id in ids[:99])
        )
        store.save_batch(batch)
        after = 0
        while page := store.recorder.select_completions(batch.id, after=after, max_bytes=5_000):
            assert len(page) < len(ids) // 4
            assert sum(size_of(stored) for _, stored in page[:-1] if stored) <= 5_000
            assert page[0][0].number == after + 1
            after = page[-1][0].number
        assert after == len(ids)
