"""Verifying names every event that was changed, removed, moved or forged."""

from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from tests.laboratory.author import Author, request_line

from batchtrail.application.differences import Difference
from batchtrail.application.errors import StoreError
from batchtrail.application.inspection import Inspector
from batchtrail.application.replay import batch_after
from batchtrail.application.sealing import Seal
from batchtrail.application.store import Batches

from .base import OpenStore, traced
from .tampering import TamperedStore, events_in, flipped, replaced, spoiled


class VerificationContract(TamperedStore):
    """What is as it was has no differences; what is not is named."""

    def test_a_good_log(self, store: Batches) -> None:
        """Everything is looked at, and nothing differs; the seal is that of `seal`."""
        found = self.verify(store)
        assert found.differences == ()
        assert found.is_good
        assert found.events == len(self.log(store))
        assert found.batches == len(store.views.summaries(limit=99))
        assert (found.removed_bodies, found.redacted_lines, found.broken_batches) == (0, 0, 0)
        assert found.seal == self.seal(store)
        assert self.verify(store, against=found.seal).is_good

    def test_an_empty_log(self, open_store: OpenStore) -> None:
        """Nothing differs from nothing."""
        store = open_store()
        assert self.verify(store, against=self.seal(store)).is_good
        assert str(self.seal(store)) == "0:" + "0" * 64

    def test_every_flipped_byte_of_every_column_is_found(self, store: Batches) -> None:
        """Wherever a bit is turned, the event is not what it was."""
        inspector = Inspector(store.batch_mapper)
        for record in self.log(store):
            assert inspector.look(record).problems == []
            for column in ("state", "body", "digest"):
                for changed in flipped(getattr(record, column) or b""):
                    assert inspector.look(replaced(record, column, changed)).problems
            for topic in flipped(record.topic.encode()):
                text = topic.decode(errors="surrogateescape")
                assert inspector.look(replaced(record, "topic", text)).problems
            version = record.originator_version + 1
            assert inspector.look(replaced(record, "originator_version", version)).problems
            assert inspector.look(replaced(record, "originator_id", UUID(int=3))).problems

    @pytest.mark.parametrize("column", ["state", "body", "digest", "topic", "originator_version"])
    def test_a_changed_event_is_named(self, store: Batches, column: str) -> None:
        """By its batch, number and position; and the seal is broken."""
        seal, log = self.seal(store), self.log(store)
        records = {record.topic: record for record in log if getattr(record, column) is not None}
        for record in records.values():
            before = getattr(record, column)
            self.change(store, record.position, **{column: spoiled(before)})
            found = self.verify(store, against=seal)
            assert any(each.position == record.position for each in events_in(found))
            if column not in {"digest", "body"}:
                (broken,) = [each for each in found.differences if str(seal) in each.what]
                first = events_in(found)[0]
                assert f"position {first.position}" in broken.what
                assert "the digests beside the events bear it" in broken.what
            self.change(store, record.position, **{column: before})
        assert self.verify(store, against=seal).is_good

    @pytest.mark.parametrize("column", ["state", "body", "digest", "topic", "originator_version"])
    def test_events_after_a_changed_one_are_verified(self, store: Batches, column: str) -> None:
        """Damage at one place hides none at another, not even in the same batch."""
        log = [record for record in self.log(store) if getattr(record, column) is not None]
        self.change(store, log[0].position, **{column: spoiled(getattr(log[0], column))})
        for other in (log[1], log[-1]):
            self.change(store, other.position, digest=bytes(32))
            named = {each.position for each in events_in(self.verify(store))}
            assert {log[0].position, other.position} <= named

    def test_names_of_a_damaged_event(self, store: Batches) -> None:
        """One line says all that is needed to find it."""
        record = self.log(store)[10]
        self.change(store, record.position, digest=bytes(32))
        (difference,) = self.verify(store).differences
        assert (difference.batch_id, difference.version, difference.position) == (
            record.originator_id,
            record.originator_version,
            record.position,
        )
        assert str(difference) == (
            f"batch {record.originator_id}, event {record.originator_version}, position 11: "
            "is not what its digest says: its content or the digest was changed"
        )

    @pytest.mark.parametrize("place", [0, 7, -1], ids=["first", "inner", "last"])
    def test_a_removed_event(self, store: Batches, place: int) -> None:
        """It leaves a gap in the positions and in its stream, and breaks the seal."""
        seal, record = self.seal(store), self.log(store)[place]
        self.remove(store, record.position)
        found = self.verify(store, against=seal)
        assert Difference("the event is missing", position=record.position) in found.differences
        assert any(str(seal) in each.what for each in found.differences)
        assert any(
            each.batch_id == record.originator_id and each.position != record.position
            for each in found.differences
        )

    @pytest.mark.parametrize("place", [1, 3])
    def test_events_behind_a_gap_are_not_followed(self, store: Batches, place: int) -> None:
        """Who replays them learns where, also when the first of all is missing."""
        batch = self.finished(store)
        self.sql(store, f"DELETE FROM {{events}} WHERE originator_version={place}")
        with pytest.raises(StoreError, match=f"event {place + 1} of batch {batch.id} cannot"):
            batch_after(store.history(batch.id))
        self.forget_snapshots(store)
        store.repository.cache = None
        with pytest.raises(StoreError, match=f"event {place + 1} of batch {batch.id} cannot"):
            store.get(batch.id)

    def test_several_removed_events(self, store: Batches) -> None:
        """A gap is one line, also at the end of the log."""
        last = self.log(store)[-1].position
        for position in (5, 6, 7, last - 1, last):
            self.remove(store, position)
        found = self.verify(store)
        gaps = [each for each in found.differences if each.batch_id is None]
        assert [(each.position, each.what) for each in gaps] == [
            (5, "the events up to position 7 are missing"),
            (last - 1, f"the events up to position {last} are missing"),
        ]

    def test_swapped_events(self, store: Batches) -> None:
        """Two events that changed places: of one batch by themselves, of two by the seal."""
        log = self.log(store)
        one = next(record for record in log if record.originator_version > 1)
        same = [r for r in log if r.originator_id == one.originator_id and r.position > 1]
        others = [r for r in log if r.originator_id != one.originator_id]
        seal = self.seal(store)
        for other in (same[-1], others[-1]):
            self.swap(store, one.position, other.position)
            found = self.verify(store, against=seal)
            assert any(str(seal) in each.what for each in found.differences)
            self.swap(store, one.position, other.position)
        self.swap(store, one.position, same[-1].position)
        assert any("stands before event" in each.what for each in self.verify(store).differences)

    def test_a_forged_digest_is_narrowed_by_the_kept_seals(self, open_store: OpenStore) -> None:
        """Who changes an event and its digest cannot change the seal that stands elsewhere."""
        store, author, seals = open_store(), Author(), []
        for batch in author.interleaved():
            store.save_batch(batch)
            seals.append(self.seal(store))
        begin, end = seals[5].position, seals[6].position
        record = next(record for record in self.log(store) if record.position == end)
        self.forge(store, record)
        found = self.verify(store, against=seals[-1])
        where = f"something at positions {begin + 1} to"
        assert any(str(seals[-1]) in each.what and where in each.what for each in found.differences)
        kept = [each for each in found.differences if "what was sealed at" in each.what]
        assert [each.position for each in kept] == [end]
        assert f"{where} {end}" in kept[0].what
        self.sql(store, "DELETE FROM {seals}")
        without = self.verify(store, against=seals[-1])
        assert any("something at positions 1 to" in each.what for each in without.differences)
        assert self.verify(store, against=seals[5]).difference_count == len(
            self.verify(store).differences
        )

    def test_a_seal_of_a_longer_log(self, store: Batches) -> None:
        """A log that ends before the seal is not the one that was sealed."""
        seal = self.seal(store)
        later = Seal(seal.position + 5, seal.link)
        (difference,) = self.verify(store, against=later).differences
        assert f"the log ends at position {seal.position}" in difference.what

    def test_totals_are_recomputed(self, store: Batches) -> None:
        """Totals that somebody forged, with the digest, are not the sums of the results."""
        record = next(each for each in self.log(store) if each.topic.endswith("results_collected"))
        event: Any = store.mapper.to_domain_event(record)
        vars(event)["totals"] = evolve(event.totals, unpriced=event.totals.unpriced + 1)
        forged = store.batch_mapper.to_stored_event(event)
        self.change(store, record.position, state=forged.state, digest=forged.digest)
        totals = [each for each in self.verify(store).differences if "totals" in each.what]
        assert [each.position for each in totals] == [record.position]

    def test_inputs_are_recomputed(self, store: Batches) -> None:
        """Requests that were exchanged as a whole, digests and all, are not what was submitted."""
        log = self.log(store)
        intent = next(each for each in log if each.topic.endswith("submission_started"))
        event: Any = store.mapper.to_domain_event(intent)
        vars(event)["input_sha256"] = "0" * 64
        forged = store.batch_mapper.to_stored_event(event)
        self.change(store, intent.position, state=forged.state, digest=forged.digest)
        found = self.verify(store)
        assert any(
            each.position == intent.position and "names an input" in each.what
            for each in found.differences
        )

    def test_little_memory(self, open_store: OpenStore) -> None:
        """Verifying and sealing a log of many large events holds few of them at a time."""
        store, author = open_store(), Author()
        text = "x" * (1 << 18)
        batch = author.draft((request_line(f"r{n}", text) for n in range(120)), chunk_bytes=1)
        store.save_batch(batch)
        for check in (self.verify, self.seal):
            self.forget_snapshots(store)
            peak = traced(lambda check=check: check(store))  # type: ignore[misc]
            assert peak < 12 << 20 < batch.input_size // 2
