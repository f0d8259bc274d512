"""A save is all or nothing: of two writers one is told, and what fails leaves no trace."""

from collections.abc import Iterator, Sequence
from copy import deepcopy

import pytest
from eventsourcing.persistence import OperationalError
from tests.laboratory.author import (
    AWKWARD_IDS,
    Author,
    answer,
    cost_of,
    costs_of,
    raw_lines,
    refusal,
    request_line,
)
from tests.laboratory.stores import (
    SEALED_BODIES,
    all_rows,
    code_bodies,
    image_of,
    positions_of,
    state_of,
)

from batchtrail.application.body_coding import AS_THEY_ARE, BodyCoding
from batchtrail.application.errors import ConflictError
from batchtrail.application.line_groups import line_groups
from batchtrail.application.saving import Steps
from batchtrail.application.store import Batches
from batchtrail.application.transcoding import BatchMapper, MsgpackTranscoder
from batchtrail.application.views import ViewWriter
from batchtrail.domain.batch import Batch
from batchtrail.domain.requests import RequestIndex
from batchtrail.domain.status import Outcome, ResultFile

from .base import MEGABYTE, OpenStore, StoreContract


class SavingContract(StoreContract):
    """Conflicts, failures, and saves of many steps."""

    def test_second_writer_conflicts(self, open_store: OpenStore, author: Author) -> None:
        """Of two stores that changed one version, the second is told and leaves no trace."""
        first, second = open_store(), open_store()
        batch = author.draft(map(request_line, "abc"))
        author.end(batch)
        first.save_batch(batch)
        one, two = first.get(batch.id), second.get(batch.id)
        author.apply(one, first.request_index(batch.id), [answer("a")])
        author.apply(two, second.request_index(batch.id), map(answer, "bca"))
        two.finish_collection(stamp=author.stamp())
        first.save_batch(one)
        log, image, positions = list(first.history(batch.id)), image_of(first), positions_of(first)
        with pytest.raises(ConflictError, match=str(batch.id)):
            second.save_batch(two)
        for store in (first, second, open_store()):
            assert list(store.history(batch.id)) == log
            assert image_of(store) == image
            assert positions_of(store) == positions
            assert state_of(store.get(batch.id)) == state_of(one)

    def test_same_draft_twice(self, open_store: OpenStore, author: Author) -> None:
        """Two writers that begin the batch of one identity meet: the second is told."""
        first, second = open_store(), open_store()
        one = author.draft([request_line("a")], identity="file")
        two = author.draft([request_line("a"), request_line("b")], identity="file")
        first.save_batch(one)
        with pytest.raises(ConflictError):
            second.save_batch(two)
        assert state_of(second.get(two.id)) == state_of(one)
        assert [row.custom_id for row in all_rows(second, two.id)] == ["a"]

    def test_after_a_conflict_the_store_works(self, open_store: OpenStore, author: Author) -> None:
        """The loser loads again, decides again and saves."""
        first, second = open_store(), open_store()
        batch = author.draft([request_line("a")])
        first.save_batch(batch)
        one, two = first.get(batch.id), second.get(batch.id)
        author.discard(one, "f1")
        author.discard(two, "f2")
        first.save_batch(one)
        with pytest.raises(ConflictError):
            second.save_batch(two)
        again = second.get(batch.id)
        author.discard(again, "f2")
        second.save_batch(again)
        assert state_of(first.get(batch.id)) == state_of(again)

    def test_failing_views_undo_the_events(self, store: Batches, author: Author) -> None:
        """When the views cannot be written, neither are the events nor the snapshot."""
        batch = author.draft([request_line("a")])
        stored = [store.mapper.to_stored_event(event) for event in batch.pending_events]

        def write_views(views: ViewWriter, positions: Sequence[int]) -> None:
            del views, positions
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.recorder.insert_events(stored, snapshot=None, write_views=write_views)
        assert positions_of(store) == (0, 0)
        store.save_batch(batch)
        assert state_of(store.get(batch.id)) == state_of(batch)

    def test_saving_again_after_a_failure(
        self, store: Batches, author: Author, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A save that failed for want of room or a lock can be repeated, and then is no fiction."""
        batch = author.draft([request_line("a")])

        def fail(*_: object, **__: object) -> None:
            raise OperationalError("database or disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(store.recorder, "insert_events", fail)
            with pytest.raises(OperationalError):
                store.save_batch(batch)
        store.save_batch(batch)
        assert state_of(store.get(batch.id)) == state_of(batch)

    def test_saving_step_by_step(self, open_store: OpenStore, author: Author) -> None:
        """The events of many steps are one save, and each step finds those before it recorded."""
        store, other = open_store(), open_store()
        batch = author.draft(map(request_line, "abc"))
        author.end(batch)
        store.save_batch(batch)
        index, before = store.request_index(batch.id), batch.version
        held: list[int] = []

        def steps() -> Iterator[None]:
            for custom_id in "cab":
                author.apply(batch, index, [answer(custom_id)])
                held.append(len(batch.pending_events))
                yield
            batch.finish_collection(stamp=author.stamp())
            yield

        store.save_batch(batch, steps())
        assert held == [1, 1, 1]
        assert list(batch.pending_events) == []
        again = other.get(batch.id)
        assert again.version == before + 4
        assert state_of(again) == state_of(batch)
        outcomes = [row.outcome for row in all_rows(other, batch.id)]
        assert outcomes == [Outcome.SUCCEEDED] * 3
        results = {row.custom_id: event for row, event in other.completions_page(batch.id, after=0)}
        for custom_id, event in results.items():
            assert event is not None
            assert event.text == answer(custom_id)

    @pytest.mark.parametrize(("bodies", "readable"), [(AS_THEY_ARE, True), (SEALED_BODIES, False)])
    def test_results_that_are_alike(
        self, store: Batches, author: Author, bodies: BodyCoding, *, readable: bool
    ) -> None:
        """Each has the event that it has one by one, to the last byte, and its row in the views."""
        code_bodies(store, bodies)
        ids = [*AWKWARD_IDS, *map(str, range(30))]
        batch = author.draft(map(request_line, ids))
        author.end(batch)
        store.save_batch(batch)
        answers = [answer(each, "ü" * 700 * size) for size, each in enumerate(ids[:0:-1])]
        of_another_kind = [each.replace(b"200", b"201", 1) for each in answers[20:]]
        lines = raw_lines([*answers[:20], refusal(ids[0]), *of_another_kind])
        index, twin, stamp = store.request_index(batch.id), deepcopy(batch), author.stamp()

        def discard(batch: Batch) -> None:
            name = "file-2"  # behind which the results of the step stand
            batch.record_discarded_upload(
                name, upload_request_id=None, request_id=None, stamp=stamp
            )

        def steps() -> Steps:
            for group in line_groups(lines, index, cost_of):
                discard(batch)
                alike, applied = group.alike(costs_of), None
                if alike is None:
                    failed = group.one_by_one(cost_of)
                    batch.apply_results(ResultFile.ERROR, failed, index, behind=0, stamp=stamp)
                else:
                    applied = batch.apply_alike(
                        ResultFile.ERROR, alike, index, behind=0, stamp=stamp
                    )
                yield applied

        before = batch.version
        store.save_batch(batch, steps())
        known = RequestIndex(ids)
        for group in line_groups(lines, known, cost_of):
            discard(twin)
            results = group.one_by_one(cost_of)
            twin.apply_results(ResultFile.ERROR, results, known, behind=0, stamp=stamp)
        mapper = BatchMapper(MsgpackTranscoder())
        expected = [mapper.to_stored_event(event) for event in twin.collect_events()]
        found = store.recorder.select_page(batch.id, gt=before, max_bytes=4 * MEGABYTE, bodies=True)
        assert [store.batch_mapper.plain(record) for record in found] == expected
        assert any(b"tokens" in (record.body or b"") for record in found) is readable
        assert state_of(store.get(batch.id)) == state_of(twin)
        image = image_of(store)
        self.forget_views(store)
        self.forget_snapshots(store)
        assert image_of(store) == image
        assert state_of(store.get(batch.id)) == state_of(twin)

    def test_a_failing_step_undoes_the_steps_before(self, store: Batches, author: Author) -> None:
        """All steps or none; the batch is loaded anew, and nothing of it was remembered."""
        batch = author.draft(map(request_line, "ab"))
        author.end(batch)
        store.save_batch(batch)
        index, before, log = store.request_index(batch.id), batch.version, positions_of(store)

        def steps() -> Iterator[None]:
            author.apply(batch, index, [answer("a")])
            yield
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.save_batch(batch, steps())
        assert positions_of(store) == log
        assert store.get(batch.id).version == before
        assert {row.outcome for row in all_rows(store, batch.id)} == {Outcome.PENDING}

    def test_steps_that_decide_nothing(self, store: Batches, author: Author) -> None:
        """Nothing is recorded, and no view is touched."""
        store.save_batch(batch := author.draft([request_line("a")]))
        log = positions_of(store)
        store.save_batch(batch, iter((None, None)))
        store.save_batch(batch, iter(()))
        assert positions_of(store) == log

    def test_steps_after_another_writer(self, open_store: OpenStore, author: Author) -> None:
        """Who was second is told so, whatever the number of steps."""
        first, second = open_store(), open_store()
        first.save_batch(batch := author.draft([request_line("a")]))
        late = second.get(batch.id)
        author.discard(batch, "f1")
        first.save_batch(batch)

        def steps() -> Iterator[None]:
            for name in ("f2", "f3"):
                author.discard(late, name)
                yield

        with pytest.raises(ConflictError):
            second.save_batch(late, steps())
        assert second.get(batch.id).version == batch.version

    def test_positions_have_no_gaps(self, open_store: OpenStore, author: Author) -> None:
        """Positions are counted through, also after writes that were undone."""
        first, second = open_store(), open_store()
        for custom_id in "abc":
            batch = author.draft(map(request_line, [custom_id, "z"]), identity=custom_id)
            first.save_batch(batch)
            with pytest.raises(ConflictError):
                second.save_batch(author.draft([request_line("z")], identity=custom_id))
        self.forget_views(first)
        _, page = first.recorder.lagging(max_bytes=MEGABYTE)
        assert [notification.id for notification in page] == list(range(1, len(page) + 1))
        assert len(page) == positions_of(first)[1]
