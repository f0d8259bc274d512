"""Damaged views and snapshots are named by verifying, and mended by a rebuild."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from attrs import evolve
from eventsourcing.persistence import DataError
from tests.laboratory.author import Author, answer, request_line
from tests.laboratory.stores import image_of, save_without_views

from batchtrail.application.differences import Difference
from batchtrail.application.errors import DatabaseRefusedError, StoreError
from batchtrail.application.store import Batches
from batchtrail.domain.requests import RequestIndex

from .base import OpenStore
from .tampering import TamperedStore

MISFIT = r"its views do not fit its log \(.+\); `batchtrail rebuild` mends them$"


class RebuildContract(TamperedStore):
    """A rebuild leaves what was there before; say how the tables are called."""

    row_damages: ClassVar[Mapping[str, str]] = {
        "no row": "DELETE FROM {completions} WHERE number=2",
        "another outcome": "UPDATE {completions} SET outcome='expired' WHERE number=1",
        "another position": "UPDATE {completions} SET position=3 WHERE number=1",
        "another number": "UPDATE {completions} SET number=number+7 WHERE number=3",
        "another batch": "UPDATE {completions} SET batch_no=batch_no+9999 WHERE number=1",
        "a stray": "INSERT INTO {completions} VALUES (9999, 1, 'x', 'pending', NULL)",
    }
    """What may happen to the rows of requests; tables are named as `sql` takes them."""

    def test_views_that_became_newer(self, store: Batches) -> None:
        """Who had the database open before an upgrade does not write into what it made."""
        log = self.log(store)
        self.sql(store, "UPDATE {view_checkpoint} SET version=version+1")
        with pytest.raises(DatabaseRefusedError, match=r"newer version .* upgrade batchtrail"):
            store.save_batch(Author().draft([request_line("a")]))
        with pytest.raises(DatabaseRefusedError, match=r"newer version .* upgrade batchtrail"):
            store.catch_up()
        assert self.log(store) == log

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
            image = image_of(store)
            left = rewrite(batches)
            assert image_of(store) == image  # newer than what was read
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
        with pytest.raises(DataError, match=MISFIT):
            store.catch_up()
        self.rebuild(open_as_it_is(open_store, store))
        assert image_of(store) == image


def open_as_it_is(open_store: OpenStore, store: Batches) -> Batches:
    """A store for a database whose views cannot be brought up to date."""
    with pytest.raises(StoreError, match=MISFIT):
        open_store()
    return store
