"""Files of an older layout, which are read as they are: what they lack is a table or two."""

import sqlite3

from eventsourcing.sqlite import SQLiteCursor

from .beginnings import CREATE as CREATE_BEGINNINGS
from .database import table_names
from .pieces import CREATE as CREATE_PIECES

_TABLES = {"beginnings": CREATE_BEGINNINGS, "pieces": CREATE_PIECES}


def add_missing(cursor: sqlite3.Cursor | SQLiteCursor) -> None:
    """Make the tables that an older file lacks, empty and for the cursor's connection alone."""
    there = table_names(cursor)
    for name, create in _TABLES.items():
        if name not in there:
            cursor.execute(create.replace("CREATE TABLE", "CREATE TEMP TABLE"))
