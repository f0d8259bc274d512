"""The log gives back what was saved: every event, the input and the results, byte for byte."""

from collections import defaultdict
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest
from tests.laboratory.author import AWKWARD_IDS, Author, answer, request_line
from tests.laboratory.stores import image_of, positions_of, save_all, size_of, state_of

from batchtrail.application.errors import BatchNotFoundError
from batchtrail.application.store import Batches
from batchtrail.domain import events
from batchtrail.domain.requests import RequestIndex

from .base import KILOBYTE, MEGABYTE, OpenStore, StoreContract


class LogContract(StoreContract):
    """What was saved comes back, in the order in which it was saved."""

    def test_state_survives_every_kind_of_event(self, store: Batches, author: Author) -> None:
        """After each command of whole lives, the loaded batch is the saved one, types included."""
        seen = set()
        for batch in author.interleaved():
            seen |= {type(event) for event in batch.pending_events}
            store.save_batch(batch)
            assert state_of(store.get(batch.id)) == state_of(batch)
        assert seen == set(events.EVENTS)

    def test_events_come_back_as_they_went(self, store: Batches, author: Author) -> None:
        """Every field of every event keeps its value and its type, and events keep their order."""
        saved = defaultdict[UUID, list[object]](list)
        for batch in author.interleaved():
            saved[batch.id] += batch.pending_events
            store.save_batch(batch)
        loaded = {batch_id: list(store.history(batch_id, bodies=True)) for batch_id in saved}
        assert repr(loaded) == repr(dict(saved))
        assert loaded == saved

    def test_another_store_reads_the_same(self, open_store: OpenStore, author: Author) -> None:
        """A store opened later sees all that was saved before."""
        store = open_store()
        batches = save_all(store, author.interleaved())
        later = open_store()
        for batch in batches:
            assert state_of(later.get(batch.id)) == state_of(batch)
        assert image_of(later) == image_of(store)

    def test_moments_of_other_time_zones(self, store: Batches) -> None:
        """A command stamped in another time zone happened at the same moment."""
        author = Author(datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=9))))
        batch = author.draft([request_line("a")])
        store.save_batch(batch)
        assert store.get(batch.id) == batch
        assert store.views.summaries(limit=1)[0].created_at == batch.created_on

    def test_input_is_kept_byte_for_byte(self, store: Batches, author: Author) -> None:
        """Odd spacing, escapes and raw unicode in request lines survive, in chunks and whole."""
        odd = rb'  {"url" : "/v1/responses","custom_id":"\u00e9\u2028","method":"POST",'
        lines = [
            odd + rb'"body":{"model":"m", "x":1.0e5, "x":"\/"}} ',
            *(request_line(custom_id, custom_id * 9) for custom_id in AWKWARD_IDS),
        ]
        batch = author.draft(lines, chunk_bytes=300)
        author.upload(batch)
        store.save_batch(batch)
        pieces = list(store.input_lines(batch.id))
        assert b"".join(pieces) == b"".join(line + b"\n" for line in lines)
        assert len(pieces) > 1

    def test_input_of_a_draft(self, store: Batches, author: Author) -> None:
        """The input can be read before the submission begins, and may be nothing yet."""
        empty, some = author.draft(), author.draft([request_line("a")])
        store.save_batch(empty)
        store.save_batch(some)
        assert list(store.input_lines(empty.id)) == []
        assert list(store.input_lines(some.id)) == [request_line("a") + b"\n"]

    def test_results_are_kept_byte_for_byte(self, store: Batches, author: Author) -> None:
        """Lines of result files survive as received, also those that cannot be read."""
        batch = author.draft(map(request_line, "ab"))
        author.end(batch)
        lines = [
            b'{"custom_id":"a"}\r',
            bytes(range(256)).replace(b"\n", b""),
            b"",
            answer("b", "✓"),
        ]
        author.apply(batch, RequestIndex("ab"), lines)
        store.save_batch(batch)
        kept = [
            event.text
            for event in store.history(batch.id, bodies=True)
            if isinstance(event, events.ResultApplied | events.ResultSkipped)
        ]
        assert kept == lines

    def test_unknown_batch(self, store: Batches) -> None:
        """A batch that was never saved is not found, and has no rows."""
        nobody = UUID(int=1)
        with pytest.raises(BatchNotFoundError, match=str(nobody)):
            store.get(nobody)
        assert list(store.history(nobody)) == []
        assert store.completions_page(nobody, after=0) == []
        assert len(store.request_index(nobody)) == 0

    def test_nothing_to_save(self, store: Batches, author: Author) -> None:
        """Saving a batch without new events writes nothing."""
        batch = author.draft([request_line("a")])
        store.save_batch(batch)
        before = positions_of(store)
        store.save_batch(batch)
        assert positions_of(store) == before

    def test_history_over_page_borders(self, store: Batches, author: Author) -> None:
        """The history of a batch larger than a page is complete and in order."""
        text = "x" * (MEGABYTE - KILOBYTE)
        batch = author.draft(request_line(f"r{n}", text) for n in range(11))
        other = author.draft([request_line("a")])
        store.save_batch(batch)
        store.save_batch(other)
        batch.request_cancel(stamp=author.stamp())
        store.save_batch(batch)
        versions = [event.originator_version for event in store.history(batch.id)]
        assert versions == list(range(1, batch.version + 1))
        assert {event.originator_id for event in store.history(batch.id)} == {batch.id}
        read = [event.text for event in store.history(batch.id, bodies=True) if event.body]
        assert b"".join(read) == b"".join(store.input_lines(batch.id))
        page = store.recorder.select_page(batch.id, gt=0, max_bytes=2 * MEGABYTE, bodies=True)
        assert sum(size_of(stored) for stored in page[:-1]) <= 2 * MEGABYTE
        assert 1 < len(page) < batch.version

    def test_notifications(self, store: Batches, author: Author) -> None:
        """The library's own reading of the log gives every event in the order of positions."""
        save_all(store, author.interleaved())
        last = positions_of(store)[1]
        read = store.recorder.select_notifications(start=1, limit=last)
        assert [notification.id for notification in read] == list(range(1, last + 1))
        part = store.recorder.select_notifications(2, last, 4, inclusive_of_start=False)
        assert [notification.id for notification in part] == [3, 4]
