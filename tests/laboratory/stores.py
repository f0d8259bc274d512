"""What a test does with a store: save into it, see all that it knows, and reach past it by SQL."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from eventsourcing.compressor import ZlibCompressor
from eventsourcing.persistence import Cipher, StoredEvent

from batchtrail.application.body_coding import BodyCoding
from batchtrail.application.store import Batches
from batchtrail.application.views import CompletionRow
from batchtrail.domain.batch import Batch

from .author import LIMITS


def save_all(store: Batches, batches: Iterable[Batch]) -> list[Batch]:
    """Save batches each time they are given; in the end, each once."""
    saved = {}
    for batch in batches:
        store.save_batch(batch)
        saved[batch.id] = batch
    return list(saved.values())


def state_of(batch: Batch) -> dict[str, Any]:
    """All that a batch knows, as text too, so that types count."""
    known = sorted(vars(batch).items())
    state = {name: value for name, value in known if name != "_pending_events"}
    return {"text": repr(state), **state}


def size_of(record: StoredEvent) -> int:
    """What a page of events counts."""
    return len(record.state) + len(getattr(record, "body", None) or b"")


def all_rows(store: Batches, batch_id: UUID) -> list[CompletionRow]:
    """The completions view of one batch."""
    store.catch_up()
    rows: list[CompletionRow] = []
    while page := store.recorder.select_lines(
        batch_id, after=rows[-1].number if rows else 0, max_bytes=1 << 20
    ):
        rows += [row for row, _ in page]
    return rows


def image_of(store: Batches) -> list[Any]:
    """Everything that the views say."""
    summaries = store.views.summaries(limit=LIMITS.max_requests)
    generations = {
        summary.identity: store.views.latest_generation(summary.identity)
        for summary in summaries
        if summary.identity is not None
    }
    return [generations, *((summary, all_rows(store, summary.id)) for summary in summaries)]


def positions_of(store: Batches) -> tuple[int, int]:
    """The views' checkpoint, and the last position of the log."""
    checkpoint, _ = store.recorder.lagging(max_bytes=0)
    return checkpoint, store.recorder.max_notification_id() or 0


def run_sql(store: Batches, *statements: str) -> None:
    """Run statements on the store's database, in one transaction."""
    recorder: Any = store.recorder
    with recorder.datastore.transaction(commit=True) as cursor:
        for statement in statements:
            cursor.execute(statement)


def forget_views(store: Batches, tables: Sequence[str], prefix: str = "") -> None:
    """Leave the views, in these tables, as they are before anything was read from the log."""
    deletions = [f"DELETE FROM {prefix}{table}" for table in tables]
    run_sql(store, f"UPDATE {prefix}view_checkpoint SET position=0", *deletions)


def forget_snapshots(store: Batches, prefix: str = "") -> None:
    """Leave nothing but the log to load batches from."""
    run_sql(store, f"DELETE FROM {prefix}snapshots")


def save_without_views(store: Batches, batch: Batch) -> None:
    """Record events as a writer does while the views lag: the log grows, the views do not."""
    stored = [store.mapper.to_stored_event(event) for event in batch.collect_events()]
    store.recorder.insert_events(stored)


class Scramble(Cipher):
    """Not a cipher, but nothing can be read that it has gone over."""

    def __init__(self) -> None:
        """Need no key."""

    def encrypt(self, plaintext: bytes) -> bytes:
        """Mark it and turn every bit."""
        return b"!" + bytes(byte ^ 255 for byte in plaintext)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Turn every bit back, of what bears the mark."""
        if not ciphertext.startswith(b"!"):
            raise RuntimeError("no mark")
        return bytes(byte ^ 255 for byte in ciphertext[1:])


SEALED_BODIES = BodyCoding(ZlibCompressor(), Scramble(), compresses=True)


def code_bodies(store: Batches, bodies: BodyCoding = SEALED_BODIES) -> None:
    """Have a store that is open code its bodies otherwise from now on."""
    store.batch_mapper.bodies = bodies
