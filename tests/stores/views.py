"""Views follow the log: with each save, in a rebuild, and when several stores catch up at once."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import Notification
from tests.laboratory.author import AWKWARD_IDS, Author, answer, request_line
from tests.laboratory.stores import all_rows, image_of, positions_of, save_all, save_without_views

from batchtrail.application.store import Batches
from batchtrail.domain.requests import RequestIndex
from batchtrail.domain.status import Outcome

from .base import MEGABYTE, OpenStore, StoreContract, traced


def advance_once(store: Batches, *, max_bytes: int) -> None:
    """Let a store take one step of catching up."""
    lagging = store.recorder.lagging
    with pytest.MonkeyPatch.context() as patch:
        page = lagging(max_bytes=max_bytes)
        pages = iter([page, (page[0], [])])
        patch.setattr(store.recorder, "lagging", lambda **_: next(pages))
        store.catch_up()


def cut_in(store: Batches, patch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
    """Let somebody else act just after the store has read the first page behind its views."""
    lagging = store.recorder.lagging
    turns = iter([other])

    def read(*, max_bytes: int) -> tuple[int, Sequence[Notification]]:
        page = lagging(max_bytes=max_bytes)
        next(turns, lambda: None)()
        return page

    patch.setattr(store.recorder, "lagging", read)


def small_pages(patch: pytest.MonkeyPatch, size: int) -> None:
    """Rebuild views in pages of so many bytes, so that a short log has many of them."""
    patch.setattr(f"{Batches.__module__}._REBUILD_BYTES", size)


class ViewsContract(StoreContract):
    """However they came to be, the views are those of a rebuild."""

    def test_views_equal_a_rebuild_after_every_save(self, store: Batches, author: Author) -> None:
        """Three batches taking turns: after each save, the views are those of a rebuild."""
        for batch in author.interleaved():
            store.save_batch(batch)
            image = image_of(store)
            assert positions_of(store)[0] == positions_of(store)[1]
            self.forget_views(store)
            assert image_of(store) == image
            assert positions_of(store)[0] == positions_of(store)[1]

    def test_results_of_two_batches_in_turn(self, store: Batches, author: Author) -> None:
        """A rebuild that meets both in one page gives each its own."""
        batches = [author.draft(map(request_line, "abc")) for _ in range(2)]
        for batch in batches:
            author.end(batch)
            store.save_batch(batch)
        indexes = [store.request_index(batch.id) for batch in batches]
        for custom_ids in ("ab", "bc"):  # the first of the one, the second of the other
            for batch, index, custom_id in zip(batches, indexes, custom_ids, strict=True):
                author.apply(batch, index, [answer(custom_id)])
                store.save_batch(batch)
        before = image_of(store)
        assert all_rows(store, batches[0].id)[2].outcome is Outcome.PENDING
        self.forget_views(store)
        store.catch_up()
        assert image_of(store) == before

    @pytest.mark.parametrize("size", [1, 700, 4_000])
    def test_rebuild_in_pages(
        self, store: Batches, author: Author, monkeypatch: pytest.MonkeyPatch, size: int
    ) -> None:
        """Wherever a rebuild interrupts its reading of the log, the views are the same."""
        save_all(store, author.interleaved())
        image = image_of(store)
        small_pages(monkeypatch, size)
        self.forget_views(store)
        assert image_of(store) == image

    def test_rebuild_goes_on_where_it_was_killed(
        self, open_store: OpenStore, author: Author
    ) -> None:
        """A rebuild that broke off after some pages is finished by the next store."""
        store = open_store()
        save_all(store, author.interleaved())
        image = image_of(store)
        self.forget_views(store)
        while positions_of(store)[0] < positions_of(store)[1]:
            advance_once(store, max_bytes=1)
        assert image_of(store) == image
        assert image_of(open_store()) == image

    def test_outcomes(self, store: Batches, author: Author) -> None:
        """Rows say what became of requests, and point at the events that brought it."""
        (batch,) = save_all(store, author.long_life())
        rows = all_rows(store, batch.id)
        assert [(row.number, row.custom_id) for row in rows] == list(enumerate(AWKWARD_IDS, 1))
        succeeded, failed, canceled = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELED
        assert [row.outcome for row in rows] == [
            *[succeeded] * 4,
            failed,
            succeeded,
            canceled,
        ]
        for row, event in store.completions_page(batch.id, after=0):
            assert (row.position is None) is (event is None)
            assert event is None or event.custom_id == row.custom_id

    def test_readers_of_lagging_views_catch_up(self, open_store: OpenStore, author: Author) -> None:
        """Whatever is read first, views that lag are brought up to date before."""
        writer, reader = open_store(), open_store()
        readings: list[Callable[[UUID], Any]] = [
            lambda batch_id: reader.views.summaries(limit=1)[0].id == batch_id,
            lambda batch_id: reader.views.matching_ids(batch_id.hex) == [batch_id],
            lambda _: reader.views.latest_generation(f"file-{number}"),
            lambda batch_id: all_rows(reader, batch_id),
            lambda batch_id: reader.completions_page(batch_id, after=0),
            lambda batch_id: len(reader.request_index(batch_id)),
        ]
        for number, read in enumerate(readings):
            batch = author.draft([request_line("a")], identity=f"file-{number}")
            save_without_views(writer, batch)
            assert positions_of(reader)[0] < positions_of(reader)[1]
            assert read(batch.id)
            assert positions_of(reader)[0] == positions_of(reader)[1]

    def test_opening_brings_views_up_to_date(self, open_store: OpenStore, author: Author) -> None:
        """A store is ready to write views as soon as it is open."""
        store = open_store()
        save_without_views(store, author.draft([request_line("a")]))
        checkpoint, last = positions_of(open_store())
        assert checkpoint == last > 0

    def test_saving_while_views_lag(self, store: Batches, author: Author) -> None:
        """A writer beside lagging views leaves them to the rebuild, which misses nothing."""
        saved = {}
        for number, batch in enumerate(author.interleaved()):
            if number % 3 == 1:
                save_without_views(store, batch)
            else:
                store.save_batch(batch)
            if number % 5 == 0:
                store.catch_up()
            saved[batch.id] = batch.version
        image = image_of(store)
        self.forget_views(store)
        assert image_of(store) == image
        summaries = store.views.summaries(limit=len(saved))
        assert {summary.id: summary.version for summary in summaries} == saved

    def test_saving_between_the_pages_of_a_rebuild(
        self, open_store: OpenStore, author: Author, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A batch that grows while views are rebuilt has all its rows afterwards."""
        store, writer = open_store(), open_store()
        batch = author.draft((request_line(f"r{n}") for n in range(40)), chunk_bytes=400)
        author.end(batch)
        store.save_batch(batch)
        self.forget_views(store)
        small_pages(monkeypatch, 1)

        def save() -> None:
            author.apply(batch, RequestIndex(f"r{n}" for n in range(40)), [answer("r0")])
            batch.finish_collection(stamp=author.stamp())
            writer.save_batch(batch)

        cut_in(store, monkeypatch, save)
        store.catch_up()
        image = image_of(store)
        self.forget_views(store)
        assert image_of(store) == image
        assert {row.outcome for row in all_rows(store, batch.id)} == {
            Outcome.SUCCEEDED,
            Outcome.MISSING,
        }

    @pytest.mark.parametrize(
        ("mine", "theirs"),
        [
            pytest.param(MEGABYTE, MEGABYTE, id="one-page"),
            pytest.param(2_000, 2_000, id="same-pages"),
            pytest.param(2_000, 1, id="they-read-less"),
            pytest.param(1, 2_000, id="they-read-more"),
        ],
    )
    def test_two_stores_rebuild_at_once(
        self,
        open_store: OpenStore,
        author: Author,
        monkeypatch: pytest.MonkeyPatch,
        mine: int,
        theirs: int,
    ) -> None:
        """A store that another one overtakes by a page throws its own page away and goes on."""
        store, other = open_store(), open_store()
        save_all(store, author.interleaved())
        image = image_of(store)
        self.forget_views(store)
        small_pages(monkeypatch, mine)
        cut_in(store, monkeypatch, lambda: advance_once(other, max_bytes=theirs))
        store.catch_up()
        assert image_of(store) == image

    def test_overtaken_between_two_pages(
        self, open_store: OpenStore, author: Author, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A store whose page was written may find the views farther on at its next page."""
        store, other = open_store(), open_store()
        save_all(store, author.interleaved())
        image = image_of(store)
        self.forget_views(store)
        small_pages(monkeypatch, 2_000)
        advance = store.recorder.advance_views
        turns = iter([lambda: advance_once(other, max_bytes=2_000)])

        def write(*page: Any) -> Any:
            done = advance(*page)
            next(turns, lambda: None)()
            return done

        monkeypatch.setattr(store.recorder, "advance_views", write)
        store.catch_up()
        assert image_of(store) == image

    def test_overtaken_store_writes_no_old_state(
        self, open_store: OpenStore, author: Author, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A store that another one overtakes on one batch does not put its old row back."""
        store, other = open_store(), open_store()
        batch = author.draft([request_line("a")])
        store.save_batch(batch)
        for file_id in ("file-1", "file-2"):
            author.discard(batch, file_id)
        first = len(store.mapper.to_stored_event(batch.pending_events[0]).state)
        save_without_views(store, batch)
        save_without_views(store, author.draft([request_line("a")]))
        small_pages(monkeypatch, 1)
        cut_in(store, monkeypatch, lambda: advance_once(other, max_bytes=first))
        store.catch_up()
        versions = {summary.id: summary.version for summary in store.views.summaries(limit=9)}
        assert versions[batch.id] == batch.version

    def test_another_store_finishes_the_rebuild_first(
        self, open_store: OpenStore, author: Author, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A store that holds its first page when the other one is done writes nothing twice."""
        store, other = open_store(), open_store()
        save_all(store, author.interleaved())
        image = image_of(store)
        self.forget_views(store)
        small_pages(monkeypatch, 1)
        cut_in(store, monkeypatch, other.catch_up)
        store.catch_up()
        assert image_of(store) == image

    def test_rebuild_takes_little_memory(
        self, store: Batches, author: Author, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rebuilding the views of a log of many large events holds few pages of it at a time."""
        text = "x" * (MEGABYTE // 4)
        batch = author.draft((request_line(f"r{n}", text) for n in range(80)), chunk_bytes=1)
        store.save_batch(batch)
        image = image_of(store)
        self.forget_views(store)
        small_pages(monkeypatch, MEGABYTE)
        peak = traced(store.catch_up)
        assert peak < 4 * MEGABYTE < batch.input_size // 4
        assert image_of(store) == image
