"""Event log, snapshots and views in one SQLite file."""

from .database import new_file
from .factory import SQLiteBatchFactory

__all__ = ["SQLiteBatchFactory", "new_file"]
