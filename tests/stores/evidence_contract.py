"""The tests that every event store must pass as evidence: verify, seal and rebuild.

Run it as `store_contract` is run: inherit as `Test...` and override the fixture `open_store`. The
tests damage the database past the store, by SQL.
"""

import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import pytest
from attrs import evolve
from tests.laboratory.author import Author, answer, request_line
from tests.laboratory.stores import (
    SEALED_BODIES,
    all_rows,
    code_bodies,
    forget_snapshots,
    image_of,
    run_sql,
    save_all,
    save_without_views,
)

from batchtrail.application.differences import Difference
from batchtrail.application.errors import DatabaseRefusedError, InputError, StoreError
from batchtrail.application.inspection import Inspector
from batchtrail.application.pruning import Prunable, prunable, prune
from batchtrail.application.rebuilding import Rebuilt, rebuild
from batchtrail.application.records import EventRecord, event_digest
from batchtrail.application.redacting import redact
from batchtrail.application.replay import batch_after
from batchtrail.application.sealing import Seal, seal_store
from batchtrail.application.store import Batches
from batchtrail.application.verification import Verification, verify_store
from batchtrail.domain.batch import Batch
from batchtrail.domain.bodies import Lines
from batchtrail.domain.errors import BodyRemovedError, UnfinishedError
from batchtrail.domain.events import BodiesPruned
from batchtrail.domain.requests import RequestIndex

from .store_contract import BODY_SIZES, OpenStore, StoreContract

LATER = datetime(2026, 6, 1, tzinfo=UTC)
FAR = datetime(2027, 1, 1, tzinfo=UTC)


class EvidenceContract(StoreContract):
    """Inherit as `Test...` and override `open_store`; say how the tables are called."""

    position_column: ClassVar[str] = "position"
    bytes_literal: ClassVar[str] = "x'{}'"
    row_damages: ClassVar[Mapping[str, str]] = {
        "no row": "DELETE FROM {completions} WHERE number=2",
        "another outcome": "UPDATE {completions} SET outcome='expired' WHERE number=1",
        "another position": "UPDATE {completions} SET position=3 WHERE number=1",
        "another number": "UPDATE {completions} SET number=number+7 WHERE number=3",
        "another batch": "UPDATE {completions} SET batch_no=batch_no+9999 WHERE number=1",
        "a stray": "INSERT INTO {completions} VALUES (9999, 1, 'x', 'pending', NULL)",
    }
    """What may happen to the rows of requests; tables are named as `sql` takes them."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Batches:
        """Give a store whose log has every kind of event."""
        store = open_store()
        save_all(store, Author().interleaved())
        return store

    # -- what the tests do -----------------------------------------------------------------

    def verify(self, store: Batches, against: Seal | None = None) -> Verification:
        """Verify everything."""
        return verify_store(store, against=against, limit=1_000)

    def seal(self, store: Batches, *, full: bool = False) -> Seal:
        """Seal the log as somebody does."""
        return seal_store(store, Author(datetime.now(UTC)).stamp(), full=full)

    def rebuild(self, store: Batches) -> Rebuilt:
        """Rebuild all views."""
        return rebuild(store, lambda *_: None)

    def log(self, store: Batches) -> list[EventRecord]:
        """Every event, with its body and position."""
        with store.recorder.reading() as reader:
            return list(reader.log_page(after=0, max_bytes=1 << 30))

    def sql(self, store: Batches, statement: str) -> None:
        """Run a statement that names tables without their prefix, as `{events}`."""
        names = ("events", *self.view_tables, "snapshots", "seals", "view_checkpoint")
        run_sql(store, statement.format(**{name: self.table_prefix + name for name in names}))

    def change(self, store: Batches, position: int, **columns: Any) -> None:
        """Change columns of an event."""
        values = ", ".join(f"{name}={self.literal(value)}" for name, value in columns.items())
        where = f"{self.position_column}={position}"
        run_sql(store, f"UPDATE {self.table_prefix}events SET {values} WHERE {where}")

    def literal(self, value: Any) -> str:
        """A value in SQL."""
        if value is None:
            return "NULL"
        if isinstance(value, bytes):
            return self.bytes_literal.format(value.hex())
        return f"'{value}'" if isinstance(value, str) else str(value)

    def remove(self, store: Batches, position: int) -> None:
        """Remove an event from the log."""
        where = f"{self.position_column}={position}"
        run_sql(store, f"DELETE FROM {self.table_prefix}events WHERE {where}")

    def swap(self, store: Batches, one: int, other: int) -> None:
        """Let two events change places."""
        table, column = f"{self.table_prefix}events", self.position_column
        for place, now in ((-1, one), (one, other), (other, -1)):
            run_sql(store, f"UPDATE {table} SET {column}={place} WHERE {column}={now}")

    def forge(self, store: Batches, record: EventRecord) -> None:
        """Change what an event says, and its digest with it."""
        assert isinstance(record.originator_id, UUID)
        state = record.state.replace(b"test:ada", b"test:eve")
        assert state != record.state
        version, topic = record.originator_version, record.topic
        digest = event_digest(record.originator_id, version, topic, state)
        self.change(store, record.position, state=state, digest=digest)

    # -- verify ----------------------------------------------------------------------------

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
        forget_snapshots(store, self.table_prefix)
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

    def test_views_that_became_newer(self, store: Batches) -> None:
        """Who had the database open before an upgrade does not write into what it made."""
        log = self.log(store)
        self.sql(store, "UPDATE {view_checkpoint} SET version=version+1")
        with pytest.raises(DatabaseRefusedError, match=r"newer version .* upgrade batchtrail"):
            store.save_batch(Author().draft([request_line("a")]))
        with pytest.raises(DatabaseRefusedError, match=r"newer version .* upgrade batchtrail"):
            store.catch_up()
        assert self.log(store) == log

    # -- bodies that are removed -----------------------------------------------------------

    def finished(self, store: Batches, *more: str) -> Batch:
        """A batch that is done, with a result line for each request: "a", 'b"é' and more."""
        return Author().finished(store, ["a", 'b"é', *more])

    def test_pruned_bodies_are_no_difference(self, store: Batches) -> None:
        """They are counted; the views and the seal of what was before are what they were."""
        batch = self.finished(store)
        seal, rows = self.seal(store), all_rows(store, batch.id)
        bodies = sum(record.body is not None for record in self.log(store))
        (old,) = [each for each in prunable(store, FAR) if each.batch_id == batch.id]
        for _ in range(2):
            prune(store, old, "0f" * 32, Author(LATER).stamp)
        found = self.verify(store, against=seal)
        assert found.differences == ()
        assert found.removed_bodies == len(("input", "a", "b"))
        left = sum(record.body is not None for record in self.log(store))
        assert left == bodies - found.removed_bodies
        assert all_rows(store, batch.id) == rows
        (last,) = store.history(batch.id, after=old.through)
        assert isinstance(last, BodiesPruned)
        assert (last.through, last.export_sha256) == (old.through, "0f" * 32)
        assert batch.id not in {each.batch_id for each in prunable(store, FAR)}
        with pytest.raises(BodyRemovedError):
            list(store.input_lines(batch.id))

    @pytest.mark.parametrize("size", BODY_SIZES)
    def test_removed_bodies_of_any_length(self, store: Batches, size: int) -> None:
        """One is redacted, then all are pruned; nobody else misses any."""
        text = "x" * (size - len(answer("a")))
        one, other = (Author().finished(store, "abc", text=text) for _ in range(2))
        redact(store, one.id, "b", None, Author(LATER).stamp)
        whole = [len(line or b"") for _, line in store.lines_page(one.id, after=0)]
        assert whole == [size, 0, size]
        found = self.verify(store)
        assert (found.differences, found.removed_bodies, found.redacted_lines) == ((), 1, 1)
        prune(store, Prunable(one.id, one.version), None, Author(LATER).stamp)
        assert [line for _, line in store.lines_page(one.id, after=0)] == [None] * 3
        assert [len(line or b"") for _, line in store.lines_page(other.id, after=0)] == [size] * 3
        found = self.verify(store)
        assert (found.differences, found.removed_bodies) == ((), 4)

    def test_only_what_is_done_is_pruned(self, store: Batches) -> None:
        """What is still at work may need its bodies, and what is young may be wanted."""
        author = Author()
        batch = author.draft([request_line("a")])
        author.end(batch)
        store.save_batch(batch)
        assert batch.id not in {each.batch_id for each in prunable(store, FAR)}
        with pytest.raises(UnfinishedError, match="can be pruned when it is over"):
            prune(store, Prunable(batch.id, batch.version), None, author.stamp)
        with pytest.raises(UnfinishedError, match="can be redacted when it is over"):
            redact(store, batch.id, "a", None, author.stamp)
        done = self.finished(store)
        assert done.id not in {each.batch_id for each in prunable(store, done.modified_on)}
        assert self.verify(store).removed_bodies == 0

    def test_bodies_that_nobody_removed(self, store: Batches) -> None:
        """A body that is missing without a word is named, and so is the end of its like."""
        batch = self.finished(store, "c")
        old = Prunable(batch.id, 1)
        prune(store, old, None, Author(LATER).stamp)
        self.sql(store, "UPDATE {events} SET body=NULL")
        differences = self.verify(store).differences
        last = batch.version - 1
        told = [str(each) for each in differences if each.batch_id == batch.id]
        assert [line.partition(": ")[2] for line in told] == [
            "misses its body, and no event says that it was removed",
            f"misses its body, as all do up to event {last}, and no event says that it was removed",
        ]
        assert {each.batch_id for each in differences} > {batch.id}

    def test_a_redacted_request_is_no_difference(self, store: Batches) -> None:
        """Nothing of it is left, all else is there, and the seal is that of the same log."""
        batch = self.finished(store, "c")
        seal, odd = self.seal(store), 'b"é'
        lines = b"".join(store.input_lines(batch.id)).splitlines(keepends=True)
        assert redact(store, batch.id, odd, "asked", Author(LATER).stamp) == len(("line", "result"))
        assert redact(store, batch.id, odd, "asked", Author(LATER).stamp) == 0
        found = self.verify(store, against=seal)
        assert found.differences == ()
        assert (found.removed_bodies, found.redacted_lines) == (1, 1)
        added = next(event for event in store.history(batch.id, bodies=True) if event.body)
        left = added.text.splitlines(keepends=True)
        assert [left[0], left[2]] == [lines[0], lines[2]]
        with pytest.raises(BodyRemovedError):
            list(store.input_lines(batch.id))
        assert msgspec.json.decode(left[1]) == {
            "custom_id": odd,
            "redacted": f"sha256:{sha256_hex(lines[1])}",
        }
        texts = {row.custom_id: event for row, event in store.completions_page(batch.id, after=0)}
        assert {name: event.line.content is None for name, event in texts.items() if event} == {
            "a": False,
            odd: True,
            "c": False,
        }
        with pytest.raises(InputError, match="has no request 'z'"):
            redact(store, batch.id, "z", None, Author(LATER).stamp)

    def test_a_line_that_nobody_redacted(self, store: Batches) -> None:
        """One marker more than events tell is named; one with another digest is a changed body."""
        batch = self.finished(store)
        redact(store, batch.id, "a", None, Author(LATER).stamp)
        record = next(
            each for each in self.log(store) if each.originator_id == batch.id and each.body
        )
        line = (record.body or b"").split(b"\n")[1] + b"\n"
        for digest in (sha256_hex(line), Lines.of(line).sha256.hex()):
            marker = b'{"custom_id":"x","redacted":"sha256:%s"}\n' % digest.encode()
            self.change(store, record.position, body=(record.body or b"").replace(line, marker))
            differences = self.verify(store).differences
            assert {each.position for each in differences} == {record.position}
            assert any("misses lines of its body" in each.what for each in differences)
        assert any("has a body that is not the one it" in each.what for each in differences)

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

    # -- views and snapshots ---------------------------------------------------------------

    @pytest.mark.parametrize(
        "damage",
        [
            "DELETE FROM {batches}",
            "DELETE FROM {batches} WHERE batch_no=1",
            "DELETE FROM {completions}",
            "UPDATE {batches} SET version=version+1",
            "UPDATE {batches} SET generation=9",
            "UPDATE {batches} SET next_step='poll'",
            "UPDATE {batches} SET batch_no=batch_no+1000",
            "UPDATE {view_checkpoint} SET position=position+100",
        ],
    )
    def test_damaged_views_are_named_and_healed(self, store: Batches, damage: str) -> None:
        """A row that is missing, changed or too many; a rebuild leaves what was there before."""
        self.damage_and_heal(store, damage)

    @pytest.mark.parametrize("name", row_damages)
    def test_damaged_rows_are_named_and_healed(self, store: Batches, name: str) -> None:
        """The same of the rows of requests, as this database holds them."""
        self.damage_and_heal(store, self.row_damages[name])

    def damage_and_heal(self, store: Batches, damage: str) -> None:
        """Damage a view; see that it is told, and that a rebuild mends it."""
        image = image_of(store)
        self.sql(store, damage)
        found = self.verify(store)
        assert not found.is_good
        rebuilt = self.rebuild(store)
        assert (rebuilt.batches, rebuilt.damaged) == (found.batches, ())
        assert self.verify(store).differences == ()
        assert image_of(store) == image

    def test_a_changed_summary_is_named_by_its_facts(self, store: Batches) -> None:
        """The line says which fact is another one."""
        summary = store.views.summaries(limit=1)[0]
        with store.recorder.reading() as reader:
            changed = evolve(summary, request_count=summary.request_count + 1)
            columns = reader.differing_columns(changed, 1)
        assert columns is not None
        assert "summary (request_count)" in columns

    def test_rows_of_an_unknown_batch(self, store: Batches, open_store: OpenStore) -> None:
        """A batch that the log does not have is named, and taken out."""
        batch = Author().draft([request_line("stranger")])
        store.save_batch(batch)
        last = self.log(store)[-1].position
        for position in (last - 1, last):
            self.remove(store, position)
        self.sql(store, "DELETE FROM {snapshots} WHERE originator_version<0")
        found = self.verify(store)
        what = "has a row in the view of batches, and no event in the log"
        assert Difference(what, batch.id) in found.differences
        self.rebuild(open_store())
        assert batch.id not in {each.id for each in store.views.summaries(limit=99)}

    def test_rows_that_belong_to_no_batch(self, store: Batches) -> None:
        """They are counted, and a rebuild takes them out."""
        self.sql(store, self.row_damages["a stray"])
        (difference,) = self.verify(store).differences
        assert difference.what == "rows of the views belong to no batch: 1"
        self.rebuild(store)
        assert self.verify(store).is_good

    def test_a_lagging_view_is_no_difference(self, store: Batches) -> None:
        """Views hold the log up to their checkpoint; they are compared with that, and rebuilt."""
        store.save_batch(batch := Author().draft([request_line("a")]))
        batch.request_cancel(stamp=Author().stamp())
        save_without_views(store, batch)
        save_without_views(store, Author().draft([request_line("late")]))
        assert self.verify(store).differences == ()
        self.sql(store, "DELETE FROM {completions}")
        assert not self.verify(store).is_good
        self.rebuild(store)
        assert self.verify(store).differences == ()
        versions = {each.id: each.version for each in store.views.summaries(limit=99)}
        assert versions[batch.id] == batch.version

    @pytest.mark.parametrize("version", ["version-1", "version+1"])
    def test_views_of_another_version_are_no_difference(self, store: Batches, version: str) -> None:
        """Who opens the database to write makes them anew, or needs them as they are."""
        strange = Author().draft([request_line("stranger")])
        store.save_batch(strange)
        last = self.log(store)[-1].position
        for position in (last - 1, last):
            self.remove(store, position)
        self.sql(store, "UPDATE {batches} SET generation=9")
        self.sql(store, self.row_damages["a stray"])
        named = {each.what for each in self.verify(store).differences}
        self.sql(store, f"UPDATE {{view_checkpoint}} SET version={version}")
        left = self.verify(store).differences
        assert {each.what for each in left} < named
        assert not any("view" in each.what for each in left)

    def test_a_wrong_snapshot_is_named_and_dropped(self, store: Batches) -> None:
        """A snapshot that can be read and says something else would be believed."""
        assert store.snapshots is not None
        self.sql(store, "UPDATE {snapshots} SET state=state")
        batch_id = store.views.summaries(limit=1)[0].id
        good = store.get(batch_id)
        (stored, *_) = store.snapshots.recorder.select_events(batch_id, desc=True)
        state = self.literal(stored.state.replace(b"openai", b"0penai"))
        self.sql(
            store,
            f"UPDATE {{snapshots}} SET state={state} "
            f"WHERE originator_version={stored.originator_version} AND "
            f"originator_id='{batch_id if self.table_prefix else batch_id.hex}'",
        )
        (difference,) = self.verify(store).differences
        assert (difference.batch_id, difference.version) == (batch_id, stored.originator_version)
        assert "snapshot" in difference.what
        self.rebuild(store)
        assert self.verify(store).is_good
        assert store.get(batch_id) == good

    def test_a_damaged_batch_keeps_its_rows(self, store: Batches) -> None:
        """Rebuilding goes on with the others, and says which it left alone."""
        image = image_of(store)
        record = next(r for r in self.log(store) if r.topic.endswith("submission_started"))
        self.change(store, record.position, state=b"\xc1")
        self.sql(store, self.row_damages["no row"])
        rebuilt = self.rebuild(store)
        assert rebuilt.damaged == (record.originator_id,)
        found = self.verify(store)
        assert found.broken_batches == 1
        assert {each.batch_id for each in found.differences} == {record.originator_id}
        self.change(store, record.position, state=record.state)
        self.rebuild(store)
        assert image_of(store) == image

    def test_an_event_behind_the_end(self, store: Batches) -> None:
        """A rebuild that took it for one that came meanwhile would wait for its end for ever."""
        record = next(r for r in self.log(store) if r.topic.endswith("submission_started"))
        far = self.log(store)[-1].position + 1_000
        column = self.position_column
        self.sql(store, f"UPDATE {{events}} SET {column}={far} WHERE {column}={record.position}")
        found = self.verify(store)
        assert any(f"at position {far}" in each.what for each in found.differences)
        assert found.broken_batches == 1
        assert self.rebuild(store).damaged == (record.originator_id,)

    def test_saving_beside_a_rebuild(
        self, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What another process saves between reading and writing is neither lost nor doubled."""
        store, other, author = open_store(), open_store(), Author()
        batch = author.draft(map(request_line, "abc"))
        author.end(batch)
        store.save_batch(batch)
        rewrite = store.recorder.rewrite_views
        given_back: list[int] = []

        def save() -> None:
            author.apply(batch, RequestIndex("abc"), [answer("b")])
            other.save_batch(batch)
            other.save_batch(author.draft([request_line("new")]))

        turns = iter([save])

        def overtaken(batches: Any) -> Any:
            next(turns, lambda: None)()
            left = rewrite(batches)
            given_back.append(len(left))
            return left

        monkeypatch.setattr(store.recorder, "rewrite_views", overtaken)
        self.rebuild(store)
        assert given_back == [1, 0]
        assert self.verify(store).differences == ()
        assert len(store.views.summaries(limit=9)) == len(("batch", "new"))

    def test_damaged_views_do_not_keep_a_store_closed(
        self, open_store: OpenStore, store: Batches
    ) -> None:
        """Views that lag and do not fit can be rebuilt all the same."""
        image = image_of(store)
        self.sql(store, "UPDATE {view_checkpoint} SET position=3")
        with pytest.raises(Exception, match=r"UNIQUE|duplicate|do not fit"):
            store.catch_up()
        self.rebuild(open_as_it_is(open_store, store))
        assert image_of(store) == image

    # -- seals -----------------------------------------------------------------------------

    def test_a_seal_is_the_chain_of_the_reference(self, store: Batches) -> None:
        """Anybody can recompute it from the digests."""
        link = bytes(32)
        for record in self.log(store):
            link = bytes.fromhex(sha256_hex(link + record.position.to_bytes(8) + record.digest))
        assert self.seal(store) == Seal(len(self.log(store)), link)

    def test_seals_go_on_from_the_last_one(
        self, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Continued or from the beginning: the same log, the same seal."""
        store, looked = open_store(), []
        look = Inspector.look

        def counting(self: Inspector, record: EventRecord) -> Any:
            looked.append(record.position)
            return look(self, record)

        monkeypatch.setattr(Inspector, "look", counting)
        for batch in Author().interleaved():
            store.save_batch(batch)
            self.seal(store)
        assert looked == list(range(1, len(self.log(store)) + 1))
        seal = self.seal(store)
        assert self.seal(store, full=True) == seal
        with store.recorder.reading() as reader:
            assert reader.seals()[-1].seal == seal

    def test_seals_do_not_depend_on_compression(self, open_store: OpenStore) -> None:
        """A log that is compressed and encrypted from its middle on has the seal of a plain one."""
        store = open_store()
        plain = [
            store.batch_mapper.to_stored_event(event)
            for batch in Author().interleaved()
            for event in batch.collect_events()
        ]
        digests = {record.digest for record in plain}
        code_bodies(store)
        author = Author()
        sealed = [
            store.batch_mapper.to_stored_event(event)
            for batch in author.interleaved()
            for event in batch.collect_events()
        ]
        assert not {each.body for each in sealed if each.body} & {each.body for each in plain}
        # Batches without an identity get a new id each time, and with it other digests.
        assert len({record.digest for record in sealed} & digests) > len(digests) // 3
        save_all(store, Author().interleaved())
        assert self.verify(store, against=self.seal(store)).differences == ()

    def test_coded_bodies_have_the_seal_of_plain_ones(self, store: Batches) -> None:
        """Compressing and encrypting the bodies of a log afterwards leaves its seal."""
        seal = self.seal(store)
        for record in self.log(store):
            if record.body is not None:
                self.change(store, record.position, body=SEALED_BODIES.stored(record.body))
        code_bodies(store)
        assert self.seal(store, full=True) == seal
        assert self.verify(store, against=seal).differences == ()

    @pytest.mark.parametrize("column", ["state", "body", "digest"])
    def test_a_damaged_log_is_not_sealed(self, store: Batches, column: str) -> None:
        """A seal would say that it is as it should be."""
        record = next(each for each in self.log(store) if each.body is not None)
        self.change(store, record.position, **{column: spoiled(getattr(record, column))})
        with pytest.raises(StoreError, match=f"position {record.position} "):
            self.seal(store)

    def test_a_log_with_a_gap_is_not_sealed(self, store: Batches) -> None:
        """Neither within nor at its end."""
        last = self.log(store)[-1]
        self.remove(store, last.position)
        with pytest.raises(StoreError, match=f"positions {last.position} to {last.position}"):
            self.seal(store)
        self.remove(store, 4)
        with pytest.raises(StoreError, match="position 4;"):
            self.seal(store)

    def test_a_full_seal_passes_through_the_kept_ones(self, store: Batches) -> None:
        """From the beginning, an event that was forged with its digest is found."""
        self.seal(store)
        self.forge(store, self.log(store)[3])
        with pytest.raises(StoreError, match="was sealed as"):
            self.seal(store, full=True)

    @pytest.mark.parametrize(
        "text", ["", "7", "7:", ":" + "0" * 64, "x:" + "0" * 64, "7:" + "g" * 64]
    )
    def test_what_is_no_seal(self, text: str) -> None:
        """Something else than a printed seal is refused in one sentence."""
        with pytest.raises(InputError, match="is no seal"):
            Seal.parse(text)
        assert Seal.parse("7:" + "0f" * 32 + "\n") == Seal(7, b"\x0f" * 32)

    # -- both ------------------------------------------------------------------------------

    def test_little_memory(self, open_store: OpenStore) -> None:
        """Verifying and sealing a log of many large events holds few of them at a time."""
        store, author = open_store(), Author()
        text = "x" * (1 << 18)
        batch = author.draft((request_line(f"r{n}", text) for n in range(120)), chunk_bytes=1)
        store.save_batch(batch)
        for check in (self.verify, self.seal):
            forget_snapshots(store, self.table_prefix)
            peak = traced(lambda check=check: check(store))  # type: ignore[misc]
            assert peak < 12 << 20 < batch.input_size // 2


def traced(work: Callable[[], object]) -> int:
    """The most memory, in bytes, that some work holds at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def open_as_it_is(open_store: OpenStore, store: Batches) -> Batches:
    """A store for a database whose views cannot be brought up to date."""
    with pytest.raises(Exception, match=r"UNIQUE|duplicate|do not fit"):
        open_store()
    return store


def events_in(found: Verification) -> list[Difference]:
    """What differs in single events."""
    return [each for each in found.differences if each.version is not None and each.position]


def flipped(content: bytes) -> Iterator[bytes]:
    """The content with one bit turned in each of its bytes."""
    for place in range(len(content)):
        bit = 1 << (place % 8)
        yield content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]


def spoiled(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1]) if value else b"x"
    return value[:-1] + "~" if isinstance(value, str) else value + 1_000


def replaced(record: EventRecord, column: str, value: Any) -> EventRecord:
    """The event with another value in a column."""
    return replace(record, **{column: value})


def sha256_hex(content: bytes) -> str:
    """The SHA-256 of a content, in hex."""
    return sha256(content).hexdigest()
