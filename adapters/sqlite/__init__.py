"""Event log, snapshots and views in one SQLite file."""

from .factory import SQLiteBatchFactory

__all__ = ["SQLiteBatchFactory"]
