"""Logs that move: exports, of which the other side is a SQLite database in memory."""

from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from typing import Any
from uuid import UUID

import msgspec

from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application.exporting import Exported, export_store
from batchtrail.application.importing import Imported, import_into_store
from batchtrail.application.records import event_digest
from batchtrail.application.sealing import Seal, seal_store
from batchtrail.application.store import Batches

from .author import Author

SOFTWARE = "batchtrail 0"

Move = Callable[[list[Any]], None]
"""Changes the lines of an export, decoded, in place."""


def wanted() -> None:
    """Nobody breaks a move off here."""


def in_memory() -> Batches:
    """A new database, for the other side of a move."""
    return Batches(SQLiteBatchFactory(":memory:"))


def exported(store: Batches, *references: UUID | str) -> bytes:
    """What an export of a store writes."""
    return export_of(store, *references)[0]


def export_of(store: Batches, *references: UUID | str) -> tuple[bytes, Exported]:
    """What an export of a store writes, and says that it wrote."""
    file = BytesIO()
    told = export_store(store, file, references, SOFTWARE, wanted)
    return file.getvalue(), told


def imported(store: Batches, export: bytes) -> Imported:
    """Import an export into a store."""
    return import_into_store(store, BytesIO(export), "log.jsonl", wanted)


def sealed(store: Batches, *, full: bool = False) -> Seal:
    """Seal a store's log."""
    return seal_store(store, Author().stamp(), full=full)


def lived() -> Batches:
    """A database with every kind of event, sealed now and then."""
    store, author = in_memory(), Author()
    for number, batch in enumerate(author.interleaved()):
        store.save_batch(batch)
        if number % 9 == 0:
            sealed(store)
    return store


def rewritten(export: bytes, change: Move) -> bytes:
    """An export after a change, with the checksum, but not the digests, of its new content."""
    lines = [msgspec.json.decode(line) for line in export.splitlines()]
    change(lines)
    *body, footer = lines
    content = b"".join(msgspec.json.encode(line) + b"\n" for line in body)
    if isinstance(footer, dict) and "sha256" in footer:
        footer["sha256"] = sha256(content).hexdigest()
    return content + msgspec.json.encode(footer) + b"\n"


def redigested(line: dict[str, Any], **fields: Any) -> None:
    """Change fields of an event's line, and its digest with them."""
    line |= fields
    state = msgspec.convert(line["state"], bytes)
    batch_id, topic = UUID(line["batch_id"]), line["topic"]
    line["digest"] = event_digest(batch_id, line["version"], topic, state).hex()
