"""The tests that every event store must pass: its log, its snapshots and its views.

A store runs it in a test module of its own:

    class TestMyStore(BatchStoreContract):
        @pytest.fixture
        def open_store(self) -> Iterator[OpenStore]:
            ...
"""

import sys
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import pytest
from attrs import evolve
from eventsourcing.persistence import Notification, OperationalError, StoredEvent
from tests.laboratory.author import (
    AWKWARD_IDS,
    ENDPOINT,
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
    forget_snapshots,
    forget_views,
    image_of,
    positions_of,
    run_sql,
    save_all,
    save_without_views,
    size_of,
    state_of,
)

from batchtrail.application.body_coding import AS_THEY_ARE, BodyCoding
from batchtrail.application.errors import BatchNotFoundError, ConflictError, StoreError
from batchtrail.application.line_groups import line_groups
from batchtrail.application.records import EventRecord
from batchtrail.application.saving import SNAPSHOT_INTERVAL, Steps
from batchtrail.application.store import Batches, BatchRecorder
from batchtrail.application.transcoding import BatchMapper, MsgpackTranscoder
from batchtrail.application.views import ViewWriter
from batchtrail.domain import events
from batchtrail.domain.batch import Batch
from batchtrail.domain.errors import BodyRemovedError
from batchtrail.domain.requests import RequestIndex
from batchtrail.domain.status import Outcome, ResultFile
from batchtrail.domain.values import (
    NewBatch,
)

OpenStore = Callable[[], Batches]
"""Opens a store on the test's database: each call another store, always the same database."""
KILOBYTE = 1 << 10
MEGABYTE = 1 << 20
_PYTHON_TOPIC = "batchtrail_contract_trap:Trap"
BODY_SIZES = (
    *(3_599, 3_600, 3_601, 3_899, 3_900, 3_949, 3_950, 7_898, 7_899, 12_345),
    *(30_500, 30_501, 40_000),
)
"""Bytes: a store may cut bodies by their length."""


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


class Reading:
    """Counts what a store reads from its log and its snapshots."""

    def __init__(self, store: Batches, patch: pytest.MonkeyPatch) -> None:
        self.events = 0
        self.size = 0
        assert store.snapshots is not None
        for recorder in (store.recorder, store.snapshots.recorder):
            self._watch(recorder, "select_events", patch)
        self._watch(store.recorder, "select_page", patch)

    def _watch(self, recorder: Any, name: str, patch: pytest.MonkeyPatch) -> None:
        select = getattr(recorder, name)

        def watched(*args: Any, **options: Any) -> Sequence[StoredEvent]:
            page: Sequence[StoredEvent] = select(*args, **options)
            self.events += len(page)
            self.size += sum(map(size_of, page))
            return page

        patch.setattr(recorder, name, watched)


class _Holder:
    """Somebody who claims leases; moments are in minutes, and no lease ends later than in 50."""

    def __init__(self, store: Batches, name: str) -> None:
        self._store = store
        self._name = name

    def claims(self, lease: str, *, at: float, until: float) -> bool:
        """Whether a lease was to be had."""
        begin, minute = datetime(2026, 1, 1, 23, 59, 30, tzinfo=UTC), timedelta(minutes=1)
        now = begin + at * minute
        return self._store.recorder.claim(
            lease, self._name, now=now, until=begin + until * minute, latest=now + 50 * minute
        )

    def release(self, lease: str) -> None:
        """Give a lease back."""
        self._store.recorder.release(lease, self._name)


class StoreContract:
    """What each suite for stores asks of a test class that inherits it."""

    table_prefix: ClassVar[str] = ""
    """What the names of the tables begin with."""

    view_tables: ClassVar[Sequence[str]] = ("batches", "completions")
    """The tables of the views, but for that of their checkpoint, without the prefix."""

    @pytest.fixture
    def open_store(self) -> Iterator[OpenStore]:
        """Give what opens stores on one new database; close them after the test."""
        raise NotImplementedError("override the fixture `open_store`")

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Batches:
        """Give a store on the new database."""
        return open_store()


class BatchStoreContract(StoreContract):
    """Inherit as `Test...` and override `open_store`.

    The tests reach past the store for what is lost or damaged there. These methods do it by SQL,
    through `recorder.datastore.transaction(commit=True)`, in tables whose names may begin with
    `table_prefix`; override them for a store that is made otherwise.
    """

    def forget_views(self, store: Batches) -> None:
        """Leave the views as they are before anything was read from the log."""
        forget_views(store, self.view_tables, self.table_prefix)

    def forget_snapshots(self, store: Batches) -> None:
        """Leave nothing but the log to load batches from."""
        forget_snapshots(store, self.table_prefix)

    def forget_log(self, store: Batches) -> None:
        """Leave no event; the positions go on behind the last one."""
        run_sql(store, f"DELETE FROM {self.table_prefix}events")

    def cut_snapshots(self, store: Batches) -> None:
        """Leave the first bytes of each snapshot's state."""
        run_sql(store, f"UPDATE {self.table_prefix}snapshots SET state=substr(state, 1, 20)")

    @pytest.fixture
    def author(self) -> Author:
        """Give somebody who commands."""
        return Author()

    # -- the log ---------------------------------------------------------------------------

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

    def test_notifications(self, store: Batches, author: Author) -> None:
        """The library's own reading of the log gives every event in the order of positions."""
        save_all(store, author.interleaved())
        last = positions_of(store)[1]
        read = store.recorder.select_notifications(start=1, limit=last)
        assert [notification.id for notification in read] == list(range(1, last + 1))

    # -- bodies ----------------------------------------------------------------------------

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

    # -- snapshots -------------------------------------------------------------------------

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

    # -- views -----------------------------------------------------------------------------

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
        tracemalloc.start()
        try:
            store.catch_up()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 4 * MEGABYTE < batch.input_size // 4
        assert image_of(store) == image

    # -- what the views answer -------------------------------------------------------------

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
        assert len(several) == len(set(several) & ids) == 10

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

    # -- a database that others wrote to ---------------------------------------------------

    def test_one_holder_of_a_lease(self, open_store: OpenStore) -> None:
        """Who has it keeps it until it ends or is given back; renewing it counts from then."""
        ada, bob = (_Holder(open_store(), name) for name in ("ada", "bob"))
        assert ada.claims("a", at=0, until=1)
        assert not bob.claims("a", at=0, until=1)
        assert bob.claims("b", at=0, until=1)
        assert ada.claims("a", at=0, until=2)
        assert not bob.claims("a", at=1, until=9)
        bob.release("a")
        assert not bob.claims("a", at=1, until=9)
        assert bob.claims("a", at=2, until=9)
        assert not ada.claims("a", at=3, until=9)
        bob.release("a")
        assert ada.claims("a", at=3, until=9)

    def test_a_lease_from_a_clock_that_was_ahead(self, open_store: OpenStore) -> None:
        """One that ends later than any can is over: its holder may be dead, and block for days."""
        ada, bob = (_Holder(open_store(), name) for name in ("ada", "bob"))
        assert ada.claims("a", at=49, until=50)
        assert not bob.claims("a", at=0, until=1)
        assert ada.claims("a", at=50, until=51)
        assert bob.claims("a", at=0, until=1)
        assert not ada.claims("a", at=0, until=1)

    def test_unknown_topic(self, open_store: OpenStore, author: Author) -> None:
        """An event of another version of batchtrail is refused by name, not skipped."""
        store = open_store()
        batch = author.draft([request_line("a")])
        store.save_batch(batch)
        strange = EventRecord(batch.id, batch.version + 1, "batchtrail.batch.teleported", b"\x80")
        store.recorder.insert_events([strange])
        for read in (open_store, store.catch_up, lambda: store.get(batch.id)):
            with pytest.raises(StoreError, match=r"batchtrail\.batch\.teleported") as caught:
                read()
            assert "\n" not in str(caught.value)

    def test_event_of_a_newer_version(self, store: Batches, author: Author) -> None:
        """An event whose version this software does not know is refused, not misread."""
        batch = author.draft([request_line("a")])
        stored = store.mapper.to_stored_event(batch.pending_events[0])
        newer = {**msgspec.msgpack.decode(stored.state), "class_version": 2}
        with pytest.raises(StoreError, match="newer"):
            store.mapper.to_domain_event(
                EventRecord(batch.id, 1, stored.topic, msgspec.msgpack.encode(newer))
            )

    @pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None])
    def test_event_of_a_version_that_is_none(
        self, store: Batches, author: Author, version: Any
    ) -> None:
        """It is refused with what stands there."""
        batch = author.draft([request_line("a")])
        stored = store.mapper.to_stored_event(batch.pending_events[0])
        state = {**msgspec.msgpack.decode(stored.state), "class_version": version}
        with pytest.raises(StoreError, match=f"its version is {version!r}"):
            store.mapper.to_domain_event(
                EventRecord(batch.id, 1, stored.topic, msgspec.msgpack.encode(state))
            )

    @pytest.mark.parametrize(
        "state",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"\xc1", id="never-used-byte"),
            pytest.param(b"not messagepack", id="text"),
            pytest.param(b"\x80", id="no-fields"),
            pytest.param(b"\x90", id="list"),
            pytest.param(b"\xdf\xff\xff\xff\xff", id="endless-map"),
            pytest.param(b"\x00", id="number"),
            pytest.param(b"\xc0", id="nil"),
            pytest.param(b"\xa1x", id="string"),
            pytest.param(b"\x91" * 100_000, id="nested"),
        ],
    )
    def test_damaged_state(self, store: Batches, author: Author, state: bytes) -> None:
        """A state that cannot be read is an error that names the event."""
        batch = author.draft([request_line("a")])
        store.save_batch(batch)
        version = batch.version + 1
        topic = events.CancelRequested.TOPIC
        store.recorder.insert_events([EventRecord(batch.id, version, topic, state)])
        with pytest.raises(StoreError, match=f"event {version} of batch {batch.id}.*{topic}"):
            store.get(batch.id)
        with pytest.raises(StoreError, match=f"event {version} of batch {batch.id}"):
            store.catch_up()

    def test_cut_off_state(self, store: Batches, author: Author) -> None:
        """Every event cut off anywhere is refused."""
        for batch in author.interleaved():
            for event in batch.collect_events():
                stored = store.mapper.to_stored_event(event)
                for size in range(len(stored.state)):
                    cut = stored.state[:size]
                    broken = EventRecord(batch.id, event.originator_version, stored.topic, cut)
                    with pytest.raises(StoreError):
                        store.mapper.to_domain_event(broken)

    def test_state_without_a_field(self, store: Batches, author: Author) -> None:
        """Every event that lacks any of its fields, or has one too many, is refused."""

        def spoiled(fields: Any) -> Iterator[Any]:
            if isinstance(fields, list):  # of an event that is stored by the order of its fields
                yield from ([*fields[:place], *fields[place + 1 :]] for place in range(len(fields)))
                yield [*fields[:-1], "one more", fields[-1]]
                for place, parts in enumerate(fields):
                    if isinstance(parts, list):
                        for wrong in (parts[:-1], [*parts, 1]):
                            yield [*fields[:place], wrong, *fields[place + 1 :]]
                return
            yield from ({k: v for k, v in fields.items() if k != name} for name in fields)
            yield {**fields, "more": "one more"}

        for batch in author.interleaved():
            for event in batch.collect_events():
                stored = store.mapper.to_stored_event(event)
                for rest in spoiled(msgspec.msgpack.decode(stored.state)):
                    state = msgspec.msgpack.encode(rest)
                    broken = EventRecord(batch.id, event.originator_version, stored.topic, state)
                    with pytest.raises(StoreError):
                        store.mapper.to_domain_event(broken)

    def test_damaged_snapshot(self, store: Batches, author: Author) -> None:
        """A snapshot is a cache: one that cannot be read is passed over."""
        batch = author.draft([request_line("a")])
        store.save_batch(batch)
        self.cut_snapshots(store)
        assert state_of(store.get(batch.id)) == state_of(batch)

    def test_snapshot_in_the_log(self, open_store: OpenStore, author: Author) -> None:
        """A snapshot is no event: in the log it is refused."""
        store = open_store()
        batch = author.draft([request_line("a")])
        store.save_batch(batch)
        assert store.snapshots is not None
        (stored,) = store.snapshots.recorder.select_events(batch.id)
        version = batch.version + 1
        store.recorder.insert_events([EventRecord(batch.id, version, stored.topic, stored.state)])
        with pytest.raises(StoreError):
            open_store()

    @pytest.mark.parametrize("place", ["event", "draft", "snapshot", "snapshot-row"])
    def test_stored_names_are_never_imported(  # noqa: PLR0917 (fixtures)
        self,
        store: Batches,
        open_store: OpenStore,
        author: Author,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        place: str,
    ) -> None:
        """A database that names a module of Python cannot have it imported, let alone run."""
        module = _PYTHON_TOPIC.partition(":")[0]
        (tmp_path / f"{module}.py").write_text("class Trap: ...\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        batch = author.draft([request_line("a")])
        store.save_batch(batch)
        reader = open_store()  # which has not seen the batch
        self._set_trap(store, batch, place)
        imported = []

        class Watch:
            def find_spec(self, name: str, *_: object) -> None:
                imported.append(name)

        monkeypatch.setattr(sys, "meta_path", [Watch(), *sys.meta_path])
        for read in (reader.catch_up, lambda: reader.get(batch.id), lambda: image_of(reader)):
            with suppress(StoreError):
                read()
        assert module not in imported
        assert module not in sys.modules
        with pytest.raises(StoreError):
            reader.get(batch.id)

    def _set_trap(self, store: Batches, batch: Batch, place: str) -> None:
        log: BatchRecorder = store.recorder
        assert store.snapshots is not None
        (snapshot,) = store.snapshots.recorder.select_events(batch.id)

        def renamed(stored: StoredEvent, field: str) -> StoredEvent:
            state = {**msgspec.msgpack.decode(stored.state), field: _PYTHON_TOPIC}
            return EventRecord(
                batch.id, stored.originator_version, stored.topic, msgspec.msgpack.encode(state)
            )

        if place == "event":
            log.insert_events([EventRecord(batch.id, batch.version + 1, _PYTHON_TOPIC, b"\x80")])
        elif place == "draft":
            (draft, *rest) = log.select_page(batch.id, gt=0, max_bytes=MEGABYTE, bodies=True)
            self.forget_snapshots(store)
            self.forget_log(store)
            log.insert_events([renamed(draft, "originator_topic"), *rest])
        else:
            row = EventRecord(batch.id, batch.version, _PYTHON_TOPIC, snapshot.state)
            trap = row if place == "snapshot-row" else renamed(snapshot, "topic")
            (first, *_) = log.select_events(batch.id)
            later = EventRecord(
                batch.id, batch.version + 1, events.CancelRequested.TOPIC, first.state
            )
            log.insert_events([later], snapshot=lambda: trap)
