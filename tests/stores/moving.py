"""Logs that move: what is exported from one store and imported into another is the same log."""

from datetime import datetime, timedelta, timezone
from hashlib import sha256
from io import BytesIO
from typing import Any
from uuid import UUID

import msgspec
import pytest
from attrs import evolve
from tests.laboratory.author import Author, answer, request_line
from tests.laboratory.exports import (
    SOFTWARE,
    export_of,
    exported,
    imported,
    in_memory,
    lived,
    redigested,
    rewritten,
    sealed,
    wanted,
)
from tests.laboratory.stores import code_bodies, image_of, positions_of, run_sql, save_all, state_of

from batchtrail.application import exporting, importing
from batchtrail.application.errors import BatchNotFoundError, ConflictError, InputError, StoreError
from batchtrail.application.exporting import Exported, export_store
from batchtrail.application.importing import Imported
from batchtrail.application.pruning import Prunable, prune
from batchtrail.application.records import EventRecord
from batchtrail.application.redacting import redact
from batchtrail.application.sealing import Seal, seal_store
from batchtrail.application.store import Batches
from batchtrail.application.verification import verify_store

from .base import BODY_SIZES, OpenStore, StoreContract, traced
from .tampering import spoiled


class MovingContract(StoreContract):
    """There and back; the other side is a SQLite database in memory."""

    def test_there_and_back(self, store: Batches) -> None:
        """Into this store and back: the same seal, states and views, and the same bytes."""
        source, back = lived(), in_memory()
        export, told = export_of(source)
        assert imported(store, export) == Imported(told.events, told.batches, told.seal)
        again = exported(store)
        assert again == export
        imported(back, again)
        assert exported(back) == export
        for each in (store, back):
            assert verify_store(each, against=told.seal, limit=9).differences == ()
            assert sealed(each, full=True) == told.seal == sealed(source)
            assert image_of(each) == image_of(source)
            for summary in source.views.summaries(limit=9):
                assert state_of(each.get(summary.id)) == state_of(source.get(summary.id))

    def test_a_store_opened_later_goes_on(self, open_store: OpenStore) -> None:
        """New events stand behind the last position, batches are known, and views keep up."""
        source = lived()
        imported(open_store(), exported(source))
        store, author = open_store(), Author()
        assert positions_of(store) == positions_of(source)
        draft = author.draft([request_line("a")], identity="a-file", generation=3)
        with pytest.raises(ConflictError):
            store.save_batch(draft)
        assert store.views.latest_generation("a-file") == 3  # as the author made it
        batch = author.finished(store, ["x", "y"])
        with store.recorder.reading() as reader:
            (first, *_) = reader.stream_page(batch.id, after=0, max_bytes=0)
        assert first.position == positions_of(source)[1] + 1
        assert verify_store(store, against=sealed(source), limit=9).differences == ()

    def test_snapshots_are_made(self, store: Batches) -> None:
        """A moved batch is loaded from its last state, not from all of its events."""
        source = in_memory()
        batch = Author().finished(source, [f"r{number}" for number in range(30)])
        imported(store, exported(source))
        assert store.snapshots is not None
        (snapshot,) = store.snapshots.recorder.select_events(batch.id)
        assert snapshot.originator_version == batch.version

    def test_an_empty_log(self, store: Batches) -> None:
        """Nothing is moved as nothing."""
        export, told = export_of(store)
        assert told == Exported(0, 0, Seal(), sha256(export).hexdigest(), 0, 0)
        target = in_memory()
        assert imported(target, export) == Imported(0, 0, Seal())
        assert exported(target) == export

    def test_some_batches(self, store: Batches) -> None:
        """They become a log of their own without gaps, whose seal the export tells."""
        save_all(store, Author().interleaved())
        whole = image_of(store)[1:]
        chosen = [summary.id for summary, _ in whole][1:3]
        export, told = export_of(store, chosen[1], chosen[0].hex[:12].upper())
        assert export == exported(store, *chosen)
        lines = [msgspec.json.decode(line) for line in export.splitlines()]
        assert lines[0]["batches"] == sorted(map(str, chosen))
        positions = [line["position"] for line in lines[1:-1]]
        assert positions == sorted(positions) != list(range(1, len(positions) + 1))
        target = in_memory()
        assert imported(target, export) == Imported(told.events, 2, told.seal)
        assert verify_store(target, against=told.seal, limit=9).differences == ()
        assert sealed(target) == told.seal
        assert [summary.id for summary, _ in image_of(target)[1:]] == chosen
        for batch_id in chosen:
            assert state_of(target.get(batch_id)) == state_of(store.get(batch_id))
            assert list(target.input_lines(batch_id)) == list(store.input_lines(batch_id))

    def test_some_batches_into_this_store(self, store: Batches) -> None:
        """Positions are counted anew here as well."""
        source = lived()
        chosen = source.views.summaries(limit=9)[0].id
        export, told = export_of(source, chosen)
        imported(store, export)
        assert positions_of(store) == (told.events, told.events)
        assert verify_store(store, against=told.seal, limit=9).is_good

    def test_unknown_references(self, store: Batches) -> None:
        """A batch that is not there, one of several, and what is no id."""
        author = Author()
        for first in (0x10, 0x11):
            batch = author.draft([request_line("a")])
            vars(batch)["_id"] = UUID(int=first << 120)
            for event in batch.pending_events:
                vars(event)["originator_id"] = batch.id
            store.save_batch(batch)
        with pytest.raises(InputError, match=r"more than one batch .* begins with 1$"):
            exported(store, "1")
        for missing in ("12", "0", UUID(int=7), "f" * 32):
            with pytest.raises(BatchNotFoundError, match=f"no batch {missing} "):
                exported(store, missing)
        for odd in ("", "x", "1" * 33, "-"):
            with pytest.raises(InputError, match="is no batch id"):
                exported(store, odd)
        assert exported(store, "10") != exported(store, "11")

    def test_other_settings(self, store: Batches) -> None:
        """A log moves between databases of which one compresses and encrypts."""
        source, back = lived(), in_memory()
        code_bodies(store)
        export = exported(source)
        imported(store, export)
        records = {}
        for each in (source, store):
            with each.recorder.reading() as reader:
                records[each] = list(reader.log_page(after=0, max_bytes=1 << 30))
        for plain, stored in zip(records[source], records[store], strict=True):
            assert stored.body is None if plain.body is None else stored.body != plain.body
            assert stored.digest == plain.digest
        assert exported(store) == export
        imported(back, exported(store))
        assert exported(back) == export
        assert verify_store(store, against=sealed(source), limit=9).differences == ()
        assert image_of(store) == image_of(source)

    def test_removed_and_redacted_bodies(self, store: Batches) -> None:
        """What is not there any more is not there on the other side, and is no difference."""
        source = lived()
        author, batch = Author(), Author().finished(source, ["a", "b"])
        redact(source, batch.id, "a", None, author.stamp)
        other = Author().finished(source, ["a", "b"])
        prune(source, Prunable(other.id, other.version), None, author.stamp)
        export, told = export_of(source)
        assert (told.removed_bodies, told.redacted_lines) == (4, 1)
        imported(store, export)
        found = verify_store(store, against=sealed(source), limit=9)
        assert found.differences == ()
        assert (found.removed_bodies, found.redacted_lines) == (4, 1)
        assert exported(store) == export

    def test_bodies_of_any_length(self, store: Batches) -> None:
        """However the databases cut them, the export is the same."""
        source = in_memory()
        for size in BODY_SIZES:
            Author().finished(source, "ab", text="x" * (size - len(answer("a"))))
        export = exported(source)
        imported(store, export)
        assert exported(store) == export
        assert verify_store(store, against=sealed(source), limit=9).differences == ()

    def test_bodies_that_are_no_text(self, store: Batches) -> None:
        """Any bytes survive: as text where they are valid UTF-8, in base64 where they are not."""
        source, author = in_memory(), Author()
        odd = [b'"\xe2\x80\xa8\\u0000\x00\x7f\xed\x9f\xbf\r', b"\xff\x00", b"\xed\xa0\x80", b""]
        # What could be taken for a mark of how a body is stored.
        odd += [b"\0" * 50, b"\0" + answer("a"), b"\0\1xx"]
        batch = author.draft(map(request_line, "ab"))
        author.end(batch)
        source.save_batch(batch)
        author.apply(batch, source.request_index(batch.id), [*odd, answer("b", "✓\u2028")])
        source.save_batch(batch)
        export = exported(source)
        imported(store, export)
        assert exported(store) == export
        bodies = [event.text for event in store.history(batch.id, bodies=True) if event.body]
        assert bodies[-8:] == [*odd, answer("b", "✓\u2028")]
        assert b'"body":""' in export
        assert export.count(b'"body_base64"') == 2  # of the seven

    @pytest.mark.parametrize("column", ["state", "body", "digest", "topic", "originator_version"])
    def test_a_damaged_log_is_not_exported(self, store: Batches, column: str) -> None:
        """Neither whole nor the batch alone; the others can be moved."""
        save_all(store, Author().interleaved())
        with store.recorder.reading() as reader:
            log = reader.log_page(after=0, max_bytes=1 << 30)
        record = next(each for each in reversed(log) if each.body is not None)
        self.change(store, record, column)
        batch_id = record.originator_id
        others = {each.originator_id for each in log} - {batch_id}
        for references in ((), (batch_id,)):
            with pytest.raises(StoreError, match=r"the event at .*; `verify` names") as caught:
                exported(store, *references)
            if column != "originator_version":  # where a later event may be the first without one
                assert f"position {record.position} " in str(caught.value)
        assert exported(store, *others)

    def change(self, store: Batches, record: EventRecord, column: str) -> None:
        """Change a column of an event."""
        value = spoiled(getattr(record, column))
        where = (
            f"topic='{record.topic}' AND originator_version={record.originator_version} "
            f"AND digest={self.literal(record.digest)}"
        )
        run_sql(
            store,
            f"UPDATE {self.table_prefix}events SET {column}={self.literal(value)} WHERE {where}",
        )

    def test_a_log_with_a_gap_is_not_exported(self, store: Batches) -> None:
        """Within the log or at its end: what is missing is named."""
        batch = Author().draft([request_line("a")])
        store.save_batch(batch)
        for version, where in ((2, "positions 2 to 2"), (1, "positions 1 to 2")):
            table = f"{self.table_prefix}events"
            run_sql(store, f"DELETE FROM {table} WHERE originator_version={version}")
            with pytest.raises(StoreError, match=f"{where} are missing"):
                exported(store)

    def test_a_forged_log_is_not_exported(self, store: Batches) -> None:
        """The seals that were kept say that it is another one."""
        save_all(store, Author().interleaved())
        seal = sealed(store)
        run_sql(store, f"UPDATE {self.table_prefix}seals SET link={self.literal(bytes(32))}")
        with pytest.raises(StoreError, match=f"position {seal.position} it is not what was"):
            exported(store)

    def test_only_into_an_empty_database(self, store: Batches) -> None:
        """A log is not mixed with another one."""
        store.save_batch(Author().draft([request_line("a")]))
        before = image_of(store)
        with pytest.raises(InputError, match="has events already"):
            imported(store, exported(lived()))
        assert image_of(store) == before

    def test_nothing_is_half_done(self, store: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever is wrong, wherever in the file: the database is as empty as before."""
        monkeypatch.setattr(importing, "PAGE_BYTES", 1_000)
        export = exported(lived())
        lines = export.splitlines(keepends=True)
        wrong = [
            b"".join(lines[:-1]),
            export[:-1],
            b"".join([*lines[:9], *lines[10:]]),
            export.replace(b'"software":"b', b'"software":"c'),
            export + b"\n",
            rewritten(export, lambda found: redigested(found[-9], topic="batchtrail.x")),
        ]
        for each in wrong:
            with pytest.raises(InputError, match=r"^log\.jsonl: line \d+"):
                imported(store, each)
            assert positions_of(store) == (0, 0)
            assert image_of(store) == [{}]
            with store.recorder.reading() as reader:
                assert (reader.last_position(), list(reader.seals())) == (0, [])
        imported(store, export)
        assert exported(store) == export

    def test_events_that_do_not_follow_are_refused(self, store: Batches) -> None:
        """Good digests are not enough: what cannot be replayed would close the database."""
        source = in_memory()
        source.save_batch(Author().draft([request_line("a")]))

        def without_draft(lines: list[Any]) -> None:
            del lines[1]
            redigested(lines[1], position=1, version=1)
            digest = bytes.fromhex(lines[1]["digest"])
            lines[-1] |= {"events": 1, "seal": str(Seal().then(1, digest))}

        with pytest.raises(InputError, match=r"event 1: cannot follow .* before it was exported"):
            imported(store, rewritten(exported(source), without_draft))
        assert positions_of(store) == (0, 0)

    def test_totals_that_somebody_forged_are_refused(self, store: Batches) -> None:
        """With the digest of the event, and nothing else in the log that would show it."""
        source = in_memory()
        save_all(source, Author().interleaved())
        with source.recorder.reading() as reader:
            log = reader.log_page(after=0, max_bytes=1 << 30)
        record = next(each for each in log if each.topic.endswith("results_collected"))
        event: Any = source.mapper.to_domain_event(record)
        vars(event)["totals"] = evolve(event.totals, unpriced=event.totals.unpriced + 1)
        forged = source.batch_mapper.to_stored_event(event)
        run_sql(
            source,
            f"UPDATE events SET state=x'{forged.state.hex()}', digest=x'{forged.digest.hex()}' "
            f"WHERE position={record.position}",
        )
        where = f"batch {record.originator_id}, event {record.originator_version}: has totals"
        with pytest.raises(InputError, match=where):
            imported(store, exported(source))
        assert positions_of(store) == (0, 0)

    def test_moments_of_seals_are_in_utc(self, store: Batches) -> None:
        """Wherever the seal was taken, and whatever time zone a server is set to."""
        begin = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=9)))
        store.save_batch(Author().draft([request_line("a")]))
        seal_store(store, Author(begin).stamp(), full=False)
        lines = [msgspec.json.decode(line) for line in exported(store).splitlines()]
        assert lines[-2]["sealed_at"] == "2025-12-31T16:00:00.000001+00:00"

    def test_little_memory(self, store: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
        """Moving a log of many large events holds few of them at a time."""
        for module in (exporting, importing):
            monkeypatch.setattr(module, "PAGE_BYTES", 1 << 16)
        author, text = Author(), "x" * (1 << 15)
        batch = author.draft((request_line(f"r{n}", text) for n in range(120)), chunk_bytes=1)
        source = in_memory()
        source.save_batch(batch)
        export = exported(source)
        most = 3 << 19
        assert traced(lambda: imported(store, export)) < most < len(export) // 2
        for references in ((), (batch.id,)):
            sink = Sink()
            assert (
                traced(
                    lambda sink=sink, of=references: export_store(  # type: ignore[misc]
                        store, sink, of, SOFTWARE, wanted
                    )
                )
                < most
            )
            assert sink.size > len(export) - 100


class Sink(BytesIO):
    """Counts what is written, and keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def write(self, content: Any) -> int:
        """Count."""
        self.size += len(content)
        return len(content)
