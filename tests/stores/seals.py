"""Seals: one value for a whole log, which anybody can recompute."""

from hashlib import sha256
from typing import Any

import pytest
from tests.laboratory.author import Author
from tests.laboratory.stores import SEALED_BODIES, code_bodies, save_all

from batchtrail.application.errors import InputError, StoreError
from batchtrail.application.inspection import Inspector
from batchtrail.application.records import EventRecord
from batchtrail.application.sealing import Seal
from batchtrail.application.store import Batches

from .base import OpenStore
from .tampering import TamperedStore, spoiled


class SealContract(TamperedStore):
    """The same log has the same seal, and a damaged one has none."""

    def test_a_seal_is_the_chain_of_the_reference(self, store: Batches) -> None:
        """Anybody can recompute it from the digests."""
        link = bytes(32)
        for record in self.log(store):
            link = sha256(link + record.position.to_bytes(8) + record.digest).digest()
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
