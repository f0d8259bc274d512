"""Event log, snapshots and views in one PostgreSQL database, for workers on many machines."""

from .factory import PostgresBatchFactory

__all__ = ["PostgresBatchFactory"]
