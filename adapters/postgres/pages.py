"""Reading in pages that end by size: constant memory, and no cursor stays open between them."""

from typing import Any, LiteralString

from psycopg import Cursor
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

_ROWS = 1_000
"""Rows whose sizes are added up at a time; the server reads about so many for each page."""

_PAGE = SQL(
    "SELECT * FROM (SELECT *, sum(size) OVER (ORDER BY {key}) AS total FROM ({rows}) AS rows) "
    "AS sized WHERE total - size <= %(room)s ORDER BY {key}"
)


def read_page(
    cursor: Cursor[TupleRow],
    key: LiteralString,
    rows: LiteralString,
    parameters: dict[str, Any],
    *,
    max_bytes: int,
) -> list[TupleRow]:
    """The rows behind a key in its order, ended by the one that passes `max_bytes`.

    `rows` selects the key first and a `size` last, by the parameters `after` and `limit`. The
    size is left out of what is given.
    """
    page: list[TupleRow] = []
    statement = _PAGE.format(key=Identifier(key), rows=SQL(rows))
    parameters = {**parameters, "room": max_bytes, "limit": _ROWS}
    while True:
        cursor.execute(statement, parameters)
        found = cursor.fetchall()
        page += [row[:-2] for row in found]
        if len(found) < _ROWS or found[-1][-1] > parameters["room"]:
            return page
        parameters["after"] = found[-1][0]
        parameters["room"] -= int(found[-1][-1])
