"""The data directory: contents as plain files, records in SQLite.

The store is synchronous and belongs to the event loop's thread; worker threads only touch the
paths they are given.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from .records import BatchRecord, FileRecord

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    purpose TEXT NOT NULL,
    expires_at REAL,
    record BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS batches (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL,
    input_file_id TEXT NOT NULL,
    settled INTEGER NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS batches_by_input ON batches (input_file_id) WHERE NOT settled;
"""


class Store:
    """Files and batches of one data directory, which must have no second user."""

    def __init__(self, directory: Path) -> None:
        self._contents = directory / "files"
        self._contents.mkdir(parents=True, exist_ok=True)
        for leftover in self._contents.glob("*.part"):
            leftover.unlink()
        self._db = sqlite3.connect(directory / "emulator.sqlite3", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database; the store is of no use afterwards."""
        self._db.close()

    def content(self, file_id: str) -> Path:
        """Return where the bytes of a file are."""
        return self._contents / file_id

    def partial(self, file_id: str) -> Path:
        """Return where bytes go until they are complete; what a crash leaves is removed."""
        return self._contents / f"{file_id}.part"

    def add_file(self, record: FileRecord) -> None:
        """Record a file whose bytes lie complete at `partial`."""
        self.partial(record.id).replace(self.content(record.id))
        self._db.execute(
            "INSERT INTO files (id, purpose, expires_at, record) VALUES (?, ?, ?, ?)",
            (record.id, record.purpose, record.expires_at, msgspec.json.encode(record)),
        )

    def file(self, file_id: str, now: float) -> FileRecord | None:
        """Return a file that exists and has not expired."""
        row = self._db.execute(
            "SELECT record FROM files WHERE id = ? AND coalesce(expires_at > ?, TRUE)",
            (file_id, now),
        ).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=FileRecord)

    def files(
        self, now: float, *, purpose: str | None, after: str | None, limit: int, oldest_first: bool
    ) -> list[FileRecord]:
        """Return up to `limit` files that follow the cursor."""
        beyond, order = (">", "ASC") if oldest_first else ("<", "DESC")
        rows = self._db.execute(
            f"""
            SELECT record FROM files
            WHERE coalesce(expires_at > :now, TRUE)
              AND (:purpose IS NULL OR purpose = :purpose)
              AND (:after IS NULL OR seq {beyond} (SELECT seq FROM files WHERE id = :after))
            ORDER BY seq {order} LIMIT :limit
            """,  # noqa: S608 - both insertions are constants
            {"now": now, "purpose": purpose, "after": after, "limit": limit},
        )
        return [msgspec.json.decode(row[0], type=FileRecord) for row in rows]

    def delete_file(self, file_id: str) -> None:
        """Forget a file; its bytes stay as long as an unfinished batch reads them."""
        self._db.execute("DELETE FROM files WHERE id = ?", (file_id,))
        self._drop_unused_content(file_id)

    def add_batch(self, record: BatchRecord, *, settled: bool) -> None:
        """Record a new batch."""
        self._db.execute(
            "INSERT INTO batches (id, created_at, input_file_id, settled, record)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                record.id,
                record.created_at,
                record.input_file_id,
                settled,
                msgspec.json.encode(record),
            ),
        )

    def save_batch(self, record: BatchRecord, *, settled: bool) -> None:
        """Replace a batch; a settled one never reads its input file again."""
        self._db.execute(
            "UPDATE batches SET settled = ?, record = ? WHERE id = ?",
            (settled, msgspec.json.encode(record), record.id),
        )
        if settled:
            self._drop_unused_content(record.input_file_id)

    def finish_batch(self, record: BatchRecord, files: Iterable[FileRecord]) -> None:
        """Record the end of a batch together with its result files, or nothing of both."""
        self._db.execute("BEGIN")
        try:
            for file in files:
                self.add_file(file)
            self.save_batch(record, settled=True)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def batch(self, batch_id: str) -> BatchRecord | None:
        """Return a batch."""
        row = self._db.execute("SELECT record FROM batches WHERE id = ?", (batch_id,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=BatchRecord)

    def batches(self, *, after: str | None, limit: int, created_before: float) -> list[BatchRecord]:
        """Return up to `limit` batches older than the cursor, newest first."""
        rows = self._db.execute(
            """
            SELECT record FROM batches
            WHERE created_at <= :created_before
              AND (:after IS NULL OR seq < (SELECT seq FROM batches WHERE id = :after))
            ORDER BY seq DESC LIMIT :limit
            """,
            {"created_before": created_before, "after": after, "limit": limit},
        )
        return [msgspec.json.decode(row[0], type=BatchRecord) for row in rows]

    def _drop_unused_content(self, file_id: str) -> None:
        in_use = self._db.execute(
            "SELECT 1 FROM files WHERE id = :id UNION ALL"
            " SELECT 1 FROM batches WHERE input_file_id = :id AND NOT settled LIMIT 1",
            {"id": file_id},
        ).fetchone()
        if in_use is None:
            self.content(file_id).unlink(missing_ok=True)
