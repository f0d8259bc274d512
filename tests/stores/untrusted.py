"""What stands in a database is not trusted: unknown, newer, damaged and malicious content."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eventsourcing.persistence import StoredEvent
from tests.laboratory.author import Author, request_line
from tests.laboratory.stores import image_of, run_sql, state_of

from batchtrail.application.errors import StoreError
from batchtrail.application.records import EventRecord
from batchtrail.application.store import Batches, BatchRecorder
from batchtrail.domain import events
from batchtrail.domain.batch import Batch

from .base import MEGABYTE, OpenStore, StoreContract

_PYTHON_TOPIC = "batchtrail_contract_trap:Trap"


class UntrustedContentContract(StoreContract):
    """What cannot be read is refused by name, and nothing of it is run."""

    def forget_log(self, store: Batches) -> None:
        """Leave no event; the positions go on behind the last one."""
        run_sql(store, f"DELETE FROM {self.table_prefix}events")

    def cut_snapshots(self, store: Batches) -> None:
        """Leave the first bytes of each snapshot's state."""
        run_sql(store, f"UPDATE {self.table_prefix}snapshots SET state=substr(state, 1, 20)")

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
