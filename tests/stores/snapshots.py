"""Snapshots keep loading short, and change nothing of what is loaded."""

from typing import Any
from uuid import UUID

import pytest
from tests.laboratory.author import Author, answer, cost_of, costs_of, raw_lines, request_line
from tests.laboratory.stores import save_all, state_of

from batchtrail.application.line_groups import line_groups
from batchtrail.application.saving import SNAPSHOT_INTERVAL
from batchtrail.application.store import Batches
from batchtrail.domain.status import ResultFile

from .base import KILOBYTE, OpenStore, Reading, StoreContract


class SnapshotContract(StoreContract):
    """Loading a batch, with snapshots and without."""

    @pytest.mark.parametrize("requests", [20, 300, 3_000])
    def test_loading_reads_little(
        self, store: Batches, author: Author, monkeypatch: pytest.MonkeyPatch, requests: int
    ) -> None:
        """Loading a finished batch reads a snapshot and few small events, whatever its size."""
        batch = author.finished(store, [f"r{n}" for n in range(requests)])
        reading = Reading(store, monkeypatch)
        loaded = store.get(batch.id)
        assert state_of(loaded) == state_of(batch)
        assert reading.events <= len(("snapshot", "collected"))
        assert reading.size < 4 * KILOBYTE

    def test_results_that_are_alike_have_a_snapshot(
        self, open_store: OpenStore, author: Author, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As those that went one by one have: nobody reads their events to load the batch."""
        store, other = open_store(), open_store()
        batch = author.draft(map(request_line, "abcde"))
        author.end(batch)
        store.save_batch(batch)
        index = store.request_index(batch.id)
        (group,) = line_groups(raw_lines(map(answer, "abcde")), index, cost_of)
        alike = group.alike(costs_of)
        assert alike is not None
        applied = batch.apply_alike(ResultFile.OUTPUT, alike, index, stamp=author.stamp())
        store.save_batch(batch, [applied])
        reading = Reading(other, monkeypatch)
        assert state_of(other.get(batch.id)) == state_of(batch)
        assert reading.events == len(("snapshot",))

    def test_many_small_events_are_snapshot_too(
        self, store: Batches, author: Author, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However long the log of a batch becomes, loading reads a bounded part of it."""
        batch = author.draft([request_line("a")])
        for number in range(3 * SNAPSHOT_INTERVAL + SNAPSHOT_INTERVAL // 2):
            author.discard(batch, f"f{number}")
            store.save_batch(batch)
        reading = Reading(store, monkeypatch)
        assert state_of(store.get(batch.id)) == state_of(batch)
        assert reading.events <= SNAPSHOT_INTERVAL

    def test_snapshots_are_dispensable(self, store: Batches, author: Author) -> None:
        """Without snapshots, the log alone gives the same state."""
        batches = save_all(store, author.interleaved())
        self.forget_snapshots(store)
        for batch in batches:
            assert state_of(store.get(batch.id)) == state_of(batch)

    def test_each_version_is_the_same_with_and_without_snapshots(
        self, store: Batches, author: Author
    ) -> None:
        """Every past version can be loaded, and snapshots change none of them."""
        past = {}
        for batch in author.long_life():
            store.save_batch(batch)
            past[batch.id, batch.version] = state_of(batch)["text"]

        def load(batch_id: UUID, version: int) -> Any:
            return state_of(store.repository.get(batch_id, version=version))["text"]

        assert {moment: load(*moment) for moment in past} == past
        self.forget_snapshots(store)
        assert {moment: load(*moment) for moment in past} == past

    def test_a_loaded_batch_is_its_callers_own(self, open_store: OpenStore, author: Author) -> None:
        """What a caller does to it and never saves, or another process saves, changes no other."""
        store, elsewhere = open_store(), open_store()
        batch = author.draft([request_line("a")])
        store.save_batch(batch)
        author.upload(store.get(batch.id))
        assert state_of(store.get(batch.id)) == state_of(batch)
        changed = elsewhere.get(batch.id)
        author.end(changed)
        elsewhere.save_batch(changed)
        assert state_of(store.get(batch.id)) == state_of(changed)
