"""Pruned bodies and redacted requests: the log is verified without them, and misses no other."""

from hashlib import sha256
from uuid import uuid4

import msgspec
import pytest
from tests.laboratory.author import Author, answer, request_line
from tests.laboratory.stores import all_rows

from batchtrail.application.errors import InputError
from batchtrail.application.pruning import Prunable, prunable, prune
from batchtrail.application.redacting import redact
from batchtrail.application.store import Batches
from batchtrail.domain.bodies import Lines
from batchtrail.domain.errors import BodyRemovedError, UnfinishedError
from batchtrail.domain.events import BodiesPruned
from batchtrail.domain.values import Stamp

from .base import BODY_SIZES, OpenStore
from .tampering import FAR, LATER, TamperedStore


class RemovalContract(TamperedStore):
    """What was removed by a command is no difference; what is gone without one is."""

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

    def test_another_process_writes_first(self, store: Batches, open_store: OpenStore) -> None:
        """What is to be removed is decided once more, on what the log says by then."""
        batch, other, author = self.finished(store), open_store(), Author(LATER)
        wishes = iter([True, False] * 2)

        def stamp() -> Stamp:
            if next(wishes):
                rival = other.get(batch.id)
                rival.record_retry(uuid4(), 1, stamp=author.stamp())
                other.save_batch(rival)
            return author.stamp()

        assert redact(store, batch.id, "a", None, stamp) == len(("line", "result"))
        prune(store, Prunable(batch.id, batch.version), None, stamp)
        found = self.verify(store)
        assert (found.differences, found.removed_bodies) == ((), len(("input", "a", "b")))
        assert len(store.get(batch.id).retries) == 2

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
        named = [each.version for each in differences if each.batch_id == batch.id]
        assert named == [2, last - len(("a", 'b"é'))]
        told = [str(each) for each in differences if each.batch_id == batch.id]
        assert [line.partition(": ")[2] for line in told] == [
            "misses its body, and no event says that it was removed",
            f"misses its body, as all do up to event {last}, and no event says that it was removed",
        ]
        assert {each.batch_id for each in differences} > {batch.id}

    def test_bodies_behind_removed_ones_that_nobody_removed(self, store: Batches) -> None:
        """The first of them is named, and not the place of one that an event speaks of."""
        pruned, redacted = self.finished(store, "c"), self.finished(store, "c")
        a, odd, c = [
            (each.originator_version, each.position)
            for each in self.log(store)
            if each.originator_id == redacted.id and each.topic.endswith("result_applied")
        ]
        prune(store, Prunable(pruned.id, a[0]), None, Author(LATER).stamp)
        redact(store, redacted.id, 'b"é', None, Author(LATER).stamp)
        self.sql(store, "UPDATE {events} SET body=NULL")
        found = {
            (each.batch_id, each.version, each.position) for each in self.verify(store).differences
        }
        assert found >= {(pruned.id, odd[0], None), (redacted.id, *a), (redacted.id, c[0], None)}
        assert len([each for each in found if each[0] in {pruned.id, redacted.id}]) == 3

    def test_a_redacted_request_is_no_difference(self, store: Batches) -> None:
        """Nothing of it is left, all else is there, and the seal is that of the same log."""
        batch = self.finished(store, "c")
        seal, odd = self.seal(store), 'b"é'
        lines = b"".join(store.input_lines(batch.id)).splitlines(keepends=True)
        assert redact(store, batch.id, odd, "asked", Author(LATER).stamp) == len(("line", "result"))
        version = store.get(batch.id).version
        assert redact(store, batch.id, odd, "asked", Author(LATER).stamp) == 0
        assert store.get(batch.id).version == version
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
            "redacted": f"sha256:{sha256(lines[1]).hexdigest()}",
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
        for digest in (sha256(line).hexdigest(), Lines.of(line).sha256.hex()):
            marker = b'{"custom_id":"x","redacted":"sha256:%s"}\n' % digest.encode()
            self.change(store, record.position, body=(record.body or b"").replace(line, marker))
            differences = self.verify(store).differences
            assert {each.position for each in differences} == {record.position}
            assert any("misses lines of its body" in each.what for each in differences)
        assert any("has a body that is not the one it" in each.what for each in differences)
