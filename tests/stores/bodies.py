"""Bodies, the texts of requests and results: kept apart, coded by settings, and missed by name."""

from collections.abc import Iterable
from hashlib import sha256

import pytest
from attrs import evolve
from tests.laboratory.author import Author, answer, request_line
from tests.laboratory.stores import (
    SEALED_BODIES,
    code_bodies,
    image_of,
    run_sql,
    save_all,
    size_of,
    state_of,
)

from batchtrail.application.body_coding import AS_THEY_ARE
from batchtrail.application.errors import StoreError
from batchtrail.application.store import Batches
from batchtrail.application.transcoding import BatchMapper, MsgpackTranscoder
from batchtrail.domain import events
from batchtrail.domain.batch import Batch
from batchtrail.domain.errors import BodyRemovedError
from batchtrail.domain.requests import RequestIndex

from .base import BODY_SIZES, KILOBYTE, MEGABYTE, OpenStore, Reading, StoreContract


class BodiesContract(StoreContract):
    """Who does not ask for bodies reads none; who asks gets them as they were."""

    def remove_bodies(self, store: Batches) -> None:
        """Take every body out of the log."""
        run_sql(store, f"UPDATE {self.table_prefix}events SET body=NULL")

    def test_bodies_are_read_when_asked_for(
        self, store: Batches, author: Author, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing but a reader who wants them reads bodies: no load, no rebuild, no history."""
        text = "x" * MEGABYTE
        batch = author.draft([request_line("a", text)])
        author.end(batch)
        author.apply(batch, RequestIndex("a"), [answer("a", text)])
        store.save_batch(batch)
        self.forget_views(store)
        self.forget_snapshots(store)
        reading = Reading(store, monkeypatch)
        store.catch_up()
        store.get(batch.id)
        bodies = [event.body for event in store.history(batch.id) if event.body is not None]
        assert [body.content for body in bodies] == [None, None]
        assert 0 < reading.size < 10 * KILOBYTE
        assert sum(body.size for body in bodies) > 2 * MEGABYTE

    @pytest.mark.parametrize("size", BODY_SIZES)
    def test_bodies_of_any_length(
        self, store: Batches, open_store: OpenStore, author: Author, size: int
    ) -> None:
        """Each comes back as it was, whoever asks in which way; its neighbors do not matter."""
        sizes = (size, 300, size, size + 1)
        lines = [
            answer(name, "é" * ((length - 300) // 2)).ljust(length)
            for name, length in zip("abcd", sizes, strict=True)
        ]
        batch = author.draft(map(request_line, "abcd"))
        author.end(batch)
        store.save_batch(batch)
        author.apply(batch, RequestIndex("abcd"), reversed(lines))
        store.save_batch(batch)
        other = open_store()
        assert [line for _, line in other.lines_page(batch.id, after=0)] == lines
        page = [event for _, event in other.completions_page(batch.id, after=0) if event]
        assert [event.line.content for event in page] == lines
        results = list(other.history(batch.id, after=batch.version - 4, bodies=True))
        assert [event.text for event in reversed(results)] == lines
        lean = list(other.history(batch.id, after=batch.version - 4))
        assert [other.with_body(event).text for event in reversed(lean)] == lines

    def test_states_do_not_depend_on_bodies(self, store: Batches, author: Author) -> None:
        """With every body removed, batches, views and digests are what they were."""
        batches = save_all(store, author.interleaved())
        image, digests = image_of(store), self.digests_of(store, batches)
        self.remove_bodies(store)
        self.forget_snapshots(store)
        self.forget_views(store)
        assert image_of(store) == image
        assert self.digests_of(store, batches) == digests
        assert [state_of(store.get(batch.id)) for batch in batches] == list(map(state_of, batches))

    def digests_of(self, store: Batches, batches: Iterable[Batch]) -> list[tuple[bytes, bytes]]:
        """State and digest of every event."""
        return [
            (record.state, record.digest)
            for batch in batches
            for record in store.recorder.select_page(batch.id, gt=0, max_bytes=MEGABYTE)
        ]

    def test_a_removed_body_is_missed_by_name(self, store: Batches, author: Author) -> None:
        """Who wants the text of a removed body is told which one; all else goes on."""
        (batch,) = save_all(store, author.long_life())
        self.remove_bodies(store)
        with pytest.raises(BodyRemovedError, match=f"event 2 of batch {batch.id}"):
            list(store.input_lines(batch.id))
        results = [event for _, event in store.completions_page(batch.id, after=0) if event]
        assert all(result.line.content is None for result in results)
        with pytest.raises(BodyRemovedError, match=f"of batch {batch.id}"):
            _ = results[0].text

    def test_digests_are_of_plain_states(self, store: Batches, author: Author) -> None:
        """The formula of the reference: id, version, length of the topic, topic, state."""
        (batch,) = save_all(store, author.long_life())
        for record in store.recorder.select_page(batch.id, gt=0, max_bytes=MEGABYTE):
            topic = record.topic.encode()
            version = record.originator_version.to_bytes(8, "big")
            head = batch.id.bytes + version + len(topic).to_bytes(2, "big") + topic
            assert record.digest == sha256(head + record.state).digest()

    def test_compressed_and_encrypted(self, store: Batches, author: Author) -> None:
        """Everything comes back from a database that holds no readable body.

        Digests are those of the plain events.
        """
        code_bodies(store)
        batch = author.draft([request_line("a", "needle " * 500)])
        author.end(batch)
        author.apply(batch, RequestIndex("a"), [answer("a", "needle " * 500)])
        given = [event for event in batch.pending_events if isinstance(event, events.BatchEvent)]
        plain = [BatchMapper(MsgpackTranscoder()).to_stored_event(event) for event in given]
        image = state_of(batch)
        store.save_batch(batch)
        stored = store.recorder.select_page(batch.id, gt=0, max_bytes=MEGABYTE, bodies=True)
        assert not any(b"needle" in each.state + (each.body or b"") for each in stored)
        assert sum(map(size_of, stored)) < sum(map(size_of, plain)) // 2
        assert [each.digest for each in stored] == [each.digest for each in plain]
        read = [event.body for event in store.history(batch.id, bodies=True)]
        assert read == [event.body for event in given]
        assert b"".join(store.input_lines(batch.id)) == request_line("a", "needle " * 500) + b"\n"
        self.forget_snapshots(store)
        assert state_of(store.get(batch.id))["text"] == image["text"]

    def test_settings_change(self, store: Batches, author: Author) -> None:
        """Bodies that were stored in different ways stand in one log, and all of them are read."""
        line = request_line("a", "needle " * 50)
        compressing = evolve(SEALED_BODIES, cipher=None)
        reading = evolve(SEALED_BODIES, cipher=None, compresses=False)
        batches, readable = [], []
        for bodies in (AS_THEY_ARE, compressing, SEALED_BODIES, reading):
            code_bodies(store, bodies)
            batches.append(author.draft([line]))
            store.save_batch(batches[-1])
        code_bodies(store)
        for batch in batches:
            assert b"".join(store.input_lines(batch.id)) == line + b"\n"
            page = store.recorder.select_page(batch.id, gt=0, max_bytes=MEGABYTE, bodies=True)
            readable.append(any(b"needle" in (record.body or b"") for record in page))
        assert readable == [True, False, False, True]

    def test_body_that_cannot_be_decoded(self, store: Batches, author: Author) -> None:
        """A body that is encrypted is an error that names the event and what is missing."""
        code_bodies(store)
        batch = author.draft([request_line("a")])
        store.save_batch(batch)
        code_bodies(store, AS_THEY_ARE)
        with pytest.raises(StoreError, match=f"event 2 of batch {batch.id}.* no key is set"):
            list(store.history(batch.id, bodies=True))
